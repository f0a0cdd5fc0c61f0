"""Whether two arrays share elements, asked when the program runs: for the shadows of derivatives inside kernels.

The question is a function of the module, one for each pair of types, which derivative passes do not look into. Arrays
are apart if the ranges of their addresses are, or if some stride of theirs tells them apart: seen modulo that stride,
as columns of one matrix, their elements lie in ranges that do not meet. What this does not tell apart counts as shared.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import memref

from .memory import arguments_behind, is_strict, may_overlap
from .values import Builder


def keep_apart(b: Builder, left: ir.Value, right: ir.Value, message: str, soft: bool = True) -> None:
    """Make it an error at run time if two arrays that may share memory do.

    Asked here; but for two arguments of a function that threads run it is asked where the grid is launched, once, and
    not by each thread. `soft`: see Builder.check.
    """
    if not may_overlap(b, left, right):
        return
    pair = arguments_behind(left, right)
    if pair is not None and b.apart is not None and is_strict(b):
        b.apart[pair] = message
    else:
        b.check(are_apart(b, left, right), "ValueError", message, soft)


def keep_given_apart(
    b: Builder, apart: dict[tuple[int, int], str], given: Sequence[ir.Value], soft: bool = True
) -> None:
    """The same for what a function is given that says which of its arguments must be `apart`."""
    for (left, right), message in apart.items():
        keep_apart(b, given[left], given[right], message, soft)


def are_apart(b: Builder, left: ir.Value, right: ir.Value) -> ir.Value:
    """An i1: whether two arrays with elements of one type surely share no element."""
    kinds = [_Kind(ir.MemRefType(v.type)) for v in (left, right)]
    symbol = "apart." + "_".join(kind.name for kind in kinds)
    if symbol not in b.shared.declared:
        function = ir.Operation.parse(_function(symbol, *kinds))
        function.clone(ir.InsertionPoint(b.shared.module.body))
        b.shared.declared[symbol] = ir.TypeAttr(function.attributes["function_type"]).value
    given = [memref.CastOp(b.shared.type(k.array), v).result for k, v in zip(kinds, (left, right), strict=True)]
    i1 = ir.IntegerType.get_signless(1)
    callee = ir.FlatSymbolRefAttr.get(symbol)
    return ir.Operation.create("func.call", [i1], given, attributes={"callee": callee}).result


class _Kind:
    """The type of arrays like one, with sizes and strides that are known only at run time."""

    def __init__(self, type_: ir.MemRefType) -> None:
        self.rank, element = type_.rank, type_.element_type
        self.size = _bytes(element)
        space = f", {type_.memory_space}" if type_.memory_space is not None else ""
        layout = f", strided<[{', '.join('?' * self.rank)}], offset: ?>"
        self.array = f"memref<{'?x' * self.rank}{element}{layout}{space}>"
        self.base = f"memref<{element}{space}>"
        self.name = "".join(c if c.isalnum() else "." for c in f"{self.rank}x{element}{space}")


def _bytes(element: ir.Type) -> int:
    if isinstance(element, ir.ComplexType):
        return 2 * _bytes(element.element_type)
    return max(8, element.width) // 8


class _Text:
    """Lines of a function; `op` writes one that gives a value, and returns its name."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[int, str] = {}

    def op(self, text: str, results: int = 1) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name}{f':{results}' if results > 1 else ''} = {text}")
        return name

    def arith(self, name: str, left: str, right: str, type_: str = "index") -> str:
        return self.op(f"arith.{name} {left}, {right} : {type_}")

    def constant(self, value: int) -> str:
        if value not in self.constants:
            self.constants[value] = self.op(f"arith.constant {value} : index")
        return self.constants[value]

    def all(self, name: str, values: list[str], empty: int) -> str:
        found = self.constant(empty)
        for value in values:
            found = self.arith(name, found, value)
        return found


class _Array:
    """Where an array begins (the address of its first byte), and in each dimension its stride and its length, in
    bytes and without sign.
    """

    def __init__(self, t: _Text, name: str, kind: _Kind) -> None:
        rank, size = kind.rank, kind.size
        given = f"{name} : {kind.array} ->"
        index = ", ".join(["index"] * (1 + 2 * rank))
        meta = t.op(f"memref.extract_strided_metadata {given} {kind.base}, {index}", 2 + 2 * rank)
        address = t.op(f"memref.extract_aligned_pointer_as_index {given} index")
        bytes_, zero, one = t.constant(size), t.constant(0), t.constant(1)
        sizes = [f"{meta}#{2 + k}" for k in range(rank)]
        signed = [t.arith("muli", f"{meta}#{2 + rank + k}", bytes_) for k in range(rank)]
        steps = [t.arith("maxsi", t.arith("subi", n, one), zero) for n in sizes]
        spans = [t.arith("muli", n, s) for n, s in zip(steps, signed, strict=True)]
        start = t.arith("addi", address, t.arith("muli", f"{meta}#1", bytes_))
        self.start = t.all("addi", [start, *(t.arith("minsi", s, zero) for s in spans)], 0)
        self.strides = [t.arith("maxsi", s, t.arith("subi", zero, s)) for s in signed]
        self.lengths = [t.arith("maxsi", s, t.arith("subi", zero, s)) for s in spans]
        #: The distance of its last byte from the first one.
        self.length = t.all("addi", self.lengths, size - 1)
        self.is_empty = t.op(f"arith.cmpi eq, {t.all('minsi', sizes, 1)}, {zero} : index")
        self.size = size

    def length_modulo(self, t: _Text, modulus: str) -> str:
        """Its length if steps by multiples of the modulus count as none."""
        zero = t.constant(0)
        found = []
        for stride, length in zip(self.strides, self.lengths, strict=True):
            whole = t.op(f"arith.cmpi eq, {t.arith('remsi', stride, modulus)}, {zero} : index")
            found.append(t.op(f"arith.select {whole}, {zero}, {length} : index"))
        return t.all("addi", found, self.size - 1)


def _function(symbol: str, left: _Kind, right: _Kind) -> str:
    t = _Text()
    zero, one = t.constant(0), t.constant(1)
    a, b = _Array(t, "%a", left), _Array(t, "%b", right)
    distance = t.arith("subi", b.start, a.start)
    apart = [
        a.is_empty,
        b.is_empty,
        t.op(f"arith.cmpi sgt, {distance}, {a.length} : index"),
        t.op(f"arith.cmpi slt, {t.arith('addi', distance, b.length)}, {zero} : index"),
    ]
    for stride in [*a.strides, *b.strides]:
        modulus = t.arith("maxsi", stride, one)
        behind = t.arith("remsi", t.arith("addi", t.arith("remsi", distance, modulus), modulus), modulus)
        last = t.arith("addi", behind, b.length_modulo(t, modulus))
        after = t.op(f"arith.cmpi sgt, {behind}, {a.length_modulo(t, modulus)} : index")
        within = t.op(f"arith.cmpi slt, {last}, {modulus} : index")
        apart.append(t.arith("andi", after, within, "i1"))
    found = apart[0]
    for other in apart[1:]:
        found = t.arith("ori", found, other, "i1")
    body = "\n  ".join(t.lines)
    marks = "autodiff.inactive, autodiff.reads = array<i64>, autodiff.writes = array<i64>"
    return (
        f'func.func private @"{symbol}"(%a: {left.array}, %b: {right.array}) -> i1 attributes {{{marks}}} {{\n'
        f"  {body}\n  return {found} : i1\n}}"
    )

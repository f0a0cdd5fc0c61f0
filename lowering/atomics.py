"""Atomic updates that upstream does not lower: `memref.generic_atomic_rmw`, and `memref.atomic_rmw` of kinds mulf
and muli.

Takes a module of upstream dialects, leaves each of them as a call of a function of its own, and gives the functions:
a loop that computes the new value of what is there and puts it there if nobody else was quicker (compare and exchange
of the element's bits). They are for the module once deallocations are placed, which is done on upstream's ops only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlir.ir import (
    ArrayAttr,
    Attribute,
    Block,
    DenseI32ArrayAttr,
    DenseI64ArrayAttr,
    FlatSymbolRefAttr,
    FunctionType,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Location,
    MemRefType,
    Module,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    Value,
    WalkResult,
)

from .rewriting import functions, symbol_name

_MENTION = re.compile(r"memref\.(?:generic_atomic_rmw|atomic_rmw mul[fi])\b")
_TIMES = {12: "arith.mulf", 13: "arith.muli"}  # by arith's numbers for those kinds
_KINDS = {0: "arith.addf", **_TIMES}
_SEQUENTIAL, _MONOTONIC = 7, 2  # LLVM's orderings: seq_cst, monotonic


def outline_atomics(module: Module, text: str) -> list[Operation]:
    """Put calls in their place; `text` is the module's own. Returns the functions, for `add_functions`."""
    if not _MENTION.search(text):
        return []
    found: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if op.name == "memref.generic_atomic_rmw" or (
            op.name == "memref.atomic_rmw" and IntegerAttr(op.attributes["kind"]).value in _TIMES
        ):
            found.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    return [_outlined(op, f"dsl.atomic.{number}", module) for number, op in enumerate(found)]


def add_functions(module: Module, made: list[Operation]) -> None:
    """Give the functions that are called their bodies."""
    names = [symbol_name(function) for function in made]
    for declaration in [op for op in functions(module) if symbol_name(op) in names]:
        declaration.erase()
    for function in made:
        InsertionPoint(module.body).insert(function)


def _outlined(op: Operation, name: str, module: Module) -> Operation:
    given: dict[Value, None] = dict.fromkeys(op.operands)
    inner = list(_inside(op))
    own = {result for o in inner for result in o.results}
    own |= {a for o in [op, *inner] for region in o.regions for block in region for a in block.arguments}
    for o in inner:
        given.update(dict.fromkeys(v for v in o.operands if v not in own))
    attributes = {
        "sym_name": StringAttr.get(name),
        "function_type": TypeAttr.get(FunctionType.get([v.type for v in given], [op.results[0].type])),
        "sym_visibility": StringAttr.get("private"),
    }
    unknown = Location.unknown()
    Operation.create("func.func", [], [], attributes, regions=1, loc=unknown, ip=InsertionPoint(module.body))
    inlined = {"passthrough": ArrayAttr.get([StringAttr.get("alwaysinline")])}
    function = Operation.create("func.func", [], [], attributes | inlined, regions=1, loc=op.location, ip=False)
    block = function.regions[0].blocks.append(*[v.type for v in given], arg_locs=[op.location] * len(given))
    call = Operation.create(
        "func.call",
        [op.results[0].type],
        list(given),
        {"callee": FlatSymbolRefAttr.get(name)},
        loc=op.location,
        ip=InsertionPoint(op),
    )
    old = op.results[0]
    old.replace_all_uses_with(call.results[0])
    for o in [op, *inner]:
        for i, operand in enumerate(o.operands):
            if operand in given:
                o.operands[i] = block.arguments[list(given).index(operand)]
    block.append(op)
    result = Update(op).rewrite()
    with InsertionPoint(block), op.location:
        Operation.create("func.return", [], [result])
    op.erase()
    return function


def _inside(op: Operation) -> Iterator[Operation]:
    for region in op.regions:
        for block in region:
            for inner in block.operations:
                yield inner.operation
                yield from _inside(inner.operation)


class Update:
    """One atomic update, to become a loop."""

    def __init__(self, op: Operation):
        self.op = op
        self.ip = InsertionPoint(op)
        generic = op.name == "memref.generic_atomic_rmw"
        self.memref, *self.indices = list(op.operands)[0 if generic else 1 :]
        self.type: Type = MemRefType(self.memref.type).element_type
        self.bits = IntegerType.get_signless(self.type.width)  # type: ignore[attr-defined]

    def emit(
        self, name: str, results: list[Type], *operands: Value, regions: int = 0, **attributes: Attribute
    ) -> Operation:
        return Operation.create(
            name, results, list(operands), attributes, regions=regions, loc=self.op.location, ip=self.ip
        )

    def value(self, name: str, result: Type, *operands: Value, **attributes: Attribute) -> Value:
        return self.emit(name, [result], *operands, **attributes).results[0]

    def rewrite(self) -> Value:
        """The loop, before the op; returns what was there before the update."""
        pointer = self._pointer()
        first = self.guess(pointer)
        loop = self.emit("scf.while", [self.bits], first, regions=2)
        loc = self.op.location
        before = loop.regions[0].blocks.append(self.bits, arg_locs=[loc])
        after = loop.regions[1].blocks.append(self.bits, arg_locs=[loc])
        self.ip = InsertionPoint(before)
        new = self._to_bits(self._new(self._from_bits(before.arguments[0]), before))
        seen, done = self.exchange(pointer, before.arguments[0], new)
        bit = done.type
        one = self.value("arith.constant", bit, value=IntegerAttr.get(bit, 1))
        self.emit("scf.condition", [], self.value("arith.xori", bit, done, one), seen)
        self.ip = InsertionPoint(after)
        self.emit("scf.yield", [], after.arguments[0])
        self.ip = InsertionPoint(self.op)
        return self._from_bits(loop.results[0])

    def guess(self, pointer: Value) -> Value:
        """What is probably there."""
        return self.value("llvm.load", self.bits, pointer)

    def exchange(self, pointer: Value, expected: Value, new: Value) -> tuple[Value, Value]:
        """Put `new` where `expected` is; returns what was there, and whether it was that."""
        pair = self.value(
            "llvm.cmpxchg",
            Type.parse(f"!llvm.struct<({self.bits}, i1)>"),
            pointer,
            expected,
            new,
            success_ordering=_ordering(_SEQUENTIAL),
            failure_ordering=_ordering(_MONOTONIC),
        )
        seen = self.value("llvm.extractvalue", self.bits, pair, position=DenseI64ArrayAttr.get([0]))
        bit = IntegerType.get_signless(1)
        return seen, self.value("llvm.extractvalue", bit, pair, position=DenseI64ArrayAttr.get([1]))

    def _new(self, old: Value, into: Block) -> Value:
        """What is to be there instead of `old`, computed at the end of `into`."""
        if self.op.name == "memref.atomic_rmw":
            times = _KINDS[IntegerAttr(self.op.attributes["kind"]).value]
            return self.value(times, self.type, old, self.op.operands[0])
        body = self.op.regions[0].blocks[0]
        body.arguments[0].replace_all_uses_with(old)
        *ops, last = [op.operation for op in body.operations]
        for op in ops:
            into.append(op)
        return last.operands[0]

    def address_space(self) -> str:
        """How the type of the pointer names its memory."""
        return ""

    def _pointer(self) -> Value:
        """The address of the element."""
        index, wide = IndexType.get(), IntegerType.get_signless(64)
        rank = len(self.indices)
        base = MemRefType.get([], self.type, memory_space=MemRefType(self.memref.type).memory_space)
        described = self.emit("memref.extract_strided_metadata", [base, *[index] * (1 + 2 * rank)], self.memref)
        at = described.results[1]
        for position, stride in zip(self.indices, list(described.results)[2 + rank :]):
            at = self.value("arith.addi", index, at, self.value("arith.muli", index, position, stride))
        start = self.value("memref.extract_aligned_pointer_as_index", index, self.memref)
        type = Type.parse(f"!llvm.ptr{self.address_space()}")
        address = self.value("llvm.inttoptr", type, self.value("arith.index_cast", wide, start))
        from_type = {"rawConstantIndices": DenseI32ArrayAttr.get([-(2**31)]), "elem_type": TypeAttr.get(self.type)}
        return self.value(
            "llvm.getelementptr", address.type, address, self.value("arith.index_cast", wide, at), **from_type
        )

    def _from_bits(self, bits: Value) -> Value:
        return self._cast(bits, self.type)

    def _to_bits(self, value: Value) -> Value:
        return self._cast(value, self.bits)

    def _cast(self, value: Value, type: Type) -> Value:
        return value if value.type == type else self.value("arith.bitcast", type, value)


def _ordering(number: int) -> Attribute:
    return IntegerAttr.get(IntegerType.get_signless(64), number)

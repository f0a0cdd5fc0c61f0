"""What the passes of this package build operations with."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlir.ir import (
    Attribute,
    Block,
    BlockArgument,
    DenseI32ArrayAttr,
    FlatSymbolRefAttr,
    FunctionType,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Location,
    MemRefType,
    Operation,
    ShapedType,
    StringAttr,
    Type,
    TypeAttr,
    Value,
    WalkOrder,
    WalkResult,
)

_SPACE = re.compile(r", (#gpu\.address_space<\w+>|[1-9]\d*)>$")


def plain(op: Any) -> Operation:
    """The Operation under an op view."""
    return op.operation if hasattr(op, "operation") else op


def operations(block: Block) -> list[Operation]:
    return [plain(op) for op in block.operations]


def walk(op: Operation) -> list[Operation]:
    """`op` and what is nested in it, in program order."""
    found: list[Operation] = []

    def visit(inner: Operation) -> WalkResult:
        found.append(inner)
        return WalkResult.ADVANCE

    op.walk(visit, WalkOrder.PRE_ORDER)
    return found


def home(value: Value) -> Block:
    """The block that a value belongs to."""
    return value.owner if isinstance(value, BlockArgument) else plain(value.owner).block


def captured(op: Operation) -> list[Value]:
    """Values that `op`'s regions use and that are defined outside of them, each once."""
    inside = {block for inner in walk(op) if len(inner.regions) for region in inner.regions for block in region.blocks}
    found: dict[Value, None] = {}
    for inner in walk(op):
        if inner != op:
            for operand in inner.operands:
                if home(operand) not in inside:
                    found.setdefault(operand)
    return list(found)


def constant(value: Value) -> int | None:
    """The integer that a value is, where an arith.constant says so."""
    if isinstance(value, BlockArgument):
        return None
    op = plain(value.owner)
    if op.name != "arith.constant" or not isinstance(op.attributes["value"], IntegerAttr):
        return None
    return int(op.attributes["value"].value)


class Types:
    """Types as they are on the CPU, where all memory is one space."""

    def __init__(self) -> None:
        self._known: dict[Type, Type] = {}

    def __call__(self, type_: Type) -> Type:
        made = self._known.get(type_)
        if made is None:
            made = type_
            if isinstance(type_, MemRefType) and type_.memory_space is not None:
                made = Type.parse(_SPACE.sub(">", str(type_)))
            self._known[type_] = made
        return made


class Emitter:
    """Creates operations at `ip` with location `loc`."""

    def __init__(self, ip: InsertionPoint, loc: Location):
        self.ip, self.loc = ip, loc

    @contextmanager
    def at(self, ip: InsertionPoint | Block, loc: Location | None = None) -> Iterator[None]:
        saved = self.ip, self.loc
        self.ip = InsertionPoint(ip) if isinstance(ip, Block) else ip
        self.loc = loc or self.loc
        try:
            yield
        finally:
            self.ip, self.loc = saved

    def op(
        self,
        name: str,
        operands: Sequence[Value] = (),
        results: Sequence[Type] = (),
        attributes: dict[str, Attribute] | None = None,
        regions: int = 0,
    ) -> Operation:
        return Operation.create(
            name,
            results=list(results),
            operands=list(operands),
            attributes=attributes,
            loc=self.loc,
            ip=self.ip,
            regions=regions,
        )

    def value(
        self, name: str, operands: Sequence[Value], type_: Type, attributes: dict[str, Attribute] | None = None
    ) -> Value:
        return self.op(name, operands, [type_], attributes).results[0]

    def integer(self, value: int, type_: Type | None = None) -> Value:
        type_ = type_ or IndexType.get()
        return self.value("arith.constant", [], type_, {"value": IntegerAttr.get(type_, value)})

    def binary(self, name: str, a: Value, b: Value) -> Value:
        """An integer operation, done at once where both are constants."""
        x, y = constant(a), constant(b)
        if name == "muli" and 1 in (x, y):
            return b if x == 1 else a
        if name == "addi" and 0 in (x, y):
            return b if x == 0 else a
        if name == "muli" and x is not None and y is not None:
            return self.integer(x * y, a.type)
        return self.value(f"arith.{name}", [a, b], a.type)

    def compare(self, predicate: int, a: Value, b: Value) -> Value:
        """`predicate` by MLIR's number: 0 eq, 1 ne, 2 slt, 3 sle, 4 sgt, 5 sge, 6 ult."""
        code = IntegerAttr.get(IntegerType.get_signless(64), predicate)
        return self.value("arith.cmpi", [a, b], IntegerType.get_signless(1), {"predicate": code})

    def product(self, values: Sequence[Value]) -> Value:
        total = values[0]
        for value in values[1:]:
            total = self.binary("muli", total, value)
        return total

    def alloc(self, element: Type, sizes: Sequence[Value]) -> Value:
        """An array of these extents, fixed where they are constants."""
        known = [constant(size) for size in sizes]
        shape = [ShapedType.get_dynamic_size() if n is None else n for n in known]
        dynamic = [size for size, n in zip(sizes, known, strict=True) if n is None]
        return self.alloc_like(MemRefType.get(shape, element), dynamic)

    def alloc_like(self, type_: Type, dynamic: Sequence[Value] = ()) -> Value:
        segments = DenseI32ArrayAttr.get([len(dynamic), 0])
        return self.value("memref.alloc", dynamic, type_, {"operandSegmentSizes": segments})

    def loop(self, upper: Value, body: Callable[[Value], object], lower: Value | None = None) -> None:
        """An scf.for from 0 (or `lower`) to `upper` by 1; `body` fills it."""
        operands = [self.integer(0) if lower is None else lower, upper, self.integer(1)]
        op = self.op("scf.for", operands, regions=1)
        block = op.regions[0].blocks.append(IndexType.get(), arg_locs=[self.loc])
        with self.at(block):
            body(block.arguments[0])
            self.op("scf.yield")

    def branch(self, condition: Value, then: Callable[[], object], otherwise: Callable[[], object]) -> None:
        op = self.op("scf.if", [condition], regions=2)
        for region, fill in zip(op.regions, (then, otherwise), strict=True):
            with self.at(region.blocks.append()):
                fill()
                self.op("scf.yield")

    def call(self, function: str, operands: Sequence[Value], results: Sequence[Type] = ()) -> list[Value]:
        return list(self.op("func.call", operands, results, {"callee": FlatSymbolRefAttr.get(function)}).results)

    def function(self, name: str, inputs: Sequence[Type], body: bool = True) -> Operation:
        """A function without results: with a body (to be filled), which only the pool calls, or declared."""
        attributes = {
            "sym_name": StringAttr.get(name),
            "function_type": TypeAttr.get(FunctionType.get(list(inputs), [])),
            "sym_visibility": StringAttr.get("public" if body else "private"),
        }
        made = self.op("func.func", [], [], attributes, regions=1)
        if body:
            made.regions[0].blocks.append(*inputs, arg_locs=[self.loc] * len(inputs))
        return made


def attributes_of(op: Operation) -> dict[str, Attribute]:
    return {name: op.attributes[name] for name in op.attributes}

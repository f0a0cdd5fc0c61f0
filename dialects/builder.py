"""A thin hand on MLIR's Python bindings: ops by name at an insertion point, and the few constants and loops the
passes build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlir.ir import (
    Attribute,
    BF16Type,
    Block,
    BlockArgument,
    ComplexType,
    DenseElementsAttr,
    DenseI32ArrayAttr,
    F16Type,
    F32Type,
    F64Type,
    FloatAttr,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Location,
    MemRefType,
    Operation,
    ShapedType,
    Type,
    Value,
    VectorType,
    WalkOrder,
    WalkResult,
)

#: arith.cmpi's codes of the comparisons that the passes build.
_PREDICATES = {"eq": 0, "sgt": 4}
_FLOATS = (F64Type, F32Type, F16Type, BF16Type)
#: What additions of cotangents say: no program defines in which order what reaches a value is summed. See order.py.
ANY_ORDER = "#arith.fastmath<reassoc,nsz>"


def is_float(type_: Type) -> bool:
    return isinstance(type_, _FLOATS)


def is_memref(type_: Type) -> bool:
    return isinstance(type_, MemRefType)


def is_differentiable(type_: Type) -> bool:
    """Scalars (and vectors) that have a tangent: floats and complex numbers."""
    if isinstance(type_, VectorType):
        return is_differentiable(type_.element_type)
    return is_float(type_) or isinstance(type_, ComplexType)


def holds_tangents(type_: Type) -> bool:
    """Memory that has a shadow: memrefs whose elements have tangents."""
    return isinstance(type_, MemRefType) and is_differentiable(type_.element_type)


def home(value: Value) -> Block:
    """The block a value belongs to: where its op stands, or the block it is an argument of."""
    return value.owner if isinstance(value, BlockArgument) else operation(value.owner).block


def is_zero(value: Value) -> bool:
    """Whether a value is the constant 0.0."""
    if isinstance(value, BlockArgument) or operation(value.owner).name != "arith.constant":
        return False
    attribute = operation(value.owner).attributes["value"]
    return isinstance(attribute, FloatAttr) and attribute.value == 0.0


def operation(op: Any) -> Operation:
    """The plain Operation under an op view."""
    return op.operation if hasattr(op, "operation") else op


def operations(block: Block) -> list[Operation]:
    return [operation(op) for op in block.operations]


def walk(op: Operation) -> list[Operation]:
    """`op` and everything nested in it, outside in, in program order, as it is now."""
    if not len(op.regions):
        return [op]
    found: list[Operation] = []
    note, go_on = found.append, WalkResult.ADVANCE
    op.walk(lambda inner: note(inner) or go_on, WalkOrder.PRE_ORDER)
    return found


def captured(op: Operation) -> list[Value]:
    """Values used inside `op`'s regions and defined outside them, in order of first use, each once."""
    nested = walk(op)
    inside = {block for inner in nested if len(inner.regions) for region in inner.regions for block in region.blocks}
    used = dict.fromkeys(operand for inner in nested[1:] for operand in inner.operands)
    return [value for value in used if home(value) not in inside]


def terminator(block: Block) -> Operation:
    """The last op of a block; quicker than a list of all."""
    return operation(block.operations[-1])


def ancestor_in(block: Block, op: Operation) -> Operation | None:
    """The op of `block` that `op` is, or is nested in; None when `op` stands outside."""
    current: Operation | None = op
    while current is not None:
        if current.block == block:
            return current
        parent = current.parent
        current = operation(parent) if parent is not None else None
        if current is None or current.name in ("builtin.module", "func.func"):
            return None
    return None


class Builder:
    """Creates ops at `ip` with location `loc`; `at` moves both for the length of a `with`."""

    def __init__(self, ip: InsertionPoint, loc: Location):
        self.ip, self.loc = ip, loc
        self._any_order: Attribute | None = None

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
        self, name: str, operands: Sequence[Value], result: Type, attributes: dict[str, Attribute] | None = None
    ) -> Value:
        return self.op(name, operands, [result], attributes).results[0]

    def rule(self, emit: Callable[..., Value], *arguments: Any) -> Value:
        """Run a rule's emitter, which builds at the current insertion point."""
        with self.ip:
            return emit(*arguments, self.loc)

    # constants -----------------------------------------------------------------------------------------------------
    def index(self, value: int) -> Value:
        type_ = IndexType.get()
        return self.value("arith.constant", [], type_, {"value": IntegerAttr.get(type_, value)})

    def boolean(self, value: bool) -> Value:
        type_ = IntegerType.get_signless(1)
        return self.value("arith.constant", [], type_, {"value": IntegerAttr.get(type_, int(value))})

    def zero(self, type_: Type) -> Value:
        """Zero of a differentiable type, or (bytes that hold such values) of an integer type."""
        if isinstance(type_, IntegerType):
            return self.value("arith.constant", [], type_, {"value": IntegerAttr.get(type_, 0)})
        if isinstance(type_, VectorType):
            if isinstance(type_.element_type, ComplexType):
                return self.value("vector.broadcast", [self.zero(type_.element_type)], type_)
            splat = DenseElementsAttr.get_splat(type_, FloatAttr.get(type_.element_type, 0.0))
            return self.value("arith.constant", [], type_, {"value": splat})
        if isinstance(type_, ComplexType):
            part = self.zero(type_.element_type)
            return self.value("complex.create", [part, part], type_)
        return self.value("arith.constant", [], type_, {"value": FloatAttr.get(type_, 0.0)})

    # arithmetic ----------------------------------------------------------------------------------------------------
    def add(self, a: Value, b: Value) -> Value:
        """a + b of a differentiable type: parts of a cotangent, which may be added up in any order."""
        element = a.type.element_type if isinstance(a.type, VectorType) else a.type
        name = "complex.add" if isinstance(element, ComplexType) else "arith.addf"
        if self._any_order is None:
            self._any_order = Attribute.parse(ANY_ORDER, a.type.context)
        return self.value(name, [a, b], a.type, {"fastmath": self._any_order})

    def integer(self, name: str, a: Value, b: Value) -> Value:
        return self.value(f"arith.{name}", [a, b], a.type)

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        truth = IntegerType.get_signless(1)
        code = IntegerAttr.get(IntegerType.get_signless(64), _PREDICATES[predicate])
        return self.value("arith.cmpi", [a, b], truth, {"predicate": code})

    # memory --------------------------------------------------------------------------------------------------------
    def alloc(self, type_: Type, sizes: Sequence[Value] = (), attributes: dict[str, Attribute] | None = None) -> Value:
        segments = DenseI32ArrayAttr.get([len(sizes), 0])
        return self.value("memref.alloc", sizes, type_, {"operandSegmentSizes": segments, **(attributes or {})})

    def dim(self, memref: Value, axis: int) -> Value:
        size = MemRefType(memref.type).shape[axis]
        if size != ShapedType.get_dynamic_size():
            return self.index(size)
        return self.value("memref.dim", [memref, self.index(axis)], IndexType.get())

    def load(self, memref: Value, indices: Sequence[Value]) -> Value:
        return self.value("memref.load", [memref, *indices], MemRefType(memref.type).element_type)

    def store(self, value: Value, memref: Value, indices: Sequence[Value]) -> None:
        self.op("memref.store", [value, memref, *indices])

    def for_each(self, memref: Value, body: Callable[[list[Value]], None]) -> None:
        """A loop nest over all index tuples of `memref`; `body` gets the indices."""
        rank = MemRefType(memref.type).rank
        zero, one = (self.index(0), self.index(1)) if rank else (None, None)

        def nest(axis: int, indices: list[Value]) -> None:
            if axis == rank:
                body(indices)
                return
            block = self.for_loop(zero, self.dim(memref, axis), one, [])
            with self.at(block):
                nest(axis + 1, [*indices, block.arguments[0]])
                self.op("scf.yield")

        nest(0, [])

    def fill_zero(self, *memrefs: Value) -> None:
        """Zero in all elements of memrefs of one shape."""
        zero = self.zero(MemRefType(memrefs[0].type).element_type)

        def store(indices: list[Value]) -> None:
            for memref in memrefs:
                self.store(zero, memref, indices)

        self.for_each(memrefs[0], store)

    def empty_like(self, memref: Value) -> Value:
        """New memory of the shape and type of a memref."""
        type_ = MemRefType(memref.type)
        dynamic = [self.dim(memref, i) for i, size in enumerate(type_.shape) if size == ShapedType.get_dynamic_size()]
        made = self.alloc(MemRefType.get(type_.shape, type_.element_type, memory_space=type_.memory_space), dynamic)
        return made if made.type == type_ else self.value("memref.cast", [made], type_)

    def zeros_like(self, memref: Value) -> Value:
        """The same, filled with zeros."""
        made = self.empty_like(memref)
        self.fill_zero(made)
        return made

    def copy_of(self, memref: Value) -> Value:
        """New memory with the content of a memref."""
        made = self.empty_like(memref)
        self.op("memref.copy", [memref, made])
        return made

    # structure -----------------------------------------------------------------------------------------------------
    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """What is built within runs only on a condition."""
        choice = self.op("scf.if", [condition], regions=2)
        with self.at(choice.regions[0].blocks.append()):
            yield
            self.op("scf.yield")

    def for_loop(self, lower: Value, upper: Value, step: Value, inits: Sequence[Value]) -> Block:
        """An scf.for; returns its body block (arguments: index, then one for each init), to be filled and ended by
        scf.yield.
        """
        types = [value.type for value in inits]
        op = self.op("scf.for", [lower, upper, step, *inits], types, regions=1)
        return op.regions[0].blocks.append(IndexType.get(), *types, arg_locs=[self.loc] * (1 + len(types)))

"""What loops of host code become: launches, by the three forms of `spread`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir.ir import (
    ArrayAttr,
    ComplexType,
    DenseI32ArrayAttr,
    FloatAttr,
    FloatType,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Operation,
    Type,
    Value,
)

from ..grid.calls import Copier
from ..grid.emit import Emitter, attributes_of
from .flat import Flat
from .nests import Axis, Carried

THREADS = 256
"""Of a block."""
PARTS = 4096
"""The most threads that a reduction has."""
_SLT, _NE = 2, 1


class HostEmitter(Emitter):
    """An emitter with what loops and launches of host code are built of."""

    def integer_op(self, name: str, a: Value, b: Value) -> Value:
        return self.value(f"arith.{name}", [a, b], a.type)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self.value("arith.select", [condition, a, b], a.type)

    def carrying(
        self, bounds: Sequence[Value], initial: Sequence[Value], body: Callable[[Value, list[Value]], Sequence[Value]]
    ) -> list[Value]:
        """An scf.for of (lower, upper, step) that carries values; `body` gives the next ones."""
        loop = self.op("scf.for", [*bounds, *initial], [v.type for v in initial], None, 1)
        types = [bounds[0].type, *(v.type for v in initial)]
        block = loop.regions[0].blocks.append(*types, arg_locs=[self.loc] * len(types))
        with self.at(block):
            counter, *carried = block.arguments
            self.op("scf.yield", list(body(counter, carried)))
        return list(loop.results)

    def fold(self, count: Value, initial: Value, body: Callable[[Value, Value], Value]) -> Value:
        """A loop from 0 to `count` that carries one value."""
        bounds = [self.integer(0), count, self.integer(1)]
        return self.carrying(bounds, [initial], lambda k, carried: [body(k, carried[0])])[0]

    def launch(self, blocks: Value, threads: int, body: Callable[[Value], object]) -> None:
        """A launch in one dimension; `body` is given the thread's number."""
        one, extent = self.integer(1), self.integer(threads)
        attributes = {
            "operandSegmentSizes": DenseI32ArrayAttr.get([0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]),
            "workgroup_attributions": IntegerAttr.get(IntegerType.get_signless(64), 0),
        }
        launch = self.op("gpu.launch", [blocks, one, one, extent, one, one], [], attributes, 1)
        index = IndexType.get()
        block = launch.regions[0].blocks.append(*[index] * 12, arg_locs=[self.loc] * 12)
        with self.at(block):
            first = self.integer_op("muli", block.arguments[0], block.arguments[9])
            body(self.integer_op("addi", first, block.arguments[3]))
            self.op("gpu.terminator")

    def spread(self, count: Value, body: Callable[[Value], object]) -> None:
        """A launch with a thread for each number from 0 to `count`."""
        threads = self.integer(THREADS)
        blocks = self.integer_op("ceildivsi", count, threads)

        def guarded(number: Value) -> None:
            self.when(self.compare(_SLT, number, count), lambda: body(number))

        self.launch(blocks, THREADS, guarded)

    def when(self, condition: Value, body: Callable[[], object]) -> None:
        branch = self.op("scf.if", [condition], [], None, 2)
        with self.at(branch.regions[0].blocks.append()):
            body()
            self.op("scf.yield")

    def copy(self, body: Sequence[Operation], copier: Copier) -> None:
        for op in body:
            copier.operation(op)


def emitter(op: Operation) -> HostEmitter:
    """One that emits before an operation."""
    return HostEmitter(InsertionPoint(op), op.location)


# --- at once


class Threads:
    """A launch of the body of a nest: each axis is either the threads' or run by each of them."""

    def __init__(self, e: HostEmitter, axes: list[Axis]) -> None:
        self.e, self.axes = e, axes
        self._tested: dict[Value | Flat, Value] = {}
        self.counts = [_trips(e, axis) for axis in axes]
        self.conditions = [self._condition(axis) for axis in axes]  # None: as `apart` says, whatever the numbers
        self.sizes = [self._size(*found) for found in zip(axes, self.counts, self.conditions)]

    def _condition(self, axis: Axis) -> Value | None:
        if not axis.apart:
            return None
        e = self.e
        found: Value | None = None
        for part in axis.apart:
            if part not in self._tested:
                zero = None if isinstance(part, Flat) else e.integer(0, part.type)
                self._tested[part] = part.holds(e) if isinstance(part, Flat) else e.compare(_NE, part, zero)
            other = self._tested[part]
            found = other if found is None else e.integer_op("andi", found, other)
        return found

    def _size(self, axis: Axis, count: Value, condition: Value | None) -> Value:
        """How many threads there are along an axis."""
        one = self.e.integer(1)
        if axis.apart is None:
            return one
        return count if condition is None else self.e.select(condition, count, one)

    def launch(self, body: list[Operation]) -> None:
        e = self.e
        e.spread(e.product(self.sizes), lambda number: self._level(number, body, 0, Copier(e)))

    def _level(self, number: Value, body: list[Operation], depth: int, copier: Copier) -> None:
        """What is inside the axes up to `depth`."""
        e = self.e
        if depth == len(self.axes):
            e.copy(body, copier)
            return
        axis, count, condition = self.axes[depth], self.counts[depth], self.conditions[depth]

        def at(place: Value) -> None:
            _set(e, copier, axis, place)
            self._level(number, body, depth + 1, copier)

        if axis.apart is None:
            e.loop(count, at)
            return
        mine = self._place(number, depth)
        if condition is None:
            at(mine)
        else:
            zero = e.integer(0)
            first = e.select(condition, mine, zero)
            last = e.select(condition, e.integer_op("addi", mine, e.integer(1)), count)
            e.loop(last, at, first)

    def _place(self, number: Value, depth: int) -> Value:
        """A thread's place along an axis: the last axis goes fastest, so that neighbours have neighbouring elements."""
        e = self.e
        for size in reversed(self.sizes[depth + 1 :]):
            number = e.integer_op("divui", number, size)
        return e.integer_op("remui", number, self.sizes[depth]) if depth else number


def _set(e: HostEmitter, copier: Copier, axis: Axis, place: Value) -> None:
    """The counter's value in the iteration of this number."""
    if axis.lower.type != place.type:
        place = e.value("arith.index_cast", [place], axis.lower.type)
    copier.map[axis.counter] = e.integer_op("addi", axis.lower, e.integer_op("muli", place, axis.step))


def _trips(e: HostEmitter, axis: Axis) -> Value:
    """How often a loop runs, as an index."""
    span = e.integer_op("subi", axis.upper, axis.lower)
    count = e.integer_op("maxsi", e.integer_op("ceildivsi", span, axis.step), e.integer(0, span.type))
    return count if isinstance(count.type, IndexType) else e.value("arith.index_cast", [count], IndexType.get())


# --- by parts

_NEUTRAL = {
    "arith.addf": -0.0, "arith.mulf": 1.0, "arith.addi": 0, "arith.muli": 1, "complex.add": -0.0,
    "arith.maximumf": float("-inf"), "arith.maxnumf": float("-inf"),
    "arith.minimumf": float("inf"), "arith.minnumf": float("inf"),
}  # fmt: skip


def reduce(e: HostEmitter, axes: list[Axis], body: list[Operation], carried: list[Carried]) -> None:
    """A launch in which each thread combines the values of a part of the iterations, and one that combines the parts.
    The host reads what comes out, and combines it with the initial values.
    """
    counts = [_trips(e, axis) for axis in axes]
    total = e.product(counts)
    most = e.integer_op("maxsi", e.integer_op("minsi", total, e.integer(PARTS)), e.integer(1))
    types = [one.initial.type for one in carried]
    parts = [e.alloc(type_, [most]) for type_ in types]
    totals = [e.alloc(type_, []) for type_ in types]

    def neutral() -> list[Value]:
        return [_number(e, type_, _NEUTRAL[one.combining.name]) for one, type_ in zip(carried, types)]

    def part(number: Value) -> None:
        def iteration(place: Value, before: list[Value]) -> list[Value]:
            copier = Copier(e)
            for axis, count in reversed(list(zip(axes, counts))):
                _set(e, copier, axis, e.integer_op("remui", place, count))
                place = e.integer_op("divui", place, count)
            e.copy(body, copier)
            return [combined(one, a, copier.map.get(one.value, one.value)) for one, a in zip(carried, before)]

        for value, array in zip(e.carrying([number, total, most], neutral(), iteration), parts):
            e.op("memref.store", [value, array, number])

    def together(_: Value) -> None:
        def add(place: Value, before: list[Value]) -> list[Value]:
            new = [e.value("memref.load", [array, place], type_) for array, type_ in zip(parts, types)]
            return [combined(*found) for found in zip(carried, before, new)]

        for value, array in zip(e.carrying([e.integer(0), most, e.integer(1)], neutral(), add), totals):
            e.op("memref.store", [value, array])

    def combined(one: Carried, a: Value, b: Value) -> Value:
        return e.value(one.combining.name, [a, b], a.type, attributes_of(one.combining))

    e.spread(most, part)
    e.launch(e.integer(1), 1, together)
    for one, array, type_ in zip(carried, totals, types):
        one.result.replace_all_uses_with(combined(one, one.initial, e.value("memref.load", [array], type_)))


def _number(e: Emitter, type_: Type, value: float) -> Value:
    if isinstance(type_, ComplexType):
        parts = ArrayAttr.get([FloatAttr.get(type_.element_type, value)] * 2)
        return e.value("complex.constant", [], type_, {"value": parts})
    if isinstance(type_, FloatType):
        return e.value("arith.constant", [], type_, {"value": FloatAttr.get(type_, value)})
    return e.integer(int(value), type_)


# --- in order


def run_by_one(loop: Operation) -> None:
    """A launch of one thread that runs the loop; what the loop gives, the host reads."""
    e = emitter(loop)
    cells = [e.alloc(result.type, []) for result in loop.results]

    def body(_: Value) -> None:
        copier = Copier(e)
        copier.operation(loop)
        for result, cell in zip(loop.results, cells):
            e.op("memref.store", [copier.map[result], cell])

    e.launch(e.integer(1), 1, body)
    for result, cell in zip(loop.results, cells):
        result.replace_all_uses_with(e.value("memref.load", [cell], MemRefType(cell.type).element_type))
    loop.erase()

"""Snapshots of memory that is overwritten: one copy in place of many taped values.

Where several loads of an iteration, or one load time and again, read the same memory between two of its overwritings,
what they read need not be taped value by value: the forward sweep copies the range of the memory that they read, once
an iteration, and each load is run again on the copy. So a snapshot is one more source that a load's value can have,
beside memory that still holds it and the tape.

The *version* of memory that a load reads in an iteration is known by the last op of the iteration's own block that may
have written it before (none: the memory is as the iteration found it). Loads of one version whose indices are steady
(the counter of a loop and a constant) or the same all the time share a snapshot of the range that these indices run
through; where an index is anything else, the range is the whole axis. A snapshot is taken if it is smaller than what it
replaces, whatever the numbers of trips are: the axes of the range are as long as loops around the loads are, and there
are several loads, or more loops than axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

from mlir.ir import (
    Block,
    BlockArgument,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Operation,
    ShapedType,
    Value,
)

from .builder import ancestor_in, home, is_memref, operation, walk
from .launches import DEVICE, around
from .objects import ALLOCATIONS, apart, reaches, written
from .places import NONE, Place, known
from .stability import Stability
from .tape import Recorded, Scope, as_stored, buffer, stored_type, unstored

if TYPE_CHECKING:
    from .plan import Replay
    from .reverse import Reverse
    from .sweep import Frame

#: By so many elements the axis of a memory may be longer than the loop over it.
_NEAR = 8
_SGE = 5


@dataclass(frozen=True)
class Axis:
    """What of one axis is read: at `at` only; or as far as the trips of loops with the given `bodies`, each from its
    first index on; or, if there is neither, all.
    """

    at: Value | int | None = None
    runs: tuple[tuple[Block, int], ...] = ()

    @property
    def is_fixed(self) -> bool:
        return self.at is not None

    @property
    def start(self) -> int:
        return min((first for _, first in self.runs), default=0)


@dataclass(eq=False)
class Snapshot:
    """A copy, for each iteration with the body `block`, of what `loads` read of `memref`: taken behind `writer`, the op
    of the block that wrote it last, in the forward sweep of `frame`.
    """

    frame: Frame
    memref: Value
    block: Block
    writer: Operation | None
    axes: list[Axis]
    loads: list[Operation]
    recorded: Recorded | None = None

    @property
    def scope(self) -> Scope:
        return self.frame.sweep.scopes[self.block]

    def sources(self, load: Operation) -> list[Value]:
        """The primal values that it takes to read the value of `load`."""
        return [base for _, (base, _) in self._places(load)]

    def _places(self, load: Operation) -> list[tuple[Axis, tuple[Value, int]]]:
        """The axes of the copy, and where on them `load` reads, as a value and what is added to it."""
        found: list[tuple[Axis, tuple[Value, int]]] = []
        for axis, index in zip(self.axes, list(load.operands)[1:], strict=True):
            place = Place.of_index(index) if axis.runs else None
            if not axis.is_fixed:
                found.append((axis, (index, 0) if place is None else (place.base, place.offset)))
        return found

    def read(
        self,
        reverse: Reverse,
        load: Operation,
        value: Callable[[Value], Value],
        indices: Sequence[Value],
        frame: Frame | None,
    ) -> Value:
        """The value of `load` at the current place, `value` giving its indices there, and `indices` the counters of the
        loops around, within `frame`.
        """
        if self.recorded is None:
            self.recorded = self._take(reverse)
        indices = list(indices)
        while frame is not None and frame is not self.frame and frame.outer is not None:
            indices, frame = [*frame.outer.indices, *indices], frame.outer_frame
        b = reverse.b
        at = indices[: len(self.scope.counters)]
        for axis, (base, offset) in self._places(load):
            here, offset = value(base), offset - axis.start
            at.append(b.integer("addi", here, b.index(offset)) if offset else here)
        return unstored(b, b.load(self.recorded.storage, at), load.results[0].type)

    def _take(self, reverse: Reverse) -> Recorded:
        """Allocate the memory before the loops, and complete the forward sweep by the copy."""
        b, scope = reverse.b, self.scope
        where = self.loads[0].location
        memref = _found(self.frame, self.memref)
        element = MemRefType(memref.type).element_type
        with b.at(InsertionPoint(scope.root), where):
            extents = [None if axis.is_fixed else self._extent(reverse, k) for k, axis in enumerate(self.axes)]
            storage = buffer(b, [*scope.trips, *(e for e in extents if e is not None)], stored_type(element))
        used = [memref, *(_found(self.frame, axis.at) for axis in self.axes if isinstance(axis.at, Value))]
        behind = [operation(v.owner) for v in used if home(v) == scope.new and not isinstance(v, BlockArgument)]
        if self.writer is not None:
            behind.append(self.frame.sweep.emitted[self.writer])
        last = reduce(lambda op, other: other if op.is_before_in_block(other) else op, behind) if behind else None
        with b.at(InsertionPoint.at_block_begin(scope.new) if last is None else InsertionPoint.after(last), where):
            ranges = [self._range(reverse, memref, k, size) for k, size in enumerate(extents)]
            self._copy(reverse, memref, storage, ranges)
        made = Recorded(element, where, storage, True, self.loads[0].results[0], "version", scope)
        reverse.taped.append(made)
        return made

    def _extent(self, reverse: Reverse, k: int) -> Value:
        """How long axis `k` of the copy is, before the loops."""
        b, axis = reverse.b, self.axes[k]
        lengths: list[Value] = []
        for body, first in axis.runs:
            trips = self.frame.sweep.scopes[body].trips[-1]
            lengths.append(b.integer("addi", trips, b.index(first - axis.start)) if first > axis.start else trips)
        if not axis.runs:
            for size in _sizes(self.frame, self.memref, k):
                if isinstance(size, int):
                    lengths.append(b.index(size))
                else:
                    lengths.append(b.dim(size, k) if is_memref(size.type) else size)
        return reduce(lambda most, length: b.integer("maxsi", most, length), lengths)

    def _range(self, reverse: Reverse, memref: Value, k: int, size: Value | None) -> tuple[Value, Value]:
        """The first index of axis `k` that is copied, and how many are: none outside of the memory, which happens where
        no load is run.
        """
        b, at, zero = reverse.b, self.axes[k].at, reverse.b.index(0)
        if isinstance(at, Value):
            first = _found(self.frame, at)
        else:
            first = b.index(self.axes[k].start if at is None else at)
        left = b.integer("subi", b.dim(memref, k), first)
        count = b.integer("maxsi", b.integer("minsi", b.index(1) if size is None else size, left), zero)
        if isinstance(at, Value):
            predicate = {"predicate": IntegerAttr.get(IntegerType.get_signless(64), _SGE)}
            inside = b.value("arith.cmpi", [first, zero], IntegerType.get_signless(1), predicate)
            count = b.value("arith.select", [inside, count, zero], count.type)
        return first, count

    def _copy(self, reverse: Reverse, memref: Value, storage: Value, ranges: list[tuple[Value, Value]]) -> None:
        b = reverse.b

        def nest(k: int, at: list[Value], to: list[Value]) -> None:
            if k == len(ranges):
                b.store(as_stored(b, b.load(memref, at)), storage, to)
                return
            first, count = ranges[k]
            body = b.for_loop(b.index(0), count, b.index(1), [])
            with b.at(body):
                offset = body.arguments[0]
                index = b.integer("addi", first, offset)
                nest(k + 1, [*at, index], to if self.axes[k].is_fixed else [*to, offset])
                b.op("scf.yield")

        nest(0, [], list(self.scope.counters))


class Snapshots:
    """The snapshots of one reverse sweep."""

    def __init__(self, stability: Stability):
        self.stability = stability
        self._of: dict[Operation, Snapshot] = {}

    def serving(self, op: Operation, frame: Frame) -> Snapshot | None:
        """The snapshot that the load `op` is run again on, in the reverse sweep of `frame`."""
        found = self._of.get(op)
        scope: Frame | None = frame
        while found is not None and scope is not None:
            if scope is found.frame:
                return found
            scope = scope.outer_frame
        return None

    def choose(self, loop: Operation, replay: Replay, frame: Frame) -> bool:
        """Whether snapshots are taken for the reverse of `loop`, which is in `frame`, in place of taping what `replay`
        would read.
        """
        groups: dict[tuple[object, ...], list[Candidate]] = {}
        for load in [op for op in walk(loop) if op in replay.taped_loads and op.name == "memref.load"]:
            candidate = self._candidate(load, loop, frame)
            if candidate is not None and all(
                _primal(frame, axis.at) is not None for axis in candidate.axes if isinstance(axis.at, Value)
            ):
                groups.setdefault(candidate.key, []).append(candidate)
        found = False
        for group in groups.values():
            first, loads = group[0], [c.load for c in group]
            axes = [_together([c.axes[k] for c in group]) for k in range(len(first.axes))]
            sized = all(a.is_fixed or a.runs or _sizes(frame, first.memref, k) for k, a in enumerate(axes))
            if sized and _pays(group, axes):
                made = Snapshot(frame, first.memref, first.block, first.writer, axes, loads)
                self._of.update(dict.fromkeys(loads, made))
                found = True
        return found

    def _candidate(self, load: Operation, loop: Operation, frame: Frame) -> Candidate | None:
        """The load with the outermost iteration in which it reads a version that is known. (Of what a thread reads, its
        own writes tell no version: other threads write too.)
        """
        sweep = frame.sweep
        if around(load) is not None or DEVICE in self.stability.function.attributes:
            return None
        if load.block not in sweep.scopes or not sweep.holds(load):
            return None
        loops: list[Operation] = []
        found: Candidate | None = None
        block = load.block
        while True:
            owner = operation(block.owner)
            if owner.name not in ("scf.for", "scf.if"):
                return found
            scope = sweep.scopes[block]
            if not scope.is_static or scope.launch is not None:
                return found
            if owner.name == "scf.for":
                version = self._version(load, block, frame)
                if version is not None:
                    found = Candidate(load, load.operands[0], block, version[0], list(loops))
                loops.append(owner)
            if owner == loop:
                return found
            block = owner.block

    def _version(self, load: Operation, block: Block, frame: Frame) -> tuple[Operation | None] | None:
        """The op of `block` that last wrote what `load` reads in an iteration of it; None if that is not known."""
        here = ancestor_in(block, load)
        memref = load.operands[0]
        if here is None or not reaches(block, home(memref)) or _primal(frame, memref) is None:
            return None
        last: Operation | None = None
        objects = self.stability.objects
        for memory in objects.of(memref):
            for writer in memory.writers:
                at = ancestor_in(block, writer)
                if at is None or all(apart(memref, target, block, objects) for target in written(writer)):
                    continue
                if at == here:
                    if self.stability.runs_after(writer, load, block):
                        return None
                elif at.is_before_in_block(here) and (last is None or last.is_before_in_block(at)):
                    last = at
        if last is not None and last not in frame.sweep.emitted:
            return None
        return (last,)


@dataclass
class Candidate:
    """A load, the iteration that it may be served in, and the `loops` between the two."""

    load: Operation
    memref: Value
    block: Block
    writer: Operation | None
    loops: list[Operation]
    axes: list[Axis] = field(init=False)

    def __post_init__(self) -> None:
        bodies = {_body(loop).arguments[0]: _body(loop) for loop in self.loops}
        self.axes = []
        for index in list(self.load.operands)[1:]:
            place = Place.of_index(index)
            body = bodies.get(place.base) if place is not None and place.base != NONE else None
            if place is not None and body is not None and place.offset >= 0:
                self.axes.append(Axis(runs=((body, place.offset),)))
            elif place is not None and place.base == NONE and place.offset >= 0:
                self.axes.append(Axis(at=place.offset))
            elif reaches(self.block, home(index)):
                self.axes.append(Axis(at=index))
            else:
                self.axes.append(Axis())

    @property
    def key(self) -> tuple[object, ...]:
        fixed = tuple("" if axis.at is None else axis.at for axis in self.axes)
        return self.memref, self.block, self.writer or "", fixed

    def spare(self, axes: list[Axis]) -> list[Operation] | None:
        """The loops around the load that are left when each axis has got one that runs through it; None if there are
        too few.
        """
        left = list(self.loops)
        for k, axis in enumerate(axes):
            if axis.is_fixed:
                continue
            through = [loop for loop in left if self._runs_through(loop, axis, k)]
            if not through:
                return None
            left.remove(through[0])
        return left

    def _runs_through(self, loop: Operation, axis: Axis, k: int) -> bool:
        trips = _trips(_body(loop))
        if axis.runs:
            return all(_near(trips, _trips(body)) for body, _ in axis.runs)
        return any(_near(trips, size) for size in _extents(self.memref, k))


def _together(parts: list[Axis]) -> Axis:
    """What of an axis several loads read, which are alike in what is fixed."""
    if parts[0].is_fixed or not all(part.runs for part in parts):
        return parts[0] if parts[0].is_fixed else Axis()
    runs = dict.fromkeys(run for part in parts for run in part.runs)
    near = all(_near(_trips(body), _trips(parts[0].runs[0][0])) for body, _ in runs)
    return Axis(runs=tuple(runs)) if near else Axis()


def _pays(group: list[Candidate], axes: list[Axis]) -> bool:
    """Whether the snapshot is smaller than the values that the loads would put on the tape."""
    spare = [left for candidate in group if (left := candidate.spare(axes)) is not None]
    return len(spare) > 1 or any(spare)


def _near(place: Place, other: Place) -> bool:
    return place.base == other.base and abs(place.offset - other.offset) <= _NEAR


def _body(loop: Operation) -> Block:
    return loop.regions[0].blocks[0]


def _trips(body: Block) -> Place:
    return Place.of(operation(body.owner).operands[1])


def _extents(memref: Value, k: int) -> list[Place]:
    """What axis `k` of a memref is as long as."""
    found: list[Place] = []
    for root in _choices(memref) or ():
        size = MemRefType(root.type).shape[k]
        if size != ShapedType.get_dynamic_size():
            found.append(Place(NONE, size))
            continue
        for use in root.uses:
            op = operation(use.owner)
            if op.name == "memref.dim" and known(op.operands[1]) == k:
                found.append(Place(op.results[0], 0))
        if not isinstance(root, BlockArgument):
            found.append(Place.of(_dynamic_size(root, k)))
    return found


def _choices(memref: Value) -> list[Value] | None:
    """The arguments and allocations that a memref is one of, as a whole; None if it may be something else."""
    if isinstance(memref, BlockArgument):
        return [memref] if operation(memref.owner.owner).name == "func.func" else None
    op = operation(memref.owner)
    if op.name in ALLOCATIONS:
        return [memref]
    if op.name != "arith.select":
        return None
    arms = [_choices(arm) for arm in list(op.operands)[1:]]
    return None if any(arm is None for arm in arms) else [root for arm in arms for root in arm or ()]


def _dynamic_size(allocated: Value, k: int) -> Value:
    shape = MemRefType(allocated.type).shape
    before = sum(size == ShapedType.get_dynamic_size() for size in shape[:k])
    return operation(allocated.owner).operands[before]


def _sizes(frame: Frame, memref: Value, k: int) -> list[int | Value]:
    """How long axis `k` of a memref may be: numbers, sizes that are known before the loops, or memrefs of that size;
    nothing where that is not known.
    """
    found: list[int | Value] = []
    for root in _choices(memref) or ():
        size = MemRefType(root.type).shape[k]
        if size != ShapedType.get_dynamic_size():
            found.append(size)
            continue
        old = root if isinstance(root, BlockArgument) else _dynamic_size(root, k)
        new = _primal(frame, old)
        if new is None or home(old) in frame.sweep.scopes:
            return []
        found.append(new)
    return found


def _primal(frame: Frame, old: Value) -> Value | None:
    """The value in the forward sweep of `frame`, or in that of one around it, if it is there without more ado."""
    scope: Frame | None = frame
    while scope is not None:
        found = scope.sweep.map.get(old)
        if found is not None and (scope is frame or home(old) == scope.old):
            return found
        scope = scope.outer_frame
    return None


def _found(frame: Frame, old: Value) -> Value:
    value = _primal(frame, old)
    assert value is not None
    return value

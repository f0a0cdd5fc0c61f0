"""The tape: where the forward sweep leaves values for the reverse sweep.

A frame is a primal block whose forward and reverse sweeps are emitted one after the other in one block, so that its
own values need no tape. A `Scope` is a block nested in a frame (a loop body or a branch); values in it that the
reverse sweep asks for are recorded:
- in a buffer allocated once, outside the outermost loop of the frame, with one axis for each loop around the scope,
  where all trip counts are known there;
- else (while loops, trip counts that depend on the iteration) on a cache, a stack that grows; see cache.py for its
  layout. A recording is made the first time a value is asked for, and the forward sweep is completed by the store or
  push then.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from mlir.ir import (
    Block,
    BlockArgument,
    InsertionPoint,
    IntegerType,
    Location,
    MemRefType,
    Operation,
    ShapedType,
    Type,
    UnitAttr,
    Value,
)

from .builder import Builder, home, is_memref, operation
from .caches import FIRST, cache_type
from .copier import Copier
from .errors import refuse
from .launches import LAUNCH, extents, launch_of, number_in_grid, thread_count

if TYPE_CHECKING:
    from .sweep import Sweep


#: An attribute of the allocations that tapes are.
TAPED = "autodiff.tape"
#: Ops that trip counts are made of, which can be run anywhere.
EXACT = frozenset(
    {
        "arith.constant", "arith.addi", "arith.subi", "arith.muli", "arith.maxsi", "arith.minsi", "arith.index_cast",
        "arith.cmpi", "arith.select", "memref.dim",
    }
)  # fmt: skip
#: Of so many choices among arrays, all combinations are looked at.
_CHOICES = 2


@dataclass
class Recorded:
    """One taped value: for reading it back, and for `explain` (see reasons.py) what it is of: the primal `value`
    itself, its "shadow", or the "trips" of the while loop that the value is of, in the block of `scope`; or, `value`
    being the call of a function with rules, the "tape" of its augmented primal, or a "copy" of memory that it left; or,
    `value` being a checkpointed loop, its "snapshot"s, or a "copy" of memory that it starts from; or, `value` being
    what a load gives, a "version": a copy of the memory that it and others read (see snapshots).
    """

    type: Type
    location: Location
    storage: Value
    is_static: bool
    value: Value | Operation
    kind: str
    scope: Scope
    popped: Value | None = None
    #: Where the buffers of a launch are kept that the host runs several times: one is made for each run.
    runs: Value | None = None


class _Chosen(Copier):
    """Computes a value of a nested block before all loops, as it is if certain conditions choose certain arrays."""

    def __init__(self, scope: Scope, arms: dict[Value, int]):
        super().__init__(scope.sweep.b)
        self.scope, self.arms = scope, arms

    def value(self, old: Value) -> Value:
        if old not in self.map:
            if not self.scope._comes_late(home(old)):
                self.map[old] = self.scope.sweep.value(old)
            elif is_memref(old.type):
                choice = operation(old.owner)
                self.map[old] = self.value(choice.operands[self.arms[choice.operands[0]]])
            else:
                self.operation(operation(old.owner))
        return self.map[old]


class Scope:
    """The forward side of one block nested in a frame."""

    def __init__(self, sweep: Sweep, parent: Scope | None, old: Block, new: Block, loop: Operation | None):
        self.sweep, self.parent, self.old, self.new = sweep, parent, old, new
        #: The copied op of the frame's own block that this scope is nested in.
        self.root: Operation = parent.root if parent else operation(new.owner)
        self.records: dict[Value, Recorded] = {}
        self.shadow_records: dict[Value, tuple[Recorded, ...]] = {}
        self.other_records: dict[object, Recorded] = {}
        self.trips: list[Value] = list(parent.trips) if parent else []
        self.counters: list[Value] = list(parent.counters) if parent else []
        self.is_static: bool = parent.is_static if parent else True
        #: Which of the axes is that of a launch's threads.
        self.lane: int | None = parent.lane if parent else None
        #: The launch that this block of the host's frame is nested in.
        self.launch: Operation | None = parent.launch if parent else None
        #: The host's block around that launch, where buffers cannot be sized before its loops: each run has its own.
        self.around: Scope | None = parent.around if parent else None
        if loop is not None and loop.name == LAUNCH:
            self._enter_launch(loop)
        elif loop is not None:
            trips = self._trips(loop)
            if trips is None or not self.is_static:
                self.is_static = False
            else:
                self.trips.append(trips)
                self.counters.append(new.arguments[0])

    def _enter_launch(self, launch: Operation) -> None:
        """The threads of a launch are one axis, the last one in memory: neighbours have neighbouring places."""
        self.launch = launch
        if not self.is_static or any(home(size) in self.sweep.scopes for size in extents(launch)):
            self.around, self.root = self.parent, operation(self.new.owner)
            self.trips, self.counters, self.is_static = [], [], True
        b = self.sweep.b
        sizes = self.sweep.values(extents(launch))
        with b.at(InsertionPoint(self.root), launch.location):
            self.trips.append(thread_count(b, sizes))
        self.lane = len(self.counters)
        self.counters.append(number_in_grid(b, sizes))

    def _trips(self, loop: Operation) -> Value | None:
        """The trip count of `loop`, or what it is at most, as a value known before the frame's outermost loop."""
        return self._count(loop.operands[1]) if loop.name == "scf.for" else None

    def _count(self, bound: Value) -> Value | None:
        owner = home(bound)
        if owner not in self.sweep.scopes and owner != self.old:
            return self.sweep.value(bound)
        if self.launch is None:
            return self._most(bound)
        known = self._known_before(bound)
        if known is None and not isinstance(bound, BlockArgument):
            op = operation(bound.owner)
            if op.name == "arith.minsi":  # the last thread may have fewer than the others
                return next((n for n in map(self._count, op.operands) if n is not None), None)
        return known

    def _most(self, bound: Value) -> Value | None:
        """The most that a trip count comes to which is computed of the extents of arrays that are there before, but
        chosen anew in each iteration (see rotation).
        """
        chosen: dict[Value, int] = {}
        if not self._of_choices(bound, chosen) or len(chosen) > _CHOICES:
            return None
        b = self.sweep.b
        most: Value | None = None
        with b.at(InsertionPoint(self.root)):
            for arms in product((1, 2), repeat=len(chosen)):
                copier = _Chosen(self, dict(zip(chosen, arms, strict=True)))
                trips = copier.value(bound)
                most = trips if most is None else b.integer("maxsi", most, trips)
        return most

    def _of_choices(self, value: Value, chosen: dict[Value, int]) -> bool:
        """Whether all that `value` is computed of is there before, save the conditions of choices among arrays; these
        are noted.
        """
        if not self._comes_late(home(value)):
            return True
        op = None if isinstance(value, BlockArgument) else operation(value.owner)
        if op is None or op.regions:
            return False
        if op.name == "arith.select" and is_memref(value.type):
            chosen.setdefault(op.operands[0], 0)
            return all(self._of_choices(arm, chosen) for arm in list(op.operands)[1:])
        if op.name not in EXACT:
            return False
        return all(self._of_choices(operand, chosen) for operand in op.operands)

    def _comes_late(self, block: Block) -> bool:
        """Whether values of a block are there only after the place where buffers are made."""
        if self.around is None:
            return block in self.sweep.scopes or block == self.old
        launch = launch_of(block)
        return launch is not None and launch == self.launch

    def _known_before(self, bound: Value) -> Value | None:
        """A trip count that a launch computes of numbers that are there before it, computed before it."""
        copier = Copier(self.sweep.b)

        def again(value: Value) -> bool:
            if value in copier.map:
                return True
            if not self._comes_late(home(value)):
                copier.map[value] = self.sweep.value(value)
                return True
            op = None if isinstance(value, BlockArgument) else operation(value.owner)
            if op is None or op.regions or not op.name.startswith(("arith.", "index.", "memref.dim")):
                return False
            if not all(again(operand) for operand in op.operands):
                return False
            copier.operation(op)
            return True

        with self.sweep.b.at(InsertionPoint(self.root)):
            return copier.map[bound] if again(bound) else None

    # recording -----------------------------------------------------------------------------------------------------
    def record(self, old: Value) -> Recorded:
        made = self.records.get(old)
        if made is None:
            made = self.records[old] = self._record(old, self.sweep.map[old])
        return made

    def record_shadow(self, old: Value) -> tuple[Recorded, ...]:
        made = self.shadow_records.get(old)
        if made is None:
            made = self.shadow_records[old] = tuple(self._record(old, s, "shadow") for s in self.sweep.shadows[old])
        return made

    def record_beside(self, key: object, old: Value | Operation, new: Value, kind: str) -> Recorded:
        made = self.other_records.get(key)
        if made is None:
            made = self.other_records[key] = self._record(old, new, kind)
        return made

    @property
    def is_queue(self) -> bool:
        """Whether this is in a launch of the frame's own block, and threads have various numbers of values: its reverse
        reads them in the order in which they were written.
        """
        return self.launch is not None and self.launch.block == self.sweep.frame.old and not self.is_static

    def _record(self, old: Value | Operation, new: Value, kind: str = "value") -> Recorded:
        builder = self.sweep.b
        type_ = new.type
        if self.launch is not None and not self.is_static and not self.is_queue:
            where = old.owner.owner if isinstance(old, BlockArgument) else old.owner if isinstance(old, Value) else old
            raise refuse(
                operation(where),
                "a launch would have to put values on the tape whose number is not known before it",
                "read from an array that the kernel does not change",
            )
        stored = stored_type(type_)
        # Memrefs go on caches, whose memory the derivative of a derivative can follow.
        static = self.is_static and not is_memref(type_)
        with builder.at(InsertionPoint(self.root), old.location):
            storage = (
                buffer(builder, self.ordered(self.trips), stored)
                if static
                else builder.value("autodiff.init", [], cache_type(stored))
            )
        with builder.at(_after(new), old.location):
            new = as_stored(builder, new)
            if static:
                builder.store(new, storage, self.ordered(self.counters))
            else:
                builder.op("autodiff.push", [storage, new])
        made = Recorded(type_, new.location, storage, static, old, kind, self)
        if self.around is not None and static:
            with builder.at(InsertionPoint(self.around.root), old.location):
                made.runs = builder.value("autodiff.init", [], cache_type(storage.type))
            with builder.at(_after(storage), old.location):
                builder.op("autodiff.push", [made.runs, storage])
        self.sweep.taped.append(made)
        return made

    def ordered(self, axes: list[Value]) -> list[Value]:
        """The axes in the order in which they are in memory."""
        if self.lane is None:
            return axes
        return [*axes[: self.lane], *axes[self.lane + 1 :], axes[self.lane]]


def read(
    builder: Builder, recorded: Recorded, indices: list[Value], here: InsertionPoint, start: InsertionPoint
) -> Value:
    """The recorded value in the reverse sweep: loaded `here` by indices, or popped once at the `start` of the reverse
    block.
    """
    if recorded.is_static:
        scope = recorded.scope
        storage = recorded.storage if recorded.runs is None else _of_this_run(builder, recorded, here)
        indices = indices[len(indices) - len(scope.counters) :]
        with builder.at(here):
            return unstored(builder, builder.load(storage, scope.ordered(indices)), recorded.type)
    if recorded.popped is None:
        with builder.at(start):
            recorded.popped = pop(builder, recorded)
    return recorded.popped


def _of_this_run(builder: Builder, recorded: Recorded, here: InsertionPoint) -> Value:
    """The buffer of the run of a launch that is being reversed `here`: taken before its reverse, freed after it."""
    if recorded.popped is None:
        assert recorded.runs is not None
        launch = launch_of(here.block)
        assert launch is not None
        with builder.at(InsertionPoint(launch)):
            recorded.popped = builder.value("autodiff.pop", [recorded.runs], recorded.storage.type)
        with builder.at(InsertionPoint.after(launch)):
            builder.op("memref.dealloc", [recorded.popped], [], {"autodiff.free": UnitAttr.get()})
    return recorded.popped


def buffer(builder: Builder, sizes: list[Value], element: Type) -> Value:
    """Memory of these sizes, which are part of its type where they are constants."""
    known = [_constant_trips(size) for size in sizes]
    shape = [ShapedType.get_dynamic_size() if n is None else n for n in known]
    dynamic = [size for size, n in zip(sizes, known, strict=True) if n is None]
    with Location.unknown():
        type_ = MemRefType.get(shape, element)
    return builder.alloc(type_, dynamic)


def pop(builder: Builder, recorded: Recorded) -> Value:
    """The value last pushed, taken from the stack; of what launches keep, the next one of the thread's."""
    order = {FIRST: UnitAttr.get()} if recorded.scope.is_queue else {}
    value = builder.value("autodiff.pop", [recorded.storage], stored_type(recorded.type), order)
    return unstored(builder, value, recorded.type)


def stored_type(type_: Type) -> Type:
    """How a value is kept: truth values as bytes, since memory of single bits does not lower everywhere."""
    return IntegerType.get_signless(8) if type_ == IntegerType.get_signless(1) else type_


def as_stored(builder: Builder, value: Value) -> Value:
    """A value as it is kept."""
    stored = stored_type(value.type)
    return value if stored == value.type else builder.value("arith.extui", [value], stored)


def unstored(builder: Builder, stored: Value, type_: Type) -> Value:
    """The value of that type that was kept."""
    return stored if stored.type == type_ else builder.value("arith.trunci", [stored], type_)


def _constant_trips(trips: Value) -> int | None:
    if isinstance(trips, BlockArgument) or operation(trips.owner).name != "arith.constant":
        return None
    return max(0, int(operation(trips.owner).attributes["value"].value))


def _after(value: Value) -> InsertionPoint:
    if isinstance(value, BlockArgument):
        return InsertionPoint.at_block_begin(value.owner)
    return InsertionPoint.after(operation(value.owner))

"""Pass `autodiff-plan`: how the reverse sweep gets the primal values that it reads.

A value is *available* (the frame's own, an argument, a loop counter), *recomputed* (a pure op over values that are
available, or a load from memory that still holds what it held), or *taped*. A loop with loops or allocations in it is
*replayed*: its reverse iteration first runs the needed slice of that iteration forward again, with a tape of its own
that lives inside the iteration, so that what grows with the number of iterations is only what an iteration cannot
recompute: carried values that the slice reads, and loads from memory that was overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlir.ir import Block, BlockArgument, Operation, Value

from . import rules
from .activity import THROUGH, Activity
from .builder import ancestor_in, is_memref, operation, terminator, walk
from .checkpoint.marks import NAME as MARK
from .checkpoint.marks import mark_of
from .custom.marks import is_repeatable, is_repeatable_with, writes
from .errors import refuse
from .extremes import SETTLED
from .launches import BARRIERS, EXCHANGES, EXTENTS, LAUNCH, PLACES, is_shared, stands_in
from .needs import needed_within
from .objects import ALLOCATIONS, VIEWS, MemoryObject, chain, written
from .stability import LOOPS, Stability, inside

if TYPE_CHECKING:
    from .snapshots import Snapshots
    from .sweep import Frame

_PURE_DIALECTS = ("arith.", "math.", "complex.", "index.", "ub.")
_TRANSPARENT = frozenset({"autodiff.stop", THROUGH})
_IMPURE = frozenset({"vector.print", "vector.mask"})


def pure(op: Operation) -> bool:
    """Whether `op`'s results depend on its operands alone and running it again does nothing else."""
    name = op.name
    if name.startswith(_PURE_DIALECTS):
        return True
    if name.startswith("vector."):
        return name not in _IMPURE and not any(is_memref(o.type) for o in op.operands)
    if name == "func.call":
        return rules.lookup(op) is not None or rules.inactive(op)
    if name in PLACES or name in EXTENTS or name in EXCHANGES:
        return True
    return name in VIEWS or name in ("memref.dim", "memref.get_global", *_TRANSPARENT)


@dataclass
class Replay:
    """The slice of a loop's body that a replay runs."""

    wanted: set[Operation] = field(default_factory=set)
    taped_loads: set[Operation] = field(default_factory=set)
    kept: dict[Operation, set[int]] = field(default_factory=dict)
    leaving: set[MemoryObject] = field(default_factory=set)

    def carried(self, op: Operation) -> list[int]:
        return sorted(self.kept.get(op, ()))


class NotReplayable(Exception):
    """A loop whose iterations cannot be run again by themselves, because of this op."""

    def __init__(self, op: Operation):
        self.op = op


class Planner:
    """Decides for the loops and values of one function."""

    def __init__(self, activity: Activity, stability: Stability, snapshots: Snapshots):
        self.activity, self.stability, self.snapshots = activity, stability, snapshots
        #: What was decided for each loop.
        self.decided: dict[Operation, Replay | None] = {}
        #: For loops that cannot be replayed, the op that is in the way.
        self.obstacles: dict[Operation, Operation] = {}

    def replay(self, loop: Operation, body: Block, frame: Frame) -> Replay | None:
        """The slice to replay `loop` (in `frame`) by, or None where its values are taped instead."""
        decided = self.decided[loop] = self._replay(loop, body, frame)
        return decided

    def _replay(self, loop: Operation, body: Block, frame: Frame) -> Replay | None:
        nested = [op for op in walk(loop) if op != loop]
        if loop.name != LAUNCH and not any(op.name in LOOPS or op.name in ALLOCATIONS for op in nested):
            return None
        for op in nested:
            is_ours = op.name.startswith("autodiff.") and op.name not in (*_TRANSPARENT, MARK)
            if is_ours or (self.activity.by_rule(op) and not self._again(op, loop)):
                self.obstacles[loop] = op
                return None
        try:
            replay = Slicer(self, loop, body, frame).run(nested)
            if self.snapshots.choose(loop, replay, frame):
                replay = Slicer(self, loop, body, frame).run(nested)
            return replay
        except NotReplayable as found:
            self.obstacles[loop] = found.op
            return None

    def _again(self, call: Operation, loop: Operation) -> bool:
        """Whether a call that a rule carries out may be made again. One that takes arrays may be in a launch, if it
        writes none but the thread's own, and reads what is still there.
        """
        if is_repeatable(call) or loop.name != LAUNCH or not is_repeatable_with(call):
            return is_repeatable(call)
        for memory in (o for m in writes(call) for o in self.activity.objects.of(m)):
            allocation = memory.allocation
            if allocation is None or not stands_in(allocation, loop) or is_shared(memory.value.type):
                raise refuse(
                    call,
                    "a function with rules writes to an array that is not the thread's own",
                    "let it write to a dsl.local_array",
                )
        return True


class Slicer:
    """Marks backwards from what the adjoints in a loop's body read."""

    def __init__(self, planner: Planner, loop: Operation, body: Block, frame: Frame):
        self.activity, self.stability, self.snapshots = planner.activity, planner.stability, planner.snapshots
        self.loop, self.body, self.frame = loop, body, frame
        self.replay = Replay()
        self.todo: list[Value] = []
        ends = {o for v in terminator(body).operands if is_memref(v.type) for o in self.activity.objects.of(v)}
        self.replay.leaving = {o for o in ends if inside(o, body)}
        for memory in self.replay.leaving:
            allocation = memory.allocation
            if allocation is not None and allocation.block != body:
                raise NotReplayable(allocation)

    def run(self, nested: list[Operation]) -> Replay:
        self.todo += needed_within(self.loop, self.activity)
        for op in nested:
            if (op.name == "scf.while" and self.activity.region(op)) or self.activity.by_rule(op):
                self._want(op)
            elif op.name in ("memref.load", "memref.store", "memref.copy", "memref.atomic_rmw"):
                self.todo += [o for o in op.operands if is_memref(o.type) and self.activity.memory(o)]
            elif mark_of(op) is not None and self.activity.region(op):
                self._want_whole(op)
        while self.todo:
            self._mark(self.todo.pop())
            if not self.todo and self._touches_shared():
                for op in nested:
                    if op.name in BARRIERS:
                        self._want(op)
        return self.replay

    def _touches_shared(self) -> bool:
        """Whether the slice has work on memory of a block in it, whose threads then have to meet as they did."""
        return any(is_shared(r.type) for op in self.replay.wanted for r in op.results)

    def _want_whole(self, loop: Operation) -> None:
        """A checkpointed loop, which the adjoint of the slice runs again as it is, from where the slice has got."""
        for op in walk(loop):
            if op.name == MARK:
                self.todo += op.operands
            elif op.name in ("scf.for", "scf.while", "scf.if"):
                self._want(op)
                for position in range(len(op.results)):
                    self._carry(op, position)
            elif not op.name.startswith("scf."):
                if any(not self._local(m, v) for v in written(op) for m in self.activity.objects.of(v)):
                    raise NotReplayable(op)
                self._want(op)
                if op in self.replay.taped_loads:
                    raise NotReplayable(op)

    def _inside(self, op: Operation) -> bool:
        return ancestor_in(self.body, op) is not None

    def _mark(self, value: Value) -> None:
        if isinstance(value, BlockArgument):
            block = value.owner
            if block == self.body or not self._inside(operation(block.owner)):
                return
            op = operation(block.owner)
            position = value.arg_number - (1 if op.name == "scf.for" else 0)
            if position < 0:
                self._want(op)
            else:
                self._carry(op, position)
            return
        op = operation(value.owner)
        if not self._inside(op):
            return
        if op.regions and op.name != "memref.generic_atomic_rmw":
            self._carry(op, list(op.results).index(value))
        else:
            self._want(op)

    def _carry(self, op: Operation, position: int) -> None:
        """The slice needs the value number `position` of those that a region op carries or gives."""
        kept = self.replay.kept.setdefault(op, set())
        if op.name not in ("scf.for", "scf.while", "scf.if"):
            raise NotReplayable(op)
        self._want(op)
        if position in kept:
            return
        kept.add(position)
        if op.name != "scf.if":
            self.todo.append(op.operands[position + (3 if op.name == "scf.for" else 0)])
        for region in list(op.regions)[-1 if op.name == "scf.while" else 0 :]:
            for block in region.blocks:
                self.todo.append(terminator(block).operands[position])

    def _want(self, op: Operation) -> None:
        if op in self.replay.wanted:
            return
        self.replay.wanted.add(op)
        if op.block != self.body:
            self._want(operation(op.block.owner))
        if op.name == "scf.while":
            self._carry(op, 0)
        elif op.name == "scf.for":
            self.todo += list(op.operands)[:3]
        elif op.name == "scf.if" or op.name == THROUGH:
            self.todo.append(op.operands[0])
        elif op.name == "memref.load":
            self._want_load(op)
        elif op.name in ("memref.atomic_rmw", "memref.generic_atomic_rmw"):
            self._want_atomic(op)
        elif op.name in BARRIERS:
            self.todo += list(op.operands)
        elif is_repeatable_with(op):
            self.todo += list(op.operands)
            for memref in op.operands:  # the rule may read what the function does not
                if is_memref(memref.type):
                    self._want_content(op, memref)
        elif op.name in ALLOCATIONS or op.name in ("memref.store", "memref.copy") or pure(op) or is_repeatable(op):
            self.todo += list(op.operands)
            if op.name == "memref.copy":
                self._want_content(op, op.operands[0])
        else:
            raise NotReplayable(op)

    def _want_load(self, op: Operation) -> None:
        snapshot = self.snapshots.serving(op, self.frame)
        if snapshot is not None:
            self.todo += snapshot.sources(op)
        elif self._want_content(op, op.operands[0]):
            self.todo += list(op.operands)
        else:
            self._readable(op)
            self.replay.taped_loads.add(op)

    def _want_atomic(self, op: Operation) -> None:
        """An update of memory of a block is made again; of an update of other memory, the old value is taped."""
        memref = next(o for o in op.operands if is_memref(o.type))
        objects = self.activity.objects.of(memref)
        if op.name == "memref.atomic_rmw" and objects and all(self._local(o, memref) for o in objects):
            if list(op.results[0].uses) and SETTLED not in op.attributes:
                raise NotReplayable(op)  # the order of updates was another one then
            self.todo += list(op.operands)
        else:
            self._readable(op)
            self.replay.taped_loads.add(op)

    def _want_content(self, op: Operation, memref: Value) -> bool:
        """Have what `op` reads of `memref` there in the replay; False if it has to be taped."""
        objects = self.activity.objects.of(memref)
        local = [o for o in objects if self._local(o, memref)]
        if len(local) == len(objects) and local:
            for memory in local:
                for writer in memory.writers:
                    self._want_writer(writer)
            return True
        if local:
            raise NotReplayable(op)
        if op.name == "memref.load":
            return self.stability.stable(op, self.frame)
        if is_repeatable_with(op):
            if self.stability.holds(op, memref, self.frame):
                return True
            raise refuse(
                op,
                "a function with rules takes an array that may be overwritten before the reverse sweep",
                "copy what it needs into a dsl.local_array",
            )
        raise NotReplayable(op)  # a copy from memory outside: to be taped element by element, were it a loop

    def _local(self, memory: MemoryObject, memref: Value) -> bool:
        """Whether `memref` means this iteration's own instance of `memory`."""
        if not inside(memory, self.body):
            return False
        return memory not in self.replay.leaving or chain(memref)[0] == memory.value

    def _want_writer(self, writer: Operation) -> None:
        for memref in written(writer):
            objects = self.activity.objects.of(memref)
            local = [o for o in objects if self._local(o, memref)]
            if local and len(local) != len(objects):
                raise NotReplayable(writer)
            if local:
                self._want(writer)

    def _readable(self, load: Operation) -> None:
        """A taped load is read in forward order: by index, or, from a stack, once an iteration."""
        scope = self.frame.sweep.scopes.get(load.block)
        if scope is None:
            raise NotReplayable(load)
        if not scope.is_static and not scope.is_queue:
            block = load.block
            while block != self.body:
                if operation(block.owner).name in LOOPS:
                    raise NotReplayable(load)
                block = operation(block.owner).block

"""Primal values in the reverse sweep: the scopes they live in, and how one that is asked for is made available
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlir.ir import Block, BlockArgument, InsertionPoint, Operation, Value

from .activity import THROUGH
from .builder import home, operation, walk
from .copier import Copier
from .plan import pure
from .sweep import ReplaySweep
from .tangents import Shadow
from .tape import Scope, read

if TYPE_CHECKING:
    from .reverse import Reverse
    from .sweep import Frame


class ReverseScope:
    """The reverse side of a primal block `old`: the block `new` that its adjoint is emitted into.

    `source` is the forward side, whose tape is read by `indices`. `cursor` is the op of `new` that emission is at
    present inside of: what has to be added to `new` goes before it, so that it dominates all that follows.
    """

    def __init__(
        self,
        frame: Frame,
        parent: ReverseScope | None,
        old: Block,
        new: Block,
        values: dict[Value, Value],
        shadows: dict[Value, Shadow],
        source: Scope | None = None,
        indices: Sequence[Value] = (),
    ):
        self.frame, self.parent, self.old, self.new = frame, parent, old, new
        self.values, self.shadows, self.source, self.indices = values, shadows, source, list(indices)
        #: What stands here for memrefs from outside.
        self.given: dict[Value, Value] = {}
        self.cursor: Operation | None = None
        self._floor: Operation | None = None
        self._replaying = False
        #: By their primal blocks, this scope and those around it.
        self._around: dict[Block, ReverseScope] = {**(parent._around if parent is not None else {}), old: self}

    def here(self) -> InsertionPoint:
        if self.cursor is not None:
            return InsertionPoint(self.cursor)
        return self.start() if self._replaying else InsertionPoint(self.new)

    def start(self) -> InsertionPoint:
        """The start of the reverse block, behind the counter."""
        return InsertionPoint.at_block_begin(self.new) if self._floor is None else InsertionPoint.after(self._floor)

    def at(self, block: Block) -> ReverseScope:
        """This scope or the one around it that stands for the primal `block`."""
        scope = self._around.get(block)
        if scope is None:
            raise AssertionError("a primal value is asked for outside the block that it lives in")
        return scope

    def owner(self, old: Value) -> ReverseScope:
        """The scope that the primal value `old` is to be had in: that of its block, or one in which something stands
        for it.
        """
        its = self._around.get(home(old))
        scope: ReverseScope | None = self
        while scope is not None and scope is not its and not (scope.given and old in scope.given):
            scope = scope.parent
        return scope or self.at(home(old))

    def _child_indices(self) -> list[Value]:
        return [] if self.frame.old == self.old else self.indices

    def branch(self, old: Block, new: Block) -> ReverseScope:
        source = self.frame.sweep.scopes.get(old)
        return ReverseScope(self.frame, self, old, new, {}, {}, source, self._child_indices())

    def iteration(self, old: Block, new: Block, counter: Value) -> ReverseScope:
        source = self.frame.sweep.scopes.get(old)
        scope = ReverseScope(self.frame, self, old, new, {}, {}, source, [*self._child_indices(), counter])
        scope._floor = operation(counter.owner)
        return scope

    def replayed(self, frame: Frame) -> None:
        """From now on the frame of what is nested here is `frame`, whose forward sweep is about to be emitted."""
        self.frame, self._replaying = frame, True

    def swept(self) -> None:
        self._replaying = False

    def trip_count(self, reverse: Reverse, loop: Operation) -> Value:
        """How often a while loop of this block ran."""
        return self.beside(reverse, loop, loop.results[0], self.frame.sweep.trip_counts[loop], "trips")

    def beside(self, reverse: Reverse, key: object, old: Value | Operation, made: Value, kind: str) -> Value:
        """What the forward sweep `made` in this block beside the primal value (or at the op) `old`; `key` tells it from
        others, `kind` says what it is.
        """
        if self.frame.old == self.old:
            return made
        assert self.source is not None
        recorded = self.source.record_beside(key, old, made, kind)
        return read(reverse.b, recorded, self.indices, self.here(), self.start())


def lookup_all(reverse: Reverse, olds: Sequence[Value], scope: ReverseScope) -> list[Value]:
    """The primal values `olds`, each made available in the scope of its own block. Iterative: chains may be long."""
    todo = list(reversed(olds))
    while todo:
        old = todo[-1]
        owner = scope.owner(old)
        if old in owner.values:
            todo.pop()
            continue
        op = recomputable(reverse, old, owner)
        if op is None:
            owner.values[old] = _from_tape(reverse, old, owner)
            continue
        missing = [v for v in _reads(reverse, op, owner.frame) if v not in scope.owner(v).values]
        if missing:
            todo += missing
        else:
            _again(reverse, op, owner, scope)
    return [scope.owner(old).values[old] for old in olds]


def recomputable(reverse: Reverse, old: Value, scope: ReverseScope) -> Operation | None:
    """The op to run again for `old`, or None where it has to come from the tape."""
    if isinstance(old, BlockArgument) or old in reverse.cut:
        return None
    op = operation(old.owner)
    return op if repeatable(reverse, op, scope.frame) else None


def repeatable(reverse: Reverse, op: Operation, frame: Frame) -> bool:
    """Whether running `op` in the reverse sweep of `frame` gives the same values and does nothing else."""
    if op.name == "memref.load":
        return reverse.stability.stable(op, frame) or reverse.snapshots.serving(op, frame) is not None
    if op.name == "memref.dim":
        return reverse.stability.available(op.operands[0], frame)
    if op.name == "scf.if":
        inner = [o for o in walk(op) if o != op]
        return all(o.name in ("scf.if", "scf.yield") or repeatable(reverse, o, frame) for o in inner)
    return not op.regions and pure(op)


def sources(reverse: Reverse, op: Operation, frame: Frame) -> list[Value] | None:
    """What it takes to have the results of `op` in the reverse sweep of `frame` again; None if that cannot be had."""
    if repeatable(reverse, op, frame):
        return _reads(reverse, op, frame)
    if isinstance(frame.sweep, ReplaySweep) and op.results and frame.sweep.reads_tape(op.results[0]):
        return []
    return None


def _reads(reverse: Reverse, op: Operation, frame: Frame) -> list[Value]:
    if op.name == THROUGH:
        return [op.operands[0]]
    snapshot = reverse.snapshots.serving(op, frame)
    if snapshot is not None:
        return snapshot.sources(op)
    if not op.regions:
        return list(op.operands)
    made = {result for inner in walk(op) for result in inner.results}
    read = [v for inner in walk(op) for v in ([*inner.operands] if inner.regions else _reads(reverse, inner, frame))]
    return list(dict.fromkeys(v for v in read if v not in made))


def _again(reverse: Reverse, op: Operation, owner: ReverseScope, scope: ReverseScope) -> None:
    with reverse.b.at(owner.here(), op.location):
        again = _Again(reverse, scope)
        again.operation(op)
        for result in op.results:
            owner.values[result] = again.map[result]


class _Again(Copier):
    def __init__(self, reverse: Reverse, scope: ReverseScope):
        super().__init__(reverse.b)
        self.reverse, self.scope = reverse, scope

    def copy_memref_load(self, op: Operation) -> None:
        version = self.reverse.snapshots.serving(op, self.scope.frame)
        if version is None:
            self.copy(op)
            return
        scope = self.scope.at(version.block)
        assert scope.parent is not None
        self.map[op.results[0]] = version.read(self.reverse, op, self.value, scope.indices, scope.parent.frame)

    def value(self, old: Value) -> Value:
        known = self.map.get(old)
        return self.scope.owner(old).values[old] if known is None else known

    def copy_autodiff_stop(self, op: Operation) -> None:
        self.map[op.results[0]] = self.value(op.operands[0])

    copy_autodiff_through = copy_autodiff_stop


def _from_tape(reverse: Reverse, old: Value, owner: ReverseScope) -> Value:
    if owner.source is None:
        raise AssertionError(f"a value of the function's own block is not available: {old}")
    source, indices = owner.source, owner.indices
    frame: Frame | None = owner.frame
    # What a replay itself has from the tape of the frame around it is read there, not taped once more.
    while frame is not None and frame.outer is not None:
        if not isinstance(frame.sweep, ReplaySweep) or not frame.sweep.reads_tape(old):
            break
        indices = [*frame.outer.indices, *indices]
        frame = frame.outer_frame
        if frame is not None:
            source = frame.sweep.scopes[home(old)]
    return read(reverse.b, source.record(old), indices, owner.here(), owner.start())

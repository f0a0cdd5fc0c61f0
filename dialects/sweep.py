"""The forward sweep of a frame: the primal program once more, ready to be recorded from.

`Frame` is a primal block whose forward and reverse sweeps stand in one block: the function's body, or the body of a
loop that is *replayed* (run again, iteration by iteration, in the reverse sweep; see plan.py). The function's sweep
runs everything. A replay runs the slice that the adjoint needs, writes no memory from outside the iteration, and
reads from the outer frame's tape what memory no longer holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlir.ir import Block, BlockArgument, Operation, Value

from .activity import Activity
from .augment import Augmenter
from .builder import Builder, home, is_memref, operation
from .caches import cache_type, pushed_type
from .launches import LAUNCH
from .objects import MemoryObject, written
from .plan import Replay
from .tangents import Shadow
from .tape import Recorded, Scope

if TYPE_CHECKING:
    from .checkpoint.sweeps import Checkpoints
    from .custom.reverse import CustomCalls
    from .reverse import Reverse, ReverseScope


@dataclass
class Frame:
    """A primal block with both sweeps in one place; `outer` is where it stands in the reverse sweep around it."""

    old: Block
    sweep: Sweep = field(init=False)
    outer: ReverseScope | None = None
    #: Memory from outside of which the frame has a copy of its own, and the memrefs from outside that mean it.
    private: set[MemoryObject] = field(default_factory=set)
    given: set[Value] = field(default_factory=set)

    @property
    def outer_frame(self) -> Frame | None:
        return self.outer.parent.frame if self.outer is not None and self.outer.parent is not None else None


class Sweep(Augmenter):
    """Copies the frame's block forward; `scopes` holds the forward side of every block nested in it."""

    #: Carries out calls of functions with rules of their own.
    custom: CustomCalls
    #: Takes the snapshots of checkpointed loops.
    checkpoints: Checkpoints

    def __init__(self, builder: Builder, activity: Activity, width: int, frame: Frame, taped: list[Recorded]):
        super().__init__(builder, activity, width)
        self.frame, self.taped = frame, taped
        self.scopes: dict[Block, Scope] = {}
        self.trip_counts: dict[Operation, Value] = {}
        #: The copies of ops that write memory, and of ops with regions.
        self.emitted: dict[Operation, Operation] = {}
        frame.sweep = self

    def operation(self, op: Operation) -> Operation | None:
        made = super().operation(op)
        if isinstance(made, Operation) and (op.regions or written(op)):
            self.emitted[op] = made
        return made if isinstance(made, Operation) else None

    def holds(self, load: Operation) -> bool:
        """Whether `load` is run here on the memory itself."""
        return True

    def enter(self, op: Operation, old: Block, new: Block) -> None:
        loop = op if op.name in ("scf.for", "scf.while", LAUNCH) else None
        self.scopes[old] = Scope(self, self.scopes.get(op.block), old, new, loop)

    # checkpointed loops --------------------------------------------------------------------------------------------
    def more_inits(self, op: Operation) -> list[Value]:
        return self.checkpoints.before(self, op) if self.checkpoints.takes(op) else []

    def more_carried(self, op: Operation, body: Block) -> list[Value]:
        return self.checkpoints.at_iteration(self, op, body) if self.checkpoints.takes(op) else []

    def copy_scf_for(self, op: Operation) -> Operation:
        new = super().copy_scf_for(op)
        if self.checkpoints.takes(op):
            self.checkpoints.after(self, op, new)
        return new

    def copy_autodiff_checkpoint(self, op: Operation) -> None:
        """The derivative itself is an ordinary program."""

    # while loops count their trips ---------------------------------------------------------------------------------
    def trip_inits(self, op: Operation) -> list[Value]:
        return [self.b.index(0)] if self.activity.region(op) else []

    def count_trip(self, op: Operation, body: Block) -> list[Value]:
        if not self.activity.region(op):
            return []
        return [self.b.integer("addi", list(body.arguments)[-1], self.b.index(1))]

    def copy_scf_while(self, op: Operation) -> Operation:
        new = super().copy_scf_while(op)
        if self.activity.region(op):
            self.trip_counts[op] = list(new.results)[-1]
        return new

    # memory --------------------------------------------------------------------------------------------------------
    def copy_memref_alloc(self, op: Operation) -> None:
        """A shadow is made here only if the memref travels on; else the reverse sweep makes it where it first needs
        it.
        """
        result = op.results[0]
        new = self.copy_plain(op)
        if self.activity.memory(result) and self.activity.objects.travels(result):
            self.shadows[result] = self.zeroed_like(op, list(new.operands))

    def copy_func_call(self, op: Operation) -> None:
        if self.activity.by_rule(op):
            self.custom.forward(self, op)
        else:
            self.copy_plain(op)

    def copy_plain(self, op: Operation) -> Operation:
        return Augmenter.copy(self, op)

    def view_shadow(self, op: Operation, new: Operation) -> Shadow:
        return super().view_shadow(op, new) if op.operands[0] in self.shadows else ()

    def copy_autodiff_stop(self, op: Operation) -> None:
        self.map[op.results[0]] = self.value(op.operands[0])

    copy_autodiff_through = copy_autodiff_stop

    # caches of a derivative that is being differentiated -----------------------------------------------------------
    def copy_autodiff_init(self, op: Operation) -> None:
        """Memrefs' shadows go beside them; the cotangents of scalars need a cache in the reverse sweep only."""
        self.copy_plain(op)
        element = pushed_type(op)
        if self.activity.cache(op.results[0]) and is_memref(element):
            made = [self.b.value("autodiff.init", [], cache_type(element)) for _ in range(self.width)]
            self.shadows[op.results[0]] = tuple(made)

    def copy_autodiff_push(self, op: Operation) -> None:
        self.copy_plain(op)
        cache, value = op.operands
        if self.activity.cache(cache) and is_memref(value.type):
            for c, s in zip(self.shadows[cache], self.shadow(value), strict=True):
                self.b.op("autodiff.push", [c, s])

    def copy_autodiff_pop(self, op: Operation) -> None:
        self.copy_plain(op)
        cache, result = op.operands[0], op.results[0]
        if self.activity.cache(cache) and is_memref(result.type):
            self.shadows[result] = tuple(self.b.value("autodiff.pop", [c], result.type) for c in self.shadows[cache])


class IterationSweep(Sweep):
    """The forward sweep of one iteration: what is not of the iteration is looked up in the frame around."""

    def __init__(self, reverse: Reverse, frame: Frame):
        super().__init__(reverse.b, reverse.activity, reverse.width, frame, reverse.taped)
        self.reverse = reverse
        self.custom, self.checkpoints = reverse.custom, reverse.checkpoints

    def value(self, old: Value) -> Value:
        known = self.map.get(old)
        return self.reverse.lookup(old, self.frame.outer) if known is None else known  # type: ignore[arg-type]

    def shadow(self, old: Value) -> Shadow:
        known = self.shadows.get(old)
        return self.reverse.shadow(old, self.frame.outer) if known is None else known  # type: ignore[arg-type]

    def view_shadow(self, op: Operation, new: Operation) -> Shadow:
        """Of memory from outside too, if the view may travel on within the iteration."""
        if self.activity.objects.travels(op.operands[0]):
            return Augmenter.view_shadow(self, op, new)
        return super().view_shadow(op, new)


class ReplaySweep(IterationSweep):
    """The slice of one iteration that its adjoint needs."""

    def __init__(self, reverse: Reverse, frame: Frame, replay: Replay):
        super().__init__(reverse, frame)
        assert frame.outer is not None
        self.replay = replay
        #: Where the outer frame's tape is read: the counters of the loops between that frame and here.
        self.indices = list(frame.outer.indices)

    def holds(self, load: Operation) -> bool:
        return load in self.replay.wanted and load not in self.replay.taped_loads

    def reads_tape(self, old: Value) -> bool:
        """Whether the value, of a block nested in the frame, is a load that can be read from the tape of the frame
        around at any time.
        """
        if isinstance(old, BlockArgument) or operation(old.owner) not in self.replay.taped_loads:
            return False
        if home(old) == self.frame.old:
            return False
        outer = self.frame.outer_frame
        return outer is not None and outer.sweep.scopes[home(old)].is_static

    def operation(self, op: Operation) -> Operation | None:
        return super().operation(op) if op in self.replay.wanted else None

    def block(self, old: Block, into: Block | None = None) -> None:
        loop = operation(old.owner).name in ("scf.for", "scf.while") and old != self.frame.old
        if loop:
            self.indices.append(self.scopes[old].new.arguments[0])
        super().block(old, into)
        if loop:
            self.indices.pop()

    def copy_memref_load(self, op: Operation) -> None:
        version = self.reverse.snapshots.serving(op, self.frame)
        if version is not None:
            self.map[op.results[0]] = version.read(self.reverse, op, self.value, self.indices, self.frame.outer_frame)
        elif op in self.replay.taped_loads:
            self.map[op.results[0]] = self.reverse.read_outer(op.results[0], self)
        else:
            self.copy_plain(op)

    def copy_memref_atomic_rmw(self, op: Operation) -> None:
        if op in self.replay.taped_loads:
            self.map[op.results[0]] = self.reverse.read_outer(op.results[0], self)
        else:
            self.copy_plain(op)

    copy_memref_generic_atomic_rmw = copy_memref_atomic_rmw

    def copy_memref_alloc(self, op: Operation) -> None:
        if self.activity.objects.of(op.results[0]) & self.replay.leaving:
            self.copy_plain(op)  # its shadow was made, and taped, by the outer sweep
        else:
            super().copy_memref_alloc(op)

    def carried(self, op: Operation) -> list[int]:
        return self.replay.carried(op)

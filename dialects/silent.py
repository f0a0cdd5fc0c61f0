"""Launches that are run for what they find out, and change nothing: of counting (launch_memory), and of who will win
(extremes).
"""

from __future__ import annotations

from mlir.ir import IntegerAttr, Operation, Type, UnitAttr, Value

from .builder import Builder, is_differentiable, operation, walk
from .copier import Copier
from .errors import refuse
from .launches import LAUNCH, stands_in
from .objects import Objects

#: Attributes: of such a launch, and of a value in it that is not known there.
COUNTS, UNKNOWN = "autodiff.counts", "autodiff.unknown"


class Silent(Copier):
    """Copies a launch without what it does to memory other than its own."""

    def __init__(self, builder: Builder, objects: Objects, launch: Operation):
        super().__init__(builder)
        self.objects, self.launch = objects, launch

    def _is_own(self, memref: Value) -> bool:
        held = self.objects.of(memref)
        return bool(held) and all(o.allocation is not None and stands_in(o.allocation, self.launch) for o in held)

    def copy_memref_store(self, op: Operation) -> None:
        if self._is_own(op.operands[1]):
            self.copy(op)

    def copy_memref_copy(self, op: Operation) -> None:
        if self._is_own(op.operands[1]):
            self.copy(op)

    def copy_memref_atomic_rmw(self, op: Operation) -> None:
        if self._is_own(op.operands[1]):
            self.copy(op)
        else:
            self.unknown(op)

    def copy_memref_generic_atomic_rmw(self, op: Operation) -> None:
        self.unknown(op)

    def unknown(self, op: Operation) -> None:
        """A value that counting cannot have. It stands for itself, and must not matter."""
        for result in op.results:
            type_ = result.type
            zero = self.b.zero(type_) if is_differentiable(type_) else _integer_zero(self.b, type_)
            operation(zero.owner).attributes[UNKNOWN] = UnitAttr.get()
            self.map[result] = zero


def _integer_zero(b: Builder, type_: Type) -> Value:
    return b.value("arith.constant", [], type_, {"value": IntegerAttr.get(type_, 0)})


def refuse_undecided(function: Operation) -> None:
    """Refuse what a silent launch of the function would need and cannot have, once dead code has gone."""
    launches = [op for op in walk(function) if op.name == LAUNCH and COUNTS in op.attributes]
    objects = Objects(function) if launches else None
    for launch in launches:
        assert objects is not None
        for op in walk(launch):
            bad = UNKNOWN in op.attributes or (op.name == "memref.alloc" and len(op.operands))
            if op.name == "memref.load":
                for memory in objects.of(op.operands[0]):
                    own = memory.allocation is not None and stands_in(memory.allocation, launch)
                    twin = _following(launch)
                    bad |= not own and twin is not None and any(stands_in(w, twin) for w in memory.writers)
            if bad:
                raise refuse(
                    op,
                    "how much a launch has to put on the tape depends on values that it changes itself",
                    "bound the loop by a number that is known before the launch",
                )
        del launch.attributes[COUNTS]


def _following(launch: Operation) -> Operation | None:
    """The launch that a silent one goes before: the next one in its block."""
    after = False
    for op in map(operation, launch.block.operations):
        if op == launch:
            after = True
        elif after and op.name == LAUNCH:
            return op
    return None

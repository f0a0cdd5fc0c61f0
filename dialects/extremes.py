"""Derivatives of atomic_max and atomic_min: the derivative goes to the winner.

The winner of a cell is the thread that gave it the value it has when the launch has ended. It raised the value (it was
larger than what it found), and to the last one; there is just one such update of each cell that was changed, whatever
order the threads came in. So what an update found, and what the cell holds in the end, decide. Reverse mode has the
first on the tape, and reads the second where it still is. Forward mode finds out the second by a launch before, which
does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlir.ir import IntegerAttr, IntegerType, MemRefType, Operation, ShapedType, UnitAttr, Value

from .affine import SAME_INDEX
from .builder import Builder, operation, operations, walk
from .errors import DerivativeError, refuse
from .launches import add_launch, around, constant, extents, stands_in
from .objects import chain
from .silent import COUNTS, Silent

if TYPE_CHECKING:
    from .activity import Activity
    from .augment import Augmenter
    from .stability import Stability

#: What to do where threads ask for a derivative that only one of the whole launch can have.
_OF_LAUNCH = "ask for the derivative of the launch, autodiff(mode, k[blocks, threads], ...)"
#: An attribute of updates of a block's memory that pass no derivative on themselves (see block_extremes).
SETTLED = "autodiff.settled"
#: By arith's number of the kind of update: whether the larger value wins.
EXTREMES = {4: True, 5: True, 8: False, 9: False}


def is_extreme(op: Operation) -> bool:
    return op.name == "memref.atomic_rmw" and IntegerAttr(op.attributes["kind"]).value in EXTREMES


def won(b: Builder, op: Operation, value: Value, found: Value, final: Value) -> Value:
    """Whether the update `op` with `value`, which found `found` in the cell, made of it what it is: `final`."""
    return b.integer("andi", raised_by(b, op, value, found), equals(b, value, final))


def raised_by(b: Builder, op: Operation, value: Value, found: Value) -> Value:
    """Whether the update `op` with `value` changed what it found."""
    larger = EXTREMES[IntegerAttr(op.attributes["kind"]).value]
    return _compare(b, 2 if larger else 4, value, found)  # ogt, olt


def equals(b: Builder, value: Value, final: Value) -> Value:
    return _compare(b, 1, value, final)  # oeq


def _compare(b: Builder, predicate: int, x: Value, y: Value) -> Value:
    code = {"predicate": IntegerAttr.get(IntegerType.get_signless(64), predicate)}
    return b.value("arith.cmpf", [x, y], IntegerType.get_signless(1), code)


def check(op: Operation, activity: Activity) -> None:
    """Refuse what makes it unclear who has won."""
    memref = op.operands[1]
    launch = around(op)
    objects = activity.objects.of(memref)
    if launch is None and all(o.allocation is None for o in objects):
        raise refuse(
            op, "a thread cannot tell whether it wins by this atomic_max or atomic_min: others may follow", _OF_LAUNCH
        )
    if launch is None or any(o.allocation is not None and around(o.allocation) is not None for o in objects):
        raise refuse(
            op,
            "it cannot be told who wins by this atomic_max or atomic_min in shared memory",
            "let a syncthreads() follow in the same loop or around it, with the same cell there; do not use what the "
            "atomic returns, nor change the array by other atomics",
        )
    if activity.value(op.results[0]):
        raise refuse(op, "what atomic_max or atomic_min returns has no derivative", "read the cell in another launch")
    root, views = chain(memref)
    if len(objects) != 1 or root != next(iter(objects)).value or any(v.name not in SAME_INDEX for v in views):
        raise refuse(op, "atomic_max or atomic_min of a part of an array has no derivative", "index the whole array")
    for memory in objects:
        for writer in memory.writers:
            if stands_in(writer, launch) and not same_update(op, writer) and not other_cell(op, writer):
                raise refuse(writer, "an array is changed by atomic_max or atomic_min and in another way", "use two")


def same_update(op: Operation, other: Operation) -> bool:
    """Whether both are updates by the largest value, or both by the smallest."""
    return is_extreme(other) and IntegerAttr(op.attributes["kind"]).value == IntegerAttr(other.attributes["kind"]).value


def other_cell(op: Operation, other: Operation) -> bool:
    """Whether two updates are of different cells, as constant indices say."""
    if not is_extreme(other):
        return False
    pairs = zip(list(op.operands)[2:], list(other.operands)[2:], strict=True)
    return any(None not in (m := constant(i), n := constant(j)) and m != n for i, j in pairs)


def unordered(op: Operation) -> DerivativeError:
    """The error for an update whose derivative would depend on the order of threads."""
    what = "what an atomic update finds" if IntegerAttr(op.attributes["kind"]).value == 0 else "this atomic update"
    return refuse(
        op,
        f"the derivative of {what} depends on the order in which threads come to a cell",
        f"{_OF_LAUNCH}, which knows whether each thread has cells of its own"
        if around(op) is None
        else "let each thread have cells of its own, by an index that tells all threads apart; add by atomic_add "
        "without using what it returns; or take the number as constant by dsl.ignore_derivatives",
    )


def still_there(op: Operation, activity: Activity, stability: Stability) -> None:
    """Refuse an update whose cell may not hold its final value any more in the reverse sweep."""
    launch = around(op)
    assert launch is not None
    for memory in activity.objects.of(op.operands[1]):
        changed = memory in stability.volatile or operation(launch.block.owner).name != "func.func"
        changed |= any(not stands_in(w, launch) and stability.may_follow(launch, w) for w in memory.writers)
        if changed:
            raise refuse(
                op,
                "what atomic_max or atomic_min found may be overwritten before the derivative reads it",
                "let the array as it is after the launch (and launch outside of loops)",
            )


# forward mode --------------------------------------------------------------------------------------------------------
def foresee(emitter: Augmenter, launch: Operation) -> dict[Value, Value]:
    """Before a launch: what the cells will hold that its updates compete for, as copies of their arrays."""
    activity, b = emitter.activity, emitter.b
    updates = [
        op for op in walk(launch) if is_extreme(op) and SETTLED not in op.attributes and activity.memory(op.operands[1])
    ]
    copies: dict[Value, Value] = {}
    for op in updates:
        check(op, activity)
        root = chain(op.operands[1])[0]
        if root not in copies:
            memref = emitter.value(root)
            type_ = MemRefType(memref.type)
            dynamic = [b.dim(memref, k) for k, n in enumerate(type_.shape) if n == ShapedType.get_dynamic_size()]
            copies[root] = b.alloc(MemRefType.get(type_.shape, type_.element_type), dynamic)
            b.op("memref.copy", [memref, copies[root]])
    if copies:
        _Foresight(emitter, launch, set(updates), copies).run()
    return copies


class _Foresight(Silent):
    """A launch that does nothing but the updates, on copies."""

    def __init__(self, emitter: Augmenter, launch: Operation, updates: set[Operation], copies: dict[Value, Value]):
        super().__init__(emitter.b, emitter.activity.objects, launch)
        self.outside: Callable[[Value], Value] = emitter.value
        self.updates, self.copies = updates, copies

    def value(self, old: Value) -> Value:
        known = self.map.get(old)
        return self.outside(old) if known is None else known

    def run(self) -> None:
        new, block = add_launch(self.b, self.values(extents(self.launch)), self.launch)
        new.attributes[COUNTS] = UnitAttr.get()
        with self.b.at(block):
            for op in operations(self.launch.regions[0].blocks[0])[:-1]:
                self.operation(op)
            self.b.op("gpu.terminator")

    def copy_memref_atomic_rmw(self, op: Operation) -> None:
        if op not in self.updates:
            super().copy_memref_atomic_rmw(op)
            return
        value, _, *at = op.operands
        memref = self.copies[chain(op.operands[1])[0]]
        kind = {"kind": op.attributes["kind"]}
        self.b.op("memref.atomic_rmw", [self.value(value), memref, *self.values(at)], [op.results[0].type], kind)
        self.unknown(op)

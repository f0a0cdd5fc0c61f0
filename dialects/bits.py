"""Numbers made of the bits of active numbers: refused, since the way through the bits has no derivative.

Activity is about floats, and integers carry none: a float whose bits are taken (`arith.bitcast`, or memory of bytes
read as integers), changed as an integer and made a float again would lose its derivative without a word. This follows
the integers, through ops, loops and memory. Comparisons end the trail: a condition chooses, as any other does.
"""

from __future__ import annotations

from mlir.ir import Operation, Value

from .activity import Activity
from .builder import is_differentiable, is_memref, walk
from .errors import refuse
from .objects import MemoryObject, flows, written

_BITCASTS = frozenset({"arith.bitcast", "vector.bitcast", "complex.bitcast", "memref.view"})
_CONDITIONS = frozenset({"arith.cmpi", "index.cmp"})


def refuse_bits(activity: Activity) -> None:
    """Raise for the first op that makes a number, which matters, of the bits of an active one."""
    ops = [op for op in walk(activity.function) if op != activity.function]
    if any(op.name in _BITCASTS for op in ops):
        _Trail(activity, ops).follow()


class _Trail:
    def __init__(self, activity: Activity, ops: list[Operation]):
        self.activity, self.ops = activity, ops
        self.values: set[Value] = set()
        self.memory: set[MemoryObject] = set()

    def follow(self) -> None:
        size = -1
        while size != len(self.values) + len(self.memory):
            size = len(self.values) + len(self.memory)
            for op in self.ops:
                self._step(op)

    def _step(self, op: Operation) -> None:
        for source, target in flows(op):
            if source in self.values:
                self._mark(op, target)
        if op.name in _CONDITIONS or op.name.startswith("scf."):
            return
        if self._has_bits(op):
            for result in op.results:
                self._mark(op, result)
            for memref in written(op):
                self.memory |= self.activity.objects.of(memref)

    def _has_bits(self, op: Operation) -> bool:
        if op.name in _BITCASTS and any(self.activity.varied(o) for o in op.operands):
            return any(not is_differentiable(r.type) for r in op.results)
        if op.name == "memref.load":
            held = self.activity.objects.of(op.operands[0])
            is_number = is_differentiable(op.results[0].type)
            return any(o in self.memory for o in held) or (
                not is_number and self.activity.varied_memory(op.operands[0])
            )
        return any(o in self.values for o in op.operands)

    def _mark(self, op: Operation, value: Value) -> None:
        if is_memref(value.type):
            return
        if not is_differentiable(value.type):
            self.values.add(value)
        elif self.activity.useful(value):
            raise refuse(
                op,
                f"{op.name} makes a number of the bits of an active one: no derivative rule for that",
                "compute it with arith and math, or wrap the value in ignore_derivatives",
            )

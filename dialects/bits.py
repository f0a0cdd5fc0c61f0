"""Numbers made of the bits of active numbers, or of floats of other types: refused, since that way has no derivative.

Activity is about floats of 16, 32 and 64 bits. Other values carry no derivative: a float whose bits are taken
(`arith.bitcast`, or memory of bytes read as integers), changed as an integer and made a float again would lose its
derivative without a word, and so would one that is rounded to 8 bits or widened to 128. This follows such values
through ops, loops and memory. Comparisons end the trail: a condition chooses, as any other does; so does rounding to an
integer.
"""

from __future__ import annotations

import re

from mlir.ir import MemRefType, Operation, Type, Value, VectorType

from .activity import Activity
from .builder import is_differentiable, is_memref, walk
from .errors import refuse
from .objects import MemoryObject, flows, written

_BITCASTS = frozenset({"arith.bitcast", "vector.bitcast", "complex.bitcast", "memref.view"})
#: Names of float types. (Not all of them have a class in the bindings.)
_FLOAT = re.compile(r"b?f\d\w*|tf32")
_ENDS = frozenset({"arith.cmpi", "index.cmp", "arith.cmpf", "arith.fptosi", "arith.fptoui"})


def refuse_bits(activity: Activity) -> None:
    """Raise for the first op that makes a number, which matters, of the bits of an active one."""
    ops = [op for op in walk(activity.function) if op != activity.function]
    _refuse_two_views(activity, ops)
    if any(op.name in _BITCASTS or any(_is_other_float(r.type) for r in op.results) for op in ops):
        _Trail(activity, ops).follow()


def _refuse_two_views(activity: Activity, ops: list[Operation]) -> None:
    """Bytes that are one type of number here and another there: a shadow's would be as well."""
    seen: dict[MemoryObject, str] = {}
    for op in ops:
        if op.name != "memref.view" or not activity.memory(op.results[0]):
            continue
        element = str(MemRefType(op.results[0].type).element_type)
        for memory in activity.objects.of(op.operands[0]):
            if seen.setdefault(memory, element) != element:
                raise refuse(
                    op,
                    f"memref.view makes {element} of bytes that are {seen[memory]} elsewhere, and active",
                    "use memory of one type of number",
                )


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
        if op.name in _ENDS or op.name.startswith("scf."):
            return
        if self._has_bits(op):
            for result in op.results:
                self._mark(op, result)
            for memref in written(op):
                self.memory |= self.activity.objects.of(memref)

    def _has_bits(self, op: Operation) -> bool:
        if any(self.activity.varied(o) for o in op.operands):
            if op.name in _BITCASTS:
                return any(not is_differentiable(r.type) for r in op.results)
            if any(_is_other_float(r.type) for r in op.results):
                return True
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
                f"{op.name} makes a number of {self._what(op)}: no derivative rule for that",
                "compute it with arith and math, or wrap the value in ignore_derivatives",
            )

    def _what(self, op: Operation) -> str:
        other = next((o.type for o in op.operands if _is_other_float(o.type)), None)
        return "the bits of an active one" if other is None else f"a {other} that depends on an active one"


def _is_other_float(type_: Type) -> bool:
    """A float, or a vector of floats, of a type that carries no derivative."""
    element = type_.element_type if isinstance(type_, VectorType) else type_
    return _FLOAT.fullmatch(str(element)) is not None and not is_differentiable(element)

"""Loads and stores of innermost loops that go along rows of memory."""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import Operation, Value

from .builder import home
from .places import NONE, Place


@dataclass
class Access:
    """A load or store: in the loop its cells are those at `fixed` on all axes but one, on which it goes along, `offset`
    from the counter.
    """

    op: Operation
    memref: Value
    axis: int
    offset: int
    fixed: tuple[Value, ...]

    @staticmethod
    def of(op: Operation, counter: Value) -> Access | None:
        memref, *indices = list(op.operands)[0 if op.name == "memref.load" else 1 :]
        along: list[tuple[int, int]] = []
        for k, index in enumerate(indices):
            place = Place.of_index(index)
            if place is not None and place.base == counter:
                along.append((k, place.offset))
            elif home(index) == op.block and (place is None or place.base != NONE):
                return None
        if len(along) != 1:
            return None
        ((axis, offset),) = along
        return Access(op, memref, axis, offset, tuple(v for k, v in enumerate(indices) if k != axis))

    @property
    def is_load(self) -> bool:
        return self.op.name == "memref.load"

    @property
    def line(self) -> tuple[object, ...]:
        """What tells the row of cells that it goes along."""
        places = [(v, Place.of_index(v)) for v in self.fixed]
        return self.memref, self.axis, *(v if p is None else (p.base, p.offset) for v, p in places)

    def apart(self, other: Access) -> bool:
        """Whether another access of the same memref goes along another row."""
        if self.axis != other.axis:
            return False
        for mine, yours in zip(self.fixed, other.fixed, strict=True):
            a, b = Place.of_index(mine), Place.of_index(yours)
            if a is not None and b is not None and a.base == b.base and a.offset != b.offset:
                return True
        return False

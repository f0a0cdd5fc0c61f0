"""What a tangent (or cotangent) of a value looks like for a given width, and access to shadow memory.

Width 1: a scalar's tangent has the scalar's type. Width W: `vector<WxT>`, one lane a direction, in registers (of
complex numbers pairs of lanes, see lanes.py). The
shadow of a memref is W memrefs of the primal's own type, one a direction, so that each is an ordinary array of the
user's.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir.ir import MemRefType, Type, Value

from .builder import Builder
from .lanes import joined, lane, wide

Shadow = tuple[Value, ...]


class Tangents:
    """Makes and moves tangents of one width at a builder's insertion point."""

    def __init__(self, builder: Builder, width: int):
        self.b, self.width = builder, width

    def type(self, primal: Type) -> Type:
        return wide(primal, self.width)

    def zero(self, primal: Type) -> Value:
        return self.b.zero(self.type(primal))

    def load(self, shadow: Shadow, indices: Sequence[Value]) -> Value:
        return self.join([self.b.load(memref, indices) for memref in shadow])

    def join(self, parts: Sequence[Value]) -> Value:
        """One tangent of what it is in each direction."""
        return joined(self.b, parts)

    def store(self, tangent: Value | None, shadow: Shadow, indices: Sequence[Value]) -> None:
        """Store `tangent` (None: zero)."""
        element = MemRefType(shadow[0].type).element_type
        for k, memref in enumerate(shadow):
            part = self.b.zero(element) if tangent is None else self.lane(tangent, k, element)
            self.b.store(part, memref, indices)

    def lane(self, tangent: Value, k: int, primal: Type) -> Value:
        """The tangent, of a value of type `primal`, in one direction."""
        return lane(self.b, tangent, k, primal)

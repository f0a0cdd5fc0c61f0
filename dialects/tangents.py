"""What a tangent (or cotangent) of a value looks like for a given width, and access to shadow memory.

Width 1: a scalar's tangent has the scalar's type. Width W: `vector<WxT>`, one lane a direction, in registers. The
shadow of a memref is W memrefs of the primal's own type, one a direction, so that each is an ordinary array of the
user's.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir.ir import DenseI64ArrayAttr, MemRefType, Type, Value, VectorType

from .builder import Builder

Shadow = tuple[Value, ...]


class Tangents:
    """Makes and moves tangents of one width at a builder's insertion point."""

    def __init__(self, builder: Builder, width: int):
        self.b, self.width = builder, width

    def type(self, primal: Type) -> Type:
        if self.width == 1:
            return primal
        if isinstance(primal, VectorType):
            return VectorType.get([self.width, *primal.shape], primal.element_type)
        return VectorType.get([self.width], primal)

    def zero(self, primal: Type) -> Value:
        return self.b.zero(self.type(primal))

    def load(self, shadow: Shadow, indices: Sequence[Value]) -> Value:
        return self.join([self.b.load(memref, indices) for memref in shadow])

    def join(self, parts: Sequence[Value]) -> Value:
        """One tangent of what it is in each direction."""
        if self.width == 1:
            return parts[0]
        vector = self.zero(parts[0].type)
        for lane, part in enumerate(parts):
            vector = self.b.value("vector.insert", [part, vector], vector.type, _position(lane))
        return vector

    def store(self, tangent: Value | None, shadow: Shadow, indices: Sequence[Value]) -> None:
        """Store `tangent` (None: zero)."""
        element = MemRefType(shadow[0].type).element_type
        for lane, memref in enumerate(shadow):
            part = self.b.zero(element) if tangent is None else self.lane(tangent, lane)
            self.b.store(part, memref, indices)

    def lane(self, tangent: Value, lane: int) -> Value:
        if self.width == 1:
            return tangent
        vector = VectorType(tangent.type)
        shape = list(vector.shape)[1:]
        part = VectorType.get(shape, vector.element_type) if shape else vector.element_type
        return self.b.value("vector.extract", [tangent], part, _position(lane))


def _position(lane: int) -> dict[str, DenseI64ArrayAttr]:
    return {"static_position": DenseI64ArrayAttr.get([lane])}

"""Tangents in several directions at once: what they look like, and how they are put together and taken apart.

A float's is a vector with a lane for each direction, a vector's has one dimension more in front. MLIR has no vectors of
complex numbers: theirs is a vector of pairs, real and imaginary part. Rules of complex numbers are applied lane by
lane; what they compute of the primal alone is there once after common subexpressions are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from mlir.ir import ComplexType, DenseI64ArrayAttr, Operation, Type, Value, VectorType

from .builder import Builder

MaybeValue: TypeAlias = "Value | None"


def wide(type_: Type, width: int) -> Type:
    """The type of a tangent of a value of this type."""
    if width == 1:
        return type_
    if isinstance(type_, ComplexType):
        return VectorType.get([width, 2], type_.element_type)
    if isinstance(type_, VectorType):
        return VectorType.get([width, *type_.shape], type_.element_type)
    return VectorType.get([width], type_)


def narrow(type_: Type) -> Type:
    """The number whose tangent in several directions has this type."""
    vector = VectorType(type_)
    return ComplexType.get(vector.element_type) if vector.rank == 2 else vector.element_type


def joined(b: Builder, parts: Sequence[Value]) -> Value:
    """One tangent of what it is in each direction."""
    if len(parts) == 1:
        return parts[0]
    type_ = parts[0].type
    vector = b.zero(wide(type_, len(parts)))
    for k, part in enumerate(parts):
        if isinstance(type_, ComplexType):
            for i, name in enumerate(("complex.re", "complex.im")):
                real = b.value(name, [part], type_.element_type)
                vector = b.value("vector.insert", [real, vector], vector.type, _position(k, i))
        else:
            vector = b.value("vector.insert", [part, vector], vector.type, _position(k))
    return vector


def lane(b: Builder, tangent: Value, k: int, primal: Type) -> Value:
    """What a tangent, of a value of type `primal`, is in one direction."""
    if tangent.type == primal:
        return tangent
    if isinstance(primal, ComplexType):
        parts = [b.value("vector.extract", [tangent], primal.element_type, _position(k, i)) for i in range(2)]
        return b.value("complex.create", parts, primal)
    return b.value("vector.extract", [tangent], primal, _position(k))


def each(
    b: Builder,
    op: Operation,
    width: int,
    given: Sequence[MaybeValue],
    types: Sequence[Type],
    rule: Callable[[list[MaybeValue]], list[MaybeValue]],
) -> list[MaybeValue]:
    """What `rule` makes of tangents `given`, of values of these types: all at once, or where `op` is one of complex
    numbers, lane by lane.
    """
    if width == 1 or not any(isinstance(v.type, ComplexType) for v in (*op.operands, *op.results)):
        return rule(list(given))
    made = []
    for k in range(width):
        made.append(rule([None if t is None else lane(b, t, k, type_) for t, type_ in zip(given, types, strict=True)]))
    return [None if parts[0] is None else joined(b, parts) for parts in zip(*made, strict=True)]


def _position(*at: int) -> dict[str, DenseI64ArrayAttr]:
    return {"static_position": DenseI64ArrayAttr.get(list(at))}

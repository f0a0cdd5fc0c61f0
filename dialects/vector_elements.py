"""Vector ops that rearrange elements, in terms of elements: part of `structure`.

An op without a rule is written out by `vector.to_elements` and `vector.from_elements`, which have rules. What does not
carry derivatives is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from mlir.ir import ArrayAttr, DenseI64ArrayAttr, IntegerAttr, Operation, Type, Value, VectorType

from .builder import is_differentiable
from .copier import Copier
from .errors import refuse

_LIMIT = 4096


class VectorElements(Copier):
    """A copier that writes those ops out."""

    def elements(self, vector: Value) -> list[Value]:
        """All elements of a vector, the last axis fastest."""
        type_ = VectorType(vector.type)
        count = len(places(type_))
        return list(self.b.op("vector.to_elements", [vector], [type_.element_type] * count).results)

    def _gathered(self, op: Operation, elements: list[Value]) -> None:
        self.map[op.results[0]] = self.b.value("vector.from_elements", elements, op.results[0].type)

    def _vector(self, op: Operation, type_: Type) -> VectorType:
        """The type, of a size that can be written out."""
        vector = VectorType(type_)
        if vector.scalable or len(places(vector)) > _LIMIT:
            raise refuse(
                op, f"{op.name} of {type_}", f"use vectors of at most {_LIMIT} elements, none of them scalable"
            )
        return vector

    def _rearranged(self, op: Operation, source: list[Value], order: Sequence[int]) -> None:
        self._gathered(op, [source[k] for k in order])

    def copy_vector_shuffle(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        first, second = self.values(op.operands)
        whole = self.elements(first) + self.elements(second)
        row = len(places(self._vector(op, op.results[0].type))) // max(1, op.results[0].type.shape[0])
        mask = list(DenseI64ArrayAttr(op.attributes["mask"]))
        if -1 in mask:  # an element that may be anything
            whole += [self.b.value("ub.poison", [], whole[0].type)] * row
        last = len(whole) // row - 1
        self._rearranged(op, whole, [(last if k == -1 else k) * row + i for k in mask for i in range(row)])

    def copy_vector_interleave(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        self._vector(op, op.results[0].type)
        pairs = zip(*map(self.elements, self.values(op.operands)), strict=True)
        self._gathered(op, [element for pair in pairs for element in pair])

    def copy_vector_deinterleave(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        (vector,) = self.values(op.operands)
        self._vector(op, vector.type)
        elements = self.elements(vector)
        for k, result in enumerate(op.results):
            self.map[result] = self.b.value("vector.from_elements", elements[k::2], result.type)

    def copy_vector_extract_strided_slice(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        (vector,) = self.values(op.operands)
        offsets, strides = (_integers(op, name) for name in ("offsets", "strides"))
        shape = list(self._vector(op, vector.type).shape)
        order = [flat(_moved(place, offsets, strides), shape) for place in places(op.results[0].type)]
        self._rearranged(op, self.elements(vector), order)

    def copy_vector_insert_strided_slice(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        part, vector = self.values(op.operands)
        offsets, strides = (_integers(op, name) for name in ("offsets", "strides"))
        shape = list(self._vector(op, vector.type).shape)
        first = len(shape) - part.type.rank
        whole = self.elements(vector)
        for place, element in zip(places(part.type), self.elements(part), strict=True):
            there = [*offsets[:first], *_moved(place, offsets[first:], strides)]
            whole[flat(there, shape)] = element
        self._gathered(op, whole)

    def copy_vector_broadcast(self, op: Operation) -> None:
        source = self.value(op.operands[0])
        target = op.results[0].type
        if not isinstance(source.type, VectorType) or not is_differentiable(target):
            self.copy(op)
            return
        shape = list(source.type.shape)
        first = target.rank - len(shape)
        if shape == list(target.shape)[first:]:
            self.copy(op)
            return
        self._vector(op, target)
        order = [
            flat([k if n > 1 else 0 for k, n in zip(place[first:], shape, strict=True)], shape)
            for place in places(target)
        ]
        self._rearranged(op, self.elements(source), order)


def places(type_: Type) -> list[tuple[int, ...]]:
    """All positions in a vector, the last axis fastest."""
    return list(product(*(range(n) for n in VectorType(type_).shape)))


def flat(place: Sequence[int], shape: Sequence[int]) -> int:
    at = 0
    for k, n in zip(place, shape, strict=True):
        at = at * n + k
    return at


def _moved(place: Sequence[int], offsets: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Where an element of a slice lies; axes without offset and stride are whole."""
    missing = len(place) - len(offsets)
    steps = zip(place, [*offsets, *[0] * missing], [*strides, *[1] * missing], strict=True)
    return [offset + k * stride for k, offset, stride in steps]


def _integers(op: Operation, name: str) -> list[int]:
    return [IntegerAttr(a).value for a in ArrayAttr(op.attributes[name])]

"""Vector ops of upstream programs in terms of elements: part of `structure`.

Vectors keep their arithmetic, for which there are rules. What moves vectors to and from memory becomes loads and
stores of elements (which LLVM joins again), so that memory has one kind of access; reductions other than sums and ops
that rearrange elements are written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from mlir.ir import (
    AffineConstantExpr,
    AffineDimExpr,
    AffineMapAttr,
    ArrayAttr,
    BoolAttr,
    DenseI32ArrayAttr,
    DenseI64ArrayAttr,
    IntegerAttr,
    IntegerType,
    Operation,
    Type,
    Value,
    VectorType,
)

from .builder import is_differentiable
from .copier import Copier, add_block
from .errors import refuse

_LIMIT = 4096
#: What combines two elements, by the kind of a reduction of floats.
_COMBINE = {
    "add": "arith.addf", "mul": "arith.mulf", "minimumf": "arith.minimumf", "maximumf": "arith.maximumf",
    "minnumf": "arith.minnumf", "maxnumf": "arith.maxnumf",
}  # fmt: skip


class VectorForms(Copier):
    """A copier that writes vector ops out that have no rule."""

    # memory --------------------------------------------------------------------------------------------------------
    def copy_vector_load(self, op: Operation) -> None:
        memref, *indices = self.values(op.operands)
        type_ = self._vector(op, op.results[0].type)
        at = self._trailing(memref, indices, type_)
        self._gathered(op, [self._load(memref, at(place)) for place in places(type_)])

    def copy_vector_store(self, op: Operation) -> None:
        vector, memref, *indices = self.values(op.operands)
        at = self._trailing(memref, indices, self._vector(op, vector.type))
        for place, element in zip(places(vector.type), self.elements(vector), strict=True):
            self._store(element, memref, at(place))

    def copy_vector_maskedload(self, op: Operation) -> None:
        memref, *indices, mask, other = self.values(op.operands)
        at = self._trailing(memref, indices, self._vector(op, other.type))
        rest = zip(places(other.type), self.elements(mask), self.elements(other), strict=True)
        self._gathered(op, [self._load(memref, at(place), wanted, pad) for place, wanted, pad in rest])

    def copy_vector_maskedstore(self, op: Operation) -> None:
        memref, *indices, mask, vector = self.values(op.operands)
        at = self._trailing(memref, indices, self._vector(op, vector.type))
        for place, wanted, element in zip(places(vector.type), self.elements(mask), self.elements(vector), strict=True):
            self._store(element, memref, at(place), wanted)

    def copy_vector_gather(self, op: Operation) -> None:
        memref, *indices, offsets, mask, other = self.values(op.operands)
        self._vector(op, other.type)
        rest = zip(self.elements(offsets), self.elements(mask), self.elements(other), strict=True)
        self._gathered(op, [self._load(memref, self._beside(indices, o), wanted, pad) for o, wanted, pad in rest])

    def copy_vector_scatter(self, op: Operation) -> None:
        memref, *indices, offsets, mask, vector = self.values(op.operands)
        self._vector(op, vector.type)
        rest = zip(self.elements(offsets), self.elements(mask), self.elements(vector), strict=True)
        for offset, wanted, element in rest:
            self._store(element, memref, self._beside(indices, offset), wanted)

    def copy_vector_transfer_read(self, op: Operation) -> None:
        memref, *rest = self._group(op, 4)
        indices, padding, masks = rest[0], rest[1][0], rest[2]
        type_ = self._vector(op, op.results[0].type)
        visit = self._transfer(op, memref[0], indices, masks, type_)
        self._gathered(op, [self._load(memref[0], at, wanted, padding) for at, wanted in visit])

    def copy_vector_transfer_write(self, op: Operation) -> None:
        vector, memref, indices, masks = self._group(op, 4)
        visit = self._transfer(op, memref[0], indices, masks, self._vector(op, vector[0].type))
        for element, (at, wanted) in zip(self.elements(vector[0]), visit, strict=True):
            self._store(element, memref[0], at, wanted)

    def _group(self, op: Operation, count: int) -> list[list[Value]]:
        """The operands by their segments."""
        values = self.values(op.operands)
        groups = []
        for size in list(DenseI32ArrayAttr(op.attributes["operandSegmentSizes"]))[:count]:
            groups.append(values[:size])
            values = values[size:]
        return groups

    def _transfer(
        self, op: Operation, memref: Value, indices: list[Value], masks: list[Value], type_: VectorType
    ) -> list[tuple[list[Value], Value | None]]:
        """For each element of the vector: its indices in memory, and the condition under which it is there."""
        axes = self._axes(op)
        in_bounds = [BoolAttr(a).value for a in ArrayAttr(op.attributes["in_bounds"])]
        masked = self._masks(op, masks, axes, type_)
        visits = []
        for place, mask in zip(places(type_), masked, strict=True):
            at, wanted = list(indices), mask
            for axis, offset, inside in zip(axes, place, in_bounds, strict=True):
                if axis is None:
                    continue
                at[axis] = self._plus(indices[axis], offset)
                if not inside:
                    below = self.b.value("arith.cmpi", [at[axis], self.b.dim(memref, axis)], _bit(), _slt())
                    wanted = below if wanted is None else self.b.value("arith.andi", [wanted, below], _bit())
            visits.append((at, wanted))
        return visits

    def _axes(self, op: Operation) -> list[int | None]:
        """The axis of the memory that each axis of the vector runs along; None where it repeats."""
        axes: list[int | None] = []
        for expression in AffineMapAttr(op.attributes["permutation_map"]).value.results:
            if isinstance(expression, AffineDimExpr):
                axes.append(AffineDimExpr(expression).position)
            elif isinstance(expression, AffineConstantExpr):
                axes.append(None)
            else:
                raise refuse(op, f"{op.name} with the permutation map {op.attributes['permutation_map']}")
        return axes

    def _masks(
        self, op: Operation, masks: list[Value], axes: list[int | None], type_: VectorType
    ) -> Sequence[Value | None]:
        if not masks:
            return [None] * len(places(type_))
        if None in axes or axes != sorted(axes):  # type: ignore[type-var]
            raise refuse(op, f"{op.name} with a mask and a map that permutes or repeats", "transpose the vector itself")
        return self.elements(masks[0])

    def _trailing(
        self, memref: Value, indices: list[Value], type_: VectorType
    ) -> Callable[[Sequence[int]], list[Value]]:
        """Vector positions to indices: a vector lies along the last axes of the memory."""
        first = len(indices) - type_.rank
        return lambda place: [
            *indices[:first],
            *(self._plus(i, k) for i, k in zip(indices[first:], place, strict=True)),
        ]

    def _beside(self, indices: list[Value], offset: Value) -> list[Value]:
        if offset.type != indices[-1].type:
            offset = self.b.value("arith.index_cast", [offset], indices[-1].type)
        return [*indices[:-1], self.b.integer("addi", indices[-1], offset)]

    def _plus(self, index: Value, k: int) -> Value:
        return self.b.integer("addi", index, self.b.index(k)) if k else index

    def _load(self, memref: Value, at: list[Value], wanted: Value | None = None, other: Value | None = None) -> Value:
        """An element; where it is not `wanted` the memory is not touched, and `other` stands for it."""
        if wanted is None:
            return self.b.load(memref, at)
        assert other is not None
        choice = self.b.op("scf.if", [wanted], [other.type], regions=2)
        with self.b.at(add_block(choice.regions[0], [], self.b.loc)):
            self.b.op("scf.yield", [self.b.load(memref, at)])
        with self.b.at(add_block(choice.regions[1], [], self.b.loc)):
            self.b.op("scf.yield", [other])
        return choice.results[0]

    def _store(self, element: Value, memref: Value, at: list[Value], wanted: Value | None = None) -> None:
        if wanted is None:
            self.b.store(element, memref, at)
            return
        choice = self.b.op("scf.if", [wanted], [], regions=2)
        with self.b.at(add_block(choice.regions[0], [], self.b.loc)):
            self.b.store(element, memref, at)
            self.b.op("scf.yield")

    # elements ------------------------------------------------------------------------------------------------------
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
        order = [k * row + i for k in DenseI64ArrayAttr(op.attributes["mask"]) for i in range(row)]
        if -1 in DenseI64ArrayAttr(op.attributes["mask"]):
            raise refuse(op, "vector.shuffle that leaves elements open (-1 in its mask)", "choose an element")
        self._rearranged(op, whole, order)

    def copy_vector_extract_strided_slice(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        (vector,) = self.values(op.operands)
        offsets, strides = (_integers(op, name) for name in ("offsets", "strides"))
        shape = list(self._vector(op, vector.type).shape)
        order = [_flat(_moved(place, offsets, strides), shape) for place in places(op.results[0].type)]
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
            whole[_flat(there, shape)] = element
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
            _flat([k if n > 1 else 0 for k, n in zip(place[first:], shape, strict=True)], shape)
            for place in places(target)
        ]
        self._rearranged(op, self.elements(source), order)

    # reductions ----------------------------------------------------------------------------------------------------
    def copy_vector_reduction(self, op: Operation) -> None:
        kind = _kind(op)
        if kind == "add" or not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        vector, *start = self.values(op.operands)
        self._vector(op, vector.type)
        self.map[op.results[0]] = self._combined(op, [*start, *self.elements(vector)])

    def copy_vector_multi_reduction(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        vector, start = self.values(op.operands)
        type_ = self._vector(op, vector.type)
        gone = set(DenseI64ArrayAttr(op.attributes["reduction_dims"]))
        kept = [k for k in range(type_.rank) if k not in gone]
        is_vector = isinstance(start.type, VectorType)
        sums = {
            place: [s]
            for place, s in zip(
                product(*(range(type_.shape[k]) for k in kept)),
                self.elements(start) if is_vector else [start],
                strict=True,
            )
        }
        for place, element in zip(places(type_), self.elements(vector), strict=True):
            sums[tuple(place[k] for k in kept)].append(element)
        results = [self._combined(op, terms) for terms in sums.values()]
        if is_vector:
            self._gathered(op, results)
        else:
            self.map[op.results[0]] = results[0]

    def copy_vector_outerproduct(self, op: Operation) -> None:
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        left, right, *start = self.values(op.operands)
        columns = self.elements(right) if isinstance(right.type, VectorType) else [right]
        self._vector(op, op.results[0].type)
        made = [self.b.value("arith.mulf", [a, b], a.type) for a in self.elements(left) for b in columns]
        if start:
            made = [self._combined(op, [s, m]) for s, m in zip(self.elements(start[0]), made, strict=True)]
        self._gathered(op, made)

    def _combined(self, op: Operation, terms: list[Value]) -> Value:
        combine = _COMBINE.get(_kind(op))
        if combine is None or str(terms[0].type).startswith("complex"):
            raise refuse(op, f"{op.name} of kind {_kind(op)} on {terms[0].type}")
        whole = terms[0]
        for term in terms[1:]:
            whole = self.b.value(combine, [whole, term], whole.type)
        return whole


def places(type_: Type) -> list[tuple[int, ...]]:
    """All positions in a vector, the last axis fastest."""
    return list(product(*(range(n) for n in VectorType(type_).shape)))


def _flat(place: Sequence[int], shape: Sequence[int]) -> int:
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


def _kind(op: Operation) -> str:
    return str(op.attributes["kind"]).removeprefix("#vector.kind<").removesuffix(">")


def _bit() -> Type:
    return IntegerType.get_signless(1)


def _slt() -> dict[str, IntegerAttr]:
    return {"predicate": IntegerAttr.get(IntegerType.get_signless(64), 2)}

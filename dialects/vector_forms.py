"""Vector ops that move vectors to and from memory, in terms of elements: part of `structure`.

Vectors keep their arithmetic, for which there are rules. What moves them to and from memory becomes loads and stores of
elements (which LLVM joins again), so that memory has one kind of access.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir.ir import (
    AffineConstantExpr,
    AffineDimExpr,
    AffineMapAttr,
    ArrayAttr,
    BoolAttr,
    DenseI32ArrayAttr,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Operation,
    Type,
    Value,
    VectorType,
)

from .builder import operation
from .copier import add_block
from .errors import refuse
from .vector_elements import flat, places
from .vector_reductions import VectorReductions


class VectorForms(VectorReductions):
    """A copier that writes vector ops out that have no rule."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        #: The memory that a memref of one whole vector is a cast of.
        self.wholes: dict[Value, Value] = {}

    def copy_vector_load(self, op: Operation) -> None:
        memref, *indices = self.values(op.operands)
        type_ = self._vector(op, op.results[0].type)
        if type_ == MemRefType(memref.type).element_type:  # memory of vectors
            self.map[op.results[0]] = self.b.load(memref, indices)
            return
        at = self._trailing(memref, indices, type_)
        self._gathered(op, [self._load(memref, at(place)) for place in places(type_)])

    def copy_vector_store(self, op: Operation) -> None:
        vector, memref, *indices = self.values(op.operands)
        if vector.type == MemRefType(memref.type).element_type:
            self.b.store(vector, memref, indices)
            return
        at = self._trailing(memref, indices, self._vector(op, vector.type))
        for place, element in zip(places(vector.type), self.elements(vector), strict=True):
            self._store(element, memref, at(place))

    def copy_vector_type_cast(self, op: Operation) -> None:
        """Memory seen as one vector: what loads and stores that, does so with its elements."""
        for use in op.results[0].uses:
            if operation(use.owner).name not in ("memref.load", "memref.store"):
                raise refuse(operation(use.owner), f"{operation(use.owner).name} of what vector.type_cast gives")
        self.wholes[op.results[0]] = self.value(op.operands[0])

    def copy_memref_load(self, op: Operation) -> None:
        whole = self.wholes.get(op.operands[0])
        if whole is None:
            self.copy(op)
            return
        type_ = self._vector(op, op.results[0].type)
        self._gathered(op, [self.b.load(whole, [self.b.index(k) for k in place]) for place in places(type_)])

    def copy_memref_store(self, op: Operation) -> None:
        whole = self.wholes.get(op.operands[1])
        if whole is None:
            self.copy(op)
            return
        vector = self.value(op.operands[0])
        for place, element in zip(places(vector.type), self.elements(vector), strict=True):
            self.b.store(element, whole, [self.b.index(k) for k in place])

    def copy_vector_expandload(self, op: Operation) -> None:
        """Elements that lie one after the other go where the mask is set."""
        memref, *indices, mask, other = self.values(op.operands)
        self._vector(op, other.type)
        taken, made = self.b.index(0), []
        for wanted, pad in zip(self.elements(mask), self.elements(other), strict=True):
            made.append(self._load(memref, self._beside(indices, taken), wanted, pad))
            taken = self._counted(taken, wanted)
        self._gathered(op, made)

    def copy_vector_compressstore(self, op: Operation) -> None:
        memref, *indices, mask, vector = self.values(op.operands)
        self._vector(op, vector.type)
        taken = self.b.index(0)
        for wanted, element in zip(self.elements(mask), self.elements(vector), strict=True):
            self._store(element, memref, self._beside(indices, taken), wanted)
            taken = self._counted(taken, wanted)

    def _counted(self, count: Value, bit: Value) -> Value:
        return self.b.integer("addi", count, self.b.value("arith.index_castui", [bit], count.type))

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
        if isinstance(MemRefType(memref.type).element_type, VectorType):
            raise refuse(op, f"{op.name} of memory of vectors", "use vector.load and vector.store")
        axes = self._axes(op)
        in_bounds = [BoolAttr(a).value for a in ArrayAttr(op.attributes["in_bounds"])]
        masked = self._masks(masks, axes, type_)
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

    def _masks(self, masks: list[Value], axes: list[int | None], type_: VectorType) -> Sequence[Value | None]:
        """For each element whether it is wanted. A mask has an axis for each axis of the memory, in their order."""
        mask = masks[0] if masks else self.mask
        if mask is None:
            return [None] * len(places(type_))
        along = sorted(axis for axis in axes if axis is not None)
        shape, bits = list(mask.type.shape) if along else [], self.elements(mask)
        return [bits[flat([place[axes.index(axis)] for axis in along], shape)] for place in places(type_)]

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


def _bit() -> Type:
    return IntegerType.get_signless(1)


def _slt() -> dict[str, IntegerAttr]:
    return {"predicate": IntegerAttr.get(IntegerType.get_signless(64), 2)}

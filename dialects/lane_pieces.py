"""Pass `autodiff-lanes`, second part: tangents in many directions as vectors that machines have.

Takes a function; leaves one in which each vector with a lane a direction, of a number of lanes that is not 1, 2, 4 or
8, is several vectors of those lengths. LLVM keeps a vector whose length is no power of two as so many numbers wherever
it goes around a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlir.ir import (
    Attribute,
    DenseElementsAttr,
    DenseI64ArrayAttr,
    InsertionPoint,
    Operation,
    Type,
    Value,
    VectorType,
)

from .builder import Builder, operation, operations, walk
from .copier import Copier, attributes_of

_LENGTHS = (8, 4, 2, 1)
#: Ops that hand values on: each value becomes as many as it has pieces.
_CARRY = frozenset({"scf.for", "scf.while", "scf.if", "scf.index_switch", "scf.yield", "scf.condition"})
_ELEMENTWISE = ("arith.", "math.")


def split_lanes(function: Operation) -> bool:
    """Put another in the function's place, if it has such vectors; whether it had."""
    ops = list(walk(function))
    if not any(_is_wide(v.type) for op in ops for v in op.results):
        return False
    if any(len(list(region.blocks)) > 1 for op in ops for region in op.regions):
        return False
    old = function.regions[0].blocks[0]
    new = Operation.create(
        "func.func", attributes=attributes_of(function), regions=1, loc=function.location, ip=InsertionPoint(function)
    )
    arguments = list(old.arguments)
    block = new.regions[0].blocks.append(*[a.type for a in arguments], arg_locs=[a.location for a in arguments])
    copier = _Pieces(Builder(InsertionPoint(block), function.location))
    copier.map.update(zip(arguments, block.arguments, strict=True))
    for op in operations(old):
        copier.operation(op)
    function.erase()
    return True


def _is_wide(type_: Type) -> bool:
    return isinstance(type_, VectorType) and type_.rank == 1 and not type_.scalable and type_.shape[0] not in _LENGTHS


def _pieces(type_: Type) -> Iterator[tuple[int, Type]]:
    """Where each piece of a vector begins, and its type."""
    start, left = 0, type_.shape[0]
    for length in _LENGTHS:
        while left >= length:
            yield start, VectorType.get([length], type_.element_type)
            start, left = start + length, left - length


class _Pieces(Copier):
    """`pieces[v]` are those of a wide vector `v`; `map[v]` is the whole one, where something wanted it."""

    def __init__(self, builder: Builder):
        super().__init__(builder)
        self.pieces: dict[Value, list[Value]] = {}

    # whole and in pieces ----------------------------------------------------------------------------------------------
    def value(self, old: Value) -> Value:
        """The whole vector, for ops that are not taken apart."""
        if old not in self.pieces:
            return self.map[old]
        elements = [self._element(piece, k) for piece in self.pieces[old] for k in range(piece.type.shape[0])]
        return self.b.value("vector.from_elements", elements, old.type)

    def parts(self, old: Value) -> list[Value]:
        """Its pieces; of what is no wide vector, itself."""
        if old in self.pieces:
            return self.pieces[old]
        whole = self.map[old]
        if not _is_wide(old.type):
            return [whole]
        pieces = []
        for start, type_ in _pieces(old.type):
            elements = [self._element(whole, start + k) for k in range(type_.shape[0])]
            pieces.append(self.b.value("vector.from_elements", elements, type_))
        return pieces

    def _element(self, vector: Value, k: int) -> Value:
        return self.b.value("vector.extract", [vector], vector.type.element_type, _position(k))

    def arrive(self, olds: Sequence[Value], values: Sequence[Value]) -> None:
        """The pieces of `olds`, one after the other, are `values`."""
        rest = iter(values)
        for old in olds:
            if _is_wide(old.type):
                self.pieces[old] = [next(rest) for _ in _pieces(old.type)]
            else:
                self.map[old] = next(rest)

    # ops --------------------------------------------------------------------------------------------------------------
    def copy(self, op: Operation) -> Operation:
        inner = [a for region in op.regions for block in region.blocks for a in block.arguments]
        if not any(_is_wide(v.type) for v in (*op.operands, *op.results, *inner)):
            return super().copy(op)
        if op.name in _CARRY:
            return self._carry(op)
        if op.name.startswith(_ELEMENTWISE) and len(op.results) == 1 and _is_wide(op.results[0].type):
            return self._each(op)
        return super().copy(op)

    def _carry(self, op: Operation) -> Operation:
        operands = [part for old in op.operands for part in self.parts(old)]
        new = self.b.op(op.name, operands, _types(op.results), attributes_of(op), regions=len(op.regions))
        self.arrive(list(op.results), list(new.results))
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            for old in old_region.blocks:
                types = _types(old.arguments)
                block = new_region.blocks.append(*types, arg_locs=[self.b.loc] * len(types))
                self.arrive(list(old.arguments), list(block.arguments))
                with self.b.at(block):
                    for inner in operations(old):
                        self.operation(inner)
        return new

    def _each(self, op: Operation) -> Operation:
        """An op on the elements with the same number, piece by piece."""
        result = op.results[0]
        attributes = attributes_of(op)
        if "value" in attributes:
            constant = DenseElementsAttr(attributes["value"])
            if not constant.is_splat:
                return super().copy(op)
        columns = [self.parts(old) if _is_wide(old.type) else None for old in op.operands]
        made = []
        for k, (_, type_) in enumerate(_pieces(result.type)):
            if "value" in attributes:
                attributes["value"] = DenseElementsAttr.get_splat(type_, constant.get_splat_value())
            given = [self.value(old) if c is None else c[k] for old, c in zip(op.operands, columns, strict=True)]
            made.append(self.b.value(op.name, given, type_, attributes))
        self.pieces[result] = made
        return operation(made[-1].owner)

    def copy_vector_broadcast(self, op: Operation) -> None:
        result = op.results[0]
        if not _is_wide(result.type) or isinstance(op.operands[0].type, VectorType):
            self.copy(op)
            return
        number = self.value(op.operands[0])
        self.pieces[result] = [self.b.value(op.name, [number], type_) for _, type_ in _pieces(result.type)]

    def copy_vector_from_elements(self, op: Operation) -> None:
        result = op.results[0]
        if not _is_wide(result.type):
            self.copy(op)
            return
        elements = self.values(op.operands)
        self.pieces[result] = [
            self.b.value(op.name, elements[start : start + type_.shape[0]], type_)
            for start, type_ in _pieces(result.type)
        ]

    def copy_vector_extract(self, op: Operation) -> None:
        place = list(DenseI64ArrayAttr(op.attributes["static_position"]))
        vector = op.operands[0]
        if vector not in self.pieces or len(place) != 1 or len(op.operands) > 1:
            self.copy(op)
            return
        for (start, type_), piece in zip(_pieces(vector.type), self.pieces[vector], strict=True):
            if start <= place[0] < start + type_.shape[0]:
                self.map[op.results[0]] = self._element(piece, place[0] - start)

    def copy_vector_load(self, op: Operation) -> None:
        result = op.results[0]
        if not _is_wide(result.type):
            self.copy(op)
            return
        memref, *indices = self.values(op.operands)
        self.pieces[result] = [
            self.b.value(op.name, [memref, *self._moved(indices, start)], type_, attributes_of(op))
            for start, type_ in _pieces(result.type)
        ]

    def copy_vector_store(self, op: Operation) -> None:
        if not _is_wide(op.operands[0].type):
            self.copy(op)
            return
        memref, *indices = self.values(list(op.operands)[1:])
        pieces = zip(_pieces(op.operands[0].type), self.parts(op.operands[0]), strict=True)
        for (start, _), piece in pieces:
            self.b.op(op.name, [piece, memref, *self._moved(indices, start)], [], attributes_of(op))

    def _moved(self, indices: list[Value], start: int) -> list[Value]:
        return [*indices[:-1], self.b.integer("addi", indices[-1], self.b.index(start))] if start else indices


def _types(values: Iterable[Value]) -> list[Type]:
    """The types of the pieces of these values, one after the other."""
    return [type_ for v in values for type_ in ([t for _, t in _pieces(v.type)] if _is_wide(v.type) else [v.type])]


def _position(k: int) -> dict[str, Attribute]:
    return {"static_position": DenseI64ArrayAttr.get([k])}

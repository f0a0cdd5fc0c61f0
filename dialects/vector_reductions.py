"""Vector ops that combine elements, in terms of elements: part of `structure`.

Sums of a whole vector have a rule of their own. The others are written out as the arithmetic that they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir.ir import (
    AffineDimExpr,
    AffineMapAttr,
    ArrayAttr,
    Attribute,
    BoolAttr,
    DenseI64ArrayAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    Operation,
    Type,
    Value,
    VectorType,
)

from .builder import is_differentiable, operations
from .errors import refuse
from .vector_elements import VectorElements, places

#: What combines two elements, by the kind of a reduction.
_FLOATS = {
    "add": "addf", "mul": "mulf", "minimumf": "minimumf", "maximumf": "maximumf", "minnumf": "minnumf",
    "maxnumf": "maxnumf",
}  # fmt: skip
_INTEGERS = {
    "add": "addi", "mul": "muli", "minsi": "minsi", "maxsi": "maxsi", "minui": "minui", "maxui": "maxui",
    "and": "andi", "or": "ori", "xor": "xori",
}  # fmt: skip
#: What changes nothing when it is combined; the infinite stands for the extremes of signed integers.
_NEUTRAL = {
    "add": 0, "mul": 1, "minimumf": float("inf"), "maximumf": -float("inf"), "minnumf": float("inf"),
    "maxnumf": -float("inf"), "minsi": float("inf"), "maxsi": -float("inf"), "minui": -1, "maxui": 0, "and": -1,
    "or": 0, "xor": 0,
}  # fmt: skip
_MASKABLE = frozenset(
    f"vector.{name}"
    for name in ("transfer_read", "transfer_write", "reduction", "multi_reduction", "contract", "outerproduct")
)


class VectorReductions(VectorElements):
    """A copier that writes those ops out."""

    #: The mask of the vector.mask that an op is in.
    mask: Value | None = None

    def copy_vector_reduction(self, op: Operation) -> None:
        if self.mask is None and (_kind(op) == "add" or not is_differentiable(op.results[0].type)):
            self.copy(op)
            return
        vector, *start = self.values(op.operands)
        self._vector(op, vector.type)
        self.map[op.results[0]] = self._combined(op, start, self.elements(vector), self._bits(vector.type))

    def copy_vector_multi_reduction(self, op: Operation) -> None:
        if self.mask is None and not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        vector, start = self.values(op.operands)
        type_ = self._vector(op, vector.type)
        gone = set(DenseI64ArrayAttr(op.attributes["reduction_dims"]))
        kept = [k for k in range(type_.rank) if k not in gone]
        results = self._results(start)
        for place, element, bit in zip(places(type_), self.elements(vector), self._bits(type_), strict=True):
            into = tuple(place[k] for k in kept)
            results[into] = self._combined(op, [results[into]], [element], [bit])
        self._give(op, results)

    def copy_vector_outerproduct(self, op: Operation) -> None:
        if self.mask is None and not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        left, right, *start = self.values(op.operands)
        columns = self.elements(right) if isinstance(right.type, VectorType) else [right]
        type_ = self._vector(op, op.results[0].type)
        times = "arith.mulf" if is_differentiable(type_) else "arith.muli"
        made = [self.b.value(times, [a, b], a.type) for a in self.elements(left) for b in columns]
        old = self.elements(start[0]) if start else [self._constant(made[0].type, 0)] * len(made)
        rest = zip(old, made, self._bits(type_), strict=True)
        self._gathered(op, [self._combined(op, [o], [m], [bit]) if start or bit else m for o, m, bit in rest])

    def copy_vector_contract(self, op: Operation) -> None:
        """Every product of the iteration space, added (or combined) to its place in the result."""
        if self.mask is None and not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        left, right, start = self.values(op.operands)
        maps = [_positions(a) for a in ArrayAttr(op.attributes["indexing_maps"])]
        sizes: dict[int, int] = {}
        for vector, axes in zip((left, right), maps, strict=False):
            sizes.update(zip(axes, self._vector(op, vector.type).shape, strict=True))
        space = VectorType.get([sizes[k] for k in range(len(sizes))], IntegerType.get_signless(1))
        self._vector(op, space)
        results = self._results(start)
        operands = [dict(zip(places(v.type), self.elements(v), strict=True)) for v in (left, right)]
        for point, bit in zip(places(space), self._bits(space), strict=True):
            at = [tuple(point[k] for k in axes) for axes in maps]
            a, b = (self._wider(op, taken[place], start.type) for taken, place in zip(operands, at, strict=False))
            product = self.b.value("arith.mulf" if is_differentiable(a.type) else "arith.muli", [a, b], a.type)
            results[at[2]] = self._combined(op, [results[at[2]]], [product], [bit])
        self._give(op, results)

    def copy_vector_scan(self, op: Operation) -> None:
        """Along one axis. The first element of an exclusive scan is the initial value, of an inclusive one its own."""
        if not is_differentiable(op.results[0].type):
            self.copy(op)
            return
        vector, start = self.values(op.operands)
        type_ = self._vector(op, vector.type)
        axis = IntegerAttr(op.attributes["reduction_dim"]).value
        elements = dict(zip(places(type_), self.elements(vector), strict=True))
        made, last = dict(elements), self._results(start)
        for place in places(type_):  # the axis' own order is that of the places
            rest, k = (*place[:axis], *place[axis + 1 :]), place[axis]
            if BoolAttr(op.attributes["inclusive"]).value:
                last[rest] = elements[place] if k == 0 else self._combined(op, [last[rest]], [elements[place]])
            elif k > 0:
                before = elements[place[:axis] + (k - 1,) + place[axis + 1 :]]
                last[rest] = self._combined(op, [last[rest]], [before])
            made[place] = last[rest]
        self._gathered(op, list(made.values()))
        self.map[op.results[1]] = self.b.value("vector.from_elements", list(last.values()), start.type)

    def copy_vector_mask(self, op: Operation) -> None:
        """The op inside, with the mask in mind; then `passthru` where the mask is not set."""
        self.mask, *passed = self.values(op.operands)
        mask = self.mask
        *inner, last = operations(op.regions[0].blocks[0])
        for masked in inner:
            if masked.name not in _MASKABLE:
                raise refuse(masked, f"{masked.name} within vector.mask", "use the op's own mask, or select")
            self.operation(masked)
        self.mask = None
        results = self.values(last.operands)
        if passed and list(VectorType(results[0].type).shape) != list(VectorType(mask.type).shape):
            raise refuse(op, "vector.mask with a passthru of another shape than its mask", "select afterwards")
        for result, value in zip(op.results, results, strict=True):
            if passed:
                value = self.b.value("arith.select", [mask, value, passed[0]], value.type)
            self.map[result] = value

    # parts ---------------------------------------------------------------------------------------------------------
    def _bits(self, type_: VectorType) -> Sequence[Value | None]:
        """For each element of a vector whether it counts; None: it does."""
        return [None] * len(places(type_)) if self.mask is None else self.elements(self.mask)

    def _results(self, start: Value) -> dict[tuple[int, ...], Value]:
        """What a result begins with, by its places: a vector's elements, or a number."""
        if not isinstance(start.type, VectorType):
            return {(): start}
        return dict(zip(places(start.type), self.elements(start), strict=True))

    def _give(self, op: Operation, results: dict[tuple[int, ...], Value]) -> None:
        if isinstance(op.results[0].type, VectorType):
            self._gathered(op, list(results.values()))
        else:
            self.map[op.results[0]] = results[()]

    def _wider(self, op: Operation, value: Value, like: Type) -> Value:
        """A factor in the type of the sum."""
        type_ = like.element_type if isinstance(like, VectorType) else like
        if value.type == type_:
            return value
        return self.b.value("arith.extf" if is_differentiable(type_) else "arith.extsi", [value], type_)

    def _combined(
        self, op: Operation, start: list[Value], terms: list[Value], bits: Sequence[Value | None] | None = None
    ) -> Value:
        """All terms that count combined, from `start` on if there is one."""
        kind, type_ = _kind(op), terms[0].type
        combine = (_FLOATS if is_differentiable(type_) else _INTEGERS).get(kind)
        if combine is None or str(type_).startswith("complex"):
            raise refuse(op, f"{op.name} of kind {kind} on {type_}")
        masked = bits is not None and bits[0] is not None
        if not start and masked:
            start = [self._constant(type_, _NEUTRAL[kind])]
        elif not start:
            start, terms = terms[:1], terms[1:]
        whole = start[0]
        for term, bit in zip(terms, bits if masked and bits else [None] * len(terms), strict=True):
            next_ = self.b.value(f"arith.{combine}", [whole, term], type_)
            whole = next_ if bit is None else self.b.value("arith.select", [bit, next_, whole], type_)
        return whole

    def _constant(self, type_: Type, value: float) -> Value:
        if is_differentiable(type_):
            return self.b.value("arith.constant", [], type_, {"value": FloatAttr.get(type_, value)})
        width = IntegerType(type_).width
        extremes = {float("inf"): 2 ** (width - 1) - 1, -float("inf"): -(2 ** (width - 1))}
        number = extremes[value] if value in extremes else int(value)
        return self.b.value("arith.constant", [], type_, {"value": IntegerAttr.get(type_, number)})


def _kind(op: Operation) -> str:
    return str(op.attributes["kind"]).removeprefix("#vector.kind<").removesuffix(">")


def _positions(attribute: Attribute) -> list[int]:
    """The dimensions of the iteration space that an operand of a contraction has, in its order."""
    return [AffineDimExpr(e).position for e in AffineMapAttr(attribute).value.results]

"""Rules of the vector ops that derivatives with several lanes are made of, so that they can be differentiated again.

Takes an op; leaves a rule that knows the op's positions and shapes. All of these ops are linear: each moves elements
around or adds them up. A tangent may have one dimension more in front than its primal (several directions at once);
every rule is written for one direction and applied to each lane in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir import ir

from dialects.rules.emission import LeafValue, build, constant
from dialects.rules.math import RULES as MATH
from dialects.rules.rule import CodeRule, MaybeValue, Rule

Values = Sequence[MaybeValue]
Types = Sequence[ir.Type]
Code = Callable[[LeafValue, Values, Types, ir.Location], list[MaybeValue]]

INACTIVE = frozenset(("vector.constant_mask", "vector.create_mask", "vector.step", "vector.vscale"))


def rule(op: ir.Operation) -> Rule | None:
    """The rule of a vector op, None where there is none."""
    make = _MAKERS.get(op.name)
    return make(op) if make is not None else None


def _linear(forward: Code, reverse: Code, op: ir.Operation, reads: Sequence[int] = ()) -> Rule:
    leaves = [("x", i) for i in reads]
    results, operands = [r.type for r in op.results], [o.type for o in op.operands]
    return CodeRule(
        _each_lane(forward, operands, results),
        _each_lane(reverse, results, operands),
        operands=len(op.operands),
        reads=leaves,
        formula=FORMULAS[op.name],
    )


def _each_lane(code: Code, given_types: Types, made_types: Types) -> Code:
    """`code` for tangents of the primal's shape, applied to every lane of tangents that have a dimension in front."""

    def apply(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        lanes = next((_lanes(t.type, p) for t, p in zip(given, given_types) if t is not None), None)
        if lanes is None:
            return code(leaf, given, made_types, loc)
        made: list[MaybeValue] = [None] * len(made_types)
        for k in range(lanes):
            parts = [None if t is None else extract(t, [k], loc) for t in given]
            for i, part in enumerate(code(leaf, parts, made_types, loc)):
                if part is not None:
                    into = made[i] if made[i] is not None else constant(0.0, _with_lanes(part.type, lanes), loc)
                    made[i] = insert(part, into, [k], loc)
        return made

    return apply


def _lanes(type: ir.Type, primal: ir.Type) -> int | None:
    """The size of the dimension that a tangent's type has in front of the primal's; None if it has none."""
    return None if type == primal else int(ir.VectorType(type).shape[0])


def _with_lanes(type: ir.Type, lanes: int) -> ir.Type:
    if isinstance(type, ir.VectorType):
        return ir.VectorType.get([lanes, *type.shape], type.element_type)
    return ir.VectorType.get([lanes], type)


# --- single ops


def extract(vector: ir.Value, position: Sequence[int], loc: ir.Location) -> ir.Value:
    """The element or sub-vector at a position."""
    type = ir.VectorType(vector.type)
    shape = list(type.shape)[len(position) :]
    result = ir.VectorType.get(shape, type.element_type) if shape else type.element_type
    return build("vector.extract", result, [vector], loc, _position(position))


def insert(part: ir.Value, vector: ir.Value, position: Sequence[int], loc: ir.Location) -> ir.Value:
    """The vector with an element or sub-vector replaced."""
    return build("vector.insert", vector.type, [part, vector], loc, _position(position))


def _position(position: Sequence[int]) -> dict[str, ir.Attribute]:
    return {"static_position": ir.DenseI64ArrayAttr.get(list(position))}


def sum_to(value: ir.Value, type: ir.Type, loc: ir.Location) -> ir.Value:
    """The sum over the dimensions that `value` has in front of those of `type`."""
    while value.type != type:
        vector = ir.VectorType(value.type)
        if vector.rank == 1:
            kind = {"kind": ir.Attribute.parse("#vector.kind<add>")}
            return build("vector.reduction", vector.element_type, [value], loc, kind)
        rows = [extract(value, [k], loc) for k in range(vector.shape[0])]
        value = rows[0]
        for row in rows[1:]:
            value = build("arith.addf", value.type, [value, row], loc)
    return value


def _only(values: Values) -> ir.Value:
    """The one tangent or cotangent there is."""
    (value,) = (v for v in values if v is not None)
    return value


# --- the rules


def _broadcast(op: ir.Operation) -> Rule | None:
    source, target = op.operands[0].type, ir.VectorType(op.results[0].type)
    if isinstance(source, ir.VectorType) and list(source.shape) != list(target.shape)[target.rank - source.rank :]:
        return None  # stretches a dimension of size 1, which no derivative of ours does

    def forward(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        return [build("vector.broadcast", types[0], [_only(given)], loc)]

    def reverse(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        return [sum_to(_only(given), types[0], loc)]

    return _linear(forward, reverse, op)


def _moving(op: ir.Operation, first_index: int) -> tuple[dict[str, ir.Attribute], list[int]]:
    """The position of an extract or insert: its attribute, and which operands are the dynamic indices in it."""
    position = {"static_position": op.attributes["static_position"]}
    return position, list(range(first_index, len(op.operands)))


def _extract(op: ir.Operation) -> Rule:
    position, indices = _moving(op, 1)

    def forward(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        at = [leaf("x", i) for i in indices]
        return [build("vector.extract", types[0], [_only(given), *at], loc, position)]

    def reverse(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        at = [leaf("x", i) for i in indices]
        zero = constant(0.0, types[0], loc)
        whole = build("vector.insert", types[0], [_only(given), zero, *at], loc, position)
        return [whole, *[None] * len(indices)]

    return _linear(forward, reverse, op, indices)


def _insert(op: ir.Operation) -> Rule:
    position, indices = _moving(op, 2)
    part_type, vector_type = op.operands[0].type, op.operands[1].type

    def forward(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        part, vector = (
            constant(0.0, type, loc) if t is None else t for t, type in zip(given, (part_type, vector_type))
        )
        at = [leaf("x", i) for i in indices]
        return [build("vector.insert", types[0], [part, vector, *at], loc, position)]

    def reverse(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        at, t = [leaf("x", i) for i in indices], _only(given)
        zero = constant(0.0, part_type, loc)
        part = build("vector.extract", part_type, [t, *at], loc, position)
        rest = build("vector.insert", vector_type, [zero, t, *at], loc, position)
        return [part, rest, *[None] * len(indices)]

    return _linear(forward, reverse, op, indices)


def _from_elements(op: ir.Operation) -> Rule:
    element = ir.VectorType(op.results[0].type).element_type

    def forward(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        parts = [constant(0.0, element, loc) if t is None else t for t in given]
        return [build("vector.from_elements", types[0], parts, loc)]

    def reverse(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        made = ir.Operation.create("vector.to_elements", results=list(types), operands=[_only(given)], loc=loc)
        return list(made.results)

    return _linear(forward, reverse, op)


def _to_elements(op: ir.Operation) -> Rule:
    element = ir.VectorType(op.operands[0].type).element_type

    def forward(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        made = ir.Operation.create("vector.to_elements", results=list(types), operands=[_only(given)], loc=loc)
        return list(made.results)

    def reverse(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        parts = [constant(0.0, element, loc) if t is None else t for t in given]
        return [build("vector.from_elements", types[0], parts, loc)]

    return _linear(forward, reverse, op)


def _shape_cast(op: ir.Operation) -> Rule:
    def both(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        return [build("vector.shape_cast", types[0], [_only(given)], loc)]

    return _linear(both, both, op)


def _transpose(op: ir.Operation) -> Rule:
    permutation = list(ir.DenseI64ArrayAttr(op.attributes["permutation"]))
    inverse = [permutation.index(i) for i in range(len(permutation))]

    def by(order: list[int]) -> Code:
        attributes = {"permutation": ir.DenseI64ArrayAttr.get(order)}
        return lambda leaf, given, types, loc: [build("vector.transpose", types[0], [_only(given)], loc, attributes)]

    return _linear(by(permutation), by(inverse), op)


def _reduction(op: ir.Operation) -> Rule | None:
    """The sum of a vector; other reductions are no linear ops."""
    if str(op.attributes["kind"]) != "#vector.kind<add>":
        return None

    def forward(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        terms = [t if t.type == types[0] else sum_to(t, types[0], loc) for t in given if t is not None]
        return [terms[0] if len(terms) == 1 else build("arith.addf", types[0], terms, loc)]

    def reverse(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
        t = _only(given)
        return [build("vector.broadcast", types[0], [t], loc), *[t for _ in types[1:]]]

    return _linear(forward, reverse, op)


_MAKERS: dict[str, Callable[[ir.Operation], Rule | None]] = {
    "vector.broadcast": _broadcast,
    "vector.extract": _extract,
    "vector.fma": lambda op: MATH["math.fma"],
    "vector.from_elements": _from_elements,
    "vector.insert": _insert,
    "vector.reduction": _reduction,
    "vector.shape_cast": _shape_cast,
    "vector.to_elements": _to_elements,
    "vector.transpose": _transpose,
}
FORMULAS = {
    "vector.broadcast": "forward: broadcast t; reverse: the sum of t over the new dimensions",
    "vector.extract": "forward: extract from t; reverse: insert t into 0",
    "vector.fma": MATH["math.fma"].text(),
    "vector.from_elements": "forward: the vector of t0, t1, ...; reverse: the elements of t",
    "vector.insert": "forward: insert t0 into t1; reverse: extract from t, and t with 0 in that place",
    "vector.reduction": "of kind add only; forward: the sum of t; reverse: t for every element",
    "vector.shape_cast": "both: t in the other shape",
    "vector.to_elements": "forward: the elements of t; reverse: the vector of t0, t1, ...",
    "vector.transpose": "both: t transposed",
}

"""Vector operations that upstream's conversion to LLVM has not: part of the table in `expand`.

Scans, and contractions other than sums, are written out; vectors of several axes go to and from memory as vectors of
the last axis.
"""

from __future__ import annotations

from itertools import product

from mlir.ir import (
    AffineDimExpr,
    AffineMapAttr,
    ArrayAttr,
    Attribute,
    BoolAttr,
    DenseI64ArrayAttr,
    IndexType,
    IntegerAttr,
    MemRefType,
    Operation,
    Value,
    VectorType,
)

from .rewriting import Builder, Rule, element_of, is_integer

_FLOATS = {
    "add": "addf", "mul": "mulf", "minimumf": "minimumf", "maximumf": "maximumf", "minnumf": "minnumf",
    "maxnumf": "maxnumf",
}  # fmt: skip
_INTEGERS = {
    "add": "addi", "mul": "muli", "minsi": "minsi", "maxsi": "maxsi", "minui": "minui", "maxui": "maxui",
    "and": "andi", "or": "ori", "xor": "xori",
}  # fmt: skip


def _combine(b: Builder, op: Operation, x: Value, y: Value) -> Value:
    kind = str(op.attributes["kind"]).removeprefix("#vector.kind<").removesuffix(">")
    table = _INTEGERS if is_integer(element_of(x.type)) else _FLOATS
    return b.same(f"arith.{table[kind]}", x, y)


def _at(position: tuple[int, ...]) -> Attribute:
    return DenseI64ArrayAttr.get(list(position))


def _extract(b: Builder, vector: Value, place: tuple[int, ...]) -> Value:
    if not place:
        return vector
    type = VectorType(vector.type)
    rest = list(type.shape)[len(place) :]
    part = VectorType.get(rest, type.element_type) if rest else type.element_type
    return b.op("vector.extract", part, vector, static_position=_at(place))


def _insert(b: Builder, part: Value, vector: Value, place: tuple[int, ...]) -> Value:
    return b.op("vector.insert", vector.type, part, vector, static_position=_at(place)) if place else part


def _contract(b: Builder, op: Operation) -> list[Value] | None:
    """Contractions of other kinds than sums: upstream has those alone."""
    if "<add>" in str(op.attributes["kind"]):
        return None
    left, right, result = op.operands
    maps = [
        [AffineDimExpr(e).position for e in AffineMapAttr(a).value.results]
        for a in ArrayAttr(op.attributes["indexing_maps"])
    ]
    sizes = {k: n for v, axes in ((left, maps[0]), (right, maps[1])) for k, n in zip(axes, VectorType(v.type).shape)}
    for point in product(*(range(sizes[k]) for k in range(len(sizes)))):
        first, second, into = (tuple(point[k] for k in axes) for axes in maps)
        times = "arith.muli" if is_integer(element_of(result.type)) else "arith.mulf"
        term = b.same(times, _extract(b, left, first), _extract(b, right, second))
        result = _insert(b, _combine(b, op, _extract(b, result, into), term), result, into)
    return [result]


def _scan(b: Builder, op: Operation) -> list[Value]:
    """Along one axis; what comes first is the initial value if it is exclusive, else the first element."""
    vector, start = op.operands
    axis = IntegerAttr(op.attributes["reduction_dim"]).value
    inclusive = BoolAttr(op.attributes["inclusive"]).value
    shape = list(VectorType(vector.type).shape)
    result = vector
    for rest in product(*(range(n) for k, n in enumerate(shape) if k != axis)):
        so_far = _extract(b, start, rest)
        before = so_far
        for k in range(shape[axis]):
            place = (*rest[:axis], k, *rest[axis:])
            element = _extract(b, vector, place)
            if inclusive:
                so_far = element if k == 0 else _combine(b, op, so_far, element)
                result = _insert(b, so_far, result, place)
            else:
                so_far = so_far if k == 0 else _combine(b, op, so_far, before)
                result = _insert(b, so_far, result, place)
                before = element
        start = _insert(b, so_far, start, rest)
    return [result, start]


def _rows(
    b: Builder, memref: Value, indices: list[Value], vector: VectorType
) -> list[tuple[tuple[int, ...], list[Value]]]:
    """The places of the rows of a vector, with the indices of each in memory."""
    index = IndexType.get()
    first = len(indices) - vector.rank
    found = []
    for place in product(*map(range, list(vector.shape)[:-1])):
        moved = [
            b.op("arith.addi", index, i, b.constant(index, k)) if k else i for i, k in zip(indices[first:], (*place, 0))
        ]
        found.append((place, indices[:first] + moved))
    return found


def _load(b: Builder, op: Operation) -> list[Value] | None:
    if VectorType(op.results[0].type).rank < 2 or _is_vector_memory(op.operands[0]):
        return None
    memref, *indices = op.operands
    return [_load_rows(b, memref, indices, VectorType(op.results[0].type))]


def _load_rows(b: Builder, memref: Value, indices: list[Value], vector: VectorType) -> Value:
    row = VectorType.get([vector.shape[-1]], vector.element_type)
    result = b.constant(vector, 0)
    for place, at in _rows(b, memref, indices, vector):
        result = _insert(b, b.op("vector.load", row, memref, *at), result, place)
    return result


def _store(b: Builder, op: Operation) -> list[Value] | None:
    value, memref, *indices = op.operands
    if VectorType(value.type).rank < 2 or _is_vector_memory(memref):
        return None
    _store_rows(b, value, memref, indices)
    return []


def _store_rows(b: Builder, value: Value, memref: Value, indices: list[Value]) -> None:
    for place, at in _rows(b, memref, indices, VectorType(value.type)):
        b.effect("vector.store", _extract(b, value, place), memref, *at)


def _is_vector_memory(memref: Value) -> bool:
    return isinstance(MemRefType(memref.type).element_type, VectorType)


def _type_cast(b: Builder, op: Operation) -> list[Value] | None:
    """Loads and stores of memory that is seen as one vector. (LLVM would align that, and pad its rows.)"""
    memref = op.operands[0]
    index = IndexType.get()
    for user in [use.owner.operation for use in op.results[0].uses]:
        at = Builder(user, b.functions, b.body)
        start = [at.constant(index, 0) for _ in MemRefType(memref.type).shape]
        if user.name == "memref.load":
            user.results[0].replace_all_uses_with(_load_rows(at, memref, start, VectorType(user.results[0].type)))
        elif user.name == "memref.store":
            _store_rows(at, user.operands[0], memref, start)
        else:
            return None
        user.erase()
    return []


VECTOR_RULES: dict[str, Rule] = {
    "vector.contract": _contract,
    "vector.scan": _scan,
    "vector.load": _load,
    "vector.store": _store,
    "vector.type_cast": _type_cast,
}

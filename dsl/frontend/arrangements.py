"""NumPy's functions that put the elements of arrays into another order or another array: flip, roll, concatenate, tril.

Their parameters are NumPy's, and so is what is a view: flip, swapaxes, moveaxis and squeeze. diag and diagonal of a
matrix would be one of another form than arrays have here, and are array expressions that cannot be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir import ir
from mlir.dialects import arith

from .. import errors, types
from . import casts, creation, elementwise, gather, views
from .elementwise import LazyValue, Node, is_array, operand
from .indexing import slice_part
from .memory import Indices, Size, allocate, array_type, as_index, same_size, sizes_of
from .reductions import as_array, axes_of
from .scalars import describe
from .values import Builder, SliceValue, TupleValue, Value, constant
from .views import Part, expand, subview

_WHOLE = SliceValue(None, None, None)


class _ComputedNode(Node):
    """An element that a function of its place gives, from the elements of `source`: at the same place, or elsewhere."""

    def __init__(self, element: Callable[[Builder, Indices], Value], source: Sequence[Node], same_place: bool) -> None:
        self._element, self.source, self.same_place = element, source, same_place

    def element(self, b: Builder, indices: Indices) -> Value:
        return self._element(b, indices)

    def arrays(self) -> list[ir.Value]:
        return [a for node in self.source for a in node.arrays()]

    def elsewhere(self) -> list[ir.Value]:
        return [a for node in self.source for a in (node.elsewhere() if self.same_place else node.arrays())]


def _array(b: Builder, value: Value, name: str, least: int = 1) -> Value:
    if not is_array(value) or array_type(value).ndim < least:
        kind = "an array" if least <= 1 else f"an array of {least} dimensions or more"
        raise b.error(f"{name}() takes {kind}, not {describe(value.type)}")
    return value


def _known_int(b: Builder, value: Value | None, default: int, name: str) -> int:
    if value is None:
        return default
    if type(value.const) is not int:
        raise b.error(f"{name} must be an int known when compiling")
    return value.const


def _axis(b: Builder, value: Value, ndim: int) -> int:
    axes = axes_of(b, value, ndim)
    if len(axes) != 1:
        raise b.error("one axis is needed here, an int known when compiling")
    return axes[0]


# --- views


def flip(b: Builder, m: Value, axis: Value | None = None) -> Value:
    """np.flip: the elements in reverse order along axes, all if none is given."""
    m = _array(b, m, "flip").force(b)
    axes = axes_of(b, axis, array_type(m).ndim)
    backwards = SliceValue(None, None, constant(-1))
    items = [backwards if a in axes else _WHOLE for a in range(array_type(m).ndim)]
    return subview(b, m, [slice_part(b, item, size) for item, size in zip(items, sizes_of(b, m))])


def fliplr(b: Builder, m: Value) -> Value:
    return flip(b, _array(b, m, "fliplr", 2), constant(1))


def flipud(b: Builder, m: Value) -> Value:
    return flip(b, m, constant(0))


def swapaxes(b: Builder, a: Value, axis1: Value, axis2: Value) -> Value:
    """np.swapaxes: two dimensions change places."""
    a = _array(b, a, "swapaxes").force(b)
    order = list(range(array_type(a).ndim))
    one, two = (_axis(b, axis, len(order)) for axis in (axis1, axis2))
    order[one], order[two] = two, one
    return views.transpose(b, a, order)


def moveaxis(b: Builder, a: Value, source: Value, destination: Value) -> Value:
    """np.moveaxis of one dimension: the others keep their order."""
    a = _array(b, a, "moveaxis").force(b)
    ndim = array_type(a).ndim
    moved, to = (_axis(b, axis, ndim) for axis in (source, destination))
    order = [k for k in range(ndim) if k != moved]
    order.insert(to, moved)
    return views.transpose(b, a, order)


def squeeze(b: Builder, a: Value, axis: Value | None = None) -> Value:
    """np.squeeze: without dimensions of size 1, which must be named, as sizes are known only at run time."""
    a = _array(b, a, "squeeze").force(b)
    if axis is None or (axis.known and axis.const is None):
        raise b.error("squeeze() needs the axis here", "which dimensions have size 1 is known only at run time")
    axes = axes_of(b, axis, array_type(a).ndim)
    message = "cannot squeeze: the size of the axis is not 1"
    ok: ir.Value | None = None
    for number in axes:
        size = sizes_of(b, a)[number]
        if isinstance(size, int):
            if size != 1:
                raise b.error(message, cls=errors.KernelValueError)
            continue
        single = arith.cmpi(arith.CmpIPredicate.eq, size, b.index(1))
        ok = single if ok is None else arith.andi(ok, single)
    sizes = [size for k, size in enumerate(sizes_of(b, a)) if k not in axes]
    if ok is not None:
        if sizes:
            sizes = elementwise.guard_sizes(b, ok, sizes, message)
        else:
            b.check(ok, "ValueError", message)
    rest = iter(sizes)
    parts = [Part(0, 1, dropped=True) if k in axes else Part(0, next(rest)) for k in range(array_type(a).ndim)]
    return subview(b, a, parts)


# --- parts of matrices


def _triangle(name: str, keeps: arith.CmpIPredicate) -> Callable[..., Value]:
    def build(b: Builder, m: Value, k: Value | None = None) -> Value:
        node, sizes = operand(b, _array(b, m, name, 2))
        dtype = array_type(m).dtype
        offset = _index(b, constant(0) if k is None else k, "k")

        def element(b: Builder, indices: Indices) -> Value:
            kept = arith.cmpi(keeps, arith.subi(indices[-1], indices[-2]), offset)
            number = b.ir(node.element(b, indices))
            return Value(dtype, (arith.select(kept, number, b.number(0, dtype)),))

        return LazyValue(dtype, _ComputedNode(element, [node], True), sizes)

    return build


def _index(b: Builder, value: Value, name: str) -> ir.Value:
    """An integer argument as an MLIR index, which may be negative."""
    if not (isinstance(value.type, types.Scalar) and value.type.kind in "iu"):
        raise b.error(f"{name} must be an integer, not {describe(value.type)}")
    return arith.index_cast(ir.IndexType.get(), casts.coerce(b, value, types.int64))


tril = _triangle("tril", arith.CmpIPredicate.sle)
triu = _triangle("triu", arith.CmpIPredicate.sge)


def diagonal(b: Builder, a: Value, offset: Value | None = None) -> Value:
    """np.diagonal of a matrix: a[i, i + offset]."""
    node, (rows, columns) = operand(b, _matrix(b, a, "diagonal"))
    dtype = array_type(a).dtype
    k = _known_int(b, offset, 0, "the offset")
    down, right = max(-k, 0), max(k, 0)
    left = [arith.subi(as_index(b, s), b.index(less)) for s, less in ((rows, down), (columns, right))]
    size = arith.maxsi(arith.minsi(*left), b.index(0))

    def element(b: Builder, indices: Indices) -> Value:
        return node.element(b, [arith.addi(indices[0], b.index(down)), arith.addi(indices[0], b.index(right))])

    kept = "the diagonal is a view of the matrix, which cannot be kept here"
    return LazyValue(dtype, _ComputedNode(element, [node], False), [size], kept)


def _matrix(b: Builder, value: Value, name: str) -> Value:
    if not is_array(value) or array_type(value).ndim != 2:
        raise b.error(f"{name}() takes a matrix here, not {describe(value.type)}")
    return value


def diag(b: Builder, v: Value, k: Value | None = None) -> Value:
    """np.diag: the diagonal of a matrix, or the matrix with this diagonal."""
    if array_type(_array(b, v, "diag")).ndim != 1:
        return diagonal(b, v, k)
    node, (size,) = operand(b, v)
    dtype = array_type(v).dtype
    offset = _known_int(b, k, 0, "k")
    side = arith.addi(as_index(b, size), b.index(abs(offset)))

    def element(b: Builder, indices: Indices) -> Value:
        row, column = indices
        on = arith.cmpi(arith.CmpIPredicate.eq, arith.subi(column, row), b.index(offset))
        place = row if offset >= 0 else column  # in range where it is on the diagonal
        inside = arith.minsi(place, arith.maxsi(arith.subi(as_index(b, size), b.index(1)), b.index(0)))
        number = b.ir(node.element(b, [inside]))
        return Value(dtype, (arith.select(on, number, b.number(0, dtype)),))

    return LazyValue(dtype, _ComputedNode(element, [node], False), [side, side])


# --- longer arrays


def tile(b: Builder, A: Value, reps: Value) -> Value:
    """np.tile: the array, again and again along each dimension."""
    node, sizes = operand(b, _array(b, A, "tile"))
    counts = creation.shape_of(b, reps)
    if len(counts) > len(sizes):
        raise b.error("tile() gives no new dimensions here", "index with None first")
    counts = [1] * (len(sizes) - len(counts)) + counts
    longer = [size if count == 1 else views.element_count(b, [size, count]) for size, count in zip(sizes, counts)]

    def element(b: Builder, indices: Indices) -> Value:
        own = [i if c == 1 else arith.remui(i, as_index(b, s)) for i, s, c in zip(indices, sizes, counts)]
        return node.element(b, own)

    return LazyValue(array_type(A).dtype, _ComputedNode(element, [node], False), longer)


def repeat(b: Builder, a: Value, repeats: Value, axis: Value | None = None) -> Value:
    """np.repeat: each element (row, ...) that often, one after the other."""
    a = _array(b, a, "repeat")
    if axis is None and array_type(a).ndim != 1:
        raise b.error("repeat() of several dimensions needs the axis here", "or take .ravel() first")
    place = 0 if axis is None else _axis(b, axis, array_type(a).ndim)
    node, sizes = operand(b, a)
    (count,) = creation.shape_of(b, repeats)
    longer = list(sizes)
    longer[place] = views.element_count(b, [sizes[place], count])

    def element(b: Builder, indices: Indices) -> Value:
        own = list(indices)
        own[place] = arith.divui(own[place], as_index(b, count))
        return node.element(b, own)

    return LazyValue(array_type(a).dtype, _ComputedNode(element, [node], False), longer)


def _parts_of(b: Builder, arrays: Value, name: str) -> list[Value]:
    if not isinstance(arrays, TupleValue) or not arrays.elements:
        raise b.error(f"{name}() takes a tuple of arrays", f"such as np.{name}((a, b))")
    return [_array(b, a, name, 0) for a in arrays.elements]


def _joined_type(parts: Sequence[Value]) -> types.Scalar:
    dtype: types.Scalar = array_type(parts[0]).dtype
    for part in parts[1:]:
        dtype = types.promote(dtype, array_type(part).dtype)
    return dtype.strong


def concatenate(b: Builder, arrays: Value, axis: Value | None = None) -> Value:
    """np.concatenate: one array behind the other."""
    parts = _parts_of(b, arrays, "concatenate")
    return _concatenated(b, parts, constant(0) if axis is None else axis, "concatenate")


def _concatenated(b: Builder, parts: list[Value], axis: Value, name: str) -> Value:
    ndim = array_type(parts[0]).ndim
    if ndim == 0 or any(array_type(p).ndim != ndim for p in parts):
        raise b.error(f"{name}() takes arrays of one number of dimensions, 1 or more", cls=errors.KernelValueError)
    place = _axis(b, axis, ndim)
    sizes = [operand(b, p)[1] for p in parts]
    total: Size = sizes[0][place]
    starts: list[Size] = [0]
    for own in sizes[1:]:
        starts.append(total)
        total = _added(b, total, own[place])
    result = allocate(b, _joined_type(parts), [total if k == place else s for k, s in enumerate(sizes[0])])
    for part, start, own in zip(parts, starts, sizes):
        room = [Part(start, own[k]) if k == place else Part(0, sizes[0][k]) for k in range(ndim)]
        _check_sizes(b, own, sizes[0], place, name)
        elementwise.assign(b, subview(b, result, room), part)
    return result


def _check_sizes(b: Builder, own: Sequence[Size], wanted: Sequence[Size], place: int, name: str) -> None:
    """A part has the sizes of the first one along all dimensions but `place`."""
    message = f"{name}: the sizes of the arrays differ"
    for k, (size, room) in enumerate(zip(own, wanted)):
        if k == place or same_size(size, room):
            continue
        if isinstance(size, int) and isinstance(room, int):
            raise b.error(f"{message}: {size} and {room}", cls=errors.KernelValueError)
        b.check(arith.cmpi(arith.CmpIPredicate.eq, as_index(b, size), as_index(b, room)), "ValueError", message)


def _added(b: Builder, left: Size, right: Size) -> Size:
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    return arith.addi(as_index(b, left), as_index(b, right))


def stack(b: Builder, arrays: Value, axis: Value | None = None) -> Value:
    """np.stack: arrays of one shape as the rows of a new one, or along another new axis."""
    parts = _parts_of(b, arrays, "stack")
    place = _axis(b, constant(0) if axis is None else axis, array_type(parts[0]).ndim + 1)
    return _concatenated(b, [expand(b, p.force(b), [place]) for p in parts], constant(place), "stack")


def vstack(b: Builder, tup: Value) -> Value:
    """np.vstack: arrays below each other; those of one dimension are rows."""
    parts = _parts_of(b, tup, "vstack")
    rows = [expand(b, p.force(b), [0]) if array_type(p).ndim == 1 else p for p in parts]
    return _concatenated(b, rows, constant(0), "vstack")


def hstack(b: Builder, tup: Value) -> Value:
    """np.hstack: arrays beside each other; those of one dimension behind each other."""
    parts = _parts_of(b, tup, "hstack")
    return _concatenated(b, parts, constant(0 if array_type(parts[0]).ndim == 1 else 1), "hstack")


def column_stack(b: Builder, tup: Value) -> Value:
    """np.column_stack: arrays of one dimension are columns."""
    parts = _parts_of(b, tup, "column_stack")
    columns = [expand(b, p.force(b), [1]) if array_type(p).ndim == 1 else p for p in parts]
    return _concatenated(b, columns, constant(1), "column_stack")


def append(b: Builder, arr: Value, values: Value, axis: Value | None = None) -> Value:
    """np.append: a longer array."""
    arr = _array(b, arr, "append")
    if axis is None and array_type(arr).ndim != 1:
        raise b.error("append() to several dimensions needs the axis here")
    more = as_array(b, values)
    if array_type(more).ndim == 0:
        more = creation.filled(b, array_type(more).dtype, [1], values)
    return _concatenated(b, [arr, more], constant(0) if axis is None else axis, "append")


def pad(b: Builder, array: Value, pad_width: Value, mode: Value | None = None) -> Value:
    """np.pad with zeros: `pad_width` numbers on both sides, or (before, after), or one such pair a dimension."""
    node_sizes = operand(b, _array(b, array, "pad"))[1]
    if mode is not None and mode.const != "constant":
        raise b.error("pad() fills with zeros only", "assign to the margins of a larger array")
    pairs = _widths(b, pad_width, len(node_sizes))
    sizes = [_added(b, _added(b, s, low), high) for s, (low, high) in zip(node_sizes, pairs)]
    result = creation.filled(b, array_type(array).dtype, sizes, constant(0))
    elementwise.assign(b, subview(b, result, [Part(low, s) for s, (low, _) in zip(node_sizes, pairs)]), array)
    return result


def _widths(b: Builder, value: Value, ndim: int) -> list[tuple[Size, Size]]:
    items = value.elements if isinstance(value, TupleValue) else (value, value)
    if any(isinstance(item, TupleValue) for item in items):
        pairs = [creation.shape_of(b, item) for item in items]
    else:
        pairs = [creation.shape_of(b, TupleValue(tuple(items)))] * ndim
    if len(pairs) == 1:
        pairs = pairs * ndim
    pairs = [pair * 2 if len(pair) == 1 else pair for pair in pairs]
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise b.error("pad_width must be one number, a pair, or one pair for each dimension")
    return [(low, high) for low, high in pairs]


def roll(b: Builder, a: Value, shift: Value, axis: Value | None = None) -> Value:
    """np.roll: each element `shift` places on; what leaves at the end comes in at the start."""
    a = _array(b, a, "roll").force(b)
    ndim = array_type(a).ndim
    if (axis is None or (axis.known and axis.const is None)) and ndim != 1:
        raise b.error("roll() of several dimensions needs the axis here")
    place = 0 if ndim == 1 else _axis(b, axis or constant(0), ndim)
    sizes = sizes_of(b, a)
    length = as_index(b, sizes[place])
    safe = arith.maxsi(length, b.index(1))
    start = arith.remsi(_index(b, shift, "the shift"), safe)
    start = arith.select(arith.cmpi(arith.CmpIPredicate.slt, start, b.index(0)), arith.addi(start, length), start)
    rest = arith.subi(length, start)
    result = allocate(b, array_type(a).dtype, sizes)

    def part(offset: Size, size: Size) -> list[Part]:
        return [Part(offset, size) if k == place else Part(0, s) for k, s in enumerate(sizes)]

    elementwise.assign(b, subview(b, result, part(start, rest)), subview(b, a, part(0, rest)))
    elementwise.assign(b, subview(b, result, part(0, start)), subview(b, a, part(rest, start)))
    return result


def diff(b: Builder, a: Value, n: Value | None = None, axis: Value | None = None) -> Value:
    """np.diff: what each element is larger than the one before."""
    a = _array(b, a, "diff")
    place = _axis(b, constant(-1) if axis is None else axis, array_type(a).ndim)
    times = _known_int(b, n, 1, "n")
    if times < 0:
        raise b.error("n of diff() is negative", cls=errors.KernelValueError)
    for _ in range(times):
        a = a.force(b)
        sides = (SliceValue(constant(1), None, None), SliceValue(None, constant(-1), None))
        later, earlier = (
            subview(
                b, a, [slice_part(b, side if k == place else _WHOLE, s) for k, s in enumerate(sizes_of(b, a))]
            )
            for side in sides
        )  # fmt: skip
        op = "!=" if array_type(a).dtype.kind == "b" else "-"
        a = elementwise.compare(b, op, later, earlier) if op == "!=" else elementwise.binary(b, op, later, earlier)
    return a


def meshgrid(b: Builder, *xi: Value) -> Value:
    """np.meshgrid: the coordinates of all points of a grid, one array a coordinate."""
    axes = [operand(b, _array(b, x, "meshgrid")) for x in xi]
    if any(len(sizes) != 1 for _, sizes in axes):
        raise b.error("meshgrid() takes arrays of one dimension")
    order = list(range(len(axes)))
    if len(order) > 1:
        order[:2] = [1, 0]  # indexing="xy": the first coordinate runs along the second axis
    sizes = [axes[k][1][0] for k in order]

    def coordinate(number: int) -> Value:
        node = axes[number][0]
        along = order.index(number)

        def element(b: Builder, indices: Indices) -> Value:
            return node.element(b, [indices[along]])

        return LazyValue(array_type(xi[number]).dtype, _ComputedNode(element, [node], False), sizes).force(b)

    return TupleValue(tuple(coordinate(k) for k in range(len(axes))))


def take(b: Builder, a: Value, indices: Value, axis: Value | None = None) -> Value:
    """np.take: what indices choose along an axis."""
    a = _array(b, a, "take")
    if axis is None and array_type(a).ndim != 1:
        raise b.error("take() of several dimensions needs the axis here", "or index: a[:, indices]")
    place = 0 if axis is None else _axis(b, axis, array_type(a).ndim)
    return gather.load(b, a, [*[_WHOLE] * place, indices])

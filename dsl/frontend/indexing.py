"""`a[...]`: loads, stores and views, with Python's negative indices and NumPy's slices, newaxis and Ellipsis.

An index is never negative after `position`, but where bounds are not checked it may be too large, as in C. With
bounds checked, an index out of range records an IndexError; the access that was asked for then does not take place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir
from mlir.dialects import arith, scf

from .. import errors, types
from . import casts
from .elementwise import LazyValue, assign, is_array, materialise
from .memory import ArrayValue, ListValue, Size, array_type, as_index, load_element, sizes_of, store_element
from .scalars import describe
from .values import ELLIPSIS, NEWAXIS, Builder, SliceValue, TupleValue, Value
from .views import Part, expand, subview

_I = arith.CmpIPredicate
Index = Any  # a Value, a SliceValue, ELLIPSIS or NEWAXIS


def load(b: Builder, array: Value, index: Sequence[Index]) -> Value:
    """The element, or the view, at an index.

    An array expression is computed first, save where one element is asked for.
    """
    if isinstance(array, ListValue):
        return _load_from_list(b, array, index)
    items, new_axes = _normalise(b, array, index)
    if isinstance(array, LazyValue):
        if not _is_element(items):
            return load(b, array.force(b), index)
        positions, ok = _positions(b, items, array.sizes)
        return guarded_element(b, ok, array_type(array).dtype, lambda: array.node.element(b, positions))
    dtype = array_type(array).dtype
    if _is_element(items) and not new_axes:
        positions, ok = _positions(b, items, sizes_of(b, array))
        leaf = b.ir(array)
        return guarded_element(b, ok, dtype, lambda: Value(dtype, (load_element(b, leaf, positions, dtype),)))
    return _view(b, array, items, new_axes)


def _load_from_list(b: Builder, array: ListValue, index: Sequence[Index]) -> Value:
    """An element of a list literal; a slice of a list is a new list."""
    _check_list_index(b, index)
    found = load(b, ArrayValue(array_type(array), array.ir, array.sizes), index)
    if not is_array(found):
        return found
    if isinstance(index[0], SliceValue):
        found = materialise(b, found)
    return ListValue(array_type(found), found.ir, sizes_of(b, found))


def _check_list_index(b: Builder, index: Sequence[Index]) -> None:
    if len(index) != 1 or index[0] is ELLIPSIS or index[0] is NEWAXIS:
        raise b.error("a list has one index", "write a[i][j], or make it an array: np.array([...])")


def _check_list_store(b: Builder, array: ListValue, index: Sequence[Index], value: Value) -> None:
    """A list holds what is stored in it as it is: what an array of this type would convert is refused."""
    _check_list_index(b, index)
    if not isinstance(index[0], Value) or array_type(array).ndim != 1:
        raise b.error("only single numbers are stored in a list", "make it an array: np.array([...])")
    dtype = array_type(array).dtype
    if isinstance(value.type, types.Scalar) and types.promote(dtype, value.type).strong is not dtype:
        raise b.error(
            f"this list holds {dtype} numbers, and a {value.type} would be converted",
            "write its numbers as floats, or make it an array: np.array([...])",
        )


def store(b: Builder, array: Value, index: Sequence[Index], value: Value) -> None:
    """Set the element, or the elements of a view, to a scalar, array or array expression."""
    if isinstance(array, LazyValue):
        raise b.error("an array expression has no place to store to", "give it a name first")
    if isinstance(array, ListValue):
        _check_list_store(b, array, index, value)
    items, new_axes = _normalise(b, array, index)
    if not _is_element(items):
        assign(b, _view(b, array, items, new_axes), value)
        return
    dtype = array_type(array).dtype
    if is_array(value):
        if array_type(value).ndim > 0:
            raise b.error(
                f"an array cannot be stored in one element of an array of {dtype}",
                "store to a slice",
                errors.KernelValueError,
            )
        value = load(b, value, [])
    if not isinstance(value.type, types.Scalar):
        raise b.error(f"{describe(value.type)} cannot be stored in an array of {dtype}")
    number = casts.coerce(b, value, dtype)
    positions, ok = _positions(b, items, sizes_of(b, array))
    leaf = b.ir(array)
    if ok is None:
        store_element(b, number, leaf, positions, dtype)
        return
    branch = scf.IfOp(ok)
    with ir.InsertionPoint(branch.then_block):
        store_element(b, number, leaf, positions, dtype)
        scf.YieldOp([])


def element(b: Builder, array: Value, index: Value, what: str) -> tuple[list[ir.Value], ir.Value | None]:
    """The place of one element, given by an int or a tuple of them; and (bounds checked) whether it exists."""
    given = index.elements if isinstance(index, TupleValue) else (index,)
    items, _ = _normalise(b, array, given)
    if not _is_element(items):
        ndim = array_type(array).ndim
        raise b.error(f"{what}() takes the index of one element: {ndim} integers for an array of {ndim} dimensions")
    return _positions(b, items, sizes_of(b, array))


def _is_element(items: Sequence[Index]) -> bool:
    return all(isinstance(i, Value) for i in items)


def _normalise(b: Builder, array: Value, index: Sequence[Index]) -> tuple[list[Index], list[int]]:
    """One item (an integer Value or a SliceValue) for each dimension, and where the result gets new dimensions."""
    ndim = array_type(array).ndim
    for item in index:
        if isinstance(item, Value):
            check_integer(b, item)
    given = sum(1 for i in index if i is not ELLIPSIS and i is not NEWAXIS)
    check_count(b, index, given, ndim)
    full: list[Index] = []
    missing = [SliceValue(None, None, None)] * (ndim - given)
    for item in index:
        if item is ELLIPSIS:
            full += missing
            missing = []
        else:
            full.append(item)
    full += missing
    new_axes: list[int] = []
    place = 0
    for item in full:
        if item is NEWAXIS:
            new_axes.append(place)
        if not isinstance(item, Value):
            place += 1
    return [i for i in full if i is not NEWAXIS], new_axes


def check_count(b: Builder, index: Sequence[Index], given: int, ndim: int) -> None:
    """Refuse an index for `given` dimensions of an array that has fewer, or one with several ellipses."""
    if given > ndim:
        raise b.error(
            f"too many indices: the array has {ndim} dimension{'' if ndim == 1 else 's'}, and {given} were indexed",
            cls=errors.KernelIndexError,
        )
    if sum(1 for i in index if i is ELLIPSIS) > 1:
        raise b.error("an index can have only one '...'", cls=errors.KernelIndexError)


def check_integer(b: Builder, item: Value) -> None:
    """Refuse what is no integer as an index."""
    if isinstance(item.type, types.Scalar) and item.type.kind in "iu":
        return
    if isinstance(item.type, types.Scalar) and item.type.kind == "f":
        raise b.error(
            "an index must be an integer, not a float", "convert it with int(), or use // for whole quotients"
        )
    if isinstance(item.type, types.Scalar) and item.type.kind == "b":
        raise b.error(f"{describe(item.type)} is not supported as an index", "choose with np.where, or an `if`")
    raise b.error(f"an index must be an integer or a slice, not {describe(item.type)}")


def _positions(b: Builder, items: Sequence[Value], sizes: Sequence[Size]) -> tuple[list[ir.Value], ir.Value | None]:
    """Where the element is in each dimension, and (bounds checked) whether it exists."""
    positions = []
    ok: ir.Value | None = None
    for axis, (item, size) in enumerate(zip(items, sizes)):
        at, inside = position(b, item, size, axis)
        positions.append(at)
        if inside is not None:
            ok = inside if ok is None else arith.andi(ok, inside)
    return positions, ok


def position(
    b: Builder, item: Value, size: Size, axis: int, checked: bool = False
) -> tuple[ir.Value, ir.Value | None]:
    """An index as an MLIR index, counted from the end where negative;

    and an i1 that says that it is in range, if that is `checked` here or in the whole kernel.
    """
    if item.known:
        at = _known_position(b, int(item.const), size, axis)
    else:
        assert isinstance(item.type, types.Scalar)
        convert = arith.index_castui if item.type.kind == "u" else arith.index_cast
        at = convert(ir.IndexType.get(), b.ir(item))
        if item.type.kind == "i" and not item.nonneg:
            negative = arith.cmpi(_I.slt, at, b.index(0))
            at = arith.select(negative, arith.addi(at, as_index(b, size)), at)
    if not (checked or b.boundscheck):
        return at, None
    inside = arith.cmpi(_I.ult, at, as_index(b, size))
    b.check(inside, "IndexError", f"index out of bounds for axis {axis}", soft=True)
    return at, inside


def _known_position(b: Builder, index: int, size: Size, axis: int) -> ir.Value:
    if isinstance(size, int):
        if not -size <= index < size:
            raise b.error(
                f"index {index} is out of bounds for axis {axis} with size {size}", cls=errors.KernelIndexError
            )
        return b.index(index % size)
    if index >= 0:
        return b.index(index)
    return arith.addi(size, b.index(index))


def guarded_element(b: Builder, ok: ir.Value | None, dtype: types.Scalar, element: Any) -> Value:
    """The element, or 0 where `ok` is false."""
    if ok is None:
        return element()
    branch = scf.IfOp(ok, [b.type(dtype)], has_else=True)
    with ir.InsertionPoint(branch.then_block):
        scf.YieldOp([b.ir(element())])
    with ir.InsertionPoint(branch.else_block):
        scf.YieldOp([b.number(0, dtype)])
    return Value(dtype, (branch.results[0],))


# --- views


def _is_full(item: Index) -> bool:
    return isinstance(item, SliceValue) and all(
        part is None or (part.known and part.const is None) for part in (item.lower, item.upper, item.step)
    )


def _view(b: Builder, array: Value, items: Sequence[Index], new_axes: Sequence[int]) -> Value:
    view = array
    if not all(_is_full(i) for i in items):
        parts = []
        ok: ir.Value | None = None
        for axis, (item, size) in enumerate(zip(items, sizes_of(b, array))):
            if isinstance(item, SliceValue):
                parts.append(slice_part(b, item, size))
                continue
            at, inside = position(b, item, size, axis)
            if inside is not None:
                ok = inside if ok is None else arith.andi(ok, inside)
            known = item.const if item.known and item.const >= 0 else at
            parts.append(Part(known, 1, dropped=True))
        if ok is not None:
            parts = _nothing_unless(b, ok, parts)
        view = subview(b, array, parts)
    return expand(b, view, new_axes) if new_axes else view


def _nothing_unless(b: Builder, ok: ir.Value, parts: list[Part]) -> list[Part]:
    """The parts of a view that has no elements where a dropped dimension's index is out of range."""
    zero = b.index(0)
    safe = []
    for part in parts:
        if part.dropped:
            safe.append(Part(arith.select(ok, as_index(b, part.offset), zero), 1, dropped=True))
        else:
            safe.append(Part(part.offset, arith.select(ok, as_index(b, part.size), zero), part.step))
    return safe


def _bound(b: Builder, value: Value | None) -> Value | None:
    """A part of a slice; None where it is left out or None."""
    if value is None or (value.known and value.const is None):
        return None
    if not (isinstance(value.type, types.Scalar) and value.type.kind in "iu"):
        raise b.error(f"slice indices must be integers or None, not {describe(value.type)}")
    return value


def slice_part(b: Builder, item: SliceValue, size: Size) -> Part:
    """What `lower:upper:step` takes of a dimension, clamped as Python does it."""
    lower, upper, step = (_bound(b, v) for v in (item.lower, item.upper, item.step))
    if step is None or step.known:
        stride = 1 if step is None else int(step.const)
        if stride == 0:
            raise b.error("slice step cannot be zero", cls=errors.KernelValueError)
        return _known_step(b, lower, upper, stride, size)
    return _unknown_step(b, lower, upper, step, size)


def _to_index(b: Builder, value: Value) -> ir.Value:
    if value.known:
        return b.index(max(-(2**63), min(int(value.const), 2**63 - 1)))
    return arith.index_cast(ir.IndexType.get(), casts.coerce(b, value, types.int64))


def _known_step(b: Builder, lower: Value | None, upper: Value | None, step: int, size: Size) -> Part:
    known = [v is None or v.known for v in (lower, upper)]
    if isinstance(size, int) and all(known):
        bounds = (None if lower is None else lower.const, None if upper is None else upper.const)
        taken = range(size)[slice(*bounds, step)]
        return Part(taken.start if len(taken) else 0, len(taken), step)
    if step > 0:
        start = _clamp(b, lower, size, 0, size) if lower is not None else 0
        if upper is None and isinstance(start, int) and start == 0:
            length: Size = size
        else:
            end = _clamp(b, upper, size, 0, size) if upper is not None else size
            length = _length(b, start, end)
        if step > 1:
            length = _ceil_divide(b, as_index(b, length), b.index(step))
        return Part(start, length, step)
    last = arith.subi(as_index(b, size), b.index(1))
    start = _clamp(b, lower, size, -1, last) if lower is not None else last
    end = _clamp(b, upper, size, -1, last) if upper is not None else b.index(-1)
    length = _length(b, end, start)
    # where nothing is taken the start may be -1, which no view has
    return Part(arith.maxsi(start, b.index(0)), _ceil_divide(b, as_index(b, length), b.index(-step)), step)


def _clamp(b: Builder, value: Value, size: Size, low: int, high: Size) -> Size:
    """A bound, counted from the end where negative, and not outside of low..high."""
    if value.known and value.const == 0 and low == 0:
        return 0
    at = _to_index(b, value)
    if not value.nonneg:
        wrapped = arith.addi(at, as_index(b, size)) if not value.known or value.const < 0 else at
        at = wrapped if value.known else arith.select(arith.cmpi(_I.slt, at, b.index(0)), wrapped, at)
        at = arith.maxsi(at, b.index(low))
    return arith.minsi(at, as_index(b, high))


def _length(b: Builder, start: Size, end: Size) -> Size:
    """max(end - start, 0)."""
    if isinstance(start, int) and start == 0:
        return end  # which is not negative
    return arith.maxsi(arith.subi(as_index(b, end), as_index(b, start)), b.index(0))


def _ceil_divide(b: Builder, length: ir.Value, step: ir.Value) -> ir.Value:
    """The number of steps in a length, without overflow for large steps: (length + step - 1) / step for length > 0."""
    one, zero = b.index(1), b.index(0)
    whole = arith.addi(arith.divsi(arith.subi(length, one), step), one)
    return arith.select(arith.cmpi(_I.sgt, length, zero), whole, zero)


def _unknown_step(b: Builder, lower: Value | None, upper: Value | None, step: Value, size: Size) -> Part:
    """A slice whose step is known only at run time: both directions, and a choice."""
    stride = _to_index(b, step)
    zero, one = b.index(0), b.index(1)
    nonzero = arith.cmpi(_I.ne, stride, zero)
    b.check(nonzero, "ValueError", "slice step cannot be zero")
    forward = arith.cmpi(_I.sgt, stride, zero)
    length = as_index(b, size)
    low = arith.select(forward, zero, b.index(-1))
    high = arith.select(forward, length, arith.subi(length, one))

    def bound(value: Value | None, default: ir.Value) -> ir.Value:
        if value is None:
            return default
        at = _to_index(b, value)
        at = arith.select(arith.cmpi(_I.slt, at, zero), arith.addi(at, length), at)
        return arith.minsi(arith.maxsi(at, low), high)

    start = bound(lower, arith.select(forward, low, high))
    end = bound(upper, arith.select(forward, high, low))
    # the most negative step has no magnitude; any step as long as the array does the same
    magnitude = arith.minui(arith.select(forward, stride, arith.subi(zero, stride)), arith.addi(length, one))
    safe = arith.select(nonzero, magnitude, one)
    taken = arith.select(forward, arith.subi(end, start), arith.subi(start, end))
    count = arith.select(nonzero, _ceil_divide(b, taken, safe), zero)
    signed = arith.select(forward, safe, arith.subi(zero, safe))
    return Part(arith.maxsi(start, zero), count, signed)

"""Reductions of arrays and array expressions: one loop nest, in row-major order, over elements that are never stored.

Types as NumPy's: sums and products of integers and bools are int64 (uint64 of unsigned ones), means float64, floats
keep their type (16-bit ones are summed in float32). The maximum of nothing raises a ValueError.
"""

from __future__ import annotations

import math as python_math
from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir
from mlir.dialects import arith, math, memref, scf

from .. import errors, types
from . import arithmetic, casts, elementwise
from .compositions import extremum, python_extremum
from .elementwise import LazyValue, is_array, materialise, operand
from .memory import Indices, Size, allocate, array_type, as_index, nest, nest_carrying, store_element
from .operations import Function
from .scalars import compare_numbers, describe
from .values import Builder, TupleValue, Value, constant
from .views import element_count

Step = Callable[[Value, Indices, list[ir.Value]], list[ir.Value]]
Finish = Callable[[list[ir.Value]], ir.Value]


def axes_of(b: Builder, axis: Value | None, ndim: int) -> list[int]:
    """The axes that an `axis` argument names; all where it is left out or None."""
    if axis is None or (axis.known and axis.const is None):
        return list(range(ndim))
    given = axis.const if axis.known else None
    names = given if isinstance(given, tuple) else (given,)
    if any(type(a) is not int for a in names):
        raise b.error("an axis must be an int (or a tuple of ints) known when compiling")
    for a in names:
        if not -ndim <= a < ndim:
            raise b.error(
                f"axis {a} is out of bounds for an array of {ndim} dimension{'' if ndim == 1 else 's'}",
                cls=errors.KernelIndexError,
            )
    axes = sorted(a % ndim for a in names)
    if len(set(axes)) != len(axes):
        raise b.error("an axis is named twice", cls=errors.KernelValueError)
    return axes


def flag(b: Builder, value: Value | None, name: str) -> bool:
    """An argument that must be a constant True or False."""
    if value is None:
        return False
    if not value.known:
        raise b.error(f"{name} must be known when compiling")
    return bool(value.const)


def as_array(b: Builder, value: Value) -> Value:
    """An array, or a scalar or tuple as one."""
    if is_array(value):
        return value
    if isinstance(value.type, types.Scalar):
        return LazyValue(value.type.strong, elementwise.ScalarNode(value), [])
    if isinstance(value, TupleValue):
        from .creation import array

        return array(b, value)
    raise b.error(f"expected an array, not {describe(value.type)}")


def reduce_elements(
    b: Builder,
    array: Value,
    axes: Sequence[int],
    keepdims: bool,
    dtype: types.Scalar,
    initial: Sequence[ir.Value],
    step: Step,
    finish: Finish,
) -> Value:
    """The general reduction:

    `step` from each element and the carried values to the next ones, `finish` to the result.
    """
    node, sizes = operand(b, array)
    reduced = [sizes[a] for a in axes]
    kept = [a for a in range(len(sizes)) if a not in axes]

    def inner(outer: Indices) -> ir.Value:
        def body(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
            by_axis = dict(zip([*kept, *axes], [*outer, *indices]))
            position = [by_axis[axis] for axis in range(len(sizes))]
            return step(node.element(b, position), position, carried)

        return finish(nest_carrying(b, reduced, initial, body))

    if not kept and not keepdims:
        return Value(dtype, (inner([]),))
    shape: list[Size] = [(1 if a in axes else sizes[a]) for a in range(len(sizes)) if keepdims or a in kept]
    result = allocate(b, dtype, shape)

    def store(outer: Indices) -> None:
        place = outer
        if keepdims:
            of_kept = iter(outer)
            place = [b.index(0) if a in axes else next(of_kept) for a in range(len(sizes))]
        store_element(b, inner(outer), result.ir, place, dtype)

    nest(b, [sizes[a] for a in kept], store)
    return result


def sum_type(dtype: types.Scalar) -> types.Scalar:
    """The type of a sum or product."""
    if dtype.kind in "bi":
        return types.int64
    return types.uint64 if dtype.kind == "u" else dtype


def _fold_type(dtype: types.Scalar) -> types.Scalar:
    return types.float32 if casts.is_half(dtype) else dtype


def _accumulate(
    b: Builder,
    array: Value,
    axes: Sequence[int],
    keepdims: bool,
    dtype: types.Scalar,
    start: Any,
    combine: Callable[[Builder, ir.Value, ir.Value, types.Scalar], ir.Value],
    finish: Callable[[ir.Value, types.Scalar], ir.Value] | None = None,
) -> Value:
    inside = _fold_type(dtype)

    def step(element: Value, _: Indices, carried: list[ir.Value]) -> list[ir.Value]:
        return [combine(b, carried[0], casts.coerce(b, element, inside), inside)]

    def end(carried: list[ir.Value]) -> ir.Value:
        last = carried[0] if finish is None else finish(carried[0], inside)
        return casts.cast(b, last, inside, dtype)

    return reduce_elements(b, array, axes, keepdims, dtype, [b.number(start, inside)], step, end)


def _add_up(
    b: Builder,
    array: Value,
    axes: Sequence[int],
    keepdims: bool,
    dtype: types.Scalar,
    finish: Callable[[ir.Value, types.Scalar], ir.Value] | None = None,
) -> Value:
    """The sum along axes. Where the last one is kept, whole rows are added up, so that memory is read in order."""
    node, sizes = operand(b, array)
    kept = [a for a in range(len(sizes)) if a not in axes]
    if len(sizes) - 1 not in kept or not axes or casts.is_half(dtype):
        return _accumulate(b, array, axes, keepdims, dtype, 0, arithmetic.add, finish)
    result = allocate(b, dtype, [1 if a in axes else sizes[a] for a in range(len(sizes)) if keepdims or a in kept])

    def place(indices: Indices) -> Indices:
        return [b.index(0) if a in axes else indices[a] for a in range(len(sizes)) if keepdims or a in kept]

    elementwise.assign(b, result, constant(0))

    def add(indices: Indices) -> None:
        element = casts.coerce(b, node.element(b, indices), dtype)
        total = memref.load(result.ir, place(indices))
        memref.store(arithmetic.add(b, total, element, dtype), result.ir, place(indices))

    nest(b, sizes, add)
    if finish is not None:

        def end(indices: Indices) -> None:
            memref.store(finish(memref.load(result.ir, indices), dtype), result.ir, indices)

        nest(b, result.sizes, end)
    return result


def _dtype_argument(b: Builder, dtype: Value | None, default: types.Scalar) -> types.Scalar:
    from .creation import dtype_of

    found = dtype_of(b, dtype, default)
    if found.kind == "b":
        raise b.error("sums and products of dtype bool are not supported", "use np.any and np.all")
    return found


def sum_(
    b: Builder, a: Value, axis: Value | None = None, dtype: Value | None = None, keepdims: Value | None = None
) -> Value:
    a = as_array(b, a)
    type_ = _dtype_argument(b, dtype, sum_type(array_type(a).dtype))
    return _add_up(b, a, axes_of(b, axis, array_type(a).ndim), flag(b, keepdims, "keepdims"), type_)


def prod(
    b: Builder, a: Value, axis: Value | None = None, dtype: Value | None = None, keepdims: Value | None = None
) -> Value:
    a = as_array(b, a)
    type_ = _dtype_argument(b, dtype, sum_type(array_type(a).dtype))
    axes = axes_of(b, axis, array_type(a).ndim)
    return _accumulate(b, a, axes, flag(b, keepdims, "keepdims"), type_, 1, arithmetic.multiply)


def _count(b: Builder, array: Value, axes: Sequence[int]) -> Size:
    sizes = operand(b, array)[1]
    return element_count(b, [sizes[a] for a in axes])


def _float_count(b: Builder, count: Size, t: types.Scalar, less: int = 0) -> ir.Value:
    whole = b.i64(count) if isinstance(count, int) else arith.index_cast(b.shared.type("i64"), count)
    if less:
        whole = arith.maxsi(arith.subi(whole, b.i64(less)), b.i64(0))
    return casts.cast(b, whole, types.int64, t)


def mean(
    b: Builder, a: Value, axis: Value | None = None, dtype: Value | None = None, keepdims: Value | None = None
) -> Value:
    a = as_array(b, a)
    own = array_type(a).dtype
    type_ = _dtype_argument(b, dtype, own if own.kind in "fc" else types.float64)
    if type_.kind not in "fc":
        raise b.error(f"the mean in dtype {type_} is not supported", "leave dtype out, or give a float")
    axes = axes_of(b, axis, array_type(a).ndim)
    count = _count(b, a, axes)

    def divide(total: ir.Value, t: types.Scalar) -> ir.Value:
        return arithmetic.true_divide(b, total, _float_count(b, count, t), t)

    return _add_up(b, a, axes, flag(b, keepdims, "keepdims"), type_, divide)


def _variance(
    b: Builder, a: Value, axis: Value | None, ddof: Value | None, keepdims: Value | None, root: bool
) -> Value:
    a = as_array(b, a)
    if isinstance(a, LazyValue):
        a = materialise(b, a)  # it is read twice
    dtype = array_type(a).dtype
    if dtype.kind == "c":
        raise b.error("the variance of complex numbers is not supported", "take that of .real and .imag")
    type_ = dtype if dtype.kind == "f" else types.float64
    less = 0
    if ddof is not None:
        if not (ddof.known and type(ddof.const) is int):
            raise b.error("ddof must be an int known when compiling")
        less = ddof.const
    axes = axes_of(b, axis, array_type(a).ndim)
    count = _count(b, a, axes)
    means = mean(b, a, axis, None, constant(True))
    deviations = elementwise.binary(b, "-", a, means)
    squares = elementwise.binary(b, "*", deviations, deviations)

    def divide(total: ir.Value, t: types.Scalar) -> ir.Value:
        variance = arith.divf(total, _float_count(b, count, t, less))
        return math.sqrt(variance) if root else variance

    return _add_up(b, as_array(b, squares), axes, flag(b, keepdims, "keepdims"), type_, divide)


def var(
    b: Builder, a: Value, axis: Value | None = None, ddof: Value | None = None, keepdims: Value | None = None
) -> Value:
    return _variance(b, a, axis, ddof, keepdims, False)


def std(
    b: Builder, a: Value, axis: Value | None = None, ddof: Value | None = None, keepdims: Value | None = None
) -> Value:
    return _variance(b, a, axis, ddof, keepdims, True)


# --- extrema


def _lowest(which: str, t: types.Scalar) -> Any:
    """What every number is at least ("max"), or at most ("min")."""
    upper = which == "max"
    if t.kind == "f":
        return -python_math.inf if upper else python_math.inf
    if t.kind == "b":
        return not upper
    if t.kind == "u":
        return 0 if upper else (1 << t.bits) - 1
    return -(1 << (t.bits - 1)) if upper else (1 << (t.bits - 1)) - 1


def _check_not_empty(b: Builder, count: Size, what: str) -> None:
    message = f"{what} of an empty array"
    if isinstance(count, int):
        if count == 0:
            raise b.error(message, cls=errors.KernelValueError)
        return
    b.check(arith.cmpi(arith.CmpIPredicate.ne, count, b.index(0)), "ValueError", message)


def _extremum(which: str) -> Callable[..., Value]:
    def reduction(b: Builder, a: Value, axis: Value | None = None, keepdims: Value | None = None) -> Value:
        a = as_array(b, a)
        dtype = array_type(a).dtype
        if dtype.kind == "c":
            raise b.error(f"the {which} of complex numbers is not supported", "take that of abs()")
        axes = axes_of(b, axis, array_type(a).ndim)
        _check_not_empty(b, _count(b, a, axes), which)

        def combine(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
            return extremum(b, which, x, y, t)

        start = _lowest(which, _fold_type(dtype))
        return _accumulate(b, a, axes, flag(b, keepdims, "keepdims"), dtype, start, combine)

    return reduction


max_, min_ = _extremum("max"), _extremum("min")


def _argument(which: str) -> Callable[..., Value]:
    """The place of the first largest (smallest) element; that of the first NaN where there is one."""

    def reduction(b: Builder, a: Value, axis: Value | None = None, keepdims: Value | None = None) -> Value:
        a = as_array(b, a)
        dtype = array_type(a).dtype
        if dtype.kind == "c":
            raise b.error(f"arg{which} of complex numbers is not supported", "take that of abs()")
        axes = axes_of(b, axis, array_type(a).ndim)
        sizes = operand(b, a)[1]
        _check_not_empty(b, _count(b, a, axes), f"arg{which}")
        inside = _fold_type(dtype)

        def step(element: Value, position: Indices, carried: list[ir.Value]) -> list[ir.Value]:
            best, place = carried
            x = casts.coerce(b, element, inside)
            better = compare_numbers(b, ">" if which == "max" else "<", x, best, inside)
            if inside.kind == "f":
                new_nan = arith.andi(
                    arith.cmpf(arith.CmpFPredicate.UNO, x, x), arith.cmpf(arith.CmpFPredicate.ORD, best, best)
                )
                better = arith.ori(better, new_nan)
            here: ir.Value = b.index(0)
            for number, axis in enumerate(axes):
                here = (
                    position[axis]
                    if number == 0
                    else arith.addi(arith.muli(here, as_index(b, sizes[axis])), position[axis])
                )
            here = arith.index_cast(b.shared.type("i64"), here)
            return [arith.select(better, x, best), arith.select(better, here, place)]

        initial = [b.number(_lowest(which, inside), inside), b.i64(0)]
        keep = flag(b, keepdims, "keepdims")
        return reduce_elements(b, a, axes, keep, types.int64, initial, step, lambda carried: carried[1])

    return reduction


argmax, argmin = _argument("max"), _argument("min")


def _logical(start: bool, combine: Callable[[ir.Value, ir.Value], ir.Value]) -> Callable[..., Value]:
    def reduction(b: Builder, a: Value, axis: Value | None = None, keepdims: Value | None = None) -> Value:
        a = as_array(b, a)
        axes = axes_of(b, axis, array_type(a).ndim)
        keep = flag(b, keepdims, "keepdims")
        return _accumulate(b, a, axes, keep, types.bool_, start, lambda _, x, y, t: combine(x, y))

    return reduction


any_, all_ = _logical(False, arith.ori), _logical(True, arith.andi)


def count_nonzero(b: Builder, a: Value, axis: Value | None = None, keepdims: Value | None = None) -> Value:
    ones = elementwise.call(b, _NONZERO, (as_array(b, a),))
    return sum_(b, ones, axis, None, keepdims)


_NONZERO = Function(
    "count_nonzero",
    lambda b, args: types.int64,
    lambda b, args, t: casts.cast(b, casts.coerce(b, args[0], types.bool_), types.bool_, t),
)


# --- Python's own max and min of a one-dimensional array


def python_fold(b: Builder, which: str, a: Value) -> Value:
    """max(a) of an array with one dimension, with Python's comparisons, for which the place of a NaN matters."""
    if array_type(a).ndim != 1:
        raise b.error(
            f"{which}() of an array with {array_type(a).ndim} dimensions compares its rows", f"use np.{which}"
        )
    dtype = array_type(a).dtype
    if dtype.kind == "c":
        raise b.error(f"the {which} of complex numbers is not defined")
    node, sizes = operand(b, a)
    _check_not_empty(b, sizes[0], which)
    present = arith.cmpi(arith.CmpIPredicate.ne, as_index(b, sizes[0]), b.index(0))
    first = scf.IfOp(present, [b.type(dtype)], has_else=True)
    with ir.InsertionPoint(first.then_block):
        scf.YieldOp([b.ir(node.element(b, [b.index(0)]))])
    with ir.InsertionPoint(first.else_block):
        scf.YieldOp([b.number(0, dtype)])

    def step(element: Value, _: Indices, carried: list[ir.Value]) -> list[ir.Value]:
        return [python_extremum(b, which, carried[0], b.ir(element), dtype)]

    return reduce_elements(b, a, [0], False, dtype, [first.results[0]], step, lambda carried: carried[0])


# --- running sums


def _cumulative(start: int, combine: Callable[..., ir.Value]) -> Callable[..., Value]:
    def scan(b: Builder, a: Value, axis: Value | None = None, dtype: Value | None = None) -> Value:
        a = as_array(b, a)
        if array_type(a).ndim != 1:
            raise b.error("running sums and products are supported of one dimension only", "loop over the rows")
        axes_of(b, axis, 1)
        type_ = _dtype_argument(b, dtype, sum_type(array_type(a).dtype))
        node, sizes = operand(b, a)
        result = allocate(b, type_, sizes)

        def body(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
            element = casts.coerce(b, node.element(b, indices), type_)
            total = combine(b, carried[0], element, type_)
            memref.store(total, result.ir, indices)
            return [total]

        nest_carrying(b, sizes, [b.number(start, type_)], body)
        return result

    return scan


cumsum, cumprod = _cumulative(0, arithmetic.add), _cumulative(1, arithmetic.multiply)

"""New arrays: zeros, ones, empty, full and their `_like`s, arange, linspace, eye, list literals, copies.

A size that is negative at run time raises a ValueError. Arguments are Values; shapes are ints or tuples of ints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlir import ir
from mlir.dialects import arith, math

from .. import errors, types
from . import arithmetic, casts
from .elementwise import assign, is_array, materialise, operand
from .memory import ArrayValue, Indices, ListValue, Size, allocate, array_type, nest, store_element
from .scalars import binary_type, describe
from .values import Builder, TupleValue, Value, constant


def dtype_of(b: Builder, value: Value | None, default: types.Scalar) -> types.Scalar:
    """The scalar type that a dtype argument names; the default where it is left out or None."""
    if value is None or (value.known and value.const is None):
        return default
    if value.known and not isinstance(value.type, types.Scalar):
        try:
            return types.from_dtype(value.const)
        except TypeError as error:
            raise b.error(str(error)) from None
    raise b.error(f"a dtype must be a type known when compiling, not {describe(value.type)}", "such as np.float32")


def result_type(b: Builder, *arrays_and_dtypes: Value) -> Value:
    """np.result_type: the type that arrays, numbers and dtypes promote to."""
    if not arrays_and_dtypes:
        raise b.error("result_type() needs an argument")
    joined: types.Scalar | None = None
    for value in arrays_and_dtypes:
        own = value.type
        if not isinstance(own, types.Scalar):
            own = array_type(value).dtype if is_array(value) else dtype_of(b, value, types.float64)
        joined = own if joined is None else types.promote(joined, own)
    assert joined is not None
    return Value(types.Literal(joined.strong), const=joined.strong)


def shape_of(b: Builder, value: Value) -> list[Size]:
    """The sizes that a shape argument gives."""
    items = value.elements if isinstance(value, TupleValue) else (value,)
    return [_size_of(b, item) for item in items]


def _size_of(b: Builder, value: Value) -> Size:
    if not (isinstance(value.type, types.Scalar) and value.type.kind in "iu"):
        raise b.error(f"a size must be an integer, not {describe(value.type)}", "convert it with int()")
    if value.known:
        if value.const < 0:
            raise b.error("negative dimensions are not allowed", cls=errors.KernelValueError)
        return int(value.const)
    size = arith.index_cast(ir.IndexType.get(), casts.coerce(b, value, types.int64))
    if value.nonneg:
        return size
    zero = b.index(0)
    ok = arith.cmpi(arith.CmpIPredicate.sge, size, zero)
    b.check(ok, "ValueError", "negative dimensions are not allowed")
    return arith.maxsi(size, zero)


def filled(b: Builder, dtype: types.Scalar, sizes: Sequence[Size], value: Value) -> ArrayValue:
    """A new array with one number everywhere."""
    result = allocate(b, dtype, sizes)
    assign(b, result, value)
    return result


def _full(number: Any) -> Any:
    def create(b: Builder, shape: Value, dtype: Value | None = None) -> Value:
        return filled(b, dtype_of(b, dtype, types.float64), shape_of(b, shape), constant(number))

    return create


zeros, ones = _full(0), _full(1)


def empty(b: Builder, shape: Value, dtype: Value | None = None) -> Value:
    return allocate(b, dtype_of(b, dtype, types.float64), shape_of(b, shape))


def full(b: Builder, shape: Value, fill_value: Value, dtype: Value | None = None) -> Value:
    if not isinstance(fill_value.type, types.Scalar):
        raise b.error(f"full() takes a number to fill with, not {describe(fill_value.type)}")
    return filled(b, dtype_of(b, dtype, fill_value.type.strong), shape_of(b, shape), fill_value)


def _template(b: Builder, value: Value) -> tuple[types.Scalar, list[Size]]:
    if isinstance(value.type, types.Scalar):
        return value.type.strong, []
    if not is_array(value):
        raise b.error(f"expected an array, not {describe(value.type)}")
    return array_type(value).dtype, operand(b, value)[1]


def _like(number: Any) -> Any:
    def create(b: Builder, a: Value, dtype: Value | None = None) -> Value:
        default, sizes = _template(b, a)
        return filled(b, dtype_of(b, dtype, default), sizes, constant(number))

    return create


zeros_like, ones_like = _like(0), _like(1)


def empty_like(b: Builder, a: Value, dtype: Value | None = None) -> Value:
    default, sizes = _template(b, a)
    return allocate(b, dtype_of(b, dtype, default), sizes)


def full_like(b: Builder, a: Value, fill_value: Value, dtype: Value | None = None) -> Value:
    default, sizes = _template(b, a)
    return filled(b, dtype_of(b, dtype, default), sizes, fill_value)


# --- from values


def from_elements(b: Builder, elements: Sequence[Any], dtype: types.Scalar | None = None) -> Value:
    """The array of a list literal: numbers, or lists of equal lengths of them, nested."""
    shape = _literal_shape(b, elements)
    numbers = _flatten(elements)
    for number in numbers:
        if not isinstance(number.type, types.Scalar):
            raise b.error(
                f"a list in a kernel is an array of numbers; {describe(number.type)} is none",
                "fill an array of dsl.zeros in a loop, or make a tuple",
            )
    if dtype is None:
        joined: types.Type = numbers[0].type if numbers else types.float64
        for number in numbers[1:]:
            assert isinstance(joined, types.Scalar) and isinstance(number.type, types.Scalar)
            joined = types.promote(joined, number.type)
        assert isinstance(joined, types.Scalar)
        dtype = joined.strong
    fresh = allocate(b, dtype, shape)
    result = ListValue(array_type(fresh), fresh.ir, shape)
    for place, number in enumerate(numbers):
        indices: Indices = []
        for size in reversed(shape):
            indices.insert(0, b.index(place % size))
            place //= size
        store_element(b, casts.coerce(b, number, dtype), result.ir, indices, dtype)
    return result


def _literal_shape(b: Builder, elements: Sequence[Any]) -> list[int]:
    inner = [_literal_shape(b, e) if isinstance(e, (list, tuple)) else [] for e in elements]
    if any(shape != inner[0] for shape in inner):
        raise b.error(
            "the rows of a list differ in length", "an array's rows all have one length", errors.KernelValueError
        )
    return [len(elements), *(inner[0] if inner else [])]


def _flatten(elements: Sequence[Any]) -> list[Value]:
    flat: list[Value] = []
    for e in elements:
        flat += _flatten(e) if isinstance(e, (list, tuple)) else [e]
    return flat


def _nested(value: Value) -> Any:
    """A tuple value as nested lists."""
    return [_nested(e) for e in value.elements] if isinstance(value, TupleValue) else value


def array(b: Builder, a: Value, dtype: Value | None = None) -> Value:
    """np.array: always a new array."""
    if isinstance(a, TupleValue):
        return from_elements(b, _nested(a), None if dtype is None else dtype_of(b, dtype, types.float64))
    if isinstance(a.type, types.Scalar):
        return filled(b, dtype_of(b, dtype, a.type.strong), [], a)
    return astype(b, a, dtype)


def asarray(b: Builder, a: Value, dtype: Value | None = None) -> Value:
    """np.asarray: the array itself where it has the type already."""
    if is_array(a) and not isinstance(a, ListValue) and dtype_of(b, dtype, array_type(a).dtype) is array_type(a).dtype:
        return a
    return array(b, a, dtype)


def astype(b: Builder, a: Value, dtype: Value | None = None) -> Value:
    """A new array of another element type."""
    if not is_array(a):
        raise b.error(f"expected an array, not {describe(a.type)}")
    wanted = dtype_of(b, dtype, array_type(a).dtype)
    result = allocate(b, wanted, operand(b, a)[1])
    assign(b, result, a)
    return result


def copy(b: Builder, a: Value) -> Value:
    """np.copy and .copy()."""
    return materialise(b, a) if is_array(a) else array(b, a)


# --- sequences


def arange(
    b: Builder, start: Value, stop: Value | None = None, step: Value | None = None, dtype: Value | None = None
) -> Value:
    """np.arange: start + i * step, as many as there are below stop."""
    if stop is None:
        start, stop = constant(0), start
    step = constant(1) if step is None else step
    computed = types.pyint
    for value in (start, stop, step):
        computed = binary_type(b, "+", Value(computed), value, False)
    if computed.kind == "c":
        raise b.error("arange() does not take complex numbers")
    computed = computed.strong if computed.kind == "f" else types.int64
    if casts.is_half(computed):
        raise b.error("arange() of 16-bit floats is not supported", "convert an int one with .astype")
    low, high, by = (casts.coerce(b, v, computed) for v in (start, stop, step))
    nonzero = casts.nonzero(b, by, computed)
    if step.known and step.const == 0:
        raise b.error("arange() with a step of 0", cls=errors.KernelValueError)
    if not step.known:
        b.check(nonzero, "ZeroDivisionError", "arange() with a step of 0")
        by = arith.select(nonzero, by, b.number(1, computed))
    span = arithmetic.subtract(b, high, low, computed)
    if computed.kind == "f":
        count = casts.cast(b, math.ceil(arith.divf(span, by)), computed, types.int64)
    else:
        # rounded up, as -((-span) // by)
        negated = arithmetic.floor_divide(b, arithmetic.negate(b, span, computed), by, computed, None)
        count = arithmetic.negate(b, negated, computed)
    size = arith.index_cast(ir.IndexType.get(), arith.maxsi(count, b.i64(0)))
    result = allocate(b, dtype_of(b, dtype, computed), [size])

    def body(indices: Indices) -> None:
        index = casts.cast(b, arith.index_cast(b.shared.type("i64"), indices[0]), types.int64, computed)
        number = arithmetic.add(b, low, arithmetic.multiply(b, index, by, computed), computed)
        store_element(
            b, casts.cast(b, number, computed, array_type(result).dtype), result.ir, indices, array_type(result).dtype
        )

    nest(b, [size], body)
    return result


def linspace(
    b: Builder,
    start: Value,
    stop: Value,
    num: Value | None = None,
    endpoint: Value | None = None,
    dtype: Value | None = None,
) -> Value:
    """np.linspace: num numbers from start to stop, which is the last one unless endpoint is False."""
    closed = True
    if endpoint is not None:
        if not endpoint.known:
            raise b.error("endpoint must be known when compiling")
        closed = bool(endpoint.const)
    computed = binary_type(b, "/", start, stop, False).strong
    if computed.kind != "f" or casts.is_half(computed):
        raise b.error(f"linspace() of {computed} is not supported")
    low, high = (casts.coerce(b, v, computed) for v in (start, stop))
    size = _size_of(b, constant(50) if num is None else num)
    result = allocate(b, dtype_of(b, dtype, computed), [size])
    f = b.type(computed)
    count = b.i64(size) if isinstance(size, int) else arith.index_cast(b.shared.type("i64"), size)
    gaps = arith.maxsi(arith.subi(count, b.i64(1)), b.i64(1)) if closed else arith.maxsi(count, b.i64(1))
    step = arith.divf(arith.subf(high, low), arith.sitofp(f, gaps))

    def body(indices: Indices) -> None:
        index = arith.index_cast(b.shared.type("i64"), indices[0])
        number = arith.addf(arith.mulf(arith.sitofp(f, index), step), low)
        if closed:  # the last one exactly
            last = arith.cmpi(arith.CmpIPredicate.eq, index, gaps)
            number = arith.select(last, high, number)
        store_element(
            b, casts.cast(b, number, computed, array_type(result).dtype), result.ir, indices, array_type(result).dtype
        )

    nest(b, [size], body)
    return result


def eye(b: Builder, n: Value, m: Value | None = None, dtype: Value | None = None) -> Value:
    """np.eye: ones on the diagonal."""
    kind = dtype_of(b, dtype, types.float64)
    return identity_matrix(b, [_size_of(b, n), _size_of(b, n if m is None else m)], kind)


def identity_matrix(b: Builder, sizes: list[Size], kind: types.Scalar) -> Value:
    """A new matrix with ones on the diagonal."""
    result = allocate(b, kind, sizes)

    def body(indices: Indices) -> None:
        diagonal = arith.cmpi(arith.CmpIPredicate.eq, indices[0], indices[1])
        number = arith.select(diagonal, b.number(1, kind), b.number(0, kind))
        store_element(b, number, result.ir, indices, kind)

    nest(b, sizes, body)
    return result

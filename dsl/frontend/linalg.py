"""`A @ B`, dot, outer, trace: products of vectors and matrices as loop nests.

A matrix product runs row by row of the result with the inner loop along rows of both (i, k, j), which vectorises.
Sizes that do not match at run time raise a ValueError, and then nothing is computed.
"""

from __future__ import annotations

import math

from mlir import ir
from mlir.dialects import arith

from .. import errors, types
from . import arithmetic, casts, dense, elementwise
from .creation import filled
from .elementwise import is_array
from .math_functions import FUNCTIONS
from .memory import (
    ArrayValue,
    Indices,
    Size,
    allocate,
    array_type,
    as_index,
    load_element,
    nest,
    nest_carrying,
    same_size,
    sizes_of,
    store_element,
)
from .reductions import max_, sum_, sum_type
from .scalars import describe
from .values import Builder, Value, constant
from .views import Part, expand, subview

MISMATCH = "matmul: the inner sizes of the operands differ"


class Operand:
    """A vector or matrix, computed, with its elements in the type of the product."""

    def __init__(self, b: Builder, value: Value, dtype: types.Scalar) -> None:
        value = value.force(b)
        self.dtype = array_type(value).dtype
        if self.dtype is not dtype:  # converted once, rather than once for each use
            self.leaf = _converted(b, value, dtype)
        else:
            self.leaf = b.ir(value)
        self.as_type = dtype
        self.sizes = sizes_of(b, value)

    def rows(self, b: Builder, count: Size) -> Value:
        """The array's first rows; `count` is all of them, or 0."""
        return self._part(b, [count, *self.sizes[1:]])

    def columns(self, b: Builder, count: Size) -> Value:
        """The array's first columns; `count` is all of them, or 0."""
        return self._part(b, [*self.sizes[:-1], count])

    def _part(self, b: Builder, sizes: list[Size]) -> Value:
        whole = ArrayValue(types.ArrayType(self.as_type, len(sizes), False), self.leaf, self.sizes)
        if all(map(same_size, sizes, self.sizes)):
            return whole
        return subview(b, whole, [Part(0, size) for size in sizes])

    def element(self, b: Builder, indices: Indices) -> ir.Value:
        return load_element(b, self.leaf, indices, self.as_type)


def _converted(b: Builder, value: Value, dtype: types.Scalar) -> ir.Value:
    result = allocate(b, dtype, sizes_of(b, value))
    elementwise.assign(b, result, value)
    return result.ir


def _product_type(b: Builder, left: Value, right: Value, what: str) -> types.Scalar:
    for value in (left, right):
        if not is_array(value):
            raise b.error(f"{what} takes arrays, not {describe(value.type)}", "use `*` for a product with a number")
    dtype = types.promote(array_type(left).dtype, array_type(right).dtype)
    if dtype.kind == "b":
        raise b.error(f"{what} of arrays of bool is not supported", "convert one with .astype(int)")
    return dtype


def _inner_size(b: Builder, left: Size, right: Size) -> Size:
    """The size that both have; 0 after a ValueError where they differ."""
    if same_size(left, right):
        return left
    if isinstance(left, int) and isinstance(right, int):
        raise b.error(f"{MISMATCH}: {left} and {right}", cls=errors.KernelValueError)
    left, right = as_index(b, left), as_index(b, right)
    ok = arith.cmpi(arith.CmpIPredicate.eq, left, right)
    return elementwise.guard_sizes(b, ok, [left], MISMATCH)[0]


def matmul(b: Builder, left: Value, right: Value) -> Value:
    """left @ right of one or two dimensions each."""
    dtype = _product_type(b, left, right, "`@`")
    ranks = (array_type(left).ndim, array_type(right).ndim)
    if not all(1 <= r <= 2 for r in ranks):
        raise b.error(
            f"`@` of arrays of {ranks[0]} and {ranks[1]} dimensions is not supported", "loop over the leading one"
        )
    x, y = Operand(b, left, dtype), Operand(b, right, dtype)
    inner = _inner_size(b, x.sizes[-1], y.sizes[0])
    if ranks == (1, 1):
        return Value(dtype, (_dot(b, x, y, inner, dtype, [], []),))
    if ranks == (2, 2) and not casts.is_half(dtype):
        return _matrix_product(b, x, y, inner, dtype)
    if ranks == (1, 2):
        return _vector_matrix(b, x, y, inner, dtype)
    return _by_dots(b, x, y, inner, dtype)


def _dot(
    b: Builder, x: Operand, y: Operand, inner: Size, dtype: types.Scalar, row: Indices, column: Indices
) -> ir.Value:
    """The sum of products along the last dimension of x and the first of y; 16-bit floats are summed in float32."""
    wide = types.float32 if casts.is_half(dtype) else dtype

    def step(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
        p = casts.cast(b, x.element(b, [*row, *indices]), dtype, wide)
        q = casts.cast(b, y.element(b, [*indices, *column]), dtype, wide)
        return [arithmetic.add(b, carried[0], arithmetic.multiply(b, p, q, wide), wide)]

    total = nest_carrying(b, [inner], [b.number(0, wide)], step)[0]
    return casts.cast(b, total, wide, dtype)


def _by_dots(b: Builder, x: Operand, y: Operand, inner: Size, dtype: types.Scalar) -> Value:
    """Each element of the result as one dot product."""
    rows, columns = x.sizes[:-1], y.sizes[1:]
    result = allocate(b, dtype, [*rows, *columns])

    def body(indices: Indices) -> None:
        row, column = indices[: len(rows)], indices[len(rows) :]
        store_element(b, _dot(b, x, y, inner, dtype, row, column), result.ir, indices, dtype)

    nest(b, [*rows, *columns], body)
    return result


def _vector_matrix(b: Builder, x: Operand, y: Operand, inner: Size, dtype: types.Scalar) -> Value:
    """A row times a matrix: the matrix's rows are added up, so that memory is read in order."""
    if casts.is_half(dtype):
        return _by_dots(b, x, y, inner, dtype)
    result = filled(b, dtype, [y.sizes[1]], constant(0))

    def body(indices: Indices) -> None:
        k, j = indices
        product = arithmetic.multiply(b, x.element(b, [k]), y.element(b, [k, j]), dtype)
        old = load_element(b, result.ir, [j], dtype)
        store_element(b, arithmetic.add(b, old, product, dtype), result.ir, [j], dtype)

    nest(b, [inner, y.sizes[1]], body)
    return result


def _matrix_product(b: Builder, x: Operand, y: Operand, inner: Size, dtype: types.Scalar) -> Value:
    sizes = [x.sizes[0], y.sizes[1]]
    result = filled(b, dtype, sizes, constant(0))
    if dense.is_large([*sizes, inner], dtype):
        dense.multiply_into(b, result, x.columns(b, inner), y.rows(b, inner))
        return result

    def body(indices: Indices) -> None:
        i, k, j = indices
        product = arithmetic.multiply(b, x.element(b, [i, k]), y.element(b, [k, j]), dtype)
        old = load_element(b, result.ir, [i, j], dtype)
        store_element(b, arithmetic.add(b, old, product, dtype), result.ir, [i, j], dtype)

    nest(b, [sizes[0], inner, sizes[1]], body)
    return result


def dot(b: Builder, a: Value, b_: Value) -> Value:
    """np.dot: the matrix product, or the product with a number."""
    if not (is_array(a) and is_array(b_)):
        return elementwise.binary(b, "*", a, b_)
    return matmul(b, a, b_)


def inner(b: Builder, a: Value, b_: Value) -> Value:
    """np.inner of two vectors, or the product with a number."""
    for value in (a, b_):
        if is_array(value) and array_type(value).ndim != 1:
            raise b.error("inner() takes arrays of one dimension here", "A @ B.T is that of matrices")
    return dot(b, a, b_)


def vdot(b: Builder, a: Value, b_: Value) -> Value:
    """np.vdot of two vectors: the first one conjugated."""
    if is_array(a) and array_type(a).dtype.kind == "c":
        a = elementwise.call(b, FUNCTIONS["np.conj"].function, (a,))
    return inner(b, a, b_)


def norm(
    b: Builder, x: Value, ord_: Value | None = None, axis: Value | None = None, keepdims: Value | None = None
) -> Value:
    """np.linalg.norm: the root of the sum of squares; of vectors (or along one axis) also with ord 1 and inf."""
    if not is_array(x):
        raise b.error(f"norm() takes an array, not {describe(x.type)}")
    kind = None if ord_ is None else ord_.const
    vectors = array_type(x).ndim == 1 or (axis is not None and not isinstance(axis.const, (tuple, type(None))))
    size = elementwise.call(b, FUNCTIONS["np.abs"].function, (x,))
    if kind in (1, math.inf) and vectors:
        return sum_(b, size, axis, None, keepdims) if kind == 1 else max_(b, size, axis, keepdims)
    if not (kind is None or (kind == 2 and vectors) or (kind == "fro" and not vectors)):
        hint = "ord may be None, 'fro', and of vectors 1, 2 and inf"
        raise b.error(f"norm() with ord {kind!r} is not supported here", hint)
    squares = elementwise.call(b, FUNCTIONS["np.square"].function, (size,))
    return elementwise.call(b, FUNCTIONS["np.sqrt"].function, (sum_(b, squares, axis, None, keepdims),))


def outer(b: Builder, a: Value, b_: Value) -> Value:
    """np.outer of two vectors."""
    for value in (a, b_):
        if not (is_array(value) and array_type(value).ndim == 1):
            raise b.error("outer() takes arrays of one dimension")
    x, y = a.force(b), b_.force(b)
    return elementwise.binary(b, "*", expand(b, x, [1]), y)


def trace(b: Builder, a: Value) -> Value:
    """The sum of a matrix's diagonal."""
    if not (is_array(a) and array_type(a).ndim == 2):
        raise b.error("trace() takes an array of two dimensions")
    node, sizes = elementwise.operand(b, a)
    dtype = sum_type(array_type(a).dtype)
    length = sizes[0] if same_size(sizes[0], sizes[1]) else arith.minsi(as_index(b, sizes[0]), as_index(b, sizes[1]))

    def step(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
        element = casts.coerce(b, node.element(b, [indices[0], indices[0]]), dtype)
        return [arithmetic.add(b, carried[0], element, dtype)]

    return Value(dtype, (nest_carrying(b, [length], [b.number(0, dtype)], step)[0],))

"""Dense linear algebra by BLAS and LAPACK: products, solves, factorisations and determinants of matrices.

Emits calls of functions that are declared here by name only (`dsl.blas.gemm.f64`): the derivative engine knows their
rules, and the lowering their bodies. Sizes are checked first; what does not fit raises, and then nothing is computed.
A factorisation is a value of its own which derivatives use again, so that no matrix is factorised twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from mlir import ir
from mlir.dialects import arith, memref

from .. import errors, types
from . import creation, elementwise
from .elementwise import is_array
from .memory import (
    Indices,
    Size,
    allocate,
    array_type,
    as_index,
    load_element,
    nest_carrying,
    same_size,
    sizes_of,
)
from .scalars import describe
from .scope import StructValue
from .values import Builder, Value
from .views import Part, expand, subview, transpose

# A product of fewer multiplications, where that is known, is a loop nest that is compiled in.
SMALL = 1000
SINGULAR = "Singular matrix"
NOT_POSITIVE = "Matrix is not positive definite"
NOT_SQUARE = "the matrix must be square"
WIDE = "the matrix must not have more columns than rows"
MISMATCH = "the right side has not as many rows as the matrix"


# --- calls


def _matrix(b: Builder, array: Value) -> ir.Value:
    """The array as a matrix of any strides, which is what the functions take."""
    dtype = array_type(array).dtype
    return memref.cast(_matrix_type(b, dtype), b.ir(array))


def _matrix_type(b: Builder, dtype: types.Scalar) -> ir.Type:
    return b.shared.type(f"memref<?x?x{dtype.mlir}, strided<[?, ?], offset: ?>>")


def _call(
    b: Builder, name: str, dtype: types.Scalar, args: list[ir.Value], results: Sequence[str] = (), writes: int = 0
) -> list[ir.Value]:
    """Call a function of the library; it writes its first `writes` arguments."""
    symbol = f"dsl.{name}.{dtype.mlir}"
    readonly = [k for k, a in enumerate(args) if k >= writes and isinstance(a.type, ir.MemRefType)]
    types_ = [b.shared.type(t) for t in results]
    b.declare(symbol, [a.type for a in args], types_, readonly)
    callee = {"callee": ir.FlatSymbolRefAttr.get(symbol)}
    return list(ir.Operation.create("func.call", types_, args, callee).results)


def multiply_into(b: Builder, target: Value, left: Value, right: Value) -> None:
    """target += left @ right, three matrices of float32 or float64."""
    operands = [_matrix(b, target), _matrix(b, left), _matrix(b, right), b.i64(1)]
    _call(b, "blas.gemm", array_type(target).dtype, operands, writes=1)


def is_large(sizes: Sequence[Size], dtype: types.Scalar) -> bool:
    """Whether a product of matrices, with these sizes, is one for BLAS."""
    if dtype not in (types.float32, types.float64):
        return False
    count = 1
    for size in sizes:
        if not isinstance(size, int):
            return True
        count *= size
    return count >= SMALL


# --- arguments


def _number_type(b: Builder, values: Sequence[Value], what: str) -> types.Scalar:
    """The type to compute in: float64, or float32 if all are."""
    dtype: types.Scalar | None = None
    for value in values:
        if not is_array(value):
            raise b.error(f"{what}() takes arrays, not {describe(value.type)}")
        own = array_type(value).dtype
        own = types.float64 if own.kind in "biu" else own
        dtype = own if dtype is None else types.promote(dtype, own)
    assert dtype is not None
    if dtype not in (types.float32, types.float64):
        raise b.error(f"{what}() of {dtype} is not supported", "convert with .astype(np.float64)")
    return dtype


def _square(b: Builder, a: Value, dtype: types.Scalar, what: str) -> tuple[Value, Size]:
    """The matrix in the type to compute in, and its size: 0 after a LinAlgError where it is not square."""
    if array_type(a).ndim != 2:
        rank = array_type(a).ndim
        raise b.error(f"{what}() takes a matrix; this array has {rank} dimensions", "loop over the others")
    a = _as_type(b, a, dtype)
    rows, columns = sizes_of(b, a)
    if same_size(rows, columns):
        return a, rows
    if isinstance(rows, int) and isinstance(columns, int):
        raise b.error(f"{what}(): {NOT_SQUARE}, and is {rows} by {columns}", cls=errors.KernelValueError)
    rows, columns = as_index(b, rows), as_index(b, columns)
    ok = arith.cmpi(arith.CmpIPredicate.eq, rows, columns)
    b.check(ok, "LinAlgError", f"{what}(): {NOT_SQUARE}")
    size = arith.select(ok, rows, b.index(0))
    return subview(b, a, [Part(0, size), Part(0, size)]), size


def _as_type(b: Builder, a: Value, dtype: types.Scalar) -> Value:
    a = a.force(b)
    if array_type(a).dtype is dtype:
        return a
    return creation.astype(b, a, Value(types.Literal(dtype), const=dtype))


def _right_side(b: Builder, right: Value, size: Size, dtype: types.Scalar, what: str) -> tuple[Value, Size]:
    """A copy of the right side as a matrix, and the size of the system: 0 after a ValueError where they differ."""
    rank = array_type(right).ndim
    if rank not in (1, 2):
        raise b.error(f"{what}() takes a vector or a matrix on the right; this one has {rank} dimensions")
    right = right.force(b)
    sizes = sizes_of(b, right)
    if not same_size(size, sizes[0]):
        if isinstance(size, int) and isinstance(sizes[0], int):
            raise b.error(f"{what}(): {MISMATCH}: {sizes[0]} and {size}", cls=errors.KernelValueError)
        ok = arith.cmpi(arith.CmpIPredicate.eq, as_index(b, size), as_index(b, sizes[0]))
        size = elementwise.guard_sizes(b, ok, [size], f"{what}(): {MISMATCH}")[0]
        right = subview(b, right, [Part(0, size), *(Part(0, s) for s in sizes[1:])])
    copy = allocate(b, dtype, [size, *sizes[1:]])
    elementwise.assign(b, copy, right)
    return copy, size


def _as_columns(b: Builder, right: Value) -> Value:
    return expand(b, right, [1]) if array_type(right).ndim == 1 else right


def _part(b: Builder, a: Value, size: Size) -> Value:
    """The matrix, cut to a size that may have become 0."""
    if all(same_size(size, s) for s in sizes_of(b, a)):
        return a
    return subview(b, a, [Part(0, size), Part(0, size)])


# --- factorisations


class Factors:
    """P, L and U of a matrix, and the matrix itself, as the functions that use them take them."""

    def __init__(self, b: Builder, a: Value, size: Size, check: bool) -> None:
        self.b, self.dtype = b, array_type(a).dtype
        self.a = _matrix(b, a)
        factors = _matrix(b, allocate(b, self.dtype, [size, size]))
        pivots = allocate(b, types.int32, [size]).ir
        info = _call(b, "lapack.lu", self.dtype, [factors, pivots, self.a], ["i64"], writes=2)[0]
        self.operands = [factors, pivots, self.a]
        if check:
            b.check(arith.cmpi(arith.CmpIPredicate.eq, info, b.i64(0)), "LinAlgError", SINGULAR)

    def solve_into(self, x: Value) -> None:
        """x := a⁻¹ x"""
        _call(self.b, "lapack.lu_solve", self.dtype, [_matrix(self.b, x), *self.operands, self.b.i1(False)], writes=1)

    def scalars(self, name: str, count: int) -> list[Value]:
        found = _call(self.b, f"lapack.{name}", self.dtype, self.operands, [self.dtype.mlir] * count)
        return [Value(self.dtype, (value,)) for value in found]


def solve(b: Builder, a: Value, b_: Value) -> Value:
    """np.linalg.solve: of a vector or a matrix on the right."""
    dtype = _number_type(b, (a, b_), "solve")
    matrix, size = _square(b, a, dtype, "solve")
    x, size = _right_side(b, b_, size, dtype, "solve")
    Factors(b, _part(b, matrix, size), size, check=True).solve_into(_as_columns(b, x))
    return x


def inv(b: Builder, a: Value) -> Value:
    """np.linalg.inv"""
    dtype = _number_type(b, (a,), "inv")
    matrix, size = _square(b, a, dtype, "inv")
    x = creation.identity_matrix(b, [size, size], dtype)
    Factors(b, matrix, size, check=True).solve_into(x)
    return x


def det(b: Builder, a: Value) -> Value:
    """np.linalg.det"""
    dtype = _number_type(b, (a,), "det")
    return Factors(b, *_square(b, a, dtype, "det"), check=False).scalars("lu_det", 1)[0]


def slogdet(b: Builder, a: Value) -> Value:
    """np.linalg.slogdet: the sign of the determinant, and the logarithm of its magnitude."""
    dtype = _number_type(b, (a,), "slogdet")
    pair = Factors(b, *_square(b, a, dtype, "slogdet"), check=False).scalars("lu_logdet", 2)
    return StructValue(_result_class("slogdet"), tuple(pair))


def logdet(b: Builder, a: Value) -> Value:
    """dsl.logdet: the logarithm of the determinant's magnitude."""
    dtype = _number_type(b, (a,), "logdet")
    return Factors(b, *_square(b, a, dtype, "logdet"), check=False).scalars("lu_logdet", 2)[1]


@lru_cache(maxsize=8)
def _result_class(function: str) -> Any:
    """The tuple that NumPy's function returns."""
    if function == "svd":
        return type(np.linalg.svd(np.ones((1, 1)), full_matrices=False))
    return type(getattr(np.linalg, function)(np.ones((1, 1))))


def cholesky(b: Builder, a: Value, upper: Value | None = None) -> Value:
    """np.linalg.cholesky: reads the lower triangle, or the upper one and returns the factor's transpose."""
    turned = _flag(b, upper, "upper")
    dtype = _number_type(b, (a,), "cholesky")
    matrix, size = _square(b, a, dtype, "cholesky")
    factor = allocate(b, dtype, [size, size])
    operands = [_matrix(b, factor), _matrix(b, transpose(b, matrix, [1, 0]) if turned else matrix)]
    _check_info(b, _call(b, "lapack.cholesky", dtype, operands, ["i64"], writes=1)[0], NOT_POSITIVE)
    return transpose(b, factor, [1, 0]) if turned else factor


def eigh(b: Builder, a: Value, UPLO: Value | None = None) -> Value:
    """np.linalg.eigh: the eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns."""
    values, vectors = _eigh(b, a, UPLO, "eigh")
    return StructValue(_result_class("eigh"), (values, vectors))


def eigvalsh(b: Builder, a: Value, UPLO: Value | None = None) -> Value:
    """np.linalg.eigvalsh: the eigenvalues alone."""
    return _eigh(b, a, UPLO, "eigvalsh")[0]


def _eigh(b: Builder, a: Value, triangle: Value | None, what: str) -> tuple[Value, Value]:
    letter = "L" if triangle is None else triangle.const
    if letter not in ("L", "U", "l", "u"):
        raise b.error(f'`UPLO` of {what}() is "L" or "U"')
    dtype = _number_type(b, (a,), what)
    matrix, size = _square(b, a, dtype, what)
    if letter in ("U", "u"):
        matrix = transpose(b, matrix, [1, 0])
    values, vectors = allocate(b, dtype, [size]), allocate(b, dtype, [size, size])
    operands = [_matrix(b, _as_columns(b, values)), _matrix(b, vectors), _matrix(b, matrix)]
    _check_info(b, _call(b, "lapack.eigh", dtype, operands, ["i64"], writes=2)[0], "Eigenvalues did not converge")
    return values, vectors


def qr(b: Builder, a: Value, mode: Value | None = None) -> Value:
    """np.linalg.qr of a matrix with no more columns than rows, reduced: orthonormal columns, and a triangle."""
    if mode is not None and mode.const not in ("reduced", "r"):
        raise b.error("the mode of qr() is 'reduced' or 'r' here", "the first columns of q are those of 'reduced'")
    dtype, matrix, (rows, columns) = _any_matrix(b, a, "qr")
    if isinstance(rows, int) and isinstance(columns, int):
        if columns > rows:
            raise b.error(f"qr(): {WIDE}, as this one of {rows} by {columns}", cls=errors.KernelValueError)
    else:
        ok = arith.cmpi(arith.CmpIPredicate.sle, as_index(b, columns), as_index(b, rows))
        rows, columns = elementwise.guard_sizes(b, ok, [rows, columns], f"qr(): {WIDE}")
        matrix = subview(b, matrix, [Part(0, rows), Part(0, columns)])
    q, r = allocate(b, dtype, [rows, columns]), allocate(b, dtype, [columns, columns])
    _call(b, "lapack.qr", dtype, [_matrix(b, q), _matrix(b, r), _matrix(b, matrix)], ["i64"], writes=2)
    return r if mode is not None and mode.const == "r" else StructValue(_result_class("qr"), (q, r))


def svd(b: Builder, a: Value, full_matrices: Value | None = None, compute_uv: Value | None = None) -> Value:
    """np.linalg.svd with full_matrices=False: u, the singular values, descending, and the transpose of v."""
    vectors = compute_uv is None or _flag(b, compute_uv, "compute_uv")
    if vectors and (full_matrices is None or _flag(b, full_matrices, "full_matrices")):
        raise b.error("svd() makes the thin matrices only", "write svd(a, full_matrices=False)")
    dtype, matrix, (rows, columns) = _any_matrix(b, a, "svd")
    if isinstance(rows, int) and isinstance(columns, int):
        small: Size = min(rows, columns)
    else:
        small = arith.minsi(as_index(b, rows), as_index(b, columns))
    u, s, v = (allocate(b, dtype, sizes) for sizes in ([rows, small], [small], [columns, small]))
    operands = [_matrix(b, m) for m in (u, _as_columns(b, s), v, matrix)]
    _check_info(b, _call(b, "lapack.svd", dtype, operands, ["i64"], writes=3)[0], "SVD did not converge")
    return StructValue(_result_class("svd"), (u, s, transpose(b, v, [1, 0]))) if vectors else s


def _any_matrix(b: Builder, a: Value, what: str) -> tuple[types.Scalar, Value, list[Size]]:
    """The type to compute in, the matrix in it, and its sizes."""
    dtype = _number_type(b, (a,), what)
    rank = array_type(a).ndim
    if rank != 2:
        raise b.error(f"{what}() takes a matrix; this array has {rank} dimensions", "loop over the others")
    matrix = _as_type(b, a, dtype)
    return dtype, matrix, sizes_of(b, matrix)


def _check_info(b: Builder, info: ir.Value, message: str) -> None:
    b.check(arith.cmpi(arith.CmpIPredicate.eq, info, b.i64(0)), "LinAlgError", message)


def solve_triangular(
    b: Builder,
    a: Value,
    b_: Value,
    trans: Value | None = None,
    lower: Value | None = None,
    unit_diagonal: Value | None = None,
    overwrite_b: Value | None = None,
    check_finite: Value | None = None,
) -> Value:
    """scipy.linalg.solve_triangular; `overwrite_b` and `check_finite` change nothing here."""
    below, unit = _flag(b, lower, "lower"), _flag(b, unit_diagonal, "unit_diagonal")
    turned = _transposition(b, trans)
    dtype = _number_type(b, (a, b_), "solve_triangular")
    matrix, size = _square(b, a, dtype, "solve_triangular")
    x, size = _right_side(b, b_, size, dtype, "solve_triangular")
    matrix = _part(b, matrix, size)
    if not unit:
        _check_diagonal(b, matrix, size)
    if turned:
        matrix, below = transpose(b, matrix, [1, 0]), not below
    operands = [_matrix(b, _as_columns(b, x)), _matrix(b, matrix), b.i1(below), b.i1(unit)]
    _call(b, "blas.trsm", dtype, operands, writes=1)
    return x


def _check_diagonal(b: Builder, a: Value, size: Size) -> None:
    dtype = array_type(a).dtype
    zero = b.number(0, dtype)

    def step(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
        element = load_element(b, b.ir(a), [indices[0], indices[0]], dtype)
        return [arith.andi(carried[0], arith.cmpf(arith.CmpFPredicate.UNE, element, zero))]

    b.check(nest_carrying(b, [size], [b.i1(True)], step)[0], "LinAlgError", SINGULAR)


def _flag(b: Builder, value: Value | None, name: str) -> bool:
    if value is None:
        return False
    if not value.known or type(value.const) not in (bool, int):
        raise b.error(f"`{name}` must be True or False, known when compiling")
    return bool(value.const)


def _transposition(b: Builder, trans: Value | None) -> bool:
    if trans is None:
        return False
    if not trans.known or trans.const not in (0, 1, 2, "N", "T", "C"):
        raise b.error('`trans` must be 0 or 1, or "N" or "T", known when compiling')
    return trans.const not in (0, "N")  # of real numbers the conjugate is none

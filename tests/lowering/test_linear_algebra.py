"""BLAS and LAPACK from MLIR (lowering/linear_algebra.py, pointers.py, scipy_symbols.py), against NumPy and SciPy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.linalg

from .harness import compiled

TOLERANCE = {"f64": 1e-12, "f32": 2e-4}
DTYPE = {"f64": np.float64, "f32": np.float32}
M = "memref<?x?xT, strided<[?, ?], offset: ?>>"
TYPES = {
    "blas.gemm": f"({M}, {M}, {M}, i64) -> ()",
    "blas.trsm": f"({M}, {M}, i1, i1) -> ()",
    "lapack.lu": f"({M}, memref<?xi32>, {M}) -> i64",
    "lapack.lu_solve": f"({M}, {M}, memref<?xi32>, {M}, i1) -> ()",
    "lapack.lu_det": f"({M}, memref<?xi32>, {M}) -> T",
    "lapack.lu_logdet": f"({M}, memref<?xi32>, {M}) -> (T, T)",
    "lapack.cholesky": f"({M}, {M}) -> i64",
    "lapack.eigh": f"({M}, {M}, {M}) -> i64",
    "lapack.qr": f"({M}, {M}, {M}) -> i64",
    "lapack.svd": f"({M}, {M}, {M}, {M}) -> i64",
}
_made = {}


def library(name, element):
    """The function as one that NumPy values are passed to."""
    if (name, element) not in _made:
        type = re.sub(r"(?<![A-Z])T\b|(?<=x)T\b", element, TYPES[name])
        inputs, result = type[1:].split(") -> ")
        kinds, depth = [""], 0
        for c in inputs:  # at commas outside of brackets
            depth += (c in "<[") - (c in ">]")
            if c == "," and not depth:
                kinds.append("")
            else:
                kinds[-1] += c
        arguments = ", ".join(f"%a{k}: {kind}" for k, kind in enumerate(kinds))
        operands = ", ".join(f"%a{k}" for k in range(len(kinds)))
        results = [] if result == "()" else result.strip("()").split(", ")
        to = f" -> {result}" if results else ""
        text = f"""
        func.func private @dsl.{name}.{element}({inputs}){to}
        func.func @f({arguments}){to} {{
          {f"%r:{len(results)} = " if results else ""}func.call @dsl.{name}.{element}({operands}) : {type}
          return {", ".join(f"%r#{k}" for k in range(len(results)))} {":" if results else ""} {", ".join(results)}
        }}"""
        _made[name, element] = compiled(text, results=results)
    return _made[name, element]


def laid_out(a, how):
    """The same matrix in another layout: rows or columns contiguous, a part of a larger one, or scattered."""
    a = np.ascontiguousarray(a)
    m, n = a.shape
    if how == "rows":
        return a
    if how == "columns":
        return np.asfortranarray(a)
    room = np.full((2 * m + 3, 3 * n + 5), np.nan, a.dtype)
    if how == "part":
        view = room[2 : 2 + m, 3 : 3 + n]
    elif how == "part of columns":
        view = np.full((n + 4, m + 3), np.nan, a.dtype).T[1 : 1 + m, 2 : 2 + n]
    else:
        view = room[1 : 1 + 2 * m : 2, 1 : 1 + 3 * n : 3]
    view[...] = a
    return view


LAYOUTS = ["rows", "columns", "part", "part of columns", "scattered"]


@pytest.mark.parametrize("element", ["f64", "f32"])
@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("other", LAYOUTS)
def test_product(element, how, other):
    rng = np.random.default_rng(1)
    for m, k, n in [(3, 4, 5), (31, 17, 23), (1, 90, 40), (90, 40, 1), (40, 1, 90), (0, 5, 5), (5, 0, 5), (5, 5, 0)]:
        a, b = (rng.standard_normal(s).astype(DTYPE[element]) for s in ((m, k), (k, n)))
        for target, sign in zip(LAYOUTS, [1, -1, 1, -1, 1]):
            c = laid_out(rng.standard_normal((m, n)).astype(DTYPE[element]), target)
            expected = c + sign * (a.astype(np.float64) @ b)
            library("blas.gemm", element)(c, laid_out(a, how), laid_out(b, other), sign)
            np.testing.assert_allclose(c, expected, atol=TOLERANCE[element])


@pytest.mark.parametrize("element", ["f64", "f32"])
@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("other", LAYOUTS)
def test_triangular(element, how, other):
    rng = np.random.default_rng(2)
    for n, k in [(1, 1), (7, 3), (40, 1), (0, 3), (3, 0)]:
        a = (rng.standard_normal((n, n)) + 4 * np.eye(n)).astype(DTYPE[element])
        for lower in (True, False):
            for unit in (True, False):
                x = laid_out(rng.standard_normal((n, k)).astype(DTYPE[element]), other)
                t = np.tril(a, -1) if lower else np.triu(a, 1)
                t = t / 8 if unit else t  # or the solution grows without bound
                given = t + np.diag(np.full(n, np.nan, t.dtype) if unit else np.diag(a))
                expected = np.linalg.solve(t.astype(float) + (np.eye(n) if unit else np.diag(np.diag(a))), x)
                given[(np.triu_indices if lower else np.tril_indices)(n, 1 if lower else -1)] = np.nan
                library("blas.trsm", element)(x, laid_out(given, how), lower, unit)
                np.testing.assert_allclose(x, expected, atol=10 * TOLERANCE[element])


@pytest.mark.parametrize("element", ["f64", "f32"])
@pytest.mark.parametrize("how", LAYOUTS)
def test_solve(element, how):
    rng = np.random.default_rng(3)
    for n, k in [(1, 1), (6, 4), (50, 1), (0, 2), (2, 0)]:
        a = (rng.standard_normal((n, n)) + 4 * np.eye(n)).astype(DTYPE[element])
        lu, pivots = np.full_like(a, np.nan), np.zeros(n, np.int32)
        assert library("lapack.lu", element)(lu, pivots, laid_out(a, how)) == 0
        for transposed in (False, True):
            b = rng.standard_normal((n, k)).astype(DTYPE[element])
            x = laid_out(b.copy(), how)
            library("lapack.lu_solve", element)(x, lu, pivots, a, transposed)
            expected = np.linalg.solve((a.T if transposed else a).astype(float), b)
            np.testing.assert_allclose(x, expected, atol=10 * TOLERANCE[element])


@pytest.mark.parametrize("element", ["f64", "f32"])
def test_determinant(element):
    rng = np.random.default_rng(5)
    for n in (0, 1, 2, 3, 4, 9):
        for _ in range(3):
            a = rng.standard_normal((n, n)).astype(DTYPE[element])
            lu, pivots = np.full_like(a, np.nan), np.zeros(n, np.int32)
            library("lapack.lu", element)(lu, pivots, a)
            det = library("lapack.lu_det", element)(lu, pivots, a)
            np.testing.assert_allclose(det, np.linalg.det(a.astype(float)), rtol=100 * TOLERANCE[element])
            found = library("lapack.lu_logdet", element)(lu, pivots, a)
            expected = np.linalg.slogdet(a.astype(float))
            np.testing.assert_allclose(found, expected, atol=100 * TOLERANCE[element])


def test_singular():
    a, lu, pivots = np.ones((3, 3)), np.zeros((3, 3)), np.zeros(3, np.int32)
    assert library("lapack.lu", "f64")(lu, pivots, a) == 2
    assert library("lapack.lu_det", "f64")(lu, pivots, a) == 0
    assert library("lapack.lu_logdet", "f64")(lu, pivots, a) == (0, -np.inf)


@pytest.mark.parametrize("element", ["f64", "f32"])
def test_cholesky(element):
    rng = np.random.default_rng(4)
    for n in (0, 1, 5, 60):
        root = rng.standard_normal((n, n)) + 4 * np.eye(n)
        a = (root @ root.T).astype(DTYPE[element])
        lower = np.where(np.tri(n) > 0, a, np.nan).astype(DTYPE[element])  # the upper triangle is not read
        l = np.full_like(a, np.nan)
        assert library("lapack.cholesky", element)(l, laid_out(lower, LAYOUTS[n % 5])) == 0
        np.testing.assert_allclose(l, scipy.linalg.cholesky(a.astype(float), lower=True), atol=10 * TOLERANCE[element])
    assert library("lapack.cholesky", "f64")(np.zeros((2, 2)), -np.eye(2)) != 0


@pytest.mark.parametrize("element", ["f64", "f32"])
def test_eigh(element):
    rng = np.random.default_rng(6)
    for n in (0, 1, 2, 5, 60):
        a = rng.standard_normal((n, n)).astype(DTYPE[element])
        a = a + a.T
        lower = np.where(np.tri(n) > 0, a, np.nan).astype(DTYPE[element])  # the upper triangle is not read
        w, v = np.full((n, 1), np.nan, a.dtype), np.full_like(a, np.nan)
        assert library("lapack.eigh", element)(w, v, laid_out(lower, LAYOUTS[n % 5])) == 0
        tolerance = 100 * TOLERANCE[element]
        np.testing.assert_allclose(w[:, 0], np.linalg.eigvalsh(a.astype(float)), atol=tolerance)
        np.testing.assert_allclose(a @ v, v * w[:, 0], atol=tolerance)
        np.testing.assert_allclose(v.T @ v, np.eye(n), atol=tolerance)


@pytest.mark.parametrize("element", ["f64", "f32"])
@pytest.mark.parametrize("how", LAYOUTS)
def test_qr(element, how):
    rng = np.random.default_rng(7)
    for m, n in [(0, 0), (3, 0), (1, 1), (5, 5), (7, 3), (90, 40)]:
        a = rng.standard_normal((m, n)).astype(DTYPE[element])
        q, r = np.full_like(a, np.nan), np.full((n, n), np.nan, a.dtype)
        assert library("lapack.qr", element)(q, r, laid_out(a, how)) == 0
        expected = np.linalg.qr(a.astype(float))
        np.testing.assert_allclose(q, expected[0], atol=10 * TOLERANCE[element])
        np.testing.assert_allclose(r, expected[1], atol=100 * TOLERANCE[element])


@pytest.mark.parametrize("element", ["f64", "f32"])
@pytest.mark.parametrize("how", LAYOUTS)
def test_svd(element, how):
    rng = np.random.default_rng(8)
    for m, n in [(0, 0), (3, 0), (0, 3), (1, 1), (1, 4), (5, 5), (7, 3), (3, 7), (300, 2), (2, 300), (90, 40)]:
        a = rng.standard_normal((m, n)).astype(DTYPE[element])
        k = min(m, n)
        u, s, v = (np.full(shape, np.nan, a.dtype) for shape in ((m, k), (k, 1), (n, k)))
        assert library("lapack.svd", element)(u, s, v, laid_out(a, how)) == 0
        tolerance = 100 * TOLERANCE[element]
        np.testing.assert_allclose(s[:, 0], np.linalg.svd(a.astype(float), compute_uv=False), atol=tolerance)
        np.testing.assert_allclose((u * s[:, 0]) @ v.T, a, atol=tolerance)
        np.testing.assert_allclose(u.T @ u, np.eye(k), atol=tolerance)
        np.testing.assert_allclose(v.T @ v, np.eye(k), atol=tolerance)


def test_array_as_pointer():
    """A C function gets the address of the first element, also of a part of an array."""
    text = """
    func.func private @memcpy(memref<?xf64, strided<[?], offset: ?>>, memref<?xf64> {llvm.readonly}, i64) -> i64
      attributes {llvm.bareptr}
    func.func @f(%to: memref<?xf64>, %from: memref<?xf64>, %at: index, %bytes: i64) {
      %one = arith.constant 1 : index
      %part = memref.subview %to[%at] [%one] [1] : memref<?xf64> to memref<?xf64, strided<[1], offset: ?>>
      %view = memref.cast %part : memref<?xf64, strided<[1], offset: ?>> to memref<?xf64, strided<[?], offset: ?>>
      %r = func.call @memcpy(%view, %from, %bytes)
        : (memref<?xf64, strided<[?], offset: ?>>, memref<?xf64>, i64) -> i64
      return
    }"""
    to, source = np.zeros(6), np.arange(1.0, 4.0)
    compiled(text)(to, source, 2, 24)
    np.testing.assert_array_equal(to, [0, 0, 1, 2, 3, 0])

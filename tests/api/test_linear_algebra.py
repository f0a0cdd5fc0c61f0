"""Derivatives of linear algebra: products, solves, factorisations and determinants, against central differences."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Active, BatchDuplicated, Const, Duplicated, Forward, Reverse, ReverseWithPrimal, autodiff

RNG = np.random.default_rng(7)
N = 4
A = RNG.standard_normal((N, N)) + 3 * np.eye(N)
B, W = RNG.standard_normal((2, N, 3))
S = A @ A.T
V = RNG.standard_normal((N, N))


@dsl.kernel
def product(a, b, w):
    return dsl.sum(a.T @ b * w)


@dsl.kernel
def aliased(a, w):
    return dsl.sum((a @ a.T + a @ a) * w)


@dsl.kernel
def in_a_loop(a, w):
    x = w.copy()
    for _ in range(3):
        x = np.tanh(a @ x) @ w
    return dsl.sum(x)


@dsl.kernel
def solved(a, b, w):
    return dsl.sum(dsl.solve(a, b) * w)


@dsl.kernel
def solved_vector(a, b):
    x = np.linalg.solve(a.T, b)
    b[0] = 1.0
    return x @ b


@dsl.kernel
def determinants(a):
    sign, log = np.linalg.slogdet(a)
    return dsl.det(a) * sign + log * dsl.logdet(a)


@dsl.kernel
def spectrum(a, x):
    """Values and vectors, as far as the signs of the vectors do not matter."""
    w, v = np.linalg.eigh(a)
    upper = np.linalg.eigh(a, "U")
    y = v.T @ x
    return dsl.sum(np.sin(w) * y * y) + w[0] * w[1] + upper.eigenvalues[3] * (upper.eigenvectors[:, 1] @ x) ** 2


@dsl.kernel
def values(a, b):
    return dsl.sum(np.linalg.eigvalsh(a) ** 3) + dsl.sum(np.sqrt(np.linalg.svd(b, compute_uv=False)))


@dsl.kernel
def orthogonal(b, w, v):
    q, r = np.linalg.qr(b)
    return dsl.sum(q * w) + dsl.sum(np.sin(r) * v[:3, :3]) + np.linalg.qr(b, mode="r")[0, 1]


@dsl.kernel
def singular(b, w):
    u, s, vt = np.linalg.svd(b, full_matrices=False)
    return dsl.sum(u * s**2 @ vt * w) + dsl.sum(u[:, :1] @ vt[:1] * w) + s[1] * s[2]


@dsl.kernel
def wide(b, w):
    u, s, vt = np.linalg.svd(b.T, full_matrices=False)
    return dsl.sum(u[:, :2] @ vt[:2] * w.T) + dsl.sum(np.log(s))


@dsl.kernel
def factor(a, w):
    return dsl.sum(np.linalg.cholesky(a) * w)


@dsl.kernel
def inverse(a, w):
    return dsl.sum(dsl.inv(a) * w)


@dsl.kernel
def triangles(a, b, w):
    x = dsl.solve_triangular(a, b, lower=True) + dsl.solve_triangular(a, b, trans=1, lower=True)
    return dsl.sum((x + dsl.solve_triangular(a, b, unit_diagonal=True)) * w)


@dsl.kernel
def gaussian(x, s):
    """The logarithm of a normal density, as a user writes it."""
    l = np.linalg.cholesky(s)
    z = dsl.solve_triangular(l, x, lower=True)
    return -0.5 * (z @ z) - 0.5 * dsl.logdet(s)


CASES = {
    "product": (product, (A, B, W)),
    "aliased": (aliased, (A, V)),
    "in_a_loop": (in_a_loop, (A / 8, V / 2)),  # smooth enough for differences
    "solved": (solved, (A, B, W)),
    "solved_vector": (solved_vector, (A, B[:, 0].copy())),
    "determinants": (determinants, (A,)),
    "spectrum": (spectrum, (V, W[:, 0].copy())),
    "values": (values, (V, W)),
    "orthogonal": (orthogonal, (B, W, V)),
    "singular": (singular, (B, W)),
    "wide": (wide, (B, W)),
    "factor": (factor, (S, V)),
    "inverse": (inverse, (A, V)),
    "triangles": (triangles, (A, B, W)),
    "gaussian": (gaussian, (B[:, 0].copy(), S)),
}


def along(f, args, k, direction, h=1e-3):
    """The derivative of f in argument k, by central differences of order 4."""

    def at(t):
        moved = [a.copy() for a in args]
        moved[k] = moved[k] + t * direction
        return f(*moved)

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


def gradients(kernel, args):
    shadows = [np.zeros_like(a) for a in args]
    given = [Duplicated(a.copy(), s) for a, s in zip(args, shadows)]
    value, _ = autodiff(ReverseWithPrimal, kernel, Active, *given)
    return value, shadows


@pytest.mark.parametrize("name", CASES)
def test_reverse(name):
    kernel, args = CASES[name]
    value, shadows = gradients(kernel, args)
    np.testing.assert_allclose(value, kernel.fn(*(a.copy() for a in args)), rtol=1e-12)
    for k, shadow in enumerate(shadows):
        for _ in range(2):
            direction = RNG.standard_normal(args[k].shape)
            expected = along(kernel.fn, args, k, direction)
            np.testing.assert_allclose(np.sum(shadow * direction), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_forward_of_two_directions(name):
    kernel, args = CASES[name]
    _, shadows = gradients(kernel, args)
    directions = [RNG.standard_normal((2, *a.shape)) for a in args]
    given = [BatchDuplicated(a.copy(), (d[0].copy(), d[1].copy())) for a, d in zip(args, directions)]
    (tangents,) = autodiff(Forward, kernel, *given)
    for lane in range(2):
        expected = sum(np.sum(s * d[lane]) for s, d in zip(shadows, directions))
        np.testing.assert_allclose(tangents[lane], expected, rtol=1e-10)


FACTORISED = ["spectrum", "values", "orthogonal", "singular", "wide"]


@pytest.mark.parametrize("name", ["aliased", "solved", "determinants", "factor", "triangles", *FACTORISED])
def test_second_order(name):
    kernel, args = CASES[name]
    direction = RNG.standard_normal(args[0].shape)
    rest = args[1:]
    found = dsl.hvp(kernel, args[0], direction, *rest)

    def gradient(t):
        return gradients(kernel, (args[0] + t * direction, *rest))[1][0]

    h = 1e-3
    expected = (8 * (gradient(h) - gradient(-h)) - (gradient(2 * h) - gradient(-2 * h))) / (12 * h)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["product", "solved", "factor", *FACTORISED])
def test_single_precision(name):
    kernel, args = CASES[name]
    small = tuple(a.astype(np.float32) for a in args)
    value, shadows = gradients(kernel, small)
    expected, wide = gradients(kernel, args)
    assert type(value) is np.float32
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    for s, w in zip(shadows, wide):
        assert s.dtype == np.float32
        np.testing.assert_allclose(s, w, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("moving", [0, 1, 2])
@pytest.mark.parametrize("name", ["product", "solved"])
def test_one_moves(name, moving):
    kernel, args = CASES[name]
    _, shadows = gradients(kernel, args)
    shadow = np.zeros_like(args[moving])
    given = [Duplicated(a, shadow) if k == moving else Const(a) for k, a in enumerate(args)]
    autodiff(Reverse, kernel, Active, *given)
    np.testing.assert_allclose(shadow, shadows[moving], rtol=1e-12)


@pytest.mark.parametrize("sizes", [(0, 3, 2), (3, 0, 2), (3, 2, 0), (1, 1, 1), (40, 30, 20)])
def test_sizes(sizes):
    m, k, n = sizes
    a, b, w = RNG.standard_normal((k, m)), RNG.standard_normal((k, n)), RNG.standard_normal((m, n))
    value, (da, db, dw) = gradients(product, (a, b, w))
    np.testing.assert_allclose(value, np.sum(a.T @ b * w), rtol=1e-10)
    np.testing.assert_allclose(da, b @ w.T, rtol=1e-10)
    np.testing.assert_allclose(db, a @ w, rtol=1e-10)
    np.testing.assert_allclose(dw, a.T @ b, rtol=1e-10)


def test_strided():
    a, b, w = RNG.standard_normal((8, 6))[::2, 1::2], RNG.standard_normal((4, 5)), RNG.standard_normal((3, 5))
    da = np.zeros((8, 6))
    autodiff(Reverse, product, Active, Duplicated(a, da[::2, 1::2]), Const(b), Const(w))
    np.testing.assert_allclose(da[::2, 1::2], b @ w.T, rtol=1e-12)
    assert np.count_nonzero(da) == 12


def test_cholesky_reads_the_lower_triangle():
    _, (ds, _) = gradients(factor, (S, V))
    assert np.all(ds[np.triu_indices(N, 1)] == 0)


def test_eigh_reads_one_triangle():
    gradient = dsl.gradient(Reverse, dsl.kernel(lambda a: dsl.sum(np.linalg.eigvalsh(a) ** 3)), V)
    assert np.all(gradient[np.triu_indices(N, 1)] == 0)
    gradient = dsl.gradient(Reverse, dsl.kernel(lambda a: dsl.sum(np.linalg.eigvalsh(a, "U") ** 3)), V)
    assert np.all(gradient[np.tril_indices(N, -1)] == 0)


def test_equal_values():
    """Of equal eigenvalues a symmetric function has a derivative, of which nothing is lost; the vectors have none."""
    of_values = dsl.kernel(lambda a: dsl.sum(np.linalg.eigvalsh(a) ** 2))
    np.testing.assert_allclose(dsl.gradient(Reverse, of_values, 3 * np.eye(N)), 6 * np.eye(N))
    of_vectors = dsl.kernel(lambda a, x: dsl.sum(np.linalg.eigh(a)[1] @ x))
    assert not np.all(np.isfinite(dsl.gradient(Reverse, of_vectors, 3 * np.eye(N), Const(np.arange(1.0, N + 1)))[0]))
    rank_one = np.outer(np.arange(1.0, 4.0), np.ones(2))
    nuclear = dsl.kernel(lambda a: dsl.sum(np.linalg.svd(a, compute_uv=False)[:1]))
    u, _, vt = np.linalg.svd(rank_one, full_matrices=False)
    np.testing.assert_allclose(dsl.gradient(Reverse, nuclear, rank_one), u[:, :1] @ vt[:1], atol=1e-12)


def test_factorised_once():
    """The reverse sweep and the second order work by the factors of the forward sweep."""
    text = solved.ir("autodiff", Reverse, Active, Duplicated(A, A.copy()), Duplicated(B, B.copy()), Const(W))
    assert text.count("call @dsl.lapack.lu.f64") == 1
    assert text.count("call @dsl.lapack.lu_solve.f64") == 2


def test_split():
    fwd, rev = dsl.autodiff_thunk(
        dsl.ReverseSplitWithPrimal, solved, Active, Duplicated(A, A.copy()), Duplicated(B, B.copy()), Const(W)
    )
    da, db = np.zeros_like(A), np.zeros_like(B)
    tape, value, _ = fwd(Const(solved), Duplicated(A, da), Duplicated(B, db), Const(W))
    rev(Const(solved), Duplicated(A, da), Duplicated(B, db), Const(W), 1.0, tape)
    expected, shadows = gradients(solved, (A, B, W))
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(da, shadows[0], rtol=1e-12)
    np.testing.assert_allclose(db, shadows[1], rtol=1e-12)


def test_other_types():
    @dsl.kernel
    def mixed(a, b):
        return dsl.solve(a, b)

    a, b = np.array([[2, 1], [1, 3]]), np.array([1.0, 2.0], np.float32)
    np.testing.assert_allclose(mixed(a, b), np.linalg.solve(a, b))
    with pytest.raises(dsl.DslError, match="complex128 is not supported"):
        mixed(a * 1j, b)


@pytest.mark.parametrize(
    ("kernel", "args", "error", "message"),
    [
        (lambda a, b: np.linalg.solve(a, b), (np.ones((3, 3)), np.ones(3)), np.linalg.LinAlgError, "Singular matrix"),
        (lambda a, b: dsl.solve(a, b), (np.ones((3, 2)), np.ones(3)), np.linalg.LinAlgError, "must be square"),
        (lambda a, b: dsl.solve(a, b), (np.eye(3), np.ones(2)), ValueError, "not as many rows"),
        (lambda a: dsl.cholesky(a), (-np.eye(2),), np.linalg.LinAlgError, "not positive definite"),
        (lambda a: np.linalg.qr(a), (np.ones((2, 3)),), ValueError, "more columns than rows"),
        (lambda a: np.linalg.qr(a, mode="complete"), (np.ones((3, 2)),), TypeError, "mode of qr"),
        (lambda a: np.linalg.svd(a), (np.ones((3, 2)),), TypeError, "thin matrices only"),
        (lambda a: np.linalg.eigh(a)[0], (np.ones((3, 2)),), np.linalg.LinAlgError, "must be square"),
        (lambda a: np.linalg.eigvalsh(a, "X"), (np.ones((3, 3)),), TypeError, "UPLO"),
        (lambda a: dsl.inv(a), (np.zeros((2, 2)),), np.linalg.LinAlgError, "Singular matrix"),
        (lambda a, b: dsl.solve_triangular(a, b), (np.zeros((2, 2)), np.ones(2)), np.linalg.LinAlgError, "Singular"),
        (lambda a, b: a @ b, (np.eye(3), np.ones((2, 2))), ValueError, "inner sizes"),
        (lambda a, b: dsl.solve(a, b), (np.ones(3), np.ones(3)), TypeError, "takes a matrix"),
    ],
)
def test_refused(kernel, args, error, message):
    with pytest.raises(error, match=message) as caught:
        dsl.kernel(kernel)(*args)
    assert "test_linear_algebra.py" in str(caught.value)


def test_singular_in_a_derivative():
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        autodiff(Reverse, solved, Active, Duplicated(A * 0, A.copy()), Const(B), Const(W))


def test_scipy_function():
    from scipy.linalg import solve_triangular

    k = dsl.kernel(lambda a, b: solve_triangular(a, b, lower=True))
    np.testing.assert_allclose(k(A, B), solve_triangular(A, B, lower=True))


def test_explained():
    text = str(product.explain(Reverse, Active, Duplicated(A, A.copy()), Const(B), Const(W)))
    assert "return dsl.sum(a.T @ b * w)" in text

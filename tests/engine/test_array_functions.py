"""Functions of NumPy that rearrange, choose, assemble or search: values against NumPy, derivatives in both modes.

A kernel computes many results, one after the other, so that few are compiled; each is weighed by numbers of its own.
Forward mode is compared with central differences of the undecorated function, reverse mode with forward mode.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Forward, Reverse, autodiff
from tests.derivatives import check_derivatives

I = np.array([0, 4, 4, -1])
P = np.array([[1, 0], [-2, 3]])
MASK = np.array([True, False, True, True, False, True])


def choosing(a, A, I, P, mask, w):
    s = np.sum(a[I] ** 2 * w[0:4])
    s += np.sum(A[I] ** 2 * w[4:9])
    s += np.sum(A[:, P] * A[1:2, P] * w[0])
    s += np.sum(A[P, 2] * w[1]) + np.sum(A[0:3, P, None][:, 0] * w[2])
    s += np.sum(a[mask] ** 2 * w[3:7]) + np.sum(a[a > 0] ** 3) + np.sum(A[mask] ** 2) + np.sum(A[A < 0] ** 2)
    s += np.sum(np.take(A, I, 1) ** 2 * w[0:4])
    i, j = np.nonzero(A > 0.3)
    s += np.sum(A[i, j] ** 3 * j)
    return s


def storing(a, A, I, P, mask, w):
    b = a.copy()
    b[I] = a[1] * w[0:4]
    b[b < -0.2] = a[2] ** 2
    B = A.copy()
    B[:, P] += A[0, 0] * w[0:2]
    B[I] *= a[0]
    np.add.at(B, (I, 1), a[0:4] ** 2)
    np.add.at(b, I, a[0:4] ** 3)
    np.multiply.at(b, P, A[0, P])
    B[[0, 1]] = B[[1, 0]]
    b[mask] = b[mask] * w[0:4]
    a[:] = a[np.array([3, 1, 4, 0, 5, 2])]
    return np.sum(b**2 * w[0:6]) + np.sum(B**2 * w[0:5]) + np.sum(a**2 * w[3:9])


def rearranging(a, A, I, P, mask, w):
    s = np.sum(np.flip(a) * a * w[0:6]) + np.sum(np.flip(A, 0) * np.fliplr(A) * np.flipud(A) * w[0:5])
    s += np.sum(np.roll(a, 2) * a * w[0:6]) + np.sum(np.roll(A, -1, 1) * np.roll(A, 7, axis=0) * w[1:6])
    s += np.sum(np.tril(A, -1) @ np.triu(A[0:5], 1) * w[0:5]) + np.sum(np.diag(A) ** 3 * w[0:5])
    s += np.sum(np.diag(a, 1)[:, 0:5] @ A[0:5]) + np.sum(np.diagonal(A, -2) ** 2 * w[0:4])
    s += np.sum(np.swapaxes(A, 0, 1) ** 2 * w[0:6]) + np.sum(np.moveaxis(A[None], 2, 0)[:, 0] ** 3 * w[0:6])
    s += np.sum(np.squeeze(A[2:3], 0) ** 2 * w[0:5]) + np.sum(a.repeat(2) * np.tile(a, 2) * w)
    s += np.sum(np.repeat(A, 2, axis=1) ** 2 * w[0:10]) + np.sum(np.tile(A, (2, 1)) ** 2 * w[0:5])
    return s


def assembling(a, A, I, P, mask, w):
    s = np.sum(np.concatenate((a, a**2)) * w) + np.sum(np.concatenate((A, A**2), axis=1) ** 2 * w[0:10])
    s += np.sum(np.stack((a, a**2), axis=-1) ** 2 * w[0:2]) + np.sum(np.vstack((A, a[0:5])) ** 2 * w[0:5])
    s += np.sum(np.hstack((a, a[0:3])) ** 3 * w[0:9]) + np.sum(np.column_stack((a, A, a)) ** 2 * w[0:7])
    s += np.sum(np.append(a, a[0] ** 2) ** 2 * w[0:7])
    b = np.pad(A, ((1, 1), (0, 2)))
    s += np.sum(b[:-2] * b[2:] * w[0:7])
    X, Y = np.meshgrid(a, A[0])
    s += np.sum(np.sin(X * Y) * w[0:6])
    s += np.sum(np.einsum("ij,kj->ik", A, A) ** 2 * w[0:6]) + np.einsum("ij,ij", A, A) + np.einsum("ii->", A[0:5])
    s += np.sum(np.einsum("ij,j->i", A, A[1]) ** 2 * w[0:6]) + np.sum(np.kron(a, A[0]) ** 2)
    s += np.sum(np.add.outer(a, A[1]) ** 3 * w[0:5]) + np.sum(np.kron(A, P * 1.0) ** 2 * w[0:10])
    return s


def along(a, A, I, P, mask, w):
    s = np.sum(np.diff(a) ** 2 * w[0:5]) + np.sum(np.diff(A, 2, 0) ** 2 * w[0:5])
    s += np.sum(np.sort(a) * w[0:6]) + np.sum(a[np.argsort(a)] ** 2 * w[0:6]) + np.median(a) + np.median(a[0:5])
    s += np.interp(0.37, w, np.concatenate((a, a))) + np.sum(np.interp(a, np.linspace(-1.0, 1.0, 5), A[0]))
    s += np.quantile(a, 0.3) + np.percentile(a, 90.0) + np.polyval(a, 0.3) + np.sum(np.polyval(a, A))
    s += np.sum(np.gradient(a, 0.5) ** 2 * w[0:6]) + np.sum(np.cross(a[0:3], A[0, 0:3]) ** 2 * w[0:3])
    s += np.sum(np.convolve(a, A[0]) * w[0:10]) + np.sum(np.convolve(a, A[0], "same") ** 2 * w[0:6])
    s += np.sum(np.convolve(a, A[0], "valid") ** 2) + np.linalg.norm(a) + np.linalg.norm(A) + np.linalg.norm(a, 1)
    s += np.sum(np.linalg.norm(A, axis=1) * w[0:6]) + np.linalg.norm(a, math.inf) + np.vdot(a, a) + np.inner(a, w[0:6])
    s += np.sum(np.maximum.accumulate(a) ** 2 * w[0:6]) + np.sum(np.add.accumulate(a) ** 2) + np.add.reduce(a)
    s += np.sum(np.add.reduce(A) ** 2) + np.searchsorted(np.sort(a), 0.1)
    return s


def arguments(dtype=np.float64):
    rng = np.random.default_rng(3)
    a, A = rng.uniform(-0.9, 0.9, 6).astype(dtype), rng.uniform(-0.9, 0.9, (6, 5)).astype(dtype)
    return [a, A], [I, P, MASK, np.sort(rng.uniform(0.1, 1.0, 12)).astype(dtype)]


def differences(function, active, rest, tangents):
    """The derivative along the tangents, by the five-point formula."""

    def at(h):
        return function(*[v + h * t for v, t in zip(active, tangents)], *rest)

    h = 1e-4
    return (8.0 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12.0 * h)


@pytest.mark.parametrize("function", [choosing, storing, rearranging, assembling, along])
def test_values_and_derivatives(function):
    active, rest = arguments()
    kernel = dsl.kernel(function)
    rng = np.random.default_rng(4)
    tangents = [rng.normal(size=v.shape) for v in active]
    copies = [v.copy() for v in active]
    expected = function(*copies, *rest)
    changed = [v.copy() for v in active]
    assert kernel(*changed, *rest) == pytest.approx(expected, rel=1e-12)
    assert all(np.allclose(v, c) for v, c in zip(changed, copies))

    truth = differences(function, active, rest, tangents)
    forward = [Duplicated(v.copy(), t.copy()) for v, t in zip(active, tangents)]
    (along,) = autodiff(Forward, kernel, Duplicated, *forward, *map(Const, rest))
    assert along == pytest.approx(truth, rel=1e-8)
    shadows = [np.zeros_like(v) for v in active]
    autodiff(Reverse, kernel, dsl.Active, *map(Duplicated, [v.copy() for v in active], shadows), *map(Const, rest))
    assert sum(np.sum(s * t) for s, t in zip(shadows, tangents)) == pytest.approx(along, rel=1e-11)


@pytest.mark.parametrize("function", [choosing, rearranging])
def test_float32(function):
    active, rest = arguments(np.float32)
    kernel = dsl.kernel(function)
    result, expected = kernel(*active, *rest), function(*active, *rest)
    assert np.asarray(result).dtype == expected.dtype
    assert result == pytest.approx(expected, rel=1e-5)


def test_second_order():
    """The Hessian of a function of chosen elements, forward over reverse."""

    @dsl.kernel
    def chosen(a, i):
        return np.sum(np.sin(a[i]) * a[i[0]]) + np.sum(np.sort(a) ** 3)

    rng = np.random.default_rng(5)
    a = rng.uniform(-1.0, 1.0, 5)
    i = np.array([1, 1, 4])
    hessian = dsl.hessian(chosen, a, Const(i))
    exact = np.diag(6.0 * a)
    for k in i:
        exact[k, k] -= np.sin(a[k]) * a[1]
        exact[k, 1] += np.cos(a[k])
        exact[1, k] += np.cos(a[k])
    assert np.allclose(hessian, exact)


NAN, ASCENDING, INTEGERS = np.array([1.0, np.nan, 2.0, 5.0]), np.arange(5.0), np.array([1, 4, 9, 16])
ODD = {
    "median of NaN": (lambda a: np.median(a), NAN),
    "quantile of NaN": (lambda a: np.quantile(a, 0.0), NAN),
    "percentile of NaN": (lambda a: np.percentile(a, 30.0), NAN),
    "sort of NaN": (lambda a: np.sort(a), NAN),
    "argsort of NaN": (lambda a: np.argsort(a), NAN),
    "searchsorted for NaN": (lambda a: np.searchsorted(a, np.nan * a[1]), ASCENDING),
    "interp at NaN": (lambda a: np.interp(np.array([np.nan * a[1], 1.5, 9.0]), a, a**2), ASCENDING),
    "trapezoid of infinity": (lambda a: np.trapezoid(a), np.array([np.inf, 1.0, 2.0])),
    "trapezoid of nothing": (lambda a: np.trapezoid(a), np.zeros(0)),
    "trapezoid of float32": (lambda a: np.trapezoid(a), np.arange(4, dtype=np.float32)),
    "gradient of integers": (lambda a: np.gradient(a), INTEGERS),
    "polyval of infinity": (lambda a: np.polyval(a, 2.0), np.array([np.inf, 1.0])),
    "polyval of integers": (lambda a: np.polyval(a, a), INTEGERS),
    "polyval at integers": (lambda a: np.polyval(a, np.array([1, 2])), ASCENDING),
    "convolve of integers": (lambda a: np.convolve(a, a[:2], "same"), INTEGERS),
    "diff of bool": (lambda a: np.diff(a), np.array([True, False, False])),
    "tril of bool": (lambda a: np.tril(a), np.ones((3, 4), dtype=bool)),
    "concatenate of types": (lambda a: np.concatenate((a, np.array([0.5]))), INTEGERS),
    "roll of a column": (lambda a: np.roll(a, -7, axis=0), np.arange(12.0).reshape(4, 3)),
    "pad": (lambda a: np.pad(a, ((1, 0), (2, 3))), np.arange(6).reshape(2, 3)),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_numbers_and_types(name):
    function, a = ODD[name]
    if not hasattr(np, "trapezoid") and "trapezoid" in name:
        pytest.skip("a NumPy before 2.0 has trapz")
    expected, actual = function(a.copy()), dsl.kernel(function)(a.copy())
    assert np.asarray(actual).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda a, A: np.sort(A)[0], TypeError, "sort.. takes an array of 1 dimension"),
        (lambda a, A: np.concatenate((a, A)), ValueError, "one number of dimensions"),
        (lambda a, A: np.concatenate((A, A[:, 0:2])), ValueError, "the sizes of the arrays differ"),
        (lambda a, A: np.diag(A), TypeError, "a view of the matrix"),
        (lambda a, A: np.squeeze(A, 0), ValueError, "size of the axis is not 1"),
        (lambda a, A: np.squeeze(A), TypeError, "needs the axis"),
        (lambda a, A: np.einsum("ij,jk->ik", A, A), ValueError, "one letter stands for dimensions of different"),
        (lambda a, A: np.einsum("i...", A), TypeError, "does not know '.'"),
        (lambda a, A: np.linalg.norm(A, 3), TypeError, "ord 3"),
        (lambda a, A: np.gradient(a[0:1]), AssertionError, "two elements"),
        (lambda a, A: np.median(a[0:0]), AssertionError, "empty"),
        (lambda a, A: np.convolve(a, a, "vaild"), AssertionError, "full, same or valid"),
        (lambda a, A: np.interp(0.5, a, a[1:]), AssertionError, "as many values as places"),
        (lambda a, A: np.trapezoid(a, a[1:]), AssertionError, "as many places as values"),
        (lambda a, A: np.diff(a, -1), ValueError, "is negative"),
        (lambda a, A: np.meshgrid(a, a, indexing="ij")[0], TypeError, "does not take the argument 'indexing'"),
        (lambda a, A: a[np.array([0, 9])], IndexError, "out of bounds for axis 0"),
        (lambda a, A: a[A[0]], IndexError, "must be integers"),
        (lambda a, A: np.add.at(a, 7, 1.0), IndexError, "out of bounds"),
    ],
)
def test_refused(function, error, message):
    active, _ = arguments()
    with pytest.raises(error, match=message):
        dsl.kernel(function)(*active)


def test_array_that_only_failures_need():
    """What stands for a view where its shape did not fit is memory of its own, of which a loop that nobody needs has no
    shadow."""

    @dsl.kernel
    def unneeded(x):
        i, found = 0, 0.0
        while i < 3:
            i += 1
            found = dsl.mean(x + x[::-1]) * dsl.mean(x + x[::-1])
            found = math.tanh(found * x[i])
        return dsl.sum(x * x)

    @dsl.kernel
    def needed(x):
        i, found = 0, 0.0
        while i < 3:
            i += 1
            found += math.tanh(dsl.mean(x + x[::-1]) * dsl.mean(x - x[::-1] * x) * x[i])
        return found

    for kernel in (unneeded, needed):
        check_derivatives(kernel, np.array([0.3, 0.5, 0.2, 0.7]))

"""Cells that stay while a loop runs, in registers: which they are, and that derivatives stay right."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, autodiff
from tests.derivatives import check_derivatives

FASTMATH = pytest.mark.parametrize("fastmath", [False, True])


def energy(x, y, m):
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            dx, dy = x[i] - x[j], y[i] - y[j]
            total -= m[i] * m[j] / math.sqrt(dx * dx + dy * dy + 1e-3)
    return total


def above(x, y, m):
    total = 0.0
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            total += m[i] * m[j] * math.sin(x[i] * x[j]) + y[j] * x[i]
    return total


def rows(p):
    total = 0.0
    for i in range(p.shape[0]):
        for j in range(i):
            d0, d1, d2 = p[i, 0] - p[j, 0], p[i, 1] - p[j, 1], p[i, 2] - p[j, 2]
            total += 1.0 / (d0 * d0 + d1 * d1 + d2 * d2 + 0.5)
    return total


def diagonal_too(x, y, m):
    """j is i in the last iteration."""
    total = 0.0
    for i in range(len(x)):
        for j in range(i + 1):
            total += x[i] * x[j] * m[j] + y[i] * y[i]
    return total


def next_one(x, y, m):
    """j + 1 is i in the last iteration."""
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            total += x[i] * x[j + 1] * m[j] + y[i]
    return total


def derivative(kernel, *args):
    given = [Duplicated(a, np.zeros_like(a)) for a in args]
    return str(kernel.ir("autodiff", Reverse, Active, *given))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 8, 19])
@FASTMATH
@pytest.mark.parametrize("function", [energy, above, diagonal_too, next_one])
def test_pairs(function, n, fastmath):
    rng = np.random.default_rng(n)
    kernel = dsl.kernel(function, fastmath=fastmath)
    check_derivatives(kernel, rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, n))


@pytest.mark.parametrize("n", [0, 1, 2, 9])
@FASTMATH
def test_rows(n, fastmath):
    kernel = dsl.kernel(rows, fastmath=fastmath)
    check_derivatives(kernel, np.random.default_rng(n).normal(size=(n, 3)))


@pytest.mark.parametrize(("function", "carried"), [(energy, 3), (above, 2)])
def test_carried(function, carried):
    """All sums of body i: one number each, which is loaded and stored outside of the loop."""
    x = np.ones(4)
    text = derivative(dsl.kernel(function), x, x.copy(), x.copy())
    inner = text[text.rindex("scf.for") :]
    assert inner.split("{")[0].count(" = ") - 1 == carried
    body = inner[: inner.index("scf.yield")]
    assert body.count("memref.store") == 3


@pytest.mark.parametrize("function", [diagonal_too, next_one])
def test_left_in_memory(function):
    """A cell that an iteration may reach otherwise stays in memory; that of y is carried."""
    x = np.ones(4)
    text = derivative(dsl.kernel(function), x, x.copy(), x.copy())
    inner = text[text.rindex("scf.for") :]
    assert inner.split("{")[0].count(" = ") - 1 == 1


def test_views_that_overlap():
    """What may be the same memory stays in memory."""

    @dsl.kernel
    def scattered(x, k):
        total = 0.0
        a, b = x[1:], x[:-1]
        for j in range(len(a)):
            total += a[k] * b[j] * b[j]
        return total

    for k in range(3):
        check_derivatives(scattered, np.array([0.5, 1.5, 2.5, 3.0]), k)


def test_arrays_that_take_turns():
    """A cell of the array that this iteration has is no cell that stays."""

    @dsl.kernel
    def turns(x, y):
        a, b = x.copy(), y.copy()
        total = 0.0
        for j in range(len(x)):
            a[0] = a[0] + b[1] * x[j]
            total += a[0] * a[0]
            a, b = b, a
        return total

    check_derivatives(turns, np.array([0.5, 1.5, 2.5]), np.array([1.0, 0.3, 0.8]))


def test_one_array_for_two():
    @dsl.kernel
    def two(x, y):
        total = 0.0
        for i in range(len(x)):
            for j in range(i):
                total += x[i] * y[j] * y[j]
        return total

    x = np.array([0.5, 1.5, 2.5])
    dx, dy = np.zeros(3), np.zeros(3)
    autodiff(Reverse, two, Active, Duplicated(x, dx), Duplicated(x, dy))
    np.testing.assert_allclose(dx, [0, 0.25, 2.5])
    np.testing.assert_allclose(dy, [4.0, 7.5, 0.0])


def test_without_iterations_nothing_is_touched():
    """Cell k of no array, where the loop has no iterations: not looked at."""

    @dsl.kernel
    def none(x, n, k):
        total = 0.0
        for j in range(n):
            total += x[k] * x[k]
        return total

    dx = np.zeros(2)
    autodiff(Reverse, none, Active, Duplicated(np.ones(2), dx), Const(0), Const(10**9))
    assert not dx.any()


def test_order_is_kept():
    """Without freedom the additions are those of the program, one after the other."""

    @dsl.kernel(contract=False)
    def ordered(x, w):
        total = 0.0
        for i in range(len(x)):
            for j in range(i):
                total += x[i] * w[j]
        return total

    w = np.array([1e16, 1.0, -1e16, 1.0, 3.0])
    x, dx = np.ones(5), np.zeros(5)
    autodiff(Reverse, ordered, Active, Duplicated(x, dx), Const(w))
    expected = []
    for i in range(5):
        total = 0.0
        for j in reversed(range(i)):
            total += w[j]
        expected.append(total)
    np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize("seed", range(12))
def test_random_pairs(seed):
    r = random.Random(seed)
    loops = [("0", "i"), ("0", "i + 1"), ("i", "n"), ("i + 1", "n"), ("0", "n"), ("1", "i - 1"), ("0", "3")]
    lower, upper = r.choice(loops)
    at = r.choice(["i", "i", "n - 1 - i", "0", "n - 1"])
    other = r.choice(["j", "j", "j", "n - 1 - j", "j // 2"])
    twice = f" + x[{at}] * y[{other}]" if r.random() < 0.5 else ""
    text = f"""
def pairs(x, y):
    n = len(x)
    total = 0.0
    for i in range(n):
        for j in range({lower}, {upper}):
            total += math.sin(x[{at}] * x[{other}]) * y[{at}]{twice}
    return total
"""
    kernel = dsl.kernel(source=text, fastmath=seed % 2 == 1)
    rng = np.random.default_rng(seed)
    for n in (3, 4, 11):
        x, y, dx, dy = rng.uniform(0.5, 1.5, (4, n))
        gx, gy = np.zeros(n), np.zeros(n)
        autodiff(Reverse, kernel, Active, Duplicated(x, gx), Duplicated(y, gy))
        (along,) = autodiff(Forward, kernel, Duplicated(x, dx), Duplicated(y, dy))
        assert gx @ dx + gy @ dy == pytest.approx(along, rel=1e-11, abs=1e-12)
        h = 1e-6
        difference = (kernel.fn(x + h * dx, y + h * dy) - kernel.fn(x - h * dx, y - h * dy)) / (2 * h)
        assert along == pytest.approx(difference, rel=1e-6, abs=1e-7)

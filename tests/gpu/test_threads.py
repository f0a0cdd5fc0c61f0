"""Launches on several threads of the processor: the same bits whatever their number, and right."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Reverse, autodiff

from .corpus import Case
from .differentiate import check

COUNT = 30_011  # enough work to be shared


@pytest.fixture(autouse=True)
def _restore():
    before = dsl.get_num_threads()
    dsl.set_num_threads(3)
    yield
    dsl.set_num_threads(before)


@dsl.kernel
def stencil(x, y):
    i = dsl.grid(1)
    if 1 <= i and i < len(x) - 1:
        y[i] = 0.25 * x[i - 1] + x[i] * x[i] * x[i + 1]


@dsl.kernel
def periodic(x, y):
    i = dsl.grid(1)
    n = len(x)
    if i < n:
        y[i] = x[i] * x[(i + 1) % n] + x[i - 2] * np.sin(x[i])


@dsl.kernel
def clamped(x, y):
    i = dsl.grid(1)
    n = len(x)
    if i < n:
        y[i] = x[max(i - 3, 0)] * x[min(i + 2, n - 1)] + x[i] ** 2


@dsl.kernel
def laplace(x, y):
    j, i = dsl.grid(2)
    if 1 <= i and i < x.shape[0] - 1 and 1 <= j and j < x.shape[1] - 1:
        y[i, j] = x[i - 1, j] + x[i + 1, j] + x[i, j - 1] + x[i, j + 1] - 4.0 * x[i, j] ** 2


@dsl.kernel
def columns(x, y):
    """A thread for each column; neighbouring columns are read."""
    j = dsl.grid(1)
    if 1 <= j and j < x.shape[1]:
        for i in range(x.shape[0]):
            y[i, j] = x[i, j] * x[i, j - 1]


@dsl.kernel
def weighted(x, y):
    """A few weights that all threads read."""
    i = dsl.grid(1)
    if i < len(x):
        s = 0.0
        for k in range(len(y)):
            s += np.sin(y[k] * x[i])
        x[i] = s


@dsl.kernel
def histogram(x, y):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(y, i * 7 % 11, np.exp(x[i]) * x[i])


@dsl.kernel
def both(x, y):
    """Neighbours are added to, and one cell by all threads."""
    i = dsl.grid(1)
    if i + 3 < len(x):
        dsl.atomic_add(y, i + 3, x[i] * 0.5)
        dsl.atomic_add(y, i, x[i] * x[i + 1])


def vector(rng):
    return rng.normal(size=COUNT), rng.normal(size=COUNT)


def matrix(rng):
    return rng.normal(size=(150, 200)), rng.normal(size=(150, 200))


def few(rng):
    return rng.normal(size=COUNT), rng.normal(size=11)


FLAT = -(-COUNT // 64), 64
CASES = {
    kernel.name: Case(kernel.name, kernel, blocks, threads, make, lambda *a: None, ("x", "y"), ("x", "y"))
    for kernel, blocks, threads, make in (
        (stencil, *FLAT, vector),
        (periodic, *FLAT, vector),
        (clamped, *FLAT, vector),
        (laplace, (13, 38), (16, 4), matrix),
        (columns, 25, 8, matrix),
        (weighted, *FLAT, few),
        (histogram, *FLAT, few),
        (both, *FLAT, vector),
    )
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    check(CASES[name])


def run(case):
    """What a launch and its gradient leave in all arrays."""
    x, y = case.arguments()
    dx, dy = np.cos(x), np.sin(y)
    autodiff(Reverse, case.grid, Const, Duplicated(x, dx), Duplicated(y, dy))
    return x, y, dx, dy


@pytest.mark.parametrize("name", CASES)
def test_results_do_not_depend_on_the_number_of_threads(name):
    found = []
    for count in (1, 2, 3, 8):
        dsl.set_num_threads(count)
        found.append([a.tobytes() for a in run(CASES[name])])
    assert all(f == found[0] for f in found)


def test_histogram_is_numpys():
    x, y = CASES["histogram"].arguments()
    wanted = y.copy()
    np.add.at(wanted, np.arange(COUNT) * 7 % 11, np.exp(x) * x)
    CASES["histogram"].grid(x, y)
    np.testing.assert_allclose(y, wanted, 1e-12)


@dsl.kernel
def add_at(a, i, v):
    dsl.atomic_add(a, i, v)


@dsl.kernel
def through_a_function(x, y):
    i = dsl.grid(1)
    if i < len(x):
        add_at(y, i % 3, x[i])


def test_sum_in_a_function_that_threads_call():
    x = np.random.default_rng(1).normal(size=8 * COUNT)
    found = []
    for count in (1, 3, 8):
        dsl.set_num_threads(count)
        y = np.zeros(3)
        through_a_function.forall(len(x))(x, y)
        found.append(y.tobytes())
    assert len(set(found)) == 1
    np.testing.assert_allclose(y, np.bincount(np.arange(len(x)) % 3, x), 1e-10)


@dsl.kernel
def add_all(x, y):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(y, 0, x[i])


@dsl.kernel
def add_to_first(x):
    add_all.forall(len(x))(x, x)


@dsl.kernel
def same_array(x):
    add_to_first(x)


def test_sum_into_the_array_that_is_read():
    """Not a private copy: the array is looked at by another name."""
    x = np.ones(COUNT)
    x[0] = 0.0
    dsl.set_num_threads(1)
    same_array(x)
    assert x[0] == COUNT - 1


def test_arrays_that_are_not_contiguous():
    x, y = np.random.default_rng(2).normal(size=(2, 2 * COUNT))
    found = []
    for count in (1, 3):
        dsl.set_num_threads(count)
        into = np.zeros((11, 2))
        a = x.copy()
        histogram.forall(COUNT)(a[::2], into[:, 1])
        found.append(into.tobytes())
        assert not into[:, 0].any()
    assert found[0] == found[1]
    wanted = np.bincount(np.arange(COUNT) * 7 % 11, np.exp(x[::2]) * x[::2], 11)
    np.testing.assert_allclose(into[:, 1], wanted, 1e-10)

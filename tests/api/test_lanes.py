"""Derivatives in many directions at once are those in each: local memory, loops and branches that carry vectors of any
number of lanes.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Active, BatchDuplicated, Const, Duplicated, Forward, Reverse, autodiff

N = 4


@dsl.kernel
def buffers(x, y):
    """Local arrays: whole, by rows, inside loops, read before all of it is written, one that is only sized."""
    table, row = dsl.zeros((len(x), 3)), dsl.zeros(3)
    for i in range(len(x)):
        for j in range(3):
            table[i, j] = x[i] * (j + 1.0)
    for i in range(len(x)):
        scratch = dsl.zeros(3)
        for j in range(3):
            scratch[j] = table[i, j] * table[(i + 1) % len(x), j]
            row[j] += math.sin(scratch[j])
        line = table[i]
        line[0] = scratch[1] + row[2]
        y[i] = line[0] + line[1] + table.shape[0]
    if row[0] > 100.0:
        y[0] = row[0]


@dsl.kernel
def carried(x, y):
    """Numbers that loops and branches carry; a branch on data; a way out."""
    s, p = x[0], 1.0
    for i in range(len(x)):
        if x[i] > 0.5:
            s = s * x[i] + p
        else:
            p = p + math.cos(x[i])
        if s > 50.0:
            break
    while p < 6.0:
        p = p * 1.5 + s
    for i in range(len(x)):
        y[i] = s * p + max(x[i], s)


@dsl.kernel
def swapped(x, y):
    """Arrays that go where their lanes cannot be put together: swapped, copied, handed over."""
    a, b = x.copy(), dsl.zeros(len(x))
    for _ in range(3):
        for i in range(len(x)):
            b[i] = a[i] * a[(i + 1) % len(x)]
        a, b = b, a
    c = a.copy()
    for i in range(len(x)):
        y[i] = a[i] + c[i] * c[i]


KERNELS = [buffers, carried, swapped]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("width", [3, 8, 11])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_forward(kernel, width, rng):
    x, y = rng.uniform(0.3, 1.2, size=N), np.zeros(N)
    directions = rng.normal(size=(width, N))
    together, single = np.zeros((width, N)), np.zeros((width, N))
    autodiff(Forward, kernel, Const, BatchDuplicated(x, tuple(directions)), BatchDuplicated(y, tuple(together)))
    for direction, out in zip(directions, single):
        autodiff(Forward, kernel, Const, Duplicated(x, direction), Duplicated(y, out))
    np.testing.assert_allclose(together, single, rtol=1e-12, atol=1e-14)
    step = 1e-6
    moved = np.zeros((2, N))
    for sign, out in zip((1.0, -1.0), moved):
        kernel.fn(x + sign * step * directions[0], out)
    np.testing.assert_allclose(together[0], (moved[0] - moved[1]) / (2 * step), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("width", [3, 11])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_reverse_is_the_transpose_of_forward(kernel, width, rng):
    x, y = rng.uniform(0.3, 1.2, size=N), np.zeros(N)
    directions, seeds = rng.normal(size=(width, N)), rng.normal(size=(width, N))
    tangents, gradients = np.zeros((width, N)), np.zeros((width, N))
    autodiff(Forward, kernel, Const, BatchDuplicated(x, tuple(directions)), BatchDuplicated(y, tuple(tangents)))
    given = seeds.copy()
    autodiff(Reverse, kernel, Const, BatchDuplicated(x, tuple(gradients)), BatchDuplicated(y, tuple(given)))
    np.testing.assert_allclose(gradients @ directions.T, seeds @ tangents.T, rtol=1e-10, atol=1e-12)


def test_single_precision(rng):
    x, directions = rng.uniform(0.3, 1.2, size=N).astype(np.float32), rng.normal(size=(5, N)).astype(np.float32)
    y, together = np.zeros(N, np.float32), np.zeros((5, N), np.float32)
    autodiff(Forward, buffers, Const, BatchDuplicated(x, tuple(directions)), BatchDuplicated(y, tuple(together)))
    exact = np.zeros((5, N))
    wide = BatchDuplicated(x.astype(float), tuple(directions.astype(float)))
    autodiff(Forward, buffers, Const, wide, BatchDuplicated(np.zeros(N), tuple(exact)))
    np.testing.assert_allclose(together, exact, rtol=1e-4, atol=1e-5)


def test_second_order(rng):
    """The gradient in several directions: what is differentiated has been a derivative itself."""

    @dsl.kernel
    def energy(x):
        y = dsl.zeros(len(x))
        buffers(x, y)
        total = 0.0
        for i in range(len(y)):
            total += y[i] * y[i]
        return total

    @dsl.kernel
    def slope(x, dx):
        autodiff(Reverse, energy, Active, Duplicated(x, dx))

    x = rng.uniform(0.3, 1.2, size=N)
    columns = np.zeros((N, N))
    autodiff(Forward, slope, Const, BatchDuplicated(x, tuple(np.eye(N))), BatchDuplicated(np.zeros(N), tuple(columns)))
    np.testing.assert_allclose(columns, columns.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(columns, dsl.hessian(energy, x), rtol=1e-10, atol=1e-12)

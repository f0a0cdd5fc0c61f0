"""Shadows of scratch arrays: zeros that need not be written, and right numbers where they must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Reverse, autodiff
from tests.derivatives import check_derivatives

X = np.array([0.7, 0.9, 1.2, 0.8, 0.6, 1.1])


@dsl.kernel
def once(x, y, n):
    """Each cell of the scratch array is added to once: nothing is made zero."""
    for t in range(n):
        k = dsl.zeros(len(x))
        for i in range(len(x)):
            k[i] = math.sin(x[i]) * y[i]
        for i in range(len(x)):
            y[i] = y[i] + k[i] * x[i]


@dsl.kernel
def shifted(x, y, n):
    """The reverse of the second loop does not reach the last cells, that of the third not the first."""
    for t in range(n):
        k, m = dsl.zeros(len(x)), dsl.zeros(len(x))
        for i in range(len(x)):
            k[i] = math.sin(x[i]) * y[i]
        for i in range(2, len(x)):
            m[i] = k[i - 2] * x[i]
        for i in range(2, len(x)):
            y[i] = y[i] + m[i] * m[i]


@dsl.kernel
def again(x, y, n):
    """One scratch array for several things, one after the other."""
    k = dsl.zeros(len(x))
    for t in range(n):
        for i in range(len(x)):
            k[i] = x[i] * y[i]
        for i in range(1, len(x)):
            y[i] = y[i] + math.sin(k[i - 1])
        for i in range(len(x)):
            k[i] = y[i] * x[i]
        for i in range(len(x) - 1):
            y[i] = k[i + 1] * y[i]


@dsl.kernel
def twice(x, y, n):
    """Cells that are added to by two loops, and one that is written by itself."""
    for t in range(n):
        k = dsl.zeros(len(x))
        k[0] = x[1] * y[0]
        for i in range(1, len(x)):
            k[i] = x[i] * y[i]
        for i in range(len(x)):
            y[i] = y[i] + 0.5 * k[i] * x[i]
        for i in range(len(x)):
            y[i] = y[i] * math.cos(k[i])


@dsl.kernel
def partly(x, y, n):
    """Only some of what is written is read."""
    for t in range(n):
        k = dsl.zeros(len(x))
        for i in range(len(x)):
            k[i] = x[i] * y[i]
        for i in range(len(x)):
            if i % 2 == 0:
                y[i] = y[i] + k[i] * k[i]


KERNELS = [once, shifted, again, twice, partly]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_numbers(kernel: Any) -> None:
    check_derivatives(kernel, X, X[::-1].copy(), 2)


@pytest.mark.parametrize("kernel", KERNELS[:4], ids=lambda k: k.name)
@pytest.mark.parametrize("size", [2, 3, 40])
def test_sizes(kernel: Any, size: int) -> None:
    rng = np.random.default_rng(size)
    x, y, dx, dy, seed = rng.uniform(0.2, 1.0, (5, size))
    by_x, by_y, moved, tangent = np.zeros(size), seed.copy(), dx.copy(), dy.copy()
    autodiff(Reverse, kernel, Const, Duplicated(x.copy(), by_x), Duplicated(y.copy(), by_y), Const(2))
    autodiff(dsl.Forward, kernel, Const, Duplicated(x.copy(), moved), Duplicated(y.copy(), tangent), Const(2))
    assert by_x @ dx + by_y @ dy == pytest.approx(seed @ tangent, rel=1e-12)


def zeros_stored(kernel: Any) -> int:
    text = kernel.ir("autodiff", Reverse, Const, *(Duplicated(X.copy(), X.copy()) for _ in range(2)), Const(2)).plain
    (zero,) = [line.split()[0] for line in text.splitlines() if "arith.constant 0.000000e+00 : f64" in line] or [""]
    return sum(f"memref.store {zero}," in line for line in text.splitlines()) if zero else 0


def test_no_zeros_where_each_cell_is_added_to_once() -> None:
    """What is left zeroes the shadow of y, which is the caller's."""
    assert zeros_stored(once) <= 1

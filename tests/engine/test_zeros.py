"""Shadows of scratch arrays: zeros that need not be written, and right numbers where they must be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dsl
from dialects import pipeline
from dsl import Const, Duplicated, Reverse, autodiff
from tests.derivatives import check_derivatives

from .harness import Compiled

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


#: Sevens, then zeros in all cells, then every second one is written: loops of a user, not in normal form.
EVERY_SECOND = """
func.func @f(%x: memref<?xf64>, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %zero = arith.constant 0.0 : f64
  %seven = arith.constant 7.0 : f64
  %y = memref.alloc(%n) : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    memref.store %seven, %y[%i] : memref<?xf64>
  }
  scf.for %i = %c0 to %n step %c1 {
    memref.store %zero, %y[%i] : memref<?xf64>
  }
  scf.for %i = %c0 to %n step %c2 {
    %v = memref.load %x[%i] : memref<?xf64>
    memref.store %v, %y[%i] : memref<?xf64>
  }
  %sum = scf.for %i = %c0 to %n step %c1 iter_args(%s = %zero) -> f64 {
    %v = memref.load %y[%i] : memref<?xf64>
    %next = arith.addf %s, %v : f64
    scf.yield %next : f64
  }
  return %sum : f64
}
"""


def test_loops_that_leave_cells_out() -> None:
    """The pass also sees functions that are no derivatives: their loops may go by more than 1."""
    module = pipeline.parse(EVERY_SECOND)
    pipeline.clean(module)
    f = Compiled(str(module), "f", 1)
    assert f(X, len(X)) == (X[::2].sum(),)

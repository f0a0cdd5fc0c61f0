"""Innermost reverse loops: what is rewritten, what must not be, and that the numbers are the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Reverse, autodiff
from tests.derivatives import check_derivatives

from .checks import filecheck

X = np.array([0.7, 0.9, 1.2, 0.8, 0.6, 1.1, 0.4])


@dsl.kernel
def neighbours(x, y):
    """Five cells of each in one direction and two of them twice."""
    for i in range(2, len(x) - 2):
        y[i] = x[i - 2] * x[i - 1] + math.sin(x[i]) * x[i + 1] + x[i + 2] * x[i - 1]


@dsl.kernel
def three(x, y):
    for i in range(1, len(x) - 1):
        y[i] = x[i - 1] * x[i] * x[i + 1]


@dsl.kernel
def backwards(x, y):
    for i in range(len(x) - 2, 0, -1):
        y[i] = x[i - 1] * x[i] * x[i + 1]


@dsl.kernel
def with_sum(x, y, c):
    """A sum that the loop carries besides: it goes on counting down."""
    for i in range(1, len(x) - 1):
        y[i] = c * x[i - 1] * x[i + 1] + math.exp(c * x[i])


@dsl.kernel
def in_place(x, y):
    """What is read has just been written: iterations depend on each other."""
    for i in range(1, len(x) - 1):
        x[i] = x[i - 1] * x[i] + x[i + 1] * y[i]


@dsl.kernel
def same_row(x, y):
    """Cells that are added to, and others of the same memory that are read and cleared."""
    for i in range(1, len(x) - 3):
        x[i + 2] = x[i - 1] * x[i + 1] * y[i]


@dsl.kernel
def gaps(x, y):
    for i in range(3, len(x) - 3):
        y[i] = x[i - 3] * x[i + 3]


@dsl.kernel
def rows(a, b):
    """Rows next to each other, of each of which several cells are added to."""
    for i in range(1, a.shape[0] - 1):
        for j in range(1, a.shape[1] - 1):
            b[i, j] = a[i - 1, j - 1] * a[i - 1, j + 1] + a[i, j] * a[i, j - 1] + a[i + 1, j] * a[i + 1, j + 1]


@dsl.kernel
def columns(a, b):
    for i in range(1, a.shape[0] - 1):
        for j in range(a.shape[1]):
            b[i, j] = a[i - 1, j] * a[i, j] * a[i + 1, j]


@dsl.kernel
def wrapping(x, y):
    """At the first cell the one before is the last."""
    for i in range(len(x) - 1):
        y[i] = x[i - 1] * x[i] * x[i + 1]


@dsl.kernel
def wide(x, y):
    """Further apart than a loop carries."""
    for i in range(len(x) - 8):
        y[i] = x[i] * x[i + 8]


A, B = np.linspace(0.5, 1.4, 20).reshape(4, 5), np.zeros((4, 5))
LONG = np.linspace(0.4, 1.2, 11)
CASES: list[tuple[Any, tuple[Any, ...]]] = [
    (neighbours, (X, X.copy())),
    (backwards, (X, X.copy())),
    (with_sum, (X, X.copy(), 0.7)),
    (in_place, (X, X[::-1].copy())),
    (same_row, (X, X[::-1].copy())),
    (gaps, (X, X.copy())),
    (rows, (A, B)),
    (columns, (A, B)),
    (wrapping, (X, X.copy())),
    (wide, (LONG, LONG.copy())),
]


@pytest.mark.parametrize(("kernel", "values"), CASES, ids=[k.name for k, _ in CASES])
def test_numbers(kernel: Any, values: tuple[Any, ...]) -> None:
    check_derivatives(kernel, *values)


@pytest.mark.parametrize("kernel", [neighbours, three, gaps], ids=lambda k: k.name)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
def test_sizes(kernel: Any, size: int) -> None:
    """Loops that do not run, that run once, and that are long enough for vectors."""
    rng = np.random.default_rng(size)
    x, y = rng.uniform(0.5, 1.5, size), rng.uniform(0.5, 1.5, size)
    dx, dy, seed = rng.uniform(-1, 1, size), rng.uniform(-1, 1, size), rng.uniform(-1, 1, size)
    by_x, by_y, tangent = np.zeros(size), seed.copy(), dy.copy()
    autodiff(Reverse, kernel, Const, Duplicated(x.copy(), by_x), Duplicated(y.copy(), by_y))
    autodiff(dsl.Forward, kernel, Const, Duplicated(x.copy(), dx.copy()), Duplicated(y.copy(), tangent))
    assert by_x @ dx + by_y @ dy == pytest.approx(seed @ tangent, rel=1e-12)


@pytest.mark.parametrize("strict", [True, False])
def test_arrays_that_overlap(strict: bool) -> None:
    """Where arrays may overlap, the order of accesses is left as it is: shifted views of one array, in place."""
    kernel = dsl.kernel(three.fn, strict_aliasing=False)
    size = 12
    memory, shadow = np.linspace(0.4, 1.3, size), np.linspace(-1.0, 1.0, size)
    seed = shadow.copy()
    shift = 0 if strict else 1
    x, y = memory[: size - 1], memory[shift : size - 1 + shift]
    dx, dy = shadow[: size - 1], shadow[shift : size - 1 + shift]
    autodiff(Reverse, kernel, Const, Duplicated(x, dx), Duplicated(y, dy))
    step, expected = 1e-30, np.zeros(size)
    for k in range(size):
        moved = np.linspace(0.4, 1.3, size).astype(complex)
        moved[k] += 1j * step
        three.fn(moved[: size - 1], moved[shift : size - 1 + shift])
        expected[k] = seed @ moved.imag / step
    np.testing.assert_allclose(shadow, expected, rtol=1e-12, atol=1e-14)


def lines(kernel: Any, *values: np.ndarray) -> str:
    marked = [Duplicated(v.copy(), np.zeros_like(v)) for v in values]
    return kernel.ir("autodiff", Reverse, Const, *marked).plain


def test_sums_in_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the loop, counting up, one cell is loaded and stored; the last two are added to behind it."""
    patterns = """
    : @derivative(
    : scf.if
    -NOT: memref.load %arg1
    : scf.for %[[I:.*]] = {{.*}} iter_args
    -NOT: arith.select
    : memref.load %arg1[%[[I]]]
    -NOT: memref.load %arg1
    : memref.store {{.*}}, %arg1[%[[I]]]
    -NOT: memref.store {{.*}}, %arg1
    : scf.yield
    -COUNT-2: memref.store {{.*}}, %arg1
    : return
    """
    filecheck(lines(three, X, X), patterns, tmp_path, monkeypatch)


@pytest.mark.parametrize("kernel", [in_place, same_row, wide], ids=lambda k: k.name)
def test_what_is_left(kernel: Any) -> None:
    """No sums are carried where other accesses of the memory stand between, or cells are too far apart."""
    assert "iter_args" not in lines(kernel, LONG, LONG)

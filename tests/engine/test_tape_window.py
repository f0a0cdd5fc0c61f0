"""Tapes of which most rows are computed again: right numbers for windows that are whole or not, in one array and in
two; and which loops are not run again. Rows are so long that three are computed again at a time, and tapes of more than
seventeen are.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Forward, Reverse, autodiff

from .checks import filecheck

SIZE = 30_000
STEPS = [0, 1, 5, 17, 18, 19, 20, 21, 26]


@dsl.kernel
def whole(x, y, steps):
    """Each iteration writes all cells: a row is kept of each window."""
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for _ in range(steps):
        new[0] = 0.9 * u[0]
        new[n - 1] = 0.5 * u[n - 1] + 0.1 * u[0]
        for i in range(1, n - 1):
            new[i] = u[i] + 0.2 * u[i] * (u[i - 1] - 2.0 * u[i] + u[i + 1])
        u, new = new, u
    for i in range(n):
        x[i], y[i] = new[i], u[i]


@dsl.kernel
def ends_stay(x, y, steps):
    """Those of the two arrays differ: two rows are kept."""
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for _ in range(steps):
        for i in range(1, n - 2):
            new[i] = 0.8 * u[i] + 0.2 * u[i - 1] * u[i + 2]
        u, new = new, u
    for i in range(n):
        x[i], y[i] = new[i], u[i]


@dsl.kernel
def in_place(u, new, steps):
    for _ in range(steps):
        for i in range(len(u)):
            u[i] = u[i] * (1.3 - 0.5 * u[i])
    for i in range(len(u)):
        new[i] = u[i] * u[i]


@dsl.kernel
def copied_back(u, new, steps):
    """An iteration writes other memory besides."""
    n = len(u)
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = 0.5 * u[i] + 0.3 * u[i - 1] * u[i + 1]
        for i in range(1, n - 1):
            u[i] = new[i]


@dsl.kernel
def first_is_other(x, y, steps):
    """What the user does in the first iteration only."""
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for t in range(steps):
        for i in range(1, n - 1):
            new[i] = 0.8 * u[i] + 0.2 * u[i - 1] * u[i + 1]
        if t == 0:
            new[1] = 0.5
        if t == 0:
            new[2] = 0.6
        else:
            new[2] = 0.7
        u, new = new, u
    for i in range(n):
        x[i], y[i] = new[i], u[i]


@dsl.kernel
def fixed(x, y, steps):
    """The number of steps is known beforehand."""
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for _ in range(22):
        for i in range(1, n - 1):
            new[i] = 0.9 * u[i] + 0.1 * u[i - 1] * u[i + 1]
        u, new = new, u
    u[2] *= 1.0 + steps
    for i in range(n):
        x[i], y[i] = new[i], u[i]


@dsl.kernel
def dear(x, y, steps):
    """To compute a row takes longer than to keep it."""
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for _ in range(steps):
        for i in range(n):
            new[i] = math.sin(u[i])
        u, new = new, u
    for i in range(n):
        x[i], y[i] = new[i], u[i]


@dsl.kernel
def sums(x, y, steps):
    """A cell takes a loop of its own."""
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for _ in range(steps):
        for i in range(1, n - 1):
            s = 0.0
            for k in range(3):
                s += u[i + k - 1] * u[k]
            new[i] = 0.3 * s
        u, new = new, u
    for i in range(n):
        x[i], y[i] = new[i], u[i]


KERNELS = [
    (whole, True), (ends_stay, True), (in_place, True), (copied_back, False), (first_is_other, True), (fixed, True),
    (dear, False), (sums, False),
]  # fmt: skip


def agree(kernel: Any, arrays: list[np.ndarray], steps: int, rest: tuple[np.ndarray, ...] = ()) -> None:
    """Forward mode against reverse mode: what seeds get of a direction, and what that gets of the seeds."""
    rng = np.random.default_rng(steps)
    directions, seeds = [[rng.uniform(-1.0, 1.0, a.shape).astype(a.dtype) for a in arrays] for _ in range(2)]
    tangents, cotangents = [d.copy() for d in directions], [s.copy() for s in seeds]
    for mode, shadows in ((Forward, tangents), (Reverse, cotangents)):
        others = [Const(a.copy()) for a in rest]
        autodiff(mode, kernel, Const, *map(Duplicated, [a.copy() for a in arrays], shadows), Const(steps), *others)
    forward = sum(float(np.vdot(s.astype(float), t)) for s, t in zip(seeds, tangents))
    reverse = sum(float(np.vdot(d.astype(float), c)) for d, c in zip(directions, cotangents))
    assert reverse == pytest.approx(forward, rel=1e-10 if arrays[0].dtype == np.float64 else 1e-3)


def two(size: Any = SIZE, dtype: Any = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.uniform(0.4, 0.9, size).astype(dtype) for _ in range(2)]


@pytest.mark.parametrize("fastmath", [False, True])
@pytest.mark.parametrize("kernel", [k for k, _ in KERNELS], ids=lambda k: k.name)
def test_numbers(kernel: Any, fastmath: bool) -> None:
    compiled = dsl.kernel(kernel.fn, fastmath=fastmath)
    for steps in STEPS:
        agree(compiled, two(), steps)


@pytest.mark.parametrize("size", [3, 700, 20_000, 27_500, 43_690, 70_000])
def test_sizes(size: int) -> None:
    """Tapes that are kept whole, since they are short or since rows are long; and windows of other lengths."""
    for steps in (5, 25, 27):
        agree(whole, two(size), steps)
        agree(ends_stay, two(size), steps)


@pytest.mark.parametrize("kernel", [whole, ends_stay, copied_back, first_is_other], ids=lambda k: k.name)
def test_one_direction(kernel: Any) -> None:
    """Against a complex step of the undecorated function, which is Python's own."""
    steps, arrays = 18, two()
    directions, seeds = two(), [a - 0.6 for a in two()]
    moved = [a + 1e-30j * d for a, d in zip(arrays, directions)]
    kernel.fn(*moved, steps)
    expected = sum(s @ m.imag for s, m in zip(seeds, moved)) / 1e-30
    shadows = [s.copy() for s in seeds]
    autodiff(Reverse, kernel, Const, *map(Duplicated, arrays, shadows), Const(steps))
    assert sum(d @ s for d, s in zip(directions, shadows)) == pytest.approx(expected, rel=1e-11)


@dsl.kernel
def plane(x, y, steps):
    n, m = x.shape[0], x.shape[1]
    a, b = 1.0 * x, 0.0 * x
    for i in range(n):
        for j in range(m):
            b[i, j] = y[i, j]
    for _ in range(steps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                b[i, j] = 0.8 * a[i, j] + 0.1 * a[i, j] * (a[i - 1, j] + a[i + 1, j] - a[i, j - 1] * a[i, j + 1])
        a, b = b, a
    for i in range(n):
        for j in range(m):
            x[i, j], y[i, j] = b[i, j], a[i, j]


@dsl.kernel
def with_weights(x, y, steps, c):
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = 0.5 * u[i] + c[i] * u[i - 1] * u[i + 1]
        u, new = new, u
    for i in range(n):
        x[i], y[i] = new[i], u[i]


@dsl.kernel
def weights_change(x, y, steps, c):
    """What an iteration reads is not there any more when it would be run again."""
    n = len(x)
    u, new = 1.0 * x, 0.0 * x
    for i in range(n):
        new[i] = y[i]
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = 0.5 * u[i] + c[i] * u[i - 1] * u[i + 1]
        u, new = new, u
    for i in range(n):
        c[i] = 0.0
    for i in range(n):
        x[i], y[i] = new[i], u[i]


def test_others() -> None:
    rng = np.random.default_rng(4)
    for steps in (1, 18, 21):
        agree(plane, two((200, 150)), steps)
        agree(whole, two(60_000, np.float32), steps)
        for kernel in (with_weights, weights_change):
            agree(kernel, two(), steps, (rng.uniform(0.1, 0.4, SIZE),))


def reverse_of(kernel: Any, *more: Any) -> str:
    marked = [Duplicated(a, np.zeros_like(a)) for a in two(4)]
    return kernel.ir("autodiff", Reverse, Const, *marked, Const(4), *more).plain


def has_window(text: str) -> bool:
    return "arith.divui" in text


@pytest.mark.parametrize(("kernel", "window"), KERNELS, ids=[k.name for k, _ in KERNELS])
def test_what_is_run_again(kernel: Any, window: bool) -> None:
    assert has_window(reverse_of(kernel)) == window


def test_what_is_read() -> None:
    assert has_window(reverse_of(with_weights, Const(np.zeros(4))))
    assert not has_window(reverse_of(weights_change, Const(np.zeros(4))))


def test_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop back begins with the loop that writes rows again; each row is found by the rest and the quotient."""
    patterns = """
    : @derivative(
    : %[[LENGTH:.*]] = arith.select {{.*}} : index
    : memref.alloc({{.*}}) {autodiff.tape} : memref<?x?xf64>
    : scf.for %[[BACK:.*]] = %c0 to %[[TRIPS:.*]] step
    : scf.for %[[BACK:.*]] = %c0 to %[[TRIPS]] step
    : %[[ROW:.*]] = arith.subi
    : arith.remui %[[ROW]], %[[LENGTH]]
    : scf.if
    : scf.for
    : scf.for
    : memref.store
    : return
    """
    filecheck(reverse_of(whole), patterns, tmp_path, monkeypatch)

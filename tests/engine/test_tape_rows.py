"""Memory that a loop writes anew in each iteration: its states are the rows of the tape, and the numbers are right
whether or not they can be.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Active, BatchDuplicated, Const, Duplicated, Reverse, ReverseSplitWithPrimal, autodiff, autodiff_thunk
from tests.derivatives import check_derivatives

from .checks import filecheck
from .test_snapshots import annotated

U = np.array([0.7, 0.9, 1.2, 0.8, 0.6, 1.1])
A = np.linspace(0.5, 1.3, 20).reshape(4, 5)


@dsl.kernel
def ends_stay(u):
    """The ends of both arrays are never written, and differ."""
    v, new = dsl.zeros(len(u)), dsl.zeros(len(u))
    for i in range(len(u)):
        v[i] = u[i]
        new[i] = 0.5 * u[i] * u[i]
    for _ in range(5):
        for i in range(1, len(v) - 2):
            new[i] = 0.4 * math.sin(v[i - 1]) * v[i + 1] + 0.4 * v[i] * v[i]
        v, new = new, v
    return dsl.sum(v * v) + new[0] * v[1] + new[len(u) - 1]


@dsl.kernel
def ends_written(u):
    """The ends are written before and behind the loop over the others; one is counted from the end."""
    new = dsl.zeros(len(u))
    for _ in range(5):
        new[0] = 0.9 * u[1]
        for i in range(1, len(u) - 1):
            new[i] = u[i] * u[i - 1] * u[i + 1]
        new[-1] = u[-1] * new[0]
        u, new = new, u
    return dsl.sum(u)


@dsl.kernel
def in_place(x):
    for _ in range(5):
        for i in range(len(x)):
            x[i] = math.sin(x[i]) * x[i]
    return dsl.sum(x * x)


@dsl.kernel
def part_in_place(x):
    """Some cells stay, and what the iteration wrote is read in it."""
    s = 0.0
    for _ in range(5):
        for i in range(2, len(x) - 1):
            x[i] = math.sin(x[i]) * x[i]
        s += x[2] * x[0]
    return s + dsl.sum(x)


@dsl.kernel
def copied_back(u):
    new = dsl.zeros(len(u))
    for _ in range(5):
        for i in range(1, len(u) - 1):
            new[i] = u[i] * u[i - 1] + u[i + 1]
        for i in range(1, len(u) - 1):
            u[i] = 0.5 * new[i]
        u[0] = 0.9 * u[1]
    return dsl.sum(u)


@dsl.kernel
def read_behind(u):
    """What is kept is what the iteration wrote, not what it found."""
    s = 0.0
    for _ in range(5):
        for i in range(len(u)):
            u[i] = 0.7 * u[i] + 0.1
        for i in range(1, len(u)):
            s += math.sin(u[i]) * u[i - 1]
    return s


@dsl.kernel
def longer(u):
    """Two arrays that differ in length take turns."""
    m = len(u)
    new = dsl.zeros(m + 3)
    new[m] = u[0]
    for _ in range(5):
        for i in range(1, m - 1):
            new[i] = u[i] * u[i - 1] * u[i + 1]
        u, new = new, u
    return dsl.sum(u * u) + dsl.sum(new)


@dsl.kernel
def plane(a):
    """The edges of two arrays that take turns stay as they are."""
    b, new = dsl.zeros((a.shape[0], a.shape[1])), dsl.zeros((a.shape[0], a.shape[1]))
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            b[i, j] = a[i, j]
            new[i, j] = 0.3 * a[i, j]
    for _ in range(5):
        for i in range(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                new[i, j] = 0.3 * b[i, j] * (b[i - 1, j] + b[i + 1, j] + b[i, j - 1] * b[i, j + 1])
        b, new = new, b
    return dsl.sum(b * b) + dsl.sum(new)


@dsl.kernel
def again(u):
    """The loop runs several times; the array is used between its runs."""
    new = dsl.zeros(len(u))
    for _ in range(2):
        for _ in range(5):
            for i in range(len(u) - 1):
                new[i] = u[i] * u[i + 1]
            for i in range(len(u) - 1):
                u[i] = 0.9 * new[i]
        u[0] *= u[1]
    return dsl.sum(u)


@dsl.kernel
def neighbours(x):
    """Each cell is computed of one that has just been overwritten."""
    for _ in range(5):
        for i in range(1, len(x)):
            x[i] = x[i] * x[i - 1]
    return dsl.sum(x)


@dsl.kernel
def sometimes(x):
    """Not every iteration writes."""
    for k in range(5):
        if k != 2:
            for i in range(len(x)):
                x[i] = math.sin(x[i]) * x[i]
    return dsl.sum(x)


@dsl.kernel
def end_first(x):
    """A cell is written before the loop that reads it."""
    for _ in range(5):
        x[0] = x[0] * x[1]
        for i in range(len(x)):
            x[i] = math.sin(x[i]) * x[i]
    return dsl.sum(x)


@dsl.kernel
def written_again(x):
    """What is kept is what is there for a while only."""
    s = 0.0
    for _ in range(5):
        for i in range(len(x)):
            x[i] = 0.7 * x[i] + 0.1
        for i in range(1, len(x)):
            if x[i] > 0.6:
                x[i] = 0.5 * x[i - 1]
        s += x[1] * x[2]
    return s


@dsl.kernel
def old_ones(u):
    """What is left in the other array from two steps before is read."""
    new = dsl.zeros(len(u))
    for _ in range(5):
        for i in range(1, len(u) - 1):
            new[i] = u[i] * u[i + 1] * u[i - 1] + 0.5 * new[i] * new[i]
        u, new = new, u
    return dsl.sum(u)


@dsl.kernel
def few(x):
    """So few iterations are not worth it."""
    for _ in range(3):
        for i in range(len(x)):
            x[i] = math.sin(x[i]) * x[i]
    return dsl.sum(x)


@dsl.kernel
def corner(x):
    """Of a long array, little is overwritten and read: rows are no longer than that."""
    for _ in range(5):
        for i in range(3):
            x[i] = math.sin(x[i]) * x[i]
    return dsl.sum(x)


@dsl.kernel
def far(x):
    """A row would have to be as long as the array for one cell."""
    s = 0.0
    for _ in range(5):
        for i in range(3):
            x[i] = math.sin(x[i]) * x[i]
        s += x[len(x) - 1] * x[0]
    return s


@dsl.kernel
def as_long_as(x, y):
    """How long y is nobody knows, but what of it is read and written is no longer than x."""
    k = dsl.zeros(len(x))
    for _ in range(5):
        for i in range(1, len(x)):
            k[i] = x[i] * y[i - 1]
        for i in range(len(x)):
            y[i] += 0.1 * math.sin(y[i]) * k[i]
        y[0] = 0.5 * x[0]


CASES: list[tuple[Any, np.ndarray, bool]] = [
    (ends_stay, U, True),
    (ends_written, U, True),
    (in_place, U, True),
    (part_in_place, U, True),
    (copied_back, U, True),
    (read_behind, U, True),
    (longer, U, True),
    (plane, A, True),
    (again, U, True),
    (neighbours, U, False),
    (sometimes, U, False),
    (end_first, U, False),
    (written_again, U, False),
    (old_ones, U, False),
    (few, U, False),
    (corner, U, True),
    (far, U, False),
]


def has_rows(kernel: Any, x: np.ndarray) -> bool:
    """Whether some tape has a row more than there are iterations."""
    text = kernel.ir("autodiff", Reverse, Active, *annotated((x,))).plain
    return any("{autodiff.tape}" in line and "memref<6x" in line.replace("<2x6x", "<6x") for line in text.splitlines())


@pytest.mark.parametrize(("kernel", "x", "rows"), CASES, ids=[k.name for k, _, _ in CASES])
def test_numbers(kernel: Any, x: np.ndarray, rows: bool) -> None:
    check_derivatives(kernel, x)
    assert has_rows(kernel, x) == rows


@dsl.kernel
def evolve(u):
    """Two arrays, and the result in the argument."""
    v, new = dsl.zeros(len(u)), dsl.zeros(len(u))
    for i in range(len(u)):
        v[i] = u[i]
        new[i] = 0.5 * u[i] * u[i]
    for _ in range(5):
        for i in range(1, len(u) - 2):
            new[i] = 0.4 * math.sin(v[i - 1]) * v[i + 1] + 0.4 * v[i] * v[i]
        v, new = new, v
    for i in range(len(u)):
        u[i] = v[i] * new[i] + u[i]


def pulled_back(seed: np.ndarray) -> np.ndarray:
    shadow = seed.copy()
    autodiff(Reverse, evolve, Const, Duplicated(U.copy(), shadow))
    return shadow


def test_evolve() -> None:
    check_derivatives(evolve, U)
    text = evolve.ir("autodiff", Reverse, Const, *annotated((U,))).plain
    assert "{autodiff.tape} : memref<6x?xf64>" in text


def test_split() -> None:
    """What is between the two calls is the rows."""
    seed = np.linspace(-1, 1, len(U))
    values, shadow = U.copy(), seed.copy()
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, evolve, Const, Duplicated[U])
    tape, *_ = fwd(Const(evolve), Duplicated(values, shadow))
    after = U.copy()
    evolve(after)
    np.testing.assert_array_equal(values, after)
    rev(Const(evolve), Duplicated(values, shadow), tape)
    np.testing.assert_allclose(shadow, pulled_back(seed), rtol=1e-13)


def test_several_at_once() -> None:
    seeds = np.random.default_rng(3).uniform(-1, 1, (3, len(U)))
    shadows = seeds.copy()
    autodiff(Reverse, evolve, Const, BatchDuplicated(U.copy(), tuple(shadows)))
    for seed, shadow in zip(seeds, shadows, strict=True):
        np.testing.assert_allclose(shadow, pulled_back(seed), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kernel", [ends_stay, part_in_place, copied_back], ids=lambda k: k.name)
def test_second_order(kernel: Any) -> None:
    """Forward over reverse, against differences of the gradient."""

    @dsl.kernel
    def slope(u, du):
        dsl.autodiff(dsl.Reverse, kernel, dsl.Active, dsl.Duplicated(u, du))

    direction = np.random.default_rng(1).uniform(-1, 1, U.shape)

    def gradient(u: np.ndarray) -> np.ndarray:
        found = np.zeros_like(u)
        slope(u.copy(), found)
        return found

    found, tangent = np.zeros_like(U), np.zeros_like(U)
    autodiff(dsl.Forward, slope, Const, Duplicated(U.copy(), direction.copy()), Duplicated(found, tangent))
    step = 1e-5
    expected = (gradient(U + step * direction) - gradient(U - step * direction)) / (2 * step)
    np.testing.assert_allclose(tangent, expected, rtol=1e-7, atol=1e-8)


@dsl.kernel
def steps(u, n, turns):
    """As many steps as asked for, of an array by itself and of two."""
    new = dsl.zeros(len(u))
    for i in range(len(u)):
        new[i] = 0.3 * u[i]
    for _ in range(n):
        for i in range(2, len(u) - 1):
            u[i] = math.sin(u[i]) * u[i]
    for _ in range(turns):
        for i in range(1, len(u) - 1):
            new[i] = u[i] * u[i - 1] + u[i + 1] * u[i]
        u, new = new, u
    return dsl.sum(u * u) + new[0] * new[len(u) - 1]


@pytest.mark.parametrize("more", [0, 3])
def test_arguments_of_other_lengths(more: int) -> None:
    y = np.linspace(0.5, 1.0, len(U) + more)
    check_derivatives(as_long_as, U, y)
    text = as_long_as.ir("autodiff", Reverse, Const, *annotated((U, y))).plain
    assert "{autodiff.tape} : memref<6x?xf64>" in text


@pytest.mark.parametrize("size", [2, 3, 4, 6])
@pytest.mark.parametrize(("n", "turns"), [(0, 0), (1, 1), (2, 0), (0, 2), (5, 3), (-1, -2)])
def test_loops_that_do_not_run(size: int, n: int, turns: int) -> None:
    check_derivatives(steps, U[:size].copy(), n, turns)


def test_no_state_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop reads one row and writes the next, and the array is given back what it then holds."""
    text = in_place.ir("autodiff", Reverse, Active, *annotated((U,))).plain
    patterns = """
    : @derivative(%[[X:arg0]]:
    : %[[TAPE:[^ ]+]] = memref.alloc({{.*}}) {autodiff.tape} : memref<6x?xf64>
    : memref.load %[[X]][
    : memref.store {{.*}}, %[[TAPE]][
    : scf.for %[[T:[^ ]+]] = {{.*}} to %c5
    : %[[NEXT:[^ ]+]] = arith.addi %[[T]], %c1
    -NOT: %[[X]][
    : %[[OLD:[^ ]+]] = memref.load %[[TAPE]][%[[T]], %[[I:[^ ]+]]]
    : math.sin %[[OLD]]
    : memref.store {{.*}}, %[[TAPE]][%[[NEXT]], %[[I]]]
    : memref.load %[[TAPE]][
    : memref.store {{.*}}, %[[X]][
    : math.cos
    : return
    """
    filecheck(text, patterns, tmp_path, monkeypatch)

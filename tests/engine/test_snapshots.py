"""Memory that is overwritten and read several times in between: one copy an iteration, and right numbers whether or not
one is taken.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Reverse
from tests.derivatives import check_derivatives

from .checks import filecheck

U = np.array([0.7, 0.9, 1.2, 0.8, 0.6, 1.1])
A = np.linspace(0.5, 1.3, 12).reshape(3, 4)


@dsl.kernel
def two_buffers(u, n):
    new = dsl.zeros(len(u))
    for t in range(n):
        new[0] = u[0]
        new[len(u) - 1] = u[len(u) - 1]
        for i in range(1, len(u) - 1):
            new[i] = u[i] + 0.1 * u[i] * (u[i + 1] - u[i - 1])
        u, new = new, u
    return dsl.sum(u * u)


@dsl.kernel
def stages(x, y, n):
    """The same memory in three loops of an iteration, overwritten at its end."""
    k, at = dsl.zeros(len(x)), dsl.zeros(len(x))
    for t in range(n):
        for i in range(len(x)):
            k[i] = x[i] * y[i]
        for i in range(len(x)):
            at[i] = y[i] * y[i] + 0.5 * k[i]
        for i in range(len(x)):
            y[i] += 0.1 * math.sin(y[i]) * at[i]


@dsl.kernel
def in_part(u, n):
    """Only some cells are overwritten, and not all are read."""
    new = dsl.zeros(len(u))
    for t in range(n):
        for i in range(1, len(u) - 2):
            new[i] = u[i] * u[i + 1]
        for i in range(2, len(u) - 2):
            u[i] = 0.5 * new[i] * u[i]
    return dsl.sum(u)


@dsl.kernel
def on_condition(u, n):
    new = dsl.zeros(len(u))
    for t in range(n):
        for i in range(len(u) - 1):
            new[i] = u[i] * u[i + 1]
        if t % 2 == 0:
            for i in range(len(u)):
                u[i] = math.sin(new[i] + u[i])
    return dsl.sum(u)


@dsl.kernel
def wrapping(u, n):
    """The ends are neighbours: u[-1] is the last."""
    new = dsl.zeros(len(u))
    for t in range(n):
        for i in range(len(u)):
            new[i] = u[i] * u[i - 1]
        for i in range(len(u)):
            u[i] = 0.7 * new[i]
    return dsl.sum(u)


@dsl.kernel
def guarded(u, n):
    """Beyond the ends nothing is read, though the loops would go there."""
    new = dsl.zeros(len(u))
    for t in range(n):
        for i in range(len(u) + 3):
            if i + 1 < len(u):
                new[i] = u[i] * u[i + 1]
        for i in range(len(u)):
            u[i] = math.sin(new[i])
    return dsl.sum(u)


@dsl.kernel
def leaving(u, n):
    new = dsl.zeros(len(u))
    for t in range(n):
        for i in range(1, len(u)):
            if u[i] > 1.15:
                break
            new[i] = u[i] * u[i - 1]
        for i in range(len(u)):
            u[i] = u[i] + 0.3 * new[i]
        if u[1] > 1.4:
            break
    return dsl.sum(u)


@dsl.kernel
def views(u, n):
    """Two views of one array: what one overwrites the other reads."""
    left, right = u[: len(u) - 1], u[1:]
    new = dsl.zeros(len(u))
    for t in range(n):
        for i in range(len(left) - 1):
            new[i] = left[i] * right[i] + left[i + 1]
        for i in range(len(left)):
            right[i] = math.sin(new[i]) + left[i]
    return dsl.sum(u)


@dsl.kernel
def plane(a, n):
    new = dsl.zeros((a.shape[0], a.shape[1]))
    for t in range(n):
        for i in range(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                new[i, j] = a[i, j] * (a[i - 1, j] + a[i + 1, j] + a[i, j - 1] * a[i, j + 1])
        for i in range(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                a[i, j] = 0.2 * new[i, j]
    return dsl.sum(a)


@dsl.kernel
def rows(a):
    """One array, each row from the one before: what is read may be what the loop writes."""
    for t in range(1, a.shape[0]):
        for j in range(1, a.shape[1] - 1):
            a[t, j] = a[t, j] * a[t - 1, j] + a[t - 1, j - 1] * a[t - 1, j + 1]
    return dsl.sum(a)


@dsl.kernel
def product(a, x, n):
    """The vector is read once for each row."""
    new = dsl.zeros(len(x))
    for t in range(n):
        for i in range(a.shape[0]):
            s = 0.0
            for j in range(a.shape[1]):
                s += a[i, j] * x[j]
            new[i] = math.sin(s)
        for i in range(a.shape[0]):
            x[i] = new[i]
    return dsl.sum(x)


@dsl.kernel
def moved(a, x, n):
    """The same, with the result in the vector."""
    new = dsl.zeros(len(x))
    for t in range(n):
        for i in range(a.shape[0]):
            s = 0.0
            for j in range(a.shape[1]):
                s += a[i, j] * x[j]
            new[i] = math.sin(s)
        for i in range(a.shape[0]):
            x[i] = new[i]


@dsl.kernel
def inner_time(u, n):
    """Overwritten in an inner loop: a copy for each of its iterations."""
    new = dsl.zeros(len(u))
    for s in range(2):
        for t in range(n):
            for i in range(len(u) - 1):
                new[i] = u[i] * u[i + 1]
            for i in range(len(u) - 1):
                u[i] = 0.9 * new[i]
        u[0] *= u[1]
    return dsl.sum(u)


@dsl.kernel
def until(u, n):
    new = dsl.zeros(len(u))
    while u[0] > 0.2:
        for i in range(len(u) - 1):
            new[i] = u[i] * u[i + 1]
        for i in range(len(u) - 1):
            u[i] = 0.8 * new[i]
    return dsl.sum(u)


@dsl.kernel
def window(u, n):
    """The array grows with the loop, and little of it is read: no copy may be taken."""
    for t in range(3, len(u)):
        for j in range(3):
            u[t] = u[t] + 0.1 * u[t - 1 - j] * u[t - 2]
    return u[len(u) - 1]


CASES: list[tuple[Any, tuple[Any, ...], bool]] = [
    (two_buffers, (U, 3), True),
    (stages, (U, U[::-1].copy(), 2), True),
    (in_part, (U, 3), True),
    (on_condition, (U, 3), True),
    (wrapping, (U, 2), True),
    (guarded, (U, 2), True),
    (leaving, (U, 3), False),
    (views, (U, 2), False),
    (plane, (A, 2), True),
    (rows, (A,), False),
    (product, (A[:, :3].copy(), U[:3].copy(), 2), True),
    (inner_time, (U, 2), True),
    (until, (U, 1), False),
    (window, (U, 1), False),
]


def annotated(values: tuple[Any, ...]) -> list[Any]:
    return [Duplicated(v.copy(), np.zeros_like(v)) if isinstance(v, np.ndarray) else Const(v) for v in values]


def copies(kernel: Any, values: tuple[Any, ...]) -> list[Any]:
    returned = Const if kernel is stages else Active
    tape = kernel.explain(Reverse, returned, *annotated(values)).tape
    return [value for value in tape if value.what.startswith("a copy")]


@pytest.mark.parametrize(("kernel", "values", "copied"), CASES, ids=[k.name for k, _, _ in CASES])
def test_numbers(kernel: Any, values: tuple[Any, ...], copied: bool) -> None:
    """Right in all modes, and a copy is taken where it is smaller."""
    check_derivatives(kernel, *values)
    assert bool(copies(kernel, values)) == copied


@pytest.mark.parametrize("kernel", [two_buffers, in_part, guarded, wrapping], ids=lambda k: k.name)
@pytest.mark.parametrize(("size", "n"), [(3, 1), (2, 2), (1, 2), (4, 0)])
def test_loops_that_do_not_run(kernel: Any, size: int, n: int) -> None:
    if kernel is two_buffers and size == 1:
        size = 2
    x, shadow = U[:size].copy(), np.zeros(size)
    dsl.autodiff(Reverse, kernel, Active, Duplicated(x.copy(), shadow), Const(n))
    step = 1e-30
    for k in range(size):
        moved = x.astype(complex)
        moved[k] += 1j * step
        expected = complex_run(kernel, moved, n).imag / step
        assert shadow[k] == pytest.approx(expected, rel=1e-12, abs=1e-14)


def complex_run(kernel: Any, x: np.ndarray, n: int) -> complex:
    """The kernel's own Python, on complex numbers."""
    import cmath
    from types import FunctionType, SimpleNamespace

    fake = SimpleNamespace(zeros=lambda m: np.zeros(m, complex), sum=np.sum)
    names = {**kernel.fn.__globals__, "dsl": fake, "math": cmath}
    return FunctionType(kernel.fn.__code__, names)(x, n)


def test_what_is_kept() -> None:
    """One copy of what is read, not three values of each cell; and nothing in one iteration's reverse."""
    e = two_buffers.explain(Reverse, Active, *annotated((U, 3)))
    (value,) = e.tape
    assert value.bytes is not None and 3 * 8 * len(U) <= value.bytes <= 3 * 8 * (len(U) + 2)
    assert value.title.startswith("a copy of the memory read by") and "smaller than each value of 3" in value.reason


def test_no_copy_of_an_array_that_grows() -> None:
    """A copy of all for each step would make the tape grow with the square of the steps."""
    small, large = (window.tape_bytes(Reverse, Active, *annotated((np.ones(m), 1))) for m in (50, 100))
    assert large < 2.2 * small


def test_second_order() -> None:
    """Forward over reverse of the two buffers, against differences of the gradient."""

    @dsl.kernel
    def slope(u, du, n):
        dsl.autodiff(dsl.Reverse, two_buffers, dsl.Active, dsl.Duplicated(u, du), dsl.Const(n))

    rng = np.random.default_rng(1)
    direction = rng.uniform(-1, 1, U.shape)

    def gradient(u: np.ndarray) -> np.ndarray:
        found = np.zeros_like(u)
        slope(u.copy(), found, 3)
        return found

    tangent, found = np.zeros_like(U), np.zeros_like(U)
    dsl.autodiff(
        dsl.Forward, slope, Const, Duplicated(U.copy(), direction.copy()), Duplicated(found, tangent), Const(3)
    )
    step = 1e-5
    expected = (gradient(U + step * direction) - gradient(U - step * direction)) / (2 * step)
    np.testing.assert_allclose(tangent, expected, rtol=1e-7, atol=1e-9)


def test_split_and_several_at_once() -> None:
    """The copies cross from one half to the other, and serve all directions."""
    x, y = A[:, :3].copy(), U[:3].copy()
    seeds = np.random.default_rng(4).uniform(-1, 1, (3, 3))

    def gradients(seed: np.ndarray) -> list[np.ndarray]:
        found = [np.zeros_like(x), seed.copy()]
        dsl.autodiff(Reverse, moved, Const, *map(Duplicated, (x.copy(), y.copy()), found), Const(2))
        return found

    together = [np.zeros((3, *x.shape)), seeds.copy()]
    several = [dsl.BatchDuplicated(v.copy(), tuple(s)) for v, s in zip((x, y), together, strict=True)]
    dsl.autodiff(Reverse, moved, Const, *several, Const(2))
    fwd, rev = dsl.autodiff_thunk(dsl.ReverseSplitNoPrimal, moved, Const, Duplicated[x], Duplicated[y], Const[int])
    for k, seed in enumerate(seeds):
        expected, apart = gradients(seed), [np.zeros_like(x), seed.copy()]
        given = [Const(moved), *map(Duplicated, (x.copy(), y.copy()), apart), Const(2)]
        tape, *_ = fwd(*given)
        rev(*given, tape)
        for one, wanted, all_of in zip(apart, expected, together, strict=True):
            np.testing.assert_allclose(one, wanted, rtol=1e-13)
            np.testing.assert_allclose(all_of[k], wanted, rtol=1e-12, atol=1e-14)


def test_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One buffer, filled by one store in the forward loop; the reverse loops read it."""
    text = product.ir("autodiff", Reverse, Active, *annotated((A[:, :3].copy(), U[:3].copy(), 2))).plain
    patterns = """
    : @derivative(
    : %[[TAPE:[^ ]+]] = memref.alloc({{.*}}) {autodiff.tape} : memref<?x?xf64>
    -NOT: autodiff.tape
    : memref.store {{.*}}, %[[TAPE]][
    -NOT: memref.store {{.*}}, %[[TAPE]][
    -COUNT-2: memref.load %[[TAPE]][
    -NOT: %[[TAPE]][
    : return
    """
    filecheck(text, patterns, tmp_path, monkeypatch)

"""Derivatives of host code that launches, of kernels that ask for derivatives, and in modes beside the plain two."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    Const,
    Duplicated,
    Reverse,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_deferred,
    autodiff_thunk,
)
from dsl import simulator as sim

rng = np.random.default_rng(0)


def check(gradient, function, size, step=1e-5):
    """A gradient against central differences along a direction; `function` takes the displacement."""
    direction = rng.normal(size=size)
    wanted = (function(step * direction) - function(-step * direction)) / (2 * step)
    assert np.isclose(gradient @ direction, wanted, rtol=1e-5)


@dsl.kernel
def mul_kernel(A, B, C):
    i = dsl.thread_idx.x
    C[i] = A[i] * B[i]


@dsl.kernel
def grad_kernel(A, dA, B, dB, C, dC):
    autodiff_deferred(Reverse, mul_kernel, Const, Duplicated(A, dA), Duplicated(B, dB), Duplicated(C, dC))


def numbers():
    A, B, C, dC = rng.normal(size=(4, 32))
    return A, np.zeros(32), B, np.zeros(32), C, dC


def test_kernel_that_differentiates_a_kernel():
    A, dA, B, dB, C, dC = numbers()
    seed = dC.copy()
    grad_kernel[1, 32](A, dA, B, dB, C, dC)
    assert np.allclose(dA, B * seed) and np.allclose(dB, A * seed) and np.allclose(C, A * B)


@dsl.kernel
def by_a_function(A, dA, B, dB, C, dC):
    grad_kernel(A, dA, B, dB, C, dC)


@dsl.kernel
def launched_on_parts(u, at, B, dB, C, dC):
    grad_kernel[1, 8](u[0:8], u[at : at + 8], B, dB, C, dC)


@dsl.kernel
def launched_by_a_function(u, at, B, dB, C, dC):
    by_a_function[1, 8](u[0:8], u[at : at + 8], B, dB, C, dC)


@pytest.mark.parametrize("kernel", [launched_on_parts, launched_by_a_function])
@pytest.mark.parametrize(("place", "back"), [(lambda a: a.copy(), lambda a: a), (sim.asarray, lambda a: a.get())])
def test_a_launch_is_not_given_a_shadow_that_overlaps_its_array(kernel, place, back):
    """It is asked before the launch, of which then nothing is run."""
    u, (B, C, seed) = rng.normal(size=16), rng.normal(size=(3, 8))

    def run(at):
        given = [place(a) for a in (u, B, np.zeros(8), C, seed)]
        try:
            kernel(given[0], at, *given[1:])
        finally:
            now.append(back(given[0]))

    now = []
    run(8)
    assert np.allclose(now[-1], [*u[:8], *(u[8:] + B * seed)])
    for at in (0, 4):
        with pytest.raises(ValueError, match=r"overlap(.|\n)*u\[at : at \+ 8\]"):
            run(at)
        assert np.array_equal(now[-1], u)


def neighbours(A, C):
    i = dsl.grid(1)
    if i < len(A) - 1:
        C[i] = A[i] * A[i + 1]


def test_additions_to_cells_of_one_thread_are_plain():
    """By what the launch is: with more blocks, threads of other blocks are at the same cells."""
    given = numbers()

    def atomics(grid, given=given):
        return "atom." in grid.ir("ptx", *given)

    loose = dsl.kernel(grad_kernel.fn, strict_aliasing=False)
    assert not atomics(grad_kernel[1, 32]) and atomics(grad_kernel[2, 16]) and atomics(loose[1, 32])

    @dsl.kernel
    def shifted(A, dA, C, dC):
        autodiff_deferred(Reverse, neighbours, Const, Duplicated(A, dA), Duplicated(C, dC))

    assert atomics(shifted[1, 32], given[:4])

    @dsl.kernel
    def beside(A, dA, B, dB, C, dC):
        autodiff_deferred(Reverse, mul_kernel, Const, Duplicated(A, dA), Duplicated(B, dB), Duplicated(C, dC))
        dsl.atomic_add(dA, 31 - dsl.thread_idx.x, 1.0)

    assert atomics(beside[1, 32])
    A, dA, B, dB, C, dC = numbers()
    seed = dC.copy()
    beside[1, 32](A, dA, B, dB, C, dC)
    assert np.allclose(dA, B * seed + 1) and np.allclose(dB, A * seed)


def test_split_mode():
    A, dA, B, dB, C, dC = numbers()
    seed = dC.copy()
    array = Duplicated[dsl.types.ArrayType(dsl.float64, 1)]
    f = mul_kernel[1, 32]
    forward, backward = autodiff_thunk(ReverseSplitWithPrimal, f, Const, array, array, array)
    arguments = Duplicated(A, dA), Duplicated(B, dB), Duplicated(C, dC)
    tape, _, _ = forward(Const(f), *arguments)
    assert np.allclose(C, A * B)
    first, second = A.copy(), B.copy()
    A[:], B[:] = 0, 0  # the tape has what the pullback needs
    backward(Const(f), *arguments, tape)
    assert np.allclose(dA, second * seed) and np.allclose(dB, first * seed)


def test_thunk_of_another_grid_is_refused():
    array = Duplicated[dsl.types.ArrayType(dsl.float64, 1)]
    thunk = autodiff_thunk(Reverse, mul_kernel[1, 32], Const, array, array, array)
    with pytest.raises(dsl.errors.ArgumentError, match="the first argument of a thunk of mul_kernel"):
        thunk(Const(mul_kernel[1, 16]))


@dsl.kernel
def potential(x, p):
    return np.sin(x[0]) * x[1] * p[0]


@dsl.kernel
def forces(x, p, dp, out):
    i = dsl.grid(1)
    if i < len(out):
        v, dv = np.zeros(2), np.zeros(2)
        v[0], v[1] = x[i], x[i] + 1.0
        autodiff_deferred(Reverse, potential, Active, Duplicated(v, dv), Duplicated(p, dp))
        out[i] = dv[0] + dv[1]


def test_function_differentiated_by_each_thread_adds_to_a_common_shadow():
    x, p, dp, out = rng.normal(size=50), np.array([1.7]), np.zeros(1), np.zeros(50)
    forces[2, 32](x, p, dp, out)
    assert np.allclose(out, np.cos(x) * (x + 1) * 1.7 + np.sin(x) * 1.7)
    assert np.isclose(dp[0], (np.sin(x) * (x + 1)).sum())


@dsl.kernel
def wave(x):
    return np.sin(x) * x


@dsl.kernel
def slopes(x, out):
    i = dsl.grid(1)
    if i < len(x):
        ((slope,),) = autodiff_deferred(Reverse, wave, Active, Active(x[i]))
        out[i] = slope


def test_reverse_over_reverse():
    x, out = rng.normal(size=50), np.zeros(50)
    slopes[2, 32](x, out)
    assert np.allclose(out, np.cos(x) * x + np.sin(x))
    dx, seeds = np.zeros(50), np.ones(50)
    autodiff(Reverse, slopes[2, 32], Const, Duplicated(x, dx), Duplicated(out, seeds))
    assert np.allclose(dx, 2 * np.cos(x) - x * np.sin(x))


@dsl.kernel
def step(u, v):
    i = dsl.grid(1)
    if 0 < i < len(u) - 1:
        v[i] = u[i] + 0.1 * (u[i - 1] * u[i + 1] - 2 * u[i] * u[i])


@dsl.kernel
def simulate(u, v, n):
    for _ in range(n):
        step[4, 32](u, v)
        step[4, 32](v, u)
    s = 0.0
    for i in range(len(u)):
        s += u[i] ** 2
    return s


def test_time_loop():
    u = rng.normal(size=100) * 0.5
    v, du, dv = u.copy(), np.zeros(100), np.zeros(100)
    given = Duplicated(u.copy(), du), Duplicated(v.copy(), dv), Const(5)
    value, _ = autodiff(ReverseWithPrimal, simulate, Active, *given)
    assert np.isclose(value, simulate(u.copy(), v.copy(), 5))
    check(du, lambda d: simulate(u + d, v.copy(), 5), 100)


@dsl.kernel
def energy(u, tol):
    v = np.zeros_like(u)
    size, t = 1e9, 0
    while size > tol and t < 9:
        step[4, 32](u, v)
        u[:] = v
        size = dsl.sum(np.abs(u))
        t += 1
    return dsl.sum(u**2)


def test_loop_whose_number_of_launches_is_not_known_before():
    u, du = rng.normal(size=100) * 0.5, np.zeros(100)
    autodiff(Reverse, energy, Active, Duplicated(u.copy(), du), Const(1.0))
    check(du, lambda d: energy(u + d, 1.0), 100)


@dsl.kernel
def fold(u, v, n):
    i = dsl.grid(1)
    if i < n:
        v[i] = u[i] * u[i] + u[i + n]


@dsl.kernel
def coarsen(u, v):
    n = len(u) // 2
    while n >= 1:
        fold.forall(n)(u, v, n)
        for i in range(n):
            u[i] = v[i]
        n //= 2
    return u[0]


def test_grids_of_different_sizes():
    u, v, du, dv = rng.normal(size=16) * 0.5, np.zeros(16), np.zeros(16), np.zeros(16)
    autodiff(Reverse, coarsen, Active, Duplicated(u.copy(), du), Duplicated(v, dv))
    check(du, lambda d: coarsen(u + d, np.zeros(16)), 16)


@dsl.kernel
def waves(x, y, a):
    for i in dsl.prange(len(x)):
        y[i] = np.sin(x[i]) * a


def test_parallel_loop():
    x, y = rng.normal(size=(2, 1000))
    dx, dy = np.zeros(1000), np.ones(1000)
    ((_, _, da),) = autodiff(Reverse, waves, Const, Duplicated(x, dx), Duplicated(y, dy), Active(2.0))
    assert np.allclose(dx, 2 * np.cos(x)) and np.isclose(da, np.sin(x).sum())


@dsl.kernel
def running(x, out):
    i = dsl.grid(1)
    out[i] = dsl.atomic_exch(out, 0, x[i])


def test_exchange_is_refused_by_place():
    x, out = rng.normal(size=(2, 32))
    with pytest.raises(dsl.errors.DslError, match="depends on the order in which threads come") as caught:
        autodiff(Reverse, running[1, 32], Const, Duplicated(x, np.zeros(32)), Duplicated(out, np.zeros(32)))
    assert "dsl.atomic_exch(out, 0, x[i])" in str(caught.value)


@dsl.kernel
def scaled(y, x, a):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = a * x[i] * x[i]


def test_one_slot_for_each_argument_of_the_kernel():
    """None for the extents of the grid, which the host code takes besides."""
    x = np.arange(4.0)

    def marked(a):
        return Duplicated(np.zeros(4), np.ones(4)), Duplicated(x, np.zeros(4)), a

    assert autodiff(Reverse, scaled[2, 2], Const, *marked(Active(0.5))) == ((None, None, 14.0),)
    assert autodiff(ReverseWithPrimal, scaled[2, 2], Const, *marked(Const(0.5))) == (None, (None, None, None))
    thunk = autodiff_thunk(Reverse, scaled[2, 2], Const, *marked(Active(0.5)))
    assert thunk(Const(scaled[2, 2]), *marked(Active(0.5))) == ((None, None, 14.0),)
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, scaled[2, 2], Const, *marked(Active(0.5)))
    tape, _, _ = forward(Const(scaled[2, 2]), *marked(Active(0.5)))
    assert reverse(Const(scaled[2, 2]), *marked(Active(0.5)), tape) == ((None, None, 14.0),)

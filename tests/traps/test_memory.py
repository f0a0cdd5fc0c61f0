"""Kernels on which other systems return wrong gradients: arrays that are written in place."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Reverse, autodiff
from tests.derivatives import check_derivatives


def spread(n: int, seed: int = 1) -> np.ndarray:
    return 0.5 + np.random.default_rng(seed).permutation(np.linspace(0, 1, n))


@dsl.kernel
def cell_product(y, x):
    for i in range(len(x)):
        y[0] = y[0] * x[i]


@pytest.mark.parametrize("n", [3, 1, 9])
def test_product_kept_in_a_cell(n):
    check_derivatives(cell_product, np.array([1.0]), spread(n))


def test_product_kept_in_a_cell_in_numbers():
    x, dx = np.array([2.0, 3.0, 4.0]), np.zeros(3)
    y, dy = np.array([1.0]), np.array([1.0])
    assert autodiff(Reverse, cell_product, Const, Duplicated(y, dy), Duplicated(x, dx)) == ((None, None),)
    assert dx.tolist() == [12, 8, 6]
    assert dy.tolist() == [24]
    assert y.tolist() == [24]


@dsl.kernel
def scaled(y, x):
    for i in range(len(y)):
        y[i] *= x[i]


def test_scaled_in_place():
    y, dy = np.array([2.0, 3.0]), np.array([1.0, 1.0])
    x, dx = np.array([5.0, 7.0]), np.zeros(2)
    autodiff(Reverse, scaled, Const, Duplicated(y, dy), Duplicated(x, dx))
    assert dx.tolist() == [2, 3]
    assert dy.tolist() == [5, 7]
    check_derivatives(scaled, spread(6), spread(6, 2))


@dsl.kernel
def overwritten(x):
    y = x * x
    for i in range(len(x)):
        x[i] = 1.0
    s = 0.0
    for i in range(len(x)):
        s += y[i]
    return s


@dsl.kernel
def overwritten_scalar(x):
    y = x * x
    x = 1
    return y + x


def test_argument_overwritten_after_use():
    x, dx = np.array([2.0, 3.0]), np.zeros(2)
    autodiff(Reverse, overwritten, Active, Duplicated(x, dx))
    assert dx.tolist() == [4, 6]
    assert x.tolist() == [1, 1]
    check_derivatives(overwritten, np.array([2.0, 3.0]))
    check_derivatives(overwritten_scalar, 3.0, gradient=6)


@dsl.kernel
def component_twice(x):
    v = dsl.zeros(3)
    v[0] = x[0] * x[1]
    v[1] = v[0] + x[2]
    v[0] = v[0] * v[1]
    v[1] = v[0] * x[0]
    return v[0] + v[1] * v[1] + v[2]


def test_component_assigned_twice():
    check_derivatives(component_twice, np.array([1.1, 0.7, -0.4]))


@dsl.kernel
def prefix(z, x):
    for i in range(len(x)):
        z[i + 1] = z[i] * x[i]
    return z[len(x)]


def test_recurrence_through_an_array():
    z, dz = np.array([1.0, 0, 0, 0]), np.zeros(4)
    x, dx = np.array([2.0, 3.0, 4.0]), np.zeros(3)
    autodiff(Reverse, prefix, Active, Duplicated(z, dz), Duplicated(x, dx))
    assert dx.tolist() == [12, 8, 6]
    check_derivatives(prefix, np.array([1.3, 0.1, 0.2, 0.3]), np.array([2.0, 3.0, 4.0]))


@dsl.kernel
def cell_times(y, x):
    y[0] *= x
    return y[0]


def test_cell_times_scalar():
    y, dy = np.array([2.0]), np.zeros(1)
    ((none, dx),) = autodiff(Reverse, cell_times, Active, Duplicated(y, dy), Active(3.0))
    assert none is None
    assert (dx, dy[0]) == (2, 3)
    check_derivatives(cell_times, np.array([2.0]), 3.0)


@dsl.kernel
def scatter(y, x, to):
    for i in range(len(to)):
        y[to[i]] = x[i]
    return y[0]


def test_scatter_to_a_repeated_index():
    x, dx = np.array([5.0, 7.0]), np.zeros(2)
    y, dy = np.zeros(1), np.zeros(1)
    autodiff(Reverse, scatter, Active, Duplicated(y, dy), Duplicated(x, dx), Const(np.array([0, 0])))
    assert dx.tolist() == [0, 1]
    check_derivatives(scatter, spread(4), spread(5), np.array([0, 2, 0, 3, 2]))


@dsl.kernel
def gather(x, at):
    s = 0.0
    for i in range(len(at)):
        s += x[at[i]] * math.sin(x[at[i - 1]]) * (i + 1)
    return s


def test_gather_with_repeated_indices():
    check_derivatives(gather, spread(4), np.array([0, 2, 2, 3, 0, 1]))


@dsl.kernel
def masked(u, m):
    n = len(u)
    s = 0.0
    for t in range(3):
        for i in range(1, n - 1):
            if m[i - 1] and not m[i + 1]:
                u[i] = u[i] * u[i - 1] + 0.1
            elif m[i]:
                s += u[i] ** 2
            else:
                u[i + 1] -= 0.3 * u[i]
    return s


@pytest.mark.parametrize("seed", range(4))
def test_branches_on_a_constant_mask_at_neighbours(seed):
    rng = np.random.default_rng(seed)
    check_derivatives(masked, rng.uniform(0.5, 1.5, 8), rng.random(8) < 0.5)


@dsl.kernel
def through_scratch(x, scratch):
    for i in range(len(x)):
        scratch[i] = x[i] * x[i]
    s = 0.0
    for i in range(len(x)):
        s += scratch[i]
    return s


def test_scratch_array_that_is_const_is_refused_by_name_and_line():
    x, dx, scratch = np.array([2.0, 3.0]), np.zeros(2), np.zeros(2)
    with pytest.raises(dsl.DslError) as error:
        autodiff(Reverse, through_scratch, Active, Duplicated(x, dx), Const(scratch))
    message = str(error.value)
    assert "scratch" in message
    assert "scratch[i] = x[i] * x[i]" in message
    assert dx.tolist() == [0, 0]
    assert scratch.tolist() == [0, 0]


def test_scratch_array_with_a_shadow():
    x, dx = np.array([2.0, 3.0]), np.zeros(2)
    autodiff(Reverse, through_scratch, Active, Duplicated(x, dx), Duplicated(np.zeros(2), np.zeros(2)))
    assert dx.tolist() == [4, 6]
    check_derivatives(through_scratch, spread(3), spread(3, 2))


def test_scratch_array_of_const_data_may_be_const():
    scratch = np.zeros(2)
    result = autodiff(Reverse, through_scratch, Active, Const(np.array([2.0, 3.0])), Const(scratch))
    assert result == ((None, None),)


@pytest.mark.parametrize("shadow", [np.zeros(2), np.zeros(4), np.zeros((3, 1)), np.zeros(3, dtype=np.float32)])
def test_shadow_that_does_not_fit_is_refused_before_anything_runs(shadow):
    x = np.array([2.0, 3.0, 4.0])
    with pytest.raises(dsl.DslError):
        autodiff(Reverse, overwritten, Active, Duplicated(x, shadow))
    assert x.tolist() == [2, 3, 4]
    assert not shadow.any()


@dsl.kernel
def stencil(u, v, steps):
    n = len(u)
    for t in range(steps):
        for i in range(1, n - 1):
            lap = u[i - 1] - 2 * u[i] + u[i + 1]
            v[i] = u[i] + 0.2 * (1 + 0.1 * u[i] ** 2) * lap - 0.1 * u[i] * (u[i + 1] - u[i - 1])
        u, v = v, u
    return u[n // 2]


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_two_buffers_that_change_places(steps):
    check_derivatives(stencil, spread(7), spread(7, 2), steps)


@dsl.kernel
def shifted(x):
    x[1:] = x[:-1] * x[1:]
    x[:-1] += x[1:]
    w = x[::2]
    w[0] = w[1] * x[0]
    return dsl.sum(x * x)


def test_overlapping_slices_and_views():
    check_derivatives(shifted, spread(5))


@dsl.kernel
def repeated_sine(x):
    for k in range(10):
        for i in range(len(x)):
            x[i] = math.sin(x[i]) * x[i]
    return dsl.sum(x)


def test_in_place_ten_times():
    check_derivatives(repeated_sine, np.array([2.0, 1.7, 2.2, 1.2]))


@dsl.kernel
def read_in_one_branch_and_written_in_the_other(x, which):
    s = 0.0
    if which > 0:
        for i in range(len(x)):
            x[i] = 2.0 * x[i]
        s += x[0] * x[0]
    else:
        for i in range(len(x)):
            s += x[i] * x[i] * x[0]
        s = s * x[1]
        if which < -1:
            x[1] = s * x[0]
            s += x[1] * x[1]
    return s


@dsl.kernel
def read_and_written_by_turns(x, n):
    s = 0.0
    for k in range(n):
        if k % 2 == 1:
            x[0] = x[0] * x[1]
        else:
            s += x[0] * x[0] * s + x[1]
    return s


@pytest.mark.parametrize("which", [1, 0, -2])
def test_memory_that_another_branch_overwrites(which):
    check_derivatives(read_in_one_branch_and_written_in_the_other, spread(4), which)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_memory_that_another_branch_overwrites_in_another_iteration(n):
    check_derivatives(read_and_written_by_turns, spread(3), n)

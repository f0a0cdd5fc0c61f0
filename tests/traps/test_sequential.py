"""Kernels on which other systems return wrong gradients: what is carried through loops, and ways out of them.

Each is the smallest known case with its true gradient, then the same at other sizes and nested."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from tests.derivatives import check_derivatives


def spread(n: int, seed: int = 1) -> np.ndarray:
    """n numbers between 0.5 and 1.5, no two of them near each other's comparison."""
    return 0.5 + np.random.default_rng(seed).permutation(np.linspace(0, 1, n))


@dsl.kernel
def product(x):
    p = 1
    for i in range(len(x)):
        p = p * x[i]
    return p * 1.0


def test_product_of_a_loop():
    check_derivatives(product, np.array([2.0, 3.0, 4.0]), gradient=[12, 8, 6])


@pytest.mark.parametrize("n", [1, 2, 5, 33])
def test_product_of_a_loop_at_other_sizes(n):
    check_derivatives(product, spread(n))


def test_product_with_a_zero_among_its_factors():
    check_derivatives(product, np.array([2.0, 0.0, 4.0]), gradient=[0, 8, 0])


@dsl.kernel
def squaring(x):
    p = x
    while p < 100:
        p = p * p
    return p


def test_while_that_squares():
    check_derivatives(squaring, 2.0, gradient=1024)
    check_derivatives(squaring, 1.1)
    check_derivatives(squaring, 200.0, gradient=1)


@dsl.kernel
def squaring_each(x):
    s = 0.0
    for i in range(len(x)):
        p = x[i]
        while p < 100:
            p = p * p
        s += p
    return s


def test_while_in_for():
    # x**8, x**8, x and x**16: each turn of the outer loop has its own number of steps.
    check_derivatives(squaring_each, np.array([2.0, 3.0, 101.0, 1.5]), gradient=[8 * 2**7, 8 * 3**7, 1, 16 * 1.5**15])


@dsl.kernel
def until_negative(x):
    s = 0.0
    for i in range(len(x)):
        if x[i] < 0:
            break
        s += x[i] ** 2
    return s


def test_break():
    check_derivatives(until_negative, np.array([2.0, 3.0, -1.0, 4.0]), gradient=[4, 6, 0, 0])
    check_derivatives(until_negative, np.array([-2.0, 3.0]), gradient=[0, 0])
    check_derivatives(until_negative, np.array([2.0, 3.0]), gradient=[4, 6])


@dsl.kernel
def until_negative_rows(x):
    s = 1.0
    for i in range(x.shape[0]):
        t = 0.0
        for j in range(x.shape[1]):
            if x[i, j] < 0:
                break
            if x[i, j] > 3:
                continue
            t += x[i, j] ** 2 * s
        if t > 20:
            return s * t
        s = s + math.sin(t)
    return s


@pytest.mark.parametrize("last", [0.5, 3.5, 2.9])
def test_break_continue_and_return_in_nested_loops(last):
    rows = np.array([[2.0, 1.0, -1.0, 4.0], [0.5, 4.0, 0.25, 1.0], [last, last, 0.1, 2.2]])
    check_derivatives(until_negative_rows, rows)


@dsl.kernel
def running_maximum(x):
    m = x[0]
    for i in range(1, len(x)):
        if x[i] < m:
            continue
        m = x[i]
    return m * m


def test_running_maximum():
    check_derivatives(running_maximum, np.array([1.0, 2.0, 0.0, 1.0]), gradient=[0, 4, 0, 0])
    check_derivatives(running_maximum, spread(20))


@dsl.kernel
def halving(x):
    s = 0.0
    for i in range(len(x)):
        s += x[i]
        if s > 2:
            s *= 0.5
    return s


def test_branch_on_carried_state():
    check_derivatives(halving, np.array([1.0, 1.1, 1.2, 0.9]), gradient=[0.125, 0.125, 0.25, 0.5])
    check_derivatives(halving, spread(40))


@dsl.kernel
def squared_after(x):
    s = 5
    for i in range(len(x)):
        s += x[i]
    y = s * s
    return y


def test_use_after_a_loop():
    check_derivatives(squared_after, np.array([1.0, 2.0, 3.0]), gradient=[22, 22, 22])


@dsl.kernel
def nested_carry(x, a):
    s = 0.0
    for i in range(3):
        for j in range(len(x)):
            s += x[j] * a
        a = s
    return s


def test_nested_loops_that_carry():
    check_derivatives(nested_carry, np.array([0.5, -0.3, 0.7]), 1.3)
    check_derivatives(nested_carry, spread(6), 0.4)


@dsl.kernel
def carried_index(x):
    k = 0
    y = 0.0
    for i in range(3):
        k = (k + 2) % 3
        y += x[k] * (i + 1)
    return y


def test_carried_index():
    # k is 2, 1, 0: the first step's weight is the last entry's.
    check_derivatives(carried_index, np.array([0.3, 0.7, 0.9]), gradient=[3, 2, 1])


@dsl.kernel
def carried_index_in_place(x, steps):
    k = 0
    for i in range(steps):
        k = (3 * k + 1) % len(x)
        x[k] = x[k] * x[k - 1] + 0.1 * i
    return x[k]


@pytest.mark.parametrize("n, steps", [(3, 0), (3, 4), (5, 17)])
def test_carried_index_of_writes(n, steps):
    check_derivatives(carried_index_in_place, spread(n), steps)


@dsl.kernel
def orbit(x, steps):
    a = x[0]
    b = x[1]
    for i in range(steps):
        a, b = b + 0.02 * math.sin(a), a * 0.98 - 0.01 * b
    return a * b


@pytest.mark.parametrize("steps", [31, 32, 33, 100, 1000])
def test_long_carried_loops(steps):
    check_derivatives(orbit, np.array([0.7, 0.4]), steps)


@dsl.kernel
def doubling(x, n):
    y = x
    for i in range(n):
        y = y * 2 if i < n - 1 else y * x * 5
    return y


def test_longer_than_any_declared_bound():
    # y = 5 * 2**(n-1) * x**2, and its derivative at 1 is 10 * 2**(n-1).
    check_derivatives(doubling, 1.0, 10, gradient=5120)


@dsl.kernel
def stepped(x):
    s = 0.0
    for i in range(0, 10, 3):
        s += x[i] * (i + 1)
    for i in range(9, 0, -4):
        s += x[i] ** 2
    return s


def test_trip_count_that_the_step_does_not_divide():
    want = np.zeros(10)
    want[[0, 3, 6, 9]] = [1, 4, 7, 10]
    x = np.linspace(0.1, 1.0, 10)
    want[[9, 5, 1]] += 2 * x[[9, 5, 1]]
    check_derivatives(stepped, x, gradient=want)


@dsl.kernel
def ranges(x, start, stop, step):
    s = 0.0
    for i in range(start, stop, step):
        s = s * 0.5 + x[i] * x[i]
    return s


@pytest.mark.parametrize(
    "start, stop, step",
    [(0, 7, 1), (0, 7, 2), (0, 7, 3), (6, -1, -1), (6, 0, -4), (5, 5, 1), (5, 2, 1), (2, 5, -1), (-3, 3, 2)],
)
def test_dynamic_ranges(start, stop, step):
    check_derivatives(ranges, spread(7), start, stop, step)


@dsl.kernel
def newton(a):
    y = a
    r = y * y - a
    while abs(r) > 1e-12:
        y = y - r / (2 * y)
        r = y * y - a
    return y


def test_newton_until_converged():
    # Through the iterations: the derivative of the last iterate, which is that of the square root.
    check_derivatives(newton, 7.3)

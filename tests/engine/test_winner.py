"""Loops that keep the best of what they see: the derivative goes to the winner, and to nobody by way of the loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Reverse, ReverseWithPrimal, autodiff
from tests.derivatives import check_derivatives

X = np.array([0.3, 1.7, -0.4, 1.1, 0.9])


@dsl.kernel
def largest(x):
    best = -math.inf
    for i in range(len(x)):
        best = max(best, x[i] * x[i])
    return best


@dsl.kernel
def other_order(x):
    best = 10.0
    for i in range(len(x)):
        best = min(math.exp(x[i]), best)
    return best


@dsl.kernel
def start_wins(x, start):
    best = start * start
    for i in range(len(x)):
        if x[i] > best:
            best = x[i]
    return best * x[0]


@dsl.kernel
def with_company(x, y):
    """What comes with the winner, and how often there was a new one."""
    best, payload, count = -1e9, 0.0, 0
    for i in range(len(x)):
        if x[i] > best:
            best = x[i]
            payload = y[i] * x[i]
            count += 1
    return best + payload * count


@dsl.kernel
def computed_in_the_branch(x):
    best = 0.0
    for i in range(len(x)):
        if best < 1.0 + x[i]:
            t = math.sin(x[i])
            best = t * t + 2.0 + x[i]
    return best


@dsl.kernel
def last_positive(x):
    """No comparison of what is kept: any condition will do."""
    kept = 0.5
    for i in range(len(x)):
        if x[i] > 0.0:
            kept = math.sqrt(x[i])
    return kept


@dsl.kernel
def nearest(points, centres):
    """Loops in the choice, and a loop around it."""
    total = 0.0
    for i in range(len(points)):
        best = 1e300
        for j in range(len(centres)):
            square = 0.0
            for k in range(3):
                square += (points[i] - centres[j] * k) ** 2
            best = min(best, square)
        total += math.sqrt(best)
    return total


@dsl.kernel
def best_of_bests(x):
    best = -1e9
    for i in range(len(x)):
        inner = 1e9
        for j in range(len(x)):
            inner = min(inner, (x[i] - 2.0 * x[j] + 0.17) ** 2)
        best = max(best, inner)
    return best


@dsl.kernel
def summed_too(x):
    """The kept value has a share in every iteration."""
    best, total = x[0], 0.0
    for i in range(len(x)):
        best = max(best, x[i])
        total += best * best
    return total + best


@dsl.kernel
def of_itself(x):
    """What is taken depends on what is kept."""
    best = 0.5
    for i in range(len(x)):
        best = max(best, best * x[i])
    return best


@dsl.kernel
def of_another(x):
    """What is taken depends on something else that the loop carries."""
    best, power = 0.0, 1.0
    for i in range(len(x)):
        power *= x[i]
        best = max(best, power + 1.0)
    return best


@dsl.kernel
def of_what_is_overwritten(x):
    """When the loop has ended, the winner's memory holds something else."""
    best = -1e9
    for i in range(len(x)):
        best = max(best, x[i])
        x[i] = 2.0 * x[i]
        if i > 0:
            x[i - 1] = x[i] * x[i - 1]
    return best


@dsl.kernel
def of_local_memory(x):
    best = -1e9
    for i in range(len(x)):
        pair = dsl.zeros(2)
        pair[0] = x[i] * x[i]
        pair[1] = pair[0] * 0.5
        best = max(best, pair[0] - pair[1])
    return best


@dsl.kernel
def two_places(x):
    """The choice is used as two carried values."""
    best, before = 0.0, 0.0
    for i in range(len(x)):
        before = best
        if x[i] > best:
            best = x[i]
    return best + 3.0 * before


KERNELS = [
    largest, other_order, computed_in_the_branch, last_positive, best_of_bests, summed_too, of_itself, of_another,
    of_what_is_overwritten, of_local_memory, two_places,
]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS, ids=[k.name for k in KERNELS])
@pytest.mark.parametrize("size", [1, 5])
def test_derivatives(kernel, size):
    check_derivatives(kernel, X[:size].copy())


@pytest.mark.parametrize("kernel", [with_company, nearest], ids=["with_company", "nearest"])
def test_of_two_arrays(kernel):
    check_derivatives(kernel, X.copy(), np.array([0.2, -0.7, 1.3, 0.8, 0.25]))


@pytest.mark.parametrize("start", [0.1, 3.0])
def test_the_start_may_win(start):
    check_derivatives(start_wins, X.copy(), start)


@pytest.mark.parametrize("kernel", [largest, other_order, last_positive, nearest], ids=lambda k: k.name)
def test_nothing_is_taped(kernel):
    arguments = [Duplicated(X, np.zeros_like(X))] * (2 if kernel is nearest else 1)
    if kernel is nearest:
        arguments[1] = Const(np.array([0.2, -0.7]))
    assert kernel.tape_bytes(Reverse, Active, *arguments) == 0


def test_no_iterations():
    dx = np.zeros(0)
    assert autodiff(ReverseWithPrimal, other_order, Active, Duplicated(np.zeros(0), dx)) == (10.0, (None,))


def test_ties_go_to_the_first():
    """As Python's own max and min do, which keep what they have."""
    x, dx = np.array([1.0, 2.0, 2.0]), np.zeros(3)
    autodiff(Reverse, largest, Active, Duplicated(x, dx))
    assert dx.tolist() == [0.0, 4.0, 0.0]


@dsl.kernel
def reduced(x):
    return dsl.max(x) * 2.0 + dsl.min(x)


def test_reductions():
    check_derivatives(extremes, X.copy())
    x, dx = np.array([3.0, 1.0, 3.0, 1.0]), np.zeros(4)
    autodiff(Reverse, reduced, Active, Duplicated(x, dx))
    assert dx.tolist() == [2.0, 1.0, 0.0, 0.0]
    assert reduced.tape_bytes(Reverse, Active, Duplicated(x, dx)) == 0


@dsl.kernel
def extremes(x):
    high, low = -math.inf, math.inf
    for i in range(len(x)):
        high, low = max(high, x[i] * 3.0), min(low, x[i])
    return high * 2.0 + low * low


def test_the_value_is_bit_for_bit_the_kernels():
    """Also where the winner is computed again by other code than the loop's."""
    x = np.random.default_rng(3).uniform(0.5, 3.0, 1000)

    @dsl.kernel
    def f(x):
        best = -1.0
        for i in range(len(x)):
            best = max(best, math.sin(x[i]) * math.exp(-x[i]))
        return best

    value, _ = autodiff(ReverseWithPrimal, f, Active, Duplicated(x, np.zeros_like(x)))
    assert value == f(x)


@dsl.kernel
def to_three(x):
    centres = [0.2, -0.7, 1.3]
    total = 0.0
    for i in range(len(x)):
        best = 1e300
        for j in range(3):
            best = min(best, (x[i] - centres[j]) ** 2 * (1.0 + x[i]))
        total += best * best
    return total


def test_second_order():
    """Each point by itself: a diagonal Hessian, against second differences."""
    step = 1e-4
    nearby = lambda t: np.array([to_three.fn([v + t]) for v in X])
    expected = np.diag((nearby(step) - 2.0 * nearby(0.0) + nearby(-step)) / step**2)
    np.testing.assert_allclose(dsl.hessian(to_three, X), expected, atol=1e-5)

"""Scratch memory that each iteration fills anew is the iteration's own: nothing of it is taped. Memory of which an
iteration reads what an earlier one left is not.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Active, Duplicated, Reverse
from tests.derivatives import check_derivatives

X = np.array([0.3, 1.7, -0.4, 1.1, 0.9])


@dsl.kernel
def scratch(x):
    n = len(x)
    t, u = dsl.zeros(n), dsl.zeros(n)
    total = 0.0
    for i in range(n):
        for j in range(n):
            t[j] = x[i] * x[j]
            u[j] = math.sin(t[j])
        for j in range(n):
            u[j] += t[j] * u[n - 1 - j]
        for j in range(n):
            total += u[j] * u[j]
    return total


@dsl.kernel
def with_edges(x):
    """Written at the ends by themselves, and in between by a loop."""
    n = len(x)
    t = dsl.zeros(n)
    total = 0.0
    for i in range(3):
        t[0] = x[0] * i
        t[n - 1] = x[n - 1] + i
        for j in range(1, n - 1):
            t[j] = x[j - 1] * x[j + 1]
        for j in range(n):
            total += t[j] * t[j] * x[i]
    return total


@dsl.kernel
def matrix(x):
    t = dsl.zeros((2, len(x)))
    total = 0.0
    for i in range(len(x)):
        for r in range(2):
            for c in range(len(x)):
                t[r, c] = x[c] * (r + x[i])
        for c in range(len(x)):
            total += t[0, c] * t[1, c]
    return total


@dsl.kernel
def after_an_exit(x):
    t = dsl.zeros(len(x))
    total = 0.0
    for i in range(len(x)):
        if x[i] > 1.5:
            break
        for j in range(len(x)):
            t[j] = x[j] * x[i]
        for j in range(len(x)):
            total += t[j] * math.exp(t[j])
    return total


OWN = [scratch, with_edges, matrix]


@dsl.kernel
def partly(x):
    """The first element is what the iteration before left."""
    t = dsl.ones(len(x))
    total = 0.0
    for i in range(len(x)):
        for j in range(1, len(x)):
            t[j] = x[j] * x[i]
        t[0] = t[0] * 0.5 + t[len(x) - 1]
        for j in range(len(x)):
            total += t[j] * t[j]
    return total


@dsl.kernel
def sometimes(x):
    t = dsl.ones(len(x))
    total = 0.0
    for i in range(len(x)):
        if x[i] > 0.5:
            for j in range(len(x)):
                t[j] = x[j] * x[i]
        for j in range(len(x)):
            total += t[j] * t[j]
    return total


@dsl.kernel
def read_first(x):
    t = dsl.ones(len(x))
    total = 0.0
    for i in range(len(x)):
        total += t[i] * x[i]
        for j in range(len(x)):
            t[j] = x[j] * x[i]
        total += t[0]
    return total


@dsl.kernel
def read_afterwards(x):
    t = dsl.zeros(len(x))
    total = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            t[j] = x[j] * x[i]
        total += t[0]
    return total + dsl.sum(t * t)


@dsl.kernel
def shifted(x):
    """The loop of stores begins one too late, and ends one too late, as it wraps around."""
    n = len(x)
    t = dsl.ones(n)
    total = 0.0
    for i in range(n):
        for j in range(1, n):
            t[j - n] = x[j] * x[i] + t[j - n] * 0.5
        for j in range(n):
            total += t[j] * t[j] * 0.1
    return total


@dsl.kernel
def perhaps_never(x, k):
    """The loop around the stores may have no iterations."""
    t = dsl.ones(len(x))
    total = 0.0
    for i in range(len(x)):
        for _ in range(k - i):
            for j in range(len(x)):
                t[j] = x[j] * x[i]
        for j in range(len(x)):
            total += t[j] * t[j]
    return total


@dsl.kernel
def swapped(x):
    """Two names for the memory, in turn."""
    a, b = dsl.ones(len(x)), dsl.ones(len(x))
    total = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            a[j] = x[j] * x[i] + b[j]
        a, b = b, a
        total += a[0] * b[1]
    return total


@dsl.kernel
def stored_and_loaded(x):
    """What was stored is loaded at once, and at another place that may be the same."""
    for i in range(len(x)):
        k = (3 * i + 1) % len(x)
        x[i] = math.sin(x[i]) * x[k]
        a = x[i]
        x[k] = a * 2.0 + x[i]
        x[i] = x[i] * a + x[k]
    return dsl.sum(x)


SHARED = [partly, sometimes, read_first, read_afterwards, shifted, swapped, stored_and_loaded]


@pytest.mark.parametrize("kernel", [*OWN, after_an_exit, *SHARED], ids=lambda k: k.name)
def test_derivatives(kernel):
    check_derivatives(kernel, X.copy())


@pytest.mark.parametrize("k", [0, 2, 7])
def test_loops_that_may_not_run(k):
    check_derivatives(perhaps_never, X.copy(), k)


@pytest.mark.parametrize("kernel, nbytes", [(scratch, 5 * 8), (with_edges, 0), (matrix, 0)], ids=lambda k: str(k))
def test_no_tape_grows_with_the_iterations(kernel, nbytes):
    """`scratch` overwrites what it has read within an iteration: that is kept, for one iteration at a time."""
    assert kernel.tape_bytes(Reverse, Active, Duplicated(X, np.zeros_like(X))) == nbytes


@pytest.mark.parametrize("size", [1, 2])
def test_few_elements(size):
    check_derivatives(scratch, X[:size].copy())


@dsl.kernel
def guarded(x):
    """A reduction that may fail puts what follows it in a branch; trip counts in there are known outside."""
    total = 0.0
    for i in range(len(x)):
        t = dsl.zeros(len(x))
        for j in range(len(x)):
            t[j] = x[i] * x[j]
        top = dsl.max(t)
        e = 0.0
        for j in range(len(x)):
            e += math.exp(t[j] - top)
        total += top + math.log(e)
    return total


def test_guarded():
    check_derivatives(guarded, X.copy())
    text = guarded.ir("autodiff", Reverse, Active, Duplicated(X, np.zeros_like(X))).plain
    assert "memref<memref<" not in text  # no stack that grows

"""Scratch memory that is filled several times is a memory for each time: its states need no tape."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Active, Duplicated, Reverse
from tests.derivatives import check_derivatives

X = np.array([0.3, 1.7, -0.4, 1.1, 0.9])


@dsl.kernel
def filled_again(x):
    n, total = len(x), 0.0
    t = dsl.zeros(n)
    for i in range(n):
        t[i] = math.sin(x[i])
    for i in range(n):
        total += t[i] * t[i] * x[n - 1 - i]
    for i in range(n):
        t[i] = x[i] * x[i]
    for i in range(n):
        total += t[i] * t[i] * total
    return total


@dsl.kernel
def in_parts(x):
    """The second time, the ends are filled by themselves."""
    n, total = len(x), 0.0
    t = dsl.zeros(n)
    for i in range(n):
        t[i] = math.sin(x[i])
    for i in range(n):
        total += t[i] * t[i]
    t[0] = x[1]
    for i in range(1, n):
        t[i] = x[i - 1] * x[i]
    for i in range(n):
        total += t[i] * t[i]
    return total


@dsl.kernel
def not_all(x):
    """The second time, the last cell keeps what it is."""
    n, total = len(x), 0.0
    t = dsl.zeros(n)
    for i in range(n):
        t[i] = math.sin(x[i])
    for i in range(n):
        total += t[i] * t[i]
    for i in range(n - 1):
        t[i] = x[i] * x[i + 1]
    for i in range(n):
        total += t[i] * t[i]
    return total


@dsl.kernel
def reads_itself(x):
    """What is written is not anew."""
    n, total = len(x), 0.0
    t = dsl.zeros(n)
    for i in range(n):
        t[i] = math.sin(x[i])
    for i in range(n):
        t[i] = t[i] * t[n - 1 - i]
    for i in range(n):
        total += t[i] * t[i]
    return total


@dsl.kernel
def if_asked(x):
    """Filled under a condition, once or not at all."""
    n, total = len(x), 0.0
    t = dsl.zeros(n)
    for i in range(n):
        t[i] = math.sin(x[i])
    for i in range(n):
        total += t[i] * t[i]
    if total > 1.0:
        for i in range(n):
            t[i] = x[i] * x[i]
    for i in range(n):
        total += t[i] * t[i] * t[i]
    return total


@dsl.kernel
def each_row(x):
    """Of two axes, and in a loop that fills it anew each time."""
    n, total = len(x), 0.0
    t = dsl.zeros((n, 2))
    for k in range(3):
        for i in range(n):
            for j in range(2):
                t[i, j] = x[i] * (k + j)
        for i in range(n):
            total += t[i, 0] * t[i, 1]
        for i in range(n):
            for j in range(2):
                t[i, j] = x[n - 1 - i] * (k - j)
        for i in range(n):
            total += math.sin(t[i, 0] * t[i, 1])
    return total


KERNELS = [filled_again, in_parts, not_all, reads_itself, if_asked, each_row]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
@pytest.mark.parametrize("size", [2, 5])
def test_derivatives(kernel: dsl.Kernel, size: int) -> None:
    check_derivatives(kernel, X[:size].copy())


@pytest.mark.parametrize("kernel", [filled_again, in_parts], ids=lambda k: k.name)
def test_nothing_of_it_is_on_the_tape(kernel: dsl.Kernel) -> None:
    text = kernel.ir("autodiff", Reverse, Active, Duplicated(X, np.zeros(len(X)))).plain
    tapes = [line for line in text.splitlines() if "memref.alloc" in line and "autodiff.tape" in line]
    assert len(tapes) <= (kernel is filled_again), tapes  # (that of the running total)

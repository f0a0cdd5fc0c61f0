"""Gradient descent inside a kernel, for the two objectives of Pearlmutter & Siskind (2008) whose gradients are nested.

`minimum(cost, gradient)` makes a kernel of two kernels: what it finds can be differentiated like anything else.
"""

from __future__ import annotations

import math
from typing import Any

import dsl
from dsl import Active, Duplicated, Forward, Reverse, autodiff

SMALL = 1e-5


def minimum(cost: Any, gradient: Any) -> Any:
    """A kernel `(x, y, a, b) -> (x, y)`: where `cost(x, y, a, b)` is least, searched for from (x, y).

    `gradient(x, y, a, b)` gives the slopes by x and by y. The step doubles after ten that went down, and halves after
    one that did not.
    """

    @dsl.kernel
    def descend(x, y, a, b):
        value = cost(x, y, a, b)
        gx, gy = gradient(x, y, a, b)
        step, successes = SMALL, 0
        while math.sqrt(gx * gx + gy * gy) > SMALL:
            if successes == 10:
                step *= 2.0
                successes = 0
            else:
                nx, ny = x - step * gx, y - step * gy
                if math.sqrt((nx - x) * (nx - x) + (ny - y) * (ny - y)) <= SMALL:
                    return x, y
                there = cost(nx, ny, a, b)
                if there < value:
                    x, y, value = nx, ny, there
                    gx, gy = gradient(x, y, a, b)
                    successes += 1
                else:
                    step /= 2.0
                    successes = 0
        return x, y

    return descend


def gradient_in(mode: str, cost: Any) -> Any:
    """A kernel `(x, y, a, b)` that gives the slopes of `cost` by x and by y, in forward ("f") or reverse ("r") mode."""

    @dsl.kernel
    def reverse(x, y, a, b):
        ((gx, gy, _, _),) = autodiff(Reverse, cost, Active, Active(x), Active(y), dsl.Const(a), dsl.Const(b))
        return gx, gy

    @dsl.kernel
    def forward(x, y, a, b):
        (gx,) = autodiff(Forward, cost, Duplicated(x, 1.0), Duplicated(y, 0.0), dsl.Const(a), dsl.Const(b))
        (gy,) = autodiff(Forward, cost, Duplicated(x, 0.0), Duplicated(y, 1.0), dsl.Const(a), dsl.Const(b))
        return gx, gy

    return {"f": forward, "r": reverse}[mode]

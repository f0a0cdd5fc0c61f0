"""A saddle point by gradient descent within gradient descent: min over x of max over y of |x₁|² - |x₂|²."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from benchmarks.objectives.descent import gradient_in, minimum


@dsl.kernel
def negative(x, y, a, b):
    """The negative of the function at (a, b) and (x, y): its least value is at the largest of the function."""
    return x * x + y * y - (a * a + b * b)


@cache
def solver(modes: str) -> Any:
    """The kernel for a pair of modes, "fr": the outer descent in forward mode, the inner in reverse mode."""
    outer, inner = modes
    highest = minimum(negative, gradient_in(inner, negative))

    @dsl.kernel
    def largest(x, y, a, b):
        """The largest value over the second point, searched for from (a, b)."""
        u, v = highest(a, b, x, y)
        return -negative(u, v, x, y)

    lowest = minimum(largest, gradient_in(outer, largest))

    @dsl.kernel
    def saddle(a, b):
        x, y = lowest(a, b, a, b)
        u, v = highest(a, b, x, y)
        return x, y, u, v

    return saddle


def inputs() -> dict[str, Any]:
    return {"start": [1.0, 1.0], "modes": "rr"}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    kernel, start = compile(solver(data["modes"])), [float(v) for v in data["start"]]
    solve = lambda: np.array(kernel(*start))  # noqa: E731
    # The four numbers of GradBench's own check, from (1, 1).
    return Case(solve, solve, lambda: np.full(4, 8.246324826140356e-06), data)


OBJECTIVE = Objective("saddle", "saddle point, nested descent", "nested gradients", inputs, make, {"1": {}}, {})

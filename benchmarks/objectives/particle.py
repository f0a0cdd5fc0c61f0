"""A charged particle that is to pass through the origin: gradient descent over a simulation with a gradient in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from benchmarks.objectives.descent import gradient_in, minimum


@dsl.kernel
def electric(x, y, w, unused):
    """The potential at (x, y) of charges at (10, 10 - w) and (10, 0)."""
    return 1.0 / math.hypot(10.0 - x, 10.0 - w - y) + 1.0 / math.hypot(10.0 - x, -y)


@cache
def solver(modes: str) -> Any:
    """The kernel for a pair of modes, "fr": the descent in forward mode, the force in reverse mode."""
    outer, inner = modes
    force = gradient_in(inner, electric)

    @dsl.kernel
    def miss(w, unused, a, b):
        """The squared distance from the origin at which the particle crosses the x axis (Euler's method)."""
        x, y, vx, vy = 0.0, 8.0, 0.75, 0.0
        dt = 0.1
        ax, ay = force(x, y, w, 0.0)
        x, y = x + dt * vx, y + dt * vy
        while y > 0.0:
            vx, vy = vx - dt * ax, vy - dt * ay
            ax, ay = force(x, y, w, 0.0)
            x, y = x + dt * vx, y + dt * vy
        crossing = x - y / vy * vx
        return crossing * crossing

    lowest = minimum(miss, gradient_in(outer, miss))

    @dsl.kernel
    def particle(w):
        best, _ = lowest(w, 0.0, 0.0, 0.0)
        return best

    return particle


def inputs() -> dict[str, Any]:
    return {"w": 0.0, "modes": "rr"}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    kernel, w = compile(solver(data["modes"])), float(data["w"])
    solve = lambda: np.array([kernel(w)])  # noqa: E731
    # The number of GradBench's own check, from w = 0.
    return Case(solve, solve, lambda: np.array([0.2071918746486116]), data)


OBJECTIVE = Objective("particle", "particle in a field", "nested gradients", inputs, make, {"1": {}}, {})

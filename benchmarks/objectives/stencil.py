"""A nonlinear equation of diffusion and transport in one dimension, by a stencil in two buffers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Const, Duplicated, Reverse, autodiff


@dsl.kernel
def stencil(start, steps):
    n = len(start)
    u, new = dsl.zeros(n), dsl.zeros(n)
    u[:] = start
    for _ in range(steps):
        new[0] = u[0]
        new[n - 1] = u[n - 1]
        for i in range(1, n - 1):
            bend = u[i - 1] - 2.0 * u[i] + u[i + 1]
            rise = 0.5 * (u[i + 1] - u[i - 1])
            new[i] = u[i] + 0.2 * (1.0 + 0.1 * u[i] * u[i]) * bend - 0.1 * u[i] * rise
        u, new = new, u
    return dsl.sum(u * u)


def inputs(n: int, steps: int) -> dict[str, Any]:
    return {"start": np.sin(np.linspace(0.0, 20.0, n)), "steps": steps}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    start, steps = np.asarray(data["start"], dtype=np.float64), data["steps"]
    kernel, shadow = compile(stencil), np.zeros_like(start)

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(start, shadow), Const(steps))
        return shadow

    return Case(lambda: kernel(start, steps), derivative, lambda: reference(start, steps), data)


def reference(start: np.ndarray, steps: int) -> np.ndarray:
    """The adjoint of each step by hand, last step first."""
    states = [start]
    for _ in range(steps):
        u, new = states[-1], states[-1].copy()
        bend, rise = u[:-2] - 2.0 * u[1:-1] + u[2:], 0.5 * (u[2:] - u[:-2])
        new[1:-1] += 0.2 * (1.0 + 0.1 * u[1:-1] ** 2) * bend - 0.1 * u[1:-1] * rise
        states.append(new)
    w = 2.0 * states.pop()
    for u in reversed(states):
        bend, rise = u[:-2] - 2.0 * u[1:-1] + u[2:], 0.5 * (u[2:] - u[:-2])
        by_bend, by_rise = 0.2 * (1.0 + 0.1 * u[1:-1] ** 2) * w[1:-1], -0.1 * u[1:-1] * w[1:-1]
        given = w.copy()
        given[1:-1] += (0.04 * u[1:-1] * bend - 0.1 * rise) * w[1:-1] - 2.0 * by_bend
        given[:-2] += by_bend - 0.5 * by_rise
        given[2:] += by_bend + 0.5 * by_rise
        w = given
    return w


OBJECTIVE = Objective(
    "stencil", "a stencil in two buffers", "gradient", inputs, make,
    {"100x20000": {"n": 20_000, "steps": 100}}, {"n": 12, "steps": 4},
)  # fmt: skip

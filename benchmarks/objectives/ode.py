"""A chain of differential equations, y₀' = x₀, yᵢ' = xᵢ yᵢ₋₁, by the classical Runge-Kutta method up to t = 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Const, Duplicated, Reverse, autodiff


@dsl.kernel
def slope(x, y, k):
    k[0] = x[0]
    for i in range(1, len(x)):
        k[i] = x[i] * y[i - 1]


@dsl.kernel
def ode(x, steps, y):
    """Fills y with the solution; x[n], y[n]."""
    n = len(x)
    h = 2.0 / steps
    k1, k2, k3, k4, at = dsl.zeros(n), dsl.zeros(n), dsl.zeros(n), dsl.zeros(n), dsl.zeros(n)
    for i in range(n):
        y[i] = 0.0
    for _ in range(steps):
        slope(x, y, k1)
        for i in range(n):
            at[i] = y[i] + 0.5 * h * k1[i]
        slope(x, at, k2)
        for i in range(n):
            at[i] = y[i] + 0.5 * h * k2[i]
        slope(x, at, k3)
        for i in range(n):
            at[i] = y[i] + h * k3[i]
        slope(x, at, k4)
        for i in range(n):
            y[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i])


def inputs(n: int, s: int, strict: bool = False) -> dict[str, Any]:
    rng = np.random.default_rng(31337)
    x = 0.5 * np.arange(1, n + 1) * rng.uniform(0.97, 1.03, size=n) if strict else rng.uniform(size=n)
    return {"x": x, "s": s}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    x, steps = np.asarray(data["x"], dtype=np.float64), int(data["s"])
    kernel = compile(ode)
    y, seed, shadow = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)

    def primal() -> np.ndarray:
        kernel(x, steps, y)
        return y

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        seed.fill(0.0)
        seed[-1] = 1.0
        autodiff(Reverse, kernel, Const, Duplicated(x, shadow), Const(steps), Duplicated(y, seed))
        return shadow

    return Case(primal, derivative, lambda: reference(x, steps), data)


def reference(x: np.ndarray, steps: int) -> np.ndarray:
    """The discrete adjoint by hand: the slope is A y + x₀ e₀, A with x below the diagonal."""
    h = 2.0 / steps

    def apply(y: np.ndarray) -> np.ndarray:
        return np.concatenate([x[:1], x[1:] * y[:-1]])

    def transposed(k: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Adds to the gradient what a slope at y with cotangent k gives; returns the cotangent of y."""
        gradient[0] += k[0]
        gradient[1:] += k[1:] * y[:-1]
        return np.concatenate([x[1:] * k[1:], [0.0]])

    y, stages = np.zeros_like(x), []
    for _ in range(steps):
        y1 = y
        k1 = apply(y1)
        y2 = y + 0.5 * h * k1
        k2 = apply(y2)
        y3 = y + 0.5 * h * k2
        k3 = apply(y3)
        y4 = y + h * k3
        k4 = apply(y4)
        stages.append((y1, y2, y3, y4))
        y = y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
    gradient, w = np.zeros_like(x), np.zeros_like(x)
    w[-1] = 1.0
    for y1, y2, y3, y4 in reversed(stages):
        w4 = transposed(h / 6.0 * w, y4)
        w3 = transposed(h / 3.0 * w + h * w4, y3)
        w2 = transposed(h / 3.0 * w + 0.5 * h * w3, y2)
        w1 = transposed(h / 6.0 * w + 0.5 * h * w2, y1)
        w = w + w1 + w2 + w3 + w4
    return gradient


OBJECTIVE = Objective(
    name="ode",
    what="a chain of differential equations by RK4",
    derivative="gradient of the last element",
    inputs=inputs,
    make=make,
    sizes={
        "strict": {"n": 560, "s": 300, "strict": True},
        "10000": {"n": 10_000, "s": 100},
    },
    small={"n": 12, "s": 8, "strict": True},
)

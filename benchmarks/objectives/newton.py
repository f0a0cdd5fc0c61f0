"""Newton's iteration for each element, y + exp(y) = x, until the residual is small: loops of unknown length."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Duplicated, Reverse, autodiff


@dsl.kernel
def newton(x):
    total = 0.0
    for i in range(len(x)):
        y = 0.0
        r = y + math.exp(y) - x[i]
        while abs(r) >= 1e-12:
            y -= r / (1.0 + math.exp(y))
            r = y + math.exp(y) - x[i]
        total += y
    return total


def inputs(n: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(31337).uniform(0.5, 3.0, size=n)}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    x = np.asarray(data["x"], dtype=np.float64)
    kernel, shadow = compile(newton), np.zeros_like(x)

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(x, shadow))
        return shadow

    def reference() -> np.ndarray:
        """By the implicit function theorem: 1 / (1 + exp(y))."""
        y = np.zeros_like(x)
        for _ in range(60):
            y = y - (y + np.exp(y) - x) / (1.0 + np.exp(y))
        return 1.0 / (1.0 + np.exp(y))

    return Case(lambda: kernel(x), derivative, reference, data)


OBJECTIVE = Objective(
    "newton", "Newton's iteration per element", "gradient", inputs, make, {"1e5": {"n": 100_000}}, {"n": 20}
)

"""x ← sin(x) x, ten times, in place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Duplicated, Reverse, autodiff


@dsl.kernel
def inplace(start):
    x = dsl.zeros(len(start))
    x[:] = start
    for _ in range(10):
        for i in range(len(x)):
            x[i] = math.sin(x[i]) * x[i]
    return dsl.sum(x)


def inputs(n: int) -> dict[str, Any]:
    return {"start": np.random.default_rng(31337).uniform(0.5, 3.0, size=n)}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    start = np.asarray(data["start"], dtype=np.float64)
    kernel, shadow = compile(inplace), np.zeros_like(start)

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(start, shadow))
        return shadow

    def reference() -> np.ndarray:
        x, slope = start, np.ones_like(start)
        for _ in range(10):
            slope = slope * (np.cos(x) * x + np.sin(x))
            x = np.sin(x) * x
        return slope

    return Case(lambda: kernel(start), derivative, reference, data)


OBJECTIVE = Objective("inplace", "x ← sin(x) x in place", "gradient", inputs, make, {"1e5": {"n": 100_000}}, {"n": 20})

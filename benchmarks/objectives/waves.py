"""The sum of sin(a) exp(-a²) over an array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Duplicated, Reverse, autodiff


@dsl.kernel
def waves(a):
    total = 0.0
    for i in range(len(a)):
        total += math.sin(a[i]) * math.exp(-a[i] * a[i])
    return total


def inputs(n: int) -> dict[str, Any]:
    return {"a": np.random.default_rng(31337).normal(size=n)}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    a = np.asarray(data["a"], dtype=np.float64)
    kernel, shadow = compile(waves), np.zeros_like(a)

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(a, shadow))
        return shadow

    def reference() -> np.ndarray:
        return (np.cos(a) - 2.0 * a * np.sin(a)) * np.exp(-a * a)

    return Case(lambda: kernel(a), derivative, reference, data)


OBJECTIVE = Objective("waves", "sum of sin(a) exp(-a²)", "gradient", inputs, make, {"1e6": {"n": 1_000_000}}, {"n": 50})

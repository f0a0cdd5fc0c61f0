"""Log-sum-exp with the maximum taken out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Duplicated, Reverse, autodiff


@dsl.kernel
def logsumexp(x):
    top = x[0]
    for i in range(1, len(x)):
        top = max(top, x[i])
    total = 0.0
    for i in range(len(x)):
        total += math.exp(x[i] - top)
    return top + math.log(total)


def inputs(n: int) -> dict[str, Any]:
    return {"x": np.random.default_rng(31337).uniform(size=n)}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    x = np.asarray(data["x"], dtype=np.float64)
    kernel, shadow = compile(logsumexp), np.zeros_like(x)

    def reference() -> np.ndarray:
        weights = np.exp(x - x.max())
        return weights / weights.sum()

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(x, shadow))
        return shadow

    return Case(lambda: kernel(x), derivative, reference, data, tolerance=1e-6)


OBJECTIVE = Objective(
    name="lse",
    what="log-sum-exp",
    derivative="gradient",
    inputs=inputs,
    make=make,
    sizes={"1.28M": {"n": 1_280_000}},
    small={"n": 100},
)

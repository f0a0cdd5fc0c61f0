"""The product of two short arrays: what is measured is the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective, flat
from dsl import Active, Duplicated, Reverse, autodiff


@dsl.kernel
def product(a, b):
    total = 0.0
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


def inputs(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(31337)
    return {"a": rng.normal(size=n), "b": rng.normal(size=n)}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    a, b = (np.asarray(data[name], dtype=np.float64) for name in "ab")
    kernel, shadow = compile(product), np.zeros((2, len(a)))
    d_a, d_b = shadow

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(a, d_a), Duplicated(b, d_b))
        return shadow.reshape(-1)

    return Case(lambda: kernel(a, b), derivative, lambda: flat(b, a), data)


OBJECTIVE = Objective("call", "a call: a·b of two short arrays", "gradient", inputs, make, {"4": {"n": 4}}, {"n": 4})

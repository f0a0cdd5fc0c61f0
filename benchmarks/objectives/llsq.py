"""Least squares by a polynomial: the sign function on n points, fitted with powers 0 to m-1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Const, Duplicated, Reverse, autodiff


@dsl.kernel
def llsq(x, n):
    total = 0.0
    for i in range(n):
        t = -1.0 + 2.0 * i / (n - 1)
        residual = 0.0
        if t > 0.0:
            residual = 1.0
        elif t < 0.0:
            residual = -1.0
        power = 1.0
        for j in range(len(x)):
            residual -= x[j] * power
            power *= t
        total += residual * residual
    return 0.5 * total


def inputs(n: int, m: int) -> dict[str, Any]:
    return {"n": n, "x": np.random.default_rng(31337).uniform(size=m)}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    x, n = np.asarray(data["x"], dtype=np.float64), int(data["n"])
    kernel, shadow = compile(llsq), np.zeros_like(x)

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(x, shadow), Const(n))
        return shadow

    return Case(lambda: kernel(x, n), derivative, lambda: reference(x, n), data)


def reference(x: np.ndarray, n: int) -> np.ndarray:
    """-Vᵀ (s - V x), V the Vandermonde matrix."""
    t = -1.0 + 2.0 * np.arange(n) / (n - 1)
    powers = np.vander(t, len(x), increasing=True)
    return -powers.T @ (np.sign(t) - powers @ x)


OBJECTIVE = Objective(
    name="llsq",
    what="least squares by a polynomial",
    derivative="gradient",
    inputs=inputs,
    make=make,
    sizes={"4096x128": {"n": 4096, "m": 128}},
    small={"n": 30, "m": 5},
)

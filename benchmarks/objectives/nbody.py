"""The potential energy of N bodies, softened: a sum over all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective, flat
from dsl import Active, Const, Duplicated, Reverse, autodiff


@dsl.kernel
def potential(x, y, z, mass):
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            total -= mass[i] * mass[j] / math.sqrt(dx * dx + dy * dy + dz * dz + 1e-3)
    return total


def inputs(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(31337)
    return {"positions": rng.normal(size=(3, n)), "mass": rng.uniform(0.5, 1.0, size=n)}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    positions, mass = list(np.asarray(data["positions"], dtype=np.float64)), data["mass"]
    kernel, shadows = compile(potential), [np.zeros_like(p) for p in positions]

    def derivative() -> np.ndarray:
        for shadow in shadows:
            shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, *map(Duplicated, positions, shadows), Const(mass))
        return flat(*shadows)

    def reference() -> np.ndarray:
        differences = np.stack(positions)[:, :, None] - np.stack(positions)[:, None, :]
        cubed = ((differences**2).sum(axis=0) + 1e-3) ** 1.5
        return flat((differences * (mass[:, None] * mass / cubed)).sum(axis=2))

    return Case(lambda: kernel(*positions, mass), derivative, reference, data)


OBJECTIVE = Objective("nbody", "potential of N bodies", "gradient", inputs, make, {"1000": {"n": 1000}}, {"n": 9})

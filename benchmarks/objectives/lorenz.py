"""The Lorenz system by the classical Runge-Kutta method: the sum of its end point, by where and how it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Const, Reverse, autodiff


@dsl.kernel
def slope(x, y, z, sigma, rho, beta):
    return sigma * (y - x), x * (rho - z) - y, x * y - beta * z


@dsl.kernel
def lorenz(x, y, z, sigma, rho, beta, steps, dt):
    for _ in range(steps):
        ax, ay, az = slope(x, y, z, sigma, rho, beta)
        bx, by, bz = slope(x + 0.5 * dt * ax, y + 0.5 * dt * ay, z + 0.5 * dt * az, sigma, rho, beta)
        cx, cy, cz = slope(x + 0.5 * dt * bx, y + 0.5 * dt * by, z + 0.5 * dt * bz, sigma, rho, beta)
        ex, ey, ez = slope(x + dt * cx, y + dt * cy, z + dt * cz, sigma, rho, beta)
        x += dt / 6.0 * (ax + 2.0 * bx + 2.0 * cx + ex)
        y += dt / 6.0 * (ay + 2.0 * by + 2.0 * cy + ey)
        z += dt / 6.0 * (az + 2.0 * bz + 2.0 * cz + ez)
    return x + y + z


def inputs(steps: int) -> dict[str, Any]:
    """At most five units of time: the system is chaotic, and its gradients grow with time."""
    dt = min(0.01, 5.0 / steps)
    return {"start": [1.0, 0.5, 0.8], "parameters": [10.0, 28.0, 8.0 / 3.0], "steps": steps, "dt": dt}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    kernel = compile(lorenz)
    unknowns, steps, dt = [*data["start"], *data["parameters"]], data["steps"], data["dt"]

    def derivative() -> np.ndarray:
        (gradient,) = autodiff(Reverse, kernel, Active, *map(Active, unknowns), Const(steps), Const(dt))
        return np.array(gradient[:6])

    return Case(lambda: kernel(*unknowns, steps, dt), derivative, lambda: reference(unknowns, steps, dt), data)


def reference(unknowns: list[float], steps: int, dt: float) -> np.ndarray:
    """By complex steps (Squire & Trapp 1998), all six at once."""
    step = 1e-200
    moved = np.array(unknowns, dtype=complex)[:, None] + 1j * step * np.eye(6)
    return np.asarray(lorenz.fn(*moved, steps, dt)).imag / step


OBJECTIVE = Objective(
    "lorenz", "Lorenz system by RK4", "gradient", inputs, make, {"1e5": {"steps": 100_000}}, {"steps": 20}
)

"""Bundle adjustment (ADBench): how cameras see points. The Jacobian is sparse: 2 x 15 entries an observation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective, flat
from dsl import Active, BatchDuplicated, Const, Reverse, autodiff


@dsl.kernel
def project(cam, point, weight, feature, error):
    """error[2] of one observation; cam[11] is rotation (3), centre (3), focal length, x0 (2), distortion (2)."""
    u0, u1, u2 = point[0] - cam[3], point[1] - cam[4], point[2] - cam[5]
    r0, r1, r2 = cam[0], cam[1], cam[2]
    square = r0 * r0 + r1 * r1 + r2 * r2
    p0 = u0 + r1 * u2 - r2 * u1
    p1 = u1 + r2 * u0 - r0 * u2
    p2 = u2 + r0 * u1 - r1 * u0
    if square > 0.0:
        angle = math.sqrt(square)
        c, s = math.cos(angle), math.sin(angle)
        v0, v1, v2 = r0 / angle, r1 / angle, r2 / angle
        along = (v0 * u0 + v1 * u1 + v2 * u2) * (1.0 - c)
        p0 = u0 * c + (v1 * u2 - v2 * u1) * s + v0 * along
        p1 = u1 * c + (v2 * u0 - v0 * u2) * s + v1 * along
        p2 = u2 * c + (v0 * u1 - v1 * u0) * s + v2 * along
    x, y = p0 / p2, p1 / p2
    square = x * x + y * y
    bend = 1.0 + cam[9] * square + cam[10] * square * square
    error[0] = weight * (cam[6] * bend * x + cam[7] - feature[0])
    error[1] = weight * (cam[6] * bend * y + cam[8] - feature[1])


@dsl.kernel
def ba(cams, points, weights, features, observed, errors, weight_errors):
    """All residuals: errors[p, 2], weight_errors[p]; observed[p, 2] has the camera and the point."""
    for i in range(len(weights)):
        project(cams[observed[i, 0]], points[observed[i, 1]], weights[i], features[i], errors[i])
        weight_errors[i] = 1.0 - weights[i] * weights[i]


@dsl.kernel
def jacobian(cams, points, weights, features, observed, values):
    """values[p, 2, 15]: of each residual, by 11 of its camera, 3 of its point and its weight."""
    error = dsl.zeros(2)
    for i in range(len(weights)):
        row0, row1 = values[i, 0], values[i, 1]
        for k in range(15):
            row0[k] = 0.0
            row1[k] = 0.0
        seed0, seed1 = dsl.zeros(2), dsl.zeros(2)
        seed0[0] = 1.0
        seed1[1] = 1.0
        ((_, _, slope, _, _),) = autodiff(
            Reverse,
            project,
            Const,
            BatchDuplicated(cams[observed[i, 0]], (row0[:11], row1[:11])),
            BatchDuplicated(points[observed[i, 1]], (row0[11:14], row1[11:14])),
            Active(weights[i]),
            Const(features[i]),
            BatchDuplicated(error, (seed0, seed1)),
        )
        row0[14] = slope[0]
        row1[14] = slope[1]


@dsl.kernel
def squares(weights, values):
    """The derivative of 1 - w², by w."""
    for i in range(len(weights)):
        values[i] = -2.0 * weights[i]


def inputs(n: int, m: int, p: int) -> dict[str, Any]:
    rng = np.random.default_rng(31337)
    rotation, centre = [-0.758453, -1.109613, -0.845551], [34.556073, 39.676747, 53.881673]
    cam = [*rotation, *centre, 419.194514, 5.864426, -8.51887, 0.087812, 0.002739]
    cams = np.array(cam) * rng.uniform(0.99, 1.01, size=(n, 11))
    points = np.array([7.203245, 0.001144, 3.023326]) * rng.uniform(0.99, 1.01, size=(m, 3))
    observed = np.stack([np.arange(p) % n, np.arange(p) % m], axis=1)
    weights, features = rng.uniform(size=p), rng.uniform(200.0, 900.0, size=(p, 2))
    return {"cams": cams, "points": points, "weights": weights, "features": features, "observed": observed}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    names = ("cams", "points", "weights", "features")
    cams, points, weights, features = (np.ascontiguousarray(data[name], dtype=np.float64) for name in names)
    observed = np.ascontiguousarray(data["observed"], dtype=np.int64)
    p = len(weights)
    errors, weight_errors, values, slopes = np.zeros((p, 2)), np.zeros(p), np.zeros((p, 2, 15)), np.zeros(p)
    residuals, rows, diagonal = compile(ba), compile(jacobian), compile(squares)

    def primal() -> tuple[np.ndarray, np.ndarray]:
        residuals(cams, points, weights, features, observed, errors, weight_errors)
        return errors, weight_errors

    def derivative() -> np.ndarray:
        rows(cams, points, weights, features, observed, values)
        diagonal(weights, slopes)
        return values.reshape(-1)

    return Case(primal, derivative, lambda: reference(cams, points, weights, features, observed), data)


def reference(
    cams: np.ndarray, points: np.ndarray, weights: np.ndarray, features: np.ndarray, observed: np.ndarray
) -> np.ndarray:
    """By complex steps: the imaginary part of f(x + ih) over h, exact to rounding (Squire & Trapp 1998)."""
    step = 1e-200
    unknowns = np.concatenate([cams[observed[:, 0]], points[observed[:, 1]], weights[:, None]], axis=1)
    columns = []
    for k in range(15):
        z = unknowns.astype(complex)
        z[:, k] += 1j * step
        columns.append(_residuals(z, features).imag / step)
    return flat(np.stack(columns, axis=2))


def _residuals(z: np.ndarray, features: np.ndarray) -> np.ndarray:
    rotation, centre, x0, kappa, point = z[:, 0:3], z[:, 3:6], z[:, 7:9], z[:, 9:11], z[:, 11:14]
    angle = np.sqrt((rotation**2).sum(axis=1, keepdims=True))
    axis, u = rotation / angle, point - centre
    turned = (
        u * np.cos(angle)
        + np.cross(axis, u) * np.sin(angle)
        + axis * ((axis * u).sum(axis=1, keepdims=True) * (1.0 - np.cos(angle)))
    )
    seen = turned[:, :2] / turned[:, 2:]
    square = (seen**2).sum(axis=1, keepdims=True)
    bend = 1.0 + kappa[:, :1] * square + kappa[:, 1:] * square**2
    return z[:, 14:] * (z[:, 6:7] * bend * seen + x0 - features)


OBJECTIVE = Objective(
    name="ba",
    what="bundle adjustment",
    derivative="sparse Jacobian",
    inputs=inputs,
    make=make,
    sizes={"31843": {"n": 49, "m": 7776, "p": 31843}, "204472": {"n": 253, "m": 57344, "p": 204472}},
    small={"n": 3, "m": 5, "p": 20},
)

"""Hand tracking (ADBench): joint angles to bone transforms to skinned vertices, compared with points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective, flat
from dsl import BatchDuplicated, Const, Forward, autodiff


@dsl.kernel
def rotation(theta, matrix):
    """Fills the left 3 x 3 of `matrix` with the rotation about theta[0:3] by its length."""
    square = theta[0] ** 2 + theta[1] ** 2 + theta[2] ** 2
    for r in range(3):
        for c in range(3):
            matrix[r, c] = 1.0 if r == c else 0.0
    if square >= 1e-8:
        angle = math.sqrt(square)
        c, s = math.cos(angle), math.sin(angle)
        n0, n1, n2 = theta[0] / angle, theta[1] / angle, theta[2] / angle
        matrix[0, 0], matrix[0, 1], matrix[0, 2] = (
            c + (1.0 - c) * n0 * n0, (1.0 - c) * n0 * n1 - s * n2, (1.0 - c) * n0 * n2 + s * n1
        )  # fmt: skip
        matrix[1, 0], matrix[1, 1], matrix[1, 2] = (
            (1.0 - c) * n0 * n1 + s * n2, c + (1.0 - c) * n1 * n1, (1.0 - c) * n1 * n2 - s * n0
        )  # fmt: skip
        matrix[2, 0], matrix[2, 1], matrix[2, 2] = (
            (1.0 - c) * n0 * n2 - s * n1, (1.0 - c) * n1 * n2 + s * n0, c + (1.0 - c) * n2 * n2
        )  # fmt: skip


@dsl.kernel
def multiply(a, b, out):
    """out[3, 4] = a[3, 4] times b[3, 4], both with a last row 0 0 0 1."""
    for r in range(3):
        for c in range(4):
            v = a[r, 3] if c == 3 else 0.0
            for k in range(3):
                v += a[r, k] * b[k, c]
            out[r, c] = v


@dsl.kernel
def skeleton(theta, base, parents, inverse, transforms):
    """transforms[bones, 3, 4], each from the base pose to the pose of the 26 angles `theta`."""
    bones = len(parents)
    angles = dsl.zeros((bones, 3))
    at = 6
    for finger in range(5):
        for j in range(3):
            # The pose's columns, less the first three: each finger has four bones, of which the first is stiff.
            bone = 4 * finger + 2 + j
            angles[bone, 0] = theta[at]
            at += 1
            if j == 0:
                angles[bone, 1] = theta[at]
                at += 1
    absolute = dsl.zeros((bones, 3, 4))
    turn, relative = dsl.zeros((3, 4)), dsl.zeros((3, 4))
    for b in range(bones):
        cx, sx = math.cos(angles[b, 0]), math.sin(angles[b, 0])
        cy, sy = math.cos(angles[b, 1]), math.sin(angles[b, 1])
        cz, sz = math.cos(angles[b, 2]), math.sin(angles[b, 2])
        turn[0, 0], turn[0, 1], turn[0, 2] = cz * cy, cz * sy * sx - sz * cx, sz * sx + cz * sy * cx
        turn[1, 0], turn[1, 1], turn[1, 2] = sz * cy, cz * cx + sz * sy * sx, sz * sy * cx - cz * sx
        turn[2, 0], turn[2, 1], turn[2, 2] = -sy, cy * sx, cy * cx
        if parents[b] < 0:
            multiply(base[b], turn, absolute[b])
        else:
            multiply(base[b], turn, relative)
            multiply(absolute[parents[b]], relative, absolute[b])
        multiply(absolute[b], inverse[b], transforms[b])


@dsl.kernel
def skin(theta, base, parents, inverse, positions, weights, mirrored, vertices):
    """vertices[n, 3] in the pose of `theta`: weighted sums of the bones' transforms, then the rigid motion."""
    transforms, rigid = dsl.zeros((len(parents), 3, 4)), dsl.zeros((3, 4))
    skeleton(theta, base, parents, inverse, transforms)
    rotation(theta, rigid)
    for r in range(3):
        rigid[r, 3] = theta[3 + r]
        if mirrored:
            rigid[r, 0] = -rigid[r, 0]
    for i in range(len(positions)):
        v0, v1, v2 = 0.0, 0.0, 0.0
        x, y, z = positions[i, 0], positions[i, 1], positions[i, 2]
        for b in range(len(parents)):
            w = weights[i, b]
            if w != 0.0:  # a vertex hangs on few bones
                t = transforms[b]
                v0 += w * (t[0, 0] * x + t[0, 1] * y + t[0, 2] * z + t[0, 3])
                v1 += w * (t[1, 0] * x + t[1, 1] * y + t[1, 2] * z + t[1, 3])
                v2 += w * (t[2, 0] * x + t[2, 1] * y + t[2, 2] * z + t[2, 3])
        for r in range(3):
            vertices[i, r] = rigid[r, 0] * v0 + rigid[r, 1] * v1 + rigid[r, 2] * v2 + rigid[r, 3]


@dsl.kernel
def ht(theta, base, parents, inverse, positions, weights, mirrored, corners, points, errors):
    """errors[n, 3]: points[n, 3] less their vertices, those of number corners[n]."""
    vertices = dsl.zeros(positions.shape)
    skin(theta, base, parents, inverse, positions, weights, mirrored, vertices)
    for i in range(len(corners)):
        for r in range(3):
            errors[i, r] = points[i, r] - vertices[corners[i], r]


@dsl.kernel
def ht_complicated(theta, us, base, parents, inverse, positions, weights, mirrored, triangles, points, errors):
    """The same for points on triangles[n, 3], at barycentric coordinates us[n, 2]."""
    vertices = dsl.zeros(positions.shape)
    skin(theta, base, parents, inverse, positions, weights, mirrored, vertices)
    for i in range(len(triangles)):
        a, b, c = vertices[triangles[i, 0]], vertices[triangles[i, 1]], vertices[triangles[i, 2]]
        u, v = us[i, 0], us[i, 1]
        for r in range(3):
            errors[i, r] = points[i, r] - (u * a[r] + v * b[r] + (1.0 - u - v) * c[r])


#: The bones of the hand: the wrist, four for each of five fingers, the palm.
PARENTS = np.array([-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19, 0])


def inputs(vertices: int, n: int, complicated: bool = False) -> dict[str, Any]:
    """A hand of random proportions: as many bones, vertices and correspondences as the data sets have."""
    rng = np.random.default_rng(31337)
    bones = len(PARENTS)
    base = np.tile(np.eye(4), (bones, 1, 1))
    base[:, :3, 3] = rng.normal(size=(bones, 3))
    absolute = base.copy()
    for b in range(1, bones):
        absolute[b] = absolute[PARENTS[b]] @ base[b]
    weights = np.zeros((vertices, bones))
    for _ in range(2):  # a vertex hangs on one bone or on two, as in the data sets
        weights[np.arange(vertices), rng.integers(0, bones, size=vertices)] += rng.uniform(0.1, 1.0, size=vertices)
    weights /= weights.sum(axis=1, keepdims=True)
    model = {
        "parents": PARENTS, "base_relatives": base, "inverse_base_absolutes": np.linalg.inv(absolute),
        "base_positions": np.concatenate([rng.normal(size=(vertices, 3)), np.ones((vertices, 1))], axis=1),
        "weights": weights, "triangles": rng.integers(0, vertices, size=(2 * vertices, 3)), "is_mirrored": False,
    }  # fmt: skip
    found = rng.integers(0, 2 * vertices if complicated else vertices, size=n)
    return {
        "theta": rng.normal(size=26),
        "us": rng.uniform(size=(n, 2)) if complicated else [],
        "data": {"model": model, "correspondences": found, "points": rng.normal(size=(n, 3))},
    }


def arrays(data: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that all variants share, by name."""
    model = data["data"]["model"]
    number = lambda v: np.ascontiguousarray(v, dtype=np.float64)  # noqa: E731
    corners = np.asarray(data["data"]["correspondences"], dtype=np.int64)
    if len(data["us"]):
        corners = np.asarray(model["triangles"], dtype=np.int64)[corners]
    return {
        "base": number(np.asarray(model["base_relatives"])[:, :3]),
        "parents": np.asarray(model["parents"], dtype=np.int64),
        "inverse": number(np.asarray(model["inverse_base_absolutes"])[:, :3]),
        "positions": number(np.asarray(model["base_positions"])[:, :3]), "weights": number(model["weights"]),
        "mirrored": bool(model["is_mirrored"]), "corners": corners, "points": number(data["data"]["points"]),
    }  # fmt: skip


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    """The Jacobian column by column: by the first and second coordinates of all points, if any, then by the angles."""
    shared = arrays(data)
    theta = np.ascontiguousarray(data["theta"], dtype=np.float64)
    us = np.ascontiguousarray(data["us"], dtype=np.float64) if len(data["us"]) else None
    n, width, first = len(shared["points"]), len(theta), 0 if us is None else 2
    errors, columns = np.zeros((n, 3)), np.zeros((first + width, n, 3))
    kernel = compile(ht if us is None else ht_complicated)
    values = ([] if us is None else [us]) + list(shared.values())
    passes = []
    for start in range(0, width, 13):  # more columns at once are too many places to write to
        directions = BatchDuplicated(theta, tuple(np.eye(width)[start : start + 13]))
        passes.append((directions, [Const(v) for v in values], columns[first + start :][:13]))
    if us is not None:
        # Each row depends on its own two coordinates only: two directions give them all.
        ones = BatchDuplicated(us, tuple(np.tile(row, (n, 1)) for row in np.eye(2)))
        passes.append((Const(theta), [ones, *map(Const, values[1:])], columns[:first]))
    calls = [(angles, *rest, BatchDuplicated(errors, tuple(lanes))) for angles, rest, lanes in passes]

    def derivative() -> np.ndarray:
        for annotated in calls:
            autodiff(Forward, kernel, Const, *annotated)
        return columns.reshape(-1)

    def primal() -> np.ndarray:
        kernel(theta, *values, errors)
        return errors

    return Case(primal, derivative, lambda: reference(theta, us, shared), data)


def reference(theta: np.ndarray, us: np.ndarray | None, shared: Mapping[str, Any]) -> np.ndarray:
    """By complex steps (Squire & Trapp 1998), one an angle and one for all first, all second coordinates."""
    step = 1e-200
    columns = []
    for k in range(2 if us is not None else 0):
        moved = us.astype(complex)
        moved[:, k] += 1j * step
        columns.append(_errors(theta.astype(complex), moved, shared).imag / step)
    for k in range(len(theta)):
        moved = theta.astype(complex)
        moved[k] += 1j * step
        columns.append(_errors(moved, us, shared).imag / step)
    return flat(*columns)


def _errors(theta: np.ndarray, us: np.ndarray | None, shared: Mapping[str, Any]) -> np.ndarray:
    parents, bones = shared["parents"], len(shared["parents"])
    full = lambda m: np.concatenate([m, [[0, 0, 0, 1]]])  # noqa: E731
    angles = np.zeros((bones, 3), dtype=complex)
    for finger, first in enumerate(range(6, 26, 4)):
        angles[4 * finger + 2, :2] = theta[first : first + 2]
        angles[4 * finger + 3, 0], angles[4 * finger + 4, 0] = theta[first + 2], theta[first + 3]
    absolute: list[np.ndarray] = []
    skin = []
    for b in range(bones):
        (cx, cy, cz), (sx, sy, sz) = np.cos(angles[b]), np.sin(angles[b])
        about_x = np.array([[1, 0, 0, 0], [0, cx, -sx, 0], [0, sx, cx, 0], [0, 0, 0, 1]])
        about_y = np.array([[cy, 0, sy, 0], [0, 1, 0, 0], [-sy, 0, cy, 0], [0, 0, 0, 1]])
        about_z = np.array([[cz, -sz, 0, 0], [sz, cz, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        relative = full(shared["base"][b]) @ about_z @ about_y @ about_x
        absolute.append(relative if parents[b] < 0 else absolute[parents[b]] @ relative)
        skin.append((absolute[b] @ full(shared["inverse"][b]))[:3])
    blended = np.einsum("vb,bij->vij", shared["weights"], np.stack(skin))
    vertices = np.einsum("vij,vj->vi", blended[:, :, :3], shared["positions"]) + blended[:, :, 3]
    if shared["mirrored"]:
        vertices[:, 0] *= -1
    angle = np.sqrt((theta[:3] ** 2).sum())
    turn = np.eye(3, dtype=complex)
    if angle.real >= 1e-4:
        n = theta[:3] / angle
        cross = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
        turn = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(n, n)
    vertices = vertices @ turn.T + theta[3:6]
    found = vertices[shared["corners"]]
    if us is not None:
        u0, u1 = us[:, :1], us[:, 1:]
        found = u0 * found[:, 0] + u1 * found[:, 1] + (1 - u0 - u1) * found[:, 2]
    return shared["points"] - found


OBJECTIVE = Objective(
    name="ht",
    what="hand tracking",
    derivative="Jacobian",
    inputs=inputs,
    make=make,
    sizes={
        "small": {"vertices": 544, "n": 1600},
        "big": {"vertices": 10_000, "n": 100_000},
        "complicated": {"vertices": 544, "n": 1600, "complicated": True},
    },
    small={"vertices": 30, "n": 20, "complicated": True},
)

"""k-means: the sum over points of the squared distance to the nearest centre; Newton's direction, entry by entry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective, flat
from dsl import Active, Const, Duplicated, Forward, Reverse, autodiff


@dsl.kernel
def cost(centroids, points):
    """centroids[k, d], points[n, d]."""
    n, d = points.shape
    total = 0.0
    for i in range(n):
        best = math.inf
        for j in range(centroids.shape[0]):
            square = 0.0
            for c in range(d):
                t = centroids[j, c] - points[i, c]
                square += t * t
            best = min(best, square)
        total += best
    return total


@dsl.kernel
def slope(centroids, d_centroids, points):
    """The gradient, added to d_centroids."""
    autodiff(Reverse, cost, Active, Duplicated(centroids, d_centroids), Const(points))


def inputs(k: int, n: int, d: int) -> dict[str, Any]:
    points = np.random.default_rng(31337).uniform(size=(n, d))
    return {"k": k, "n": n, "d": d, "points": points, "centroids": points[n - k :].copy()}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    points = np.asarray(data["points"], dtype=np.float64)
    centroids = np.asarray(data["centroids"], dtype=np.float64)
    kernel, gradient = compile(cost), compile(slope)
    first, second = np.zeros_like(centroids), np.zeros_like(centroids)
    ones = np.ones_like(centroids)

    def derivative() -> np.ndarray:
        # One forward pass over the gradient in the direction of all ones: each row of the Hessian has one entry that
        # is not zero, the one on the diagonal, so the product is the diagonal.
        first.fill(0.0)
        second.fill(0.0)
        autodiff(
            Forward, gradient, Const, Duplicated(centroids, ones), Duplicated(first, second), Const(points)
        )
        return flat(first / second)

    return Case(
        primal=lambda: kernel(centroids, points),
        derivative=derivative,
        reference=lambda: reference(centroids, points),
        data=data,
    )


def reference(centroids: np.ndarray, points: np.ndarray) -> np.ndarray:
    """2 (members · centre - sum of members) over 2 members."""
    squares = (points**2).sum(axis=1)[:, None] - 2 * points @ centroids.T + (centroids**2).sum(axis=1)
    nearest = squares.argmin(axis=1)
    members = np.bincount(nearest, minlength=len(centroids)).astype(float)[:, None]
    sums = np.zeros_like(centroids)
    np.add.at(sums, nearest, points)
    return flat((members * centroids - sums) / members)


OBJECTIVE = Objective(
    name="kmeans",
    what="k-means cost",
    derivative="gradient over diagonal Hessian",
    inputs=inputs,
    make=make,
    sizes={"k100": {"k": 100, "n": 10_000, "d": 16}, "k1000": {"k": 1000, "n": 10_000, "d": 16}},
    small={"k": 4, "n": 50, "d": 3},
)

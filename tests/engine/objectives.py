"""Kernels with the shapes of real objectives, for tests of the tape: sums over points, and a loop in time."""

from __future__ import annotations

import math

import numpy as np

import dsl
from benchmarks.objectives.lorenz import lorenz


@dsl.kernel
def points(x, y, a, b):
    """A smooth function of each point."""
    s = 0.0
    for i in range(len(x)):
        r = math.exp(a * x[i]) + b - y[i]
        s += r * r
    return s


@dsl.kernel
def mixture(x, mean, scale, weight):
    """The log-likelihood of a mixture of Gaussians: log-sum-exp over components of quadratic forms."""
    n, d = x.shape
    k = mean.shape[0]
    total = 0.0
    for i in range(n):
        terms = dsl.zeros(k)
        for j in range(k):
            q = 0.0
            for c in range(d):
                t = (x[i, c] - mean[j, c]) * scale[j, c]
                q += t * t
            terms[j] = weight[j] - 0.5 * q
        m = terms[0]
        for j in range(k):
            m = max(m, terms[j])
        e = 0.0
        for j in range(k):
            e += math.exp(terms[j] - m)
        total += m + math.log(e)
    return total


@dsl.kernel
def kmeans(x, centres):
    """The squared distance of each point to the nearest centre."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        best = 1e300
        for j in range(centres.shape[0]):
            q = 0.0
            for c in range(d):
                t = x[i, c] - centres[j, c]
                q += t * t
            best = min(best, q)
        total += best
    return total


@dsl.kernel
def bundle(cameras, x, weight, seen, features, errors):
    """Residuals of bundle adjustment: rotation by Rodrigues' formula, distortion, focal length and centre."""
    for i in range(seen.shape[0]):
        cam = cameras[seen[i, 0]]
        at = x[seen[i, 1]]
        u = dsl.zeros(3)
        p = dsl.zeros(3)
        for q in range(3):
            u[q] = at[q] - cam[3 + q]
        theta2 = cam[0] ** 2 + cam[1] ** 2 + cam[2] ** 2
        if theta2 > 0.0:
            theta = math.sqrt(theta2)
            c, s = math.cos(theta), math.sin(theta)
            a0, a1, a2 = cam[0] / theta, cam[1] / theta, cam[2] / theta
            dot = (a0 * u[0] + a1 * u[1] + a2 * u[2]) * (1.0 - c)
            p[0] = u[0] * c + (a1 * u[2] - a2 * u[1]) * s + a0 * dot
            p[1] = u[1] * c + (a2 * u[0] - a0 * u[2]) * s + a1 * dot
            p[2] = u[2] * c + (a0 * u[1] - a1 * u[0]) * s + a2 * dot
        else:
            p[0] = u[0] + cam[1] * u[2] - cam[2] * u[1]
            p[1] = u[1] + cam[2] * u[0] - cam[0] * u[2]
            p[2] = u[2] + cam[0] * u[1] - cam[1] * u[0]
        px = p[0] / p[2]
        py = p[1] / p[2]
        r2 = px * px + py * py
        bend = 1.0 + cam[9] * r2 + cam[10] * r2 * r2
        errors[2 * i] = weight[i] * (cam[6] * px * bend + cam[7] - features[i, 0])
        errors[2 * i + 1] = weight[i] * (cam[6] * py * bend + cam[8] - features[i, 1])


def arguments(kernel: dsl.kernel, size: int) -> tuple[list, list[int]]:  # type: ignore[valid-type]
    """Arguments with `size` points or steps, and which of them are constant."""
    rng = np.random.default_rng(7)
    u = lambda *shape: rng.uniform(0.2, 1.0, shape)
    if kernel is points:
        return [u(size), u(size), 0.7, -0.2], [0, 1]
    if kernel is mixture:
        return [u(size, 2), u(3, 2), u(3, 2), u(3)], [0]
    if kernel is kmeans:
        return [u(size, 2), u(3, 2)], [0]
    if kernel is bundle:
        seen = np.stack([np.arange(size) % 2, np.arange(size) % 5], axis=1)
        return [u(2, 11), u(5, 3) + 2.0, u(size), seen, u(size, 2), np.zeros(2 * size)], [3, 4]
    assert kernel is lorenz
    return [1.0, 0.5, 0.8, 10.0, 28.0, 8.0 / 3.0, size, 0.01], [6, 7]

"""Log posterior of a mixture of Gaussians with a Wishart prior (ADBench; the signs are GradBench's)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective, flat
from dsl import Active, Const, Duplicated, Reverse, autodiff


@dsl.kernel
def gmm(alpha, mu, q, l, x, gamma, m):
    """alpha[k], mu[k, d], q[k, d] (logarithms of the diagonals), l[k, d(d-1)/2] (columns below them), x[n, d]."""
    n, d = x.shape
    k = len(alpha)
    diagonal = dsl.exp(q)
    total = 0.0
    for i in range(n):
        beta = dsl.zeros(k)
        xc = dsl.zeros(d)
        z = dsl.zeros(d)
        for c in range(k):
            for r in range(d):
                xc[r] = x[i, r] - mu[c, r]
                z[r] = diagonal[c, r] * xc[r]
            at = 0
            for j in range(d):
                for r in range(j + 1, d):
                    z[r] += l[c, at + r - j - 1] * xc[j]
                at += d - j - 1
            square = 0.0
            logdet = 0.0
            for r in range(d):
                square += z[r] * z[r]
                logdet += q[c, r]
            beta[c] = alpha[c] + logdet - 0.5 * square
        top = dsl.max(beta)
        total += top + math.log(dsl.sum(dsl.exp(beta - top)))
    top = dsl.max(alpha)
    total -= n * (0.5 * d * math.log(2.0 * math.pi) + top + math.log(dsl.sum(dsl.exp(alpha - top))))
    prior = 0.5 * gamma * gamma * (dsl.sum(diagonal**2) + dsl.sum(l**2)) - m * dsl.sum(q)
    freedom = d + m + 1
    constant = freedom * d * math.log(gamma / math.sqrt(2.0)) - 0.25 * d * (d - 1) * math.log(math.pi)
    for j in range(1, d + 1):
        constant -= math.lgamma(0.5 * (freedom + 1 - j))
    return total + k * constant - prior


def inputs(d: int, k: int, n: int) -> dict[str, Any]:
    rng = np.random.default_rng(31337)
    x, alpha = rng.normal(size=(n, d)), rng.normal(size=k)
    mu = rng.uniform(size=(k, d))
    q, l = rng.normal(size=(k, d)), rng.normal(size=(k, d * (d - 1) // 2))
    return {"d": d, "k": k, "n": n, "x": x, "alpha": alpha, "mu": mu, "q": q, "l": l, "gamma": 1.0, "m": 0}


def parameters(data: Mapping[str, Any]) -> list[np.ndarray]:
    d, k = data["d"], data["k"]
    shapes = {"alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2)}
    return [np.asarray(data[name], dtype=np.float64).reshape(shape) for name, shape in shapes.items()]


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    kernel = compile(gmm)
    values = parameters(data)
    x = np.asarray(data["x"], dtype=np.float64).reshape(data["n"], data["d"])
    gamma, m = float(data["gamma"]), int(data["m"])
    shadows = [np.zeros_like(v) for v in values]
    annotated = [Duplicated(v, s) for v, s in zip(values, shadows)] + [Const(x), Const(gamma), Const(m)]

    def derivative() -> np.ndarray:
        for shadow in shadows:
            shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, *annotated)
        return flat(*shadows)

    return Case(
        primal=lambda: kernel(*values, x, gamma, m),
        derivative=derivative,
        reference=lambda: reference(*values, x, gamma, m),
        data=data,
    )


def reference(
    alpha: np.ndarray, mu: np.ndarray, q: np.ndarray, l: np.ndarray, x: np.ndarray, gamma: float, m: int
) -> np.ndarray:
    """The gradient by hand: responsibilities, then the chain rule through each component's triangular matrix."""
    from scipy.special import logsumexp, softmax  # takes longer than the first gradient: only where it is used

    n, d = x.shape
    k = len(alpha)
    columns, rows = np.triu_indices(d, 1)  # column by column below the diagonal
    centred, image = [], []
    for c in range(k):
        matrix = np.diag(np.exp(q[c]))
        matrix[rows, columns] = l[c]
        centred.append(x - mu[c])
        image.append(centred[c] @ matrix.T)
    beta = np.stack([alpha[c] + q[c].sum() - 0.5 * (image[c] ** 2).sum(axis=1) for c in range(k)], axis=1)
    weight = np.exp(beta - logsumexp(beta, axis=1, keepdims=True))
    d_alpha = weight.sum(axis=0) - n * softmax(alpha)
    d_mu, d_q, d_l = np.zeros_like(mu), np.zeros_like(q), np.zeros_like(l)
    for c in range(k):
        matrix = np.diag(np.exp(q[c]))
        matrix[rows, columns] = l[c]
        weighted = weight[:, c : c + 1] * image[c]
        d_matrix = -weighted.T @ centred[c]
        d_mu[c] = weighted.sum(axis=0) @ matrix
        d_q[c] = weight[:, c].sum() + np.diag(d_matrix) * np.exp(q[c]) - gamma**2 * np.exp(2 * q[c]) + m
        d_l[c] = d_matrix[rows, columns] - gamma**2 * l[c]
    return flat(d_alpha, d_mu, d_q, d_l)


OBJECTIVE = Objective(
    name="gmm",
    what="log posterior of a Gaussian mixture",
    derivative="gradient",
    inputs=inputs,
    make=make,
    sizes={"10x25": {"d": 10, "k": 25, "n": 1000}, "64x25": {"d": 64, "k": 25, "n": 1000}},
    small={"d": 4, "k": 3, "n": 20},
)

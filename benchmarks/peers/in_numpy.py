"""Derivatives by hand in NumPy: those that the objectives are checked with, and their primals in the same style."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared

VERSION = np.__version__


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    reference = importlib.import_module(f"benchmarks.objectives.{objective}").OBJECTIVE.make(data, lambda k: k)
    return Prepared(globals()[objective](data), reference.reference, lambda result: result)


Primal = Callable[[], Any]


def gmm(data: dict[str, Any]) -> Primal:
    parameters, rest = arrays.gmm_arguments(data)
    return lambda: arrays.gmm(np, *parameters, rest)


def lse(data: dict[str, Any]) -> Primal:
    return lambda: arrays.logsumexp(np, data["x"])


def llsq(data: dict[str, Any]) -> Primal:
    return lambda: arrays.llsq(np, data["x"], arrays.llsq_points(data))


def kmeans(data: dict[str, Any]) -> Primal:
    return lambda: arrays.kmeans(np, data["centroids"], data["points"])


def waves(data: dict[str, Any]) -> Primal:
    return lambda: arrays.waves(np, data["a"])


def inplace(data: dict[str, Any]) -> Primal:
    return lambda: arrays.inplace(np, data["start"])


def nbody(data: dict[str, Any]) -> Primal:
    return lambda: arrays.nbody(np, *data["positions"], arrays.nbody_pairs(data))


def stencil(data: dict[str, Any]) -> Primal:
    def energy() -> Any:
        u = data["start"]
        for _ in range(data["steps"]):
            u = arrays.stencil_step(np, u)
        return np.sum(u * u)

    return energy


def ode(data: dict[str, Any]) -> Primal:
    def solve() -> Any:
        y = np.zeros(len(data["x"]))
        for _ in range(data["s"]):
            y = arrays.ode_step(np, data["x"], y, 2.0 / data["s"])
        return y

    return solve


def lstm(data: dict[str, Any]) -> Primal:
    def loss() -> Any:
        layers, sequence = arrays.lstm_layers(data["main_params"]), data["sequence"]
        state, total = list(data["state"]), 0.0
        for now, following in pairwise(sequence):
            state, gain = arrays.lstm_step(np, layers, data["extra_params"], state, now, following)
            total += gain
        return -total / (sequence.shape[1] * (len(sequence) - 1))

    return loss


def newton(data: dict[str, Any]) -> Primal:
    def solve() -> Any:
        x, y = data["x"], np.zeros_like(data["x"])
        left = np.arange(len(x))
        while len(left):
            residual = y[left] + np.exp(y[left]) - x[left]
            left, residual = left[np.abs(residual) >= 1e-12], residual[np.abs(residual) >= 1e-12]
            y[left] -= residual / (1.0 + np.exp(y[left]))
        return y.sum()

    return solve

"""autograd: NumPy's functions, recorded as they run."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import autograd
import autograd.numpy as anp

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared, flat

VERSION = version("autograd")


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    return globals()[objective](data)  # type: ignore[no-any-return]


def _gradient(function: Callable[..., Any], *arguments: Any) -> Prepared:
    derivative = autograd.grad(function, argnum=tuple(range(len(arguments))))
    return Prepared(lambda: function(*arguments), lambda: derivative(*arguments), lambda result: flat(*result))


def gmm(data: dict[str, Any]) -> Prepared:
    parameters, rest = arrays.gmm_arguments(data)
    return _gradient(lambda *p: arrays.gmm(anp, *p, rest), *parameters)


def lse(data: dict[str, Any]) -> Prepared:
    return _gradient(lambda x: arrays.logsumexp(anp, x), data["x"])


def llsq(data: dict[str, Any]) -> Prepared:
    t = arrays.llsq_points(data)
    return _gradient(lambda x: arrays.llsq(anp, x, t), data["x"])


def kmeans(data: dict[str, Any]) -> Prepared:
    points, centroids = data["points"], data["centroids"]
    cost = lambda c: arrays.kmeans(anp, c, points)  # noqa: E731
    gradient = autograd.grad(cost)
    # The Hessian is diagonal: its rows' sums are the diagonal.
    second = autograd.grad(lambda c: anp.sum(gradient(c)))
    return Prepared(lambda: cost(centroids), lambda: gradient(centroids) / second(centroids), flat)


def waves(data: dict[str, Any]) -> Prepared:
    return _gradient(lambda a: arrays.waves(anp, a), data["a"])


def inplace(data: dict[str, Any]) -> Prepared:
    return _gradient(lambda x: arrays.inplace(anp, x), data["start"])


def nbody(data: dict[str, Any]) -> Prepared:
    pairs = arrays.nbody_pairs(data)
    return _gradient(lambda x, y, z: arrays.nbody(anp, x, y, z, pairs), *data["positions"])


def call(data: dict[str, Any]) -> Prepared:
    return _gradient(lambda a, b: anp.sum(a * b), data["a"], data["b"])


def stencil(data: dict[str, Any]) -> Prepared:
    def energy(u: Any) -> Any:
        for _ in range(data["steps"]):
            u = arrays.stencil_step(anp, u)
        return anp.sum(u * u)

    return _gradient(energy, data["start"])


def ode(data: dict[str, Any]) -> Prepared:
    def solve(x: Any) -> Any:
        y = anp.zeros(len(x))
        for _ in range(data["s"]):
            y = arrays.ode_step(anp, x, y, 2.0 / data["s"])
        return y

    derivative, x = autograd.grad(lambda x: solve(x)[-1]), data["x"]
    return Prepared(lambda: solve(x), lambda: derivative(x), flat)


def lstm(data: dict[str, Any]) -> Prepared:
    sequence = data["sequence"]
    scale = -1.0 / (sequence.shape[1] * (len(sequence) - 1))

    def loss(main: Any, extra: Any) -> Any:
        layers = [main[k].reshape((4, -1)) for k in range(len(main))]
        state, total = list(data["state"]), 0.0
        for now, following in pairwise(sequence):
            state, gain = arrays.lstm_step(anp, layers, extra, state, now, following)
            total = total + gain
        return scale * total

    return _gradient(loss, data["main_params"], data["extra_params"])

"""PyTorch: eager with autograd, or with torch.compile; Jacobians and second derivatives by torch.func."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared, flat

torch.set_default_dtype(torch.float64)
torch.set_num_threads(int(os.environ.get("BENCHMARK_NUM_THREADS", "1")))
VERSION = torch.__version__


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    return globals()[objective](data, torch.compile if variant == "compile" else lambda f: f)  # type: ignore


Compile = Callable[[Callable[..., Any]], Callable[..., Any]]


def _constants(constants: dict[str, Any]) -> dict[str, Any]:
    return {k: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in constants.items()}


def _gradient(compile: Compile, function: Callable[..., Any], *arguments: Any) -> Prepared:
    function = compile(function)
    unknowns = [torch.tensor(a, requires_grad=True) for a in arguments]

    def primal() -> Any:
        with torch.no_grad():
            return function(*unknowns)

    def derivative() -> Any:
        return torch.autograd.grad(function(*unknowns), unknowns)

    return Prepared(primal, derivative, lambda result: flat(*result))


def gmm(data: dict[str, Any], compile: Compile) -> Prepared:
    parameters, rest = arrays.gmm_arguments(data)
    rest = _constants(rest)
    return _gradient(compile, lambda *p: arrays.gmm(torch, *p, rest), *parameters)


def lse(data: dict[str, Any], compile: Compile) -> Prepared:
    return _gradient(compile, lambda x: arrays.logsumexp(torch, x), data["x"])


def llsq(data: dict[str, Any], compile: Compile) -> Prepared:
    t = torch.as_tensor(arrays.llsq_points(data))
    return _gradient(compile, lambda x: arrays.llsq(torch, x, t), data["x"])


def kmeans(data: dict[str, Any], compile: Compile) -> Prepared:
    points, centroids = torch.as_tensor(data["points"]), torch.as_tensor(data["centroids"])
    cost = lambda c: arrays.kmeans(torch, c, points)  # noqa: E731

    def direction(c: Any) -> Any:
        first, second = torch.func.jvp(torch.func.grad(cost), (c,), (torch.ones_like(c),))
        return first / second

    cost_of, direction_of = compile(cost), compile(direction)
    return Prepared(lambda: cost_of(centroids), lambda: direction_of(centroids), flat)


def waves(data: dict[str, Any], compile: Compile) -> Prepared:
    return _gradient(compile, lambda a: arrays.waves(torch, a), data["a"])


def inplace(data: dict[str, Any], compile: Compile) -> Prepared:
    return _gradient(compile, lambda x: arrays.inplace(torch, x), data["start"])


def nbody(data: dict[str, Any], compile: Compile) -> Prepared:
    pairs = torch.as_tensor(arrays.nbody_pairs(data))
    return _gradient(compile, lambda x, y, z: arrays.nbody(torch, x, y, z, pairs), *data["positions"])


def call(data: dict[str, Any], compile: Compile) -> Prepared:
    return _gradient(compile, lambda a, b: torch.sum(a * b), data["a"], data["b"])


def stencil(data: dict[str, Any], compile: Compile) -> Prepared:
    step = compile(lambda u: arrays.stencil_step(torch, u))

    def energy(u: Any) -> Any:
        for _ in range(data["steps"]):
            u = step(u)
        return torch.sum(u * u)

    return _gradient(lambda f: f, energy, data["start"])


def _solve(x: Any, steps: int) -> Any:
    y = torch.zeros_like(x)
    for _ in range(steps):
        y = arrays.ode_step(torch, x, y, 2.0 / steps)
    return y


def ode(data: dict[str, Any], compile: Compile) -> Prepared:
    x = torch.tensor(data["x"], requires_grad=True)

    def primal() -> Any:
        with torch.no_grad():
            return _solve(x, data["s"])

    return Prepared(primal, lambda: torch.autograd.grad(_solve(x, data["s"])[-1], x), lambda result: flat(*result))


def lstm(data: dict[str, Any], compile: Compile) -> Prepared:
    sequence, state = torch.as_tensor(data["sequence"]), list(torch.as_tensor(data["state"]))
    scale = -1.0 / (sequence.shape[1] * (len(sequence) - 1))

    def loss(main: Any, extra: Any) -> Any:
        layers, now, total = arrays.lstm_layers(main), state, 0.0
        for t in range(len(sequence) - 1):
            now, gain = arrays.lstm_step(torch, layers, extra, now, sequence[t], sequence[t + 1])
            total = total + gain
        return scale * total

    return _gradient(compile, loss, data["main_params"], data["extra_params"])


def ba(data: dict[str, Any], compile: Compile) -> Prepared:
    cams, points, weights, features = (torch.as_tensor(data[n]) for n in ("cams", "points", "weights", "features"))
    which, where = torch.as_tensor(data["observed"].T.copy())
    one = lambda *arguments: arrays.project(torch, *arguments)  # noqa: E731
    all_residuals = compile(torch.func.vmap(one))
    all_rows = compile(torch.func.vmap(torch.func.jacrev(one, argnums=(0, 1, 2))))

    def derivative() -> Any:
        by_cam, by_point, by_weight = all_rows(cams[which], points[where], weights, features)
        return torch.cat([by_cam, by_point, by_weight[:, :, None]], dim=2)

    def primal() -> Any:
        return all_residuals(cams[which], points[where], weights, features), 1.0 - weights * weights

    return Prepared(primal, derivative, flat)


def ht(data: dict[str, Any], compile: Compile) -> Prepared:
    parents = data["data"]["model"]["parents"].tolist()
    rest, theta = _constants(arrays.ht_constants(data)), torch.as_tensor(data["theta"])
    errors = lambda theta: arrays.ht(torch, theta, parents, rest)  # noqa: E731
    jacobian = compile(torch.func.jacfwd(errors))
    return Prepared(lambda: errors(theta), lambda: jacobian(theta), flat)

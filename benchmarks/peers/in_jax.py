"""JAX: jitted, in float64; loops over time are scans, Jacobians jacfwd and vmap of jacrev."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared, flat

jax.config.update("jax_enable_x64", True)
VERSION = jax.__version__


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    primal, derivative, arguments = globals()[objective](data)
    arguments = [jnp.asarray(a) for a in arguments]
    primal, derivative = jax.jit(primal), jax.jit(derivative)
    wait = jax.block_until_ready

    def flatten(result: Any) -> np.ndarray:
        return flat(*jax.tree_util.tree_leaves(result))

    return Prepared(lambda: wait(primal(*arguments)), lambda: wait(derivative(*arguments)), flatten)


Program = tuple[Callable[..., Any], Callable[..., Any], list[Any]]


def _gradient(function: Callable[..., Any], *arguments: Any) -> Program:
    """A function of what it is differentiated by alone."""
    return function, jax.grad(function, argnums=tuple(range(len(arguments)))), list(arguments)


def _arrays(constants: dict[str, Any]) -> dict[str, Any]:
    return {k: jnp.asarray(v) if isinstance(v, np.ndarray) else v for k, v in constants.items()}


def gmm(data: dict[str, Any]) -> Program:
    parameters, rest = arrays.gmm_arguments(data)
    rest = _arrays(rest)
    return _gradient(lambda *p: arrays.gmm(jnp, *p, rest), *parameters)


def lse(data: dict[str, Any]) -> Program:
    return _gradient(lambda x: arrays.logsumexp(jnp, x), data["x"])


def llsq(data: dict[str, Any]) -> Program:
    # The points are an argument, so that the compiler does not compute their powers once and for all.
    cost = lambda x, t: arrays.llsq(jnp, x, t)  # noqa: E731
    return cost, jax.grad(cost), [data["x"], arrays.llsq_points(data)]


def kmeans(data: dict[str, Any]) -> Program:
    points = jnp.asarray(data["points"])
    cost = lambda c: arrays.kmeans(jnp, c, points)  # noqa: E731

    def direction(c: Any) -> Any:
        first, second = jax.jvp(jax.grad(cost), (c,), (jnp.ones_like(c),))
        return first / second

    return cost, direction, [data["centroids"]]


def waves(data: dict[str, Any]) -> Program:
    return _gradient(lambda a: arrays.waves(jnp, a), data["a"])


def inplace(data: dict[str, Any]) -> Program:
    return _gradient(lambda x: arrays.inplace(jnp, x), data["start"])


def nbody(data: dict[str, Any]) -> Program:
    pairs = jnp.asarray(arrays.nbody_pairs(data))
    return _gradient(lambda x, y, z: arrays.nbody(jnp, x, y, z, pairs), *data["positions"])


def call(data: dict[str, Any]) -> Program:
    return _gradient(lambda a, b: jnp.sum(a * b), data["a"], data["b"])


def stencil(data: dict[str, Any]) -> Program:
    def energy(u: Any) -> Any:
        u, _ = jax.lax.scan(lambda u, _: (arrays.stencil_step(jnp, u), None), u, length=data["steps"])
        return jnp.sum(u * u)

    return _gradient(energy, data["start"])


def lorenz(data: dict[str, Any]) -> Program:
    def end(start: Any, parameters: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            return arrays.lorenz_step(state, parameters, data["dt"]), None

        state, _ = jax.lax.scan(step, tuple(start), length=data["steps"])
        return sum(state)

    return _gradient(end, data["start"], data["parameters"])


def ode(data: dict[str, Any]) -> Program:
    h, steps = 2.0 / data["s"], data["s"]

    def solve(x: Any) -> Any:
        return jax.lax.scan(lambda y, _: (arrays.ode_step(jnp, x, y, h), None), jnp.zeros_like(x), length=steps)[0]

    return solve, jax.grad(lambda x: solve(x)[-1]), [data["x"]]


def lstm(data: dict[str, Any]) -> Program:
    sequence, state = jnp.asarray(data["sequence"]), list(jnp.asarray(data["state"]))
    scale = -1.0 / (sequence.shape[1] * (len(sequence) - 1))

    def loss(main: Any, extra: Any) -> Any:
        layers = arrays.lstm_layers(main)
        step = lambda s, pair: arrays.lstm_step(jnp, layers, extra, s, *pair)  # noqa: E731
        return scale * jnp.sum(jax.lax.scan(step, state, (sequence[:-1], sequence[1:]))[1])

    return _gradient(loss, data["main_params"], data["extra_params"])


def ba(data: dict[str, Any]) -> Program:
    observed = data["observed"]
    rest = [jnp.asarray(observed[:, 0]), jnp.asarray(observed[:, 1]), jnp.asarray(data["features"])]
    one = lambda *arguments: arrays.project(jnp, *arguments)  # noqa: E731
    all_residuals, all_rows = jax.vmap(one), jax.vmap(jax.jacrev(one, argnums=(0, 1, 2)))

    def residuals(cams: Any, points: Any, weights: Any) -> Any:
        return all_residuals(cams[rest[0]], points[rest[1]], weights, rest[2]), 1.0 - weights * weights

    def rows(cams: Any, points: Any, weights: Any) -> Any:
        by_cam, by_point, by_weight = all_rows(cams[rest[0]], points[rest[1]], weights, rest[2])
        return jnp.concatenate([by_cam, by_point, by_weight[:, :, None]], axis=2)

    return residuals, rows, [data["cams"], data["points"], data["weights"]]


def ht(data: dict[str, Any]) -> Program:
    parents = data["data"]["model"]["parents"].tolist()
    rest = _arrays(arrays.ht_constants(data))
    errors = lambda theta: arrays.ht(jnp, theta, parents, rest)  # noqa: E731
    return errors, jax.jacfwd(errors), [data["theta"]]

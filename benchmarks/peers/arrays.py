"""The objectives as programs of whole arrays, for the systems that speak NumPy's language: `xp` is jax.numpy, torch or
autograd.numpy. What these systems write differently (loops over time, derivatives) is in their own modules.

`constants(objective, data)` makes what does not change from call to call, in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


# gmm ----------------------------------------------------------------------------------------------------------------
def gmm_arguments(data: dict[str, Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The parameters alpha, mu, q, l; and the rest by name."""
    d, k = data["d"], data["k"]
    shapes = {"alpha": (k,), "mu": (k, d), "q": (k, d), "l": (k, d * (d - 1) // 2)}
    # Where each entry of the matrix below its diagonal is found in l, column by column; elsewhere a zero behind it.
    place = np.full((d, d), d * (d - 1) // 2)
    columns, rows = np.triu_indices(d, 1)
    place[rows, columns] = np.arange(len(rows))
    m, gamma = data["m"], data["gamma"]
    freedom = d + m + 1
    constant = k * (
        freedom * d * math.log(gamma / math.sqrt(2.0)) - 0.25 * d * (d - 1) * math.log(math.pi)
        - sum(math.lgamma(0.5 * (freedom + 1 - j)) for j in range(1, d + 1))
    ) - 0.5 * data["n"] * d * math.log(2.0 * math.pi)  # fmt: skip
    rest = {"x": data["x"], "place": place, "eye": np.eye(d), "zero": np.zeros((k, 1))}
    return [data[name].reshape(shape) for name, shape in shapes.items()], {
        **rest, "gamma": float(gamma), "m": float(m), "constant": constant
    }  # fmt: skip


def gmm(xp: Any, alpha: Any, mu: Any, q: Any, l: Any, rest: dict[str, Any]) -> Any:
    diagonal, x = xp.exp(q), rest["x"]
    below = xp.concatenate([l, rest["zero"]], axis=1)[:, rest["place"]]
    matrix = below + diagonal[:, :, None] * rest["eye"]
    image = xp.einsum("kij,nkj->nki", matrix, x[:, None, :] - mu)
    beta = alpha + xp.sum(q, axis=1) - 0.5 * xp.sum(image * image, axis=2)
    top = xp.amax(beta, axis=1)
    total = xp.sum(top + xp.log(xp.sum(xp.exp(beta - top[:, None]), axis=1)))
    prior = 0.5 * rest["gamma"] ** 2 * (xp.sum(diagonal**2) + xp.sum(l**2)) - rest["m"] * xp.sum(q)
    return total - len(x) * logsumexp(xp, alpha) - prior + rest["constant"]


# One line each ------------------------------------------------------------------------------------------------------
def logsumexp(xp: Any, x: Any) -> Any:
    top = xp.amax(x)
    return top + xp.log(xp.sum(xp.exp(x - top)))


def llsq(xp: Any, x: Any, t: Any) -> Any:
    return 0.5 * xp.sum((xp.sign(t) - xp.vander(t, len(x), increasing=True) @ x) ** 2)


def llsq_points(data: dict[str, Any]) -> np.ndarray:
    return -1.0 + 2.0 * np.arange(data["n"]) / (data["n"] - 1)


def kmeans(xp: Any, centroids: Any, points: Any) -> Any:
    squares = (
        xp.sum(points * points, axis=1)[:, None] - 2.0 * points @ centroids.T + xp.sum(centroids * centroids, axis=1)
    )
    return xp.sum(xp.amin(squares, axis=1))


def waves(xp: Any, a: Any) -> Any:
    return xp.sum(xp.sin(a) * xp.exp(-a * a))


def inplace(xp: Any, x: Any) -> Any:
    for _ in range(10):
        x = xp.sin(x) * x
    return xp.sum(x)


def nbody(xp: Any, x: Any, y: Any, z: Any, pairs: Any) -> Any:
    """`pairs[i, j]` is the product of two masses where i > j, else 0."""
    dx, dy, dz = x[:, None] - x, y[:, None] - y, z[:, None] - z
    return -xp.sum(pairs / xp.sqrt(dx * dx + dy * dy + dz * dz + 1e-3))


def nbody_pairs(data: dict[str, Any]) -> np.ndarray:
    return np.tril(np.outer(data["mass"], data["mass"]), -1)


# Steps of loops -----------------------------------------------------------------------------------------------------
def stencil_step(xp: Any, u: Any) -> Any:
    left, here, right = u[:-2], u[1:-1], u[2:]
    new = here + 0.2 * (1.0 + 0.1 * here * here) * (left - 2.0 * here + right) - 0.05 * here * (right - left)
    return xp.concatenate([u[:1], new, u[-1:]])


def ode_step(xp: Any, x: Any, y: Any, h: float) -> Any:
    def slope(y: Any) -> Any:
        return xp.concatenate([x[:1], x[1:] * y[:-1]])

    k1 = slope(y)
    k2 = slope(y + 0.5 * h * k1)
    k3 = slope(y + 0.5 * h * k2)
    k4 = slope(y + h * k3)
    return y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def lorenz_step(state: Sequence[Any], parameters: Sequence[Any], dt: float) -> tuple[Any, Any, Any]:
    sigma, rho, beta = parameters

    def slope(x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
        return sigma * (y - x), x * (rho - z) - y, x * y - beta * z

    def moved(k: Sequence[Any], h: float) -> list[Any]:
        return [v + h * d for v, d in zip(state, k)]

    a = slope(*state)
    b = slope(*moved(a, 0.5 * dt))
    c = slope(*moved(b, 0.5 * dt))
    e = slope(*moved(c, dt))
    x, y, z = (v + dt / 6.0 * (p + 2.0 * q + 2.0 * r + s) for v, p, q, r, s in zip(state, a, b, c, e))
    return x, y, z


def lstm_step(xp: Any, layers: Any, extra: Any, state: Any, now: Any, following: Any) -> tuple[Any, Any]:
    """The new state (hidden and cell in turn) and the gain; `layers` has weights and biases in turn, [4, b] each."""
    x, new = now * extra[0], []
    for k in range(len(layers) // 2):
        weights, biases, h, cell = layers[2 * k], layers[2 * k + 1], state[2 * k], state[2 * k + 1]
        forget, ingate, outgate = (
            1.0 / (1.0 + xp.exp(-(v * weights[i] + biases[i]))) for i, v in enumerate((x, h, x))
        )
        cell = cell * forget + ingate * xp.tanh(h * weights[3] + biases[3])
        x = outgate * xp.tanh(cell)
        new += [x, cell]
    y = x * extra[1] + extra[2]
    return new, xp.sum(following * (y - xp.log(2.0 + xp.sum(xp.exp(y)))))


def lstm_layers(main: Any) -> list[Any]:
    """The rows of the parameters, as four gates each."""
    return [row.reshape(4, -1) for row in main]


# ba: one observation, all cameras' numbers and so on already looked up -----------------------------------------------
def project(xp: Any, cam: Any, point: Any, weight: Any, feature: Any) -> Any:
    """error[2] of cam[11], point[3], weight and feature[2]."""
    rotation, u = cam[:3], point - cam[3:6]
    angle = xp.sqrt(xp.sum(rotation * rotation))
    axis, c, s = rotation / angle, xp.cos(angle), xp.sin(angle)
    cross = xp.stack(
        [axis[1] * u[2] - axis[2] * u[1], axis[2] * u[0] - axis[0] * u[2], axis[0] * u[1] - axis[1] * u[0]]
    )
    turned = u * c + cross * s + axis * (xp.sum(axis * u) * (1.0 - c))
    seen = turned[:2] / turned[2]
    square = xp.sum(seen * seen)
    bend = 1.0 + cam[9] * square + cam[10] * square * square
    return weight * (cam[6] * bend * seen + cam[7:9] - feature)


# ht -----------------------------------------------------------------------------------------------------------------
def ht_constants(data: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays by name; `parents` stays a list of Python's. Only for points on vertices."""
    model = data["data"]["model"]
    bones = len(model["parents"])
    # Which angle turns a bone about an axis: the bones that no angle turns look up a zero behind them.
    which = np.full((bones, 3), 26)
    for finger, first in enumerate(range(6, 26, 4)):
        which[4 * finger + 2, :2] = first, first + 1
        which[4 * finger + 3, 0], which[4 * finger + 4, 0] = first + 2, first + 3
    return {
        "which": which, "zero": np.zeros(1), "base": model["base_relatives"],
        "inverse": model["inverse_base_absolutes"], "positions": model["base_positions"],
        "weights": model["weights"], "corners": np.asarray(data["data"]["correspondences"]),
        "points": data["data"]["points"], "flip": np.array([-1.0 if model["is_mirrored"] else 1.0, 1.0, 1.0]),
        "last": np.tile([0.0, 0.0, 0.0, 1.0], (bones, 1, 1)), "column": np.zeros((bones, 3, 1)), "eye": np.eye(3),
    }  # fmt: skip


def ht(xp: Any, theta: Any, parents: Sequence[int], rest: dict[str, Any]) -> Any:
    """errors[n, 3]."""
    angles = xp.concatenate([theta, rest["zero"]])[rest["which"]]
    cx, cy, cz = (xp.cos(angles[:, k]) for k in range(3))
    sx, sy, sz = (xp.sin(angles[:, k]) for k in range(3))
    rows = [
        xp.stack([cz * cy, cz * sy * sx - sz * cx, sz * sx + cz * sy * cx], 1),
        xp.stack([sz * cy, cz * cx + sz * sy * sx, sz * sy * cx - cz * sx], 1),
        xp.stack([-sy, cy * sx, cy * cx], 1),
    ]
    turns = xp.concatenate([xp.concatenate([xp.stack(rows, 1), rest["column"]], 2), rest["last"]], 1)
    relative = rest["base"] @ turns
    absolute: list[Any] = []
    for bone, parent in enumerate(parents):
        absolute.append(relative[bone] if parent < 0 else absolute[parent] @ relative[bone])
    transforms = (xp.stack(absolute) @ rest["inverse"])[:, :3]
    blended = (rest["weights"] @ transforms.reshape(len(parents), 12)).reshape(-1, 3, 4)
    vertices = xp.einsum("vij,vj->vi", blended, rest["positions"]) * rest["flip"]
    angle = xp.sqrt(xp.sum(theta[:3] ** 2))
    n, zero = theta[:3] / angle, theta[0] * 0.0
    cross = xp.stack([zero, -n[2], n[1], n[2], zero, -n[0], -n[1], n[0], zero]).reshape(3, 3)
    turn = xp.cos(angle) * rest["eye"] + xp.sin(angle) * cross + (1.0 - xp.cos(angle)) * (n[:, None] * n)
    return rest["points"] - (vertices @ turn.T + theta[3:6])[rest["corners"]]

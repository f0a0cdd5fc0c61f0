"""Warp on the processor: a thread an element, differentiated by its tape."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import warp as wp

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared, flat

wp.config.quiet = True
wp.init()
VERSION = wp.__version__
F = wp.float64


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    with wp.ScopedDevice("cpu"):
        return globals()[objective](data)  # type: ignore[no-any-return]


def _array(value: Any, active: bool = True) -> Any:
    value = np.ascontiguousarray(value)
    dtype = wp.int32 if value.dtype.kind == "i" else F
    return wp.array(value, dtype=dtype, requires_grad=active and dtype is F, device="cpu")


def _gradient(launches: Callable[[Any], None], unknowns: list[Any], between: list[Any]) -> Prepared:
    """Of launches that add to a sum; the arrays between them start from zero."""
    total = _array(np.zeros(1))

    def primal() -> Any:
        total.zero_()
        with wp.ScopedDevice("cpu"):
            launches(total)
        return total

    def derivative() -> list[Any]:
        total.zero_()
        for array in [*unknowns, *between]:
            array.grad.zero_()
        with wp.ScopedDevice("cpu"), wp.Tape() as tape:
            launches(total)
        tape.backward(total)
        return [u.grad for u in unknowns]

    return Prepared(primal, derivative, lambda result: flat(*(g.numpy() for g in result)))


@wp.kernel
def waves_kernel(a: wp.array(dtype=F), total: wp.array(dtype=F)):
    i = wp.tid()
    wp.atomic_add(total, 0, wp.sin(a[i]) * wp.exp(-a[i] * a[i]))


def waves(data: dict[str, Any]) -> Prepared:
    a = _array(data["a"])
    return _gradient(lambda total: wp.launch(waves_kernel, len(a), [a, total]), [a], [])


@wp.kernel
def nbody_kernel(
    x: wp.array(dtype=F), y: wp.array(dtype=F), z: wp.array(dtype=F), mass: wp.array(dtype=F), total: wp.array(dtype=F)
):
    i = wp.tid()
    part = F(0.0)
    for j in range(i):
        dx = x[i] - x[j]
        dy = y[i] - y[j]
        dz = z[i] - z[j]
        part += mass[j] / wp.sqrt(dx * dx + dy * dy + dz * dz + F(1e-3))
    wp.atomic_add(total, 0, -mass[i] * part)


def nbody(data: dict[str, Any]) -> Prepared:
    positions, mass = [_array(p) for p in data["positions"]], _array(data["mass"], False)
    return _gradient(lambda total: wp.launch(nbody_kernel, len(mass), [*positions, mass, total]), positions, [])


@wp.kernel
def stencil_kernel(u: wp.array(dtype=F), v: wp.array(dtype=F)):
    i = wp.tid()
    if i == 0 or i == u.shape[0] - 1:
        v[i] = u[i]
    else:
        bend = u[i - 1] - F(2.0) * u[i] + u[i + 1]
        rise = F(0.5) * (u[i + 1] - u[i - 1])
        v[i] = u[i] + F(0.2) * (F(1.0) + F(0.1) * u[i] * u[i]) * bend - F(0.1) * u[i] * rise


@wp.kernel
def squares_kernel(u: wp.array(dtype=F), total: wp.array(dtype=F)):
    i = wp.tid()
    wp.atomic_add(total, 0, u[i] * u[i])


def stencil(data: dict[str, Any]) -> Prepared:
    n, start = len(data["start"]), _array(data["start"])
    states = [start] + [_array(np.zeros(n)) for _ in range(data["steps"])]

    def launches(total: Any) -> None:
        for u, v in pairwise(states):
            wp.launch(stencil_kernel, n, [u, v])
        wp.launch(squares_kernel, n, [states[-1], total])

    return _gradient(launches, [start], states[1:])


@wp.kernel
def image_kernel(
    mu: wp.array2d(dtype=F), q: wp.array2d(dtype=F), l: wp.array2d(dtype=F), x: wp.array2d(dtype=F),
    place: wp.array2d(dtype=wp.int32), z: wp.array3d(dtype=F),
):  # fmt: skip
    i, c, r = wp.tid()
    value = wp.exp(q[c, r]) * (x[i, r] - mu[c, r])
    for j in range(r):
        value += l[c, place[r, j]] * (x[i, j] - mu[c, j])
    z[i, c, r] = value


@wp.kernel
def beta_kernel(
    alpha: wp.array(dtype=F), q: wp.array2d(dtype=F), z: wp.array3d(dtype=F), beta: wp.array2d(dtype=F)
):
    i, c = wp.tid()
    value = alpha[c]
    for r in range(q.shape[1]):
        value += q[c, r] - F(0.5) * z[i, c, r] * z[i, c, r]
    beta[i, c] = value


@wp.kernel
def top_kernel(beta: wp.array2d(dtype=F), top: wp.array(dtype=F)):
    i = wp.tid()
    value = beta[i, 0]
    for c in range(1, beta.shape[1]):
        value = wp.max(value, beta[i, c])
    top[i] = value


@wp.kernel
def sums_kernel(beta: wp.array2d(dtype=F), top: wp.array(dtype=F), sums: wp.array(dtype=F)):
    i, c = wp.tid()
    wp.atomic_add(sums, i, wp.exp(beta[i, c] - top[i]))


@wp.kernel
def mixture_kernel(top: wp.array(dtype=F), sums: wp.array(dtype=F), scale: F, total: wp.array(dtype=F)):
    i = wp.tid()
    wp.atomic_add(total, 0, scale * (top[i] + wp.log(sums[i])))


@wp.kernel
def prior_kernel(q: wp.array2d(dtype=F), gamma: F, m: F, total: wp.array(dtype=F)):
    c, r = wp.tid()
    wp.atomic_add(total, 0, m * q[c, r] - F(0.5) * gamma * gamma * wp.exp(F(2.0) * q[c, r]))


@wp.kernel
def prior_l_kernel(l: wp.array2d(dtype=F), gamma: F, total: wp.array(dtype=F)):
    c, r = wp.tid()
    wp.atomic_add(total, 0, F(-0.5) * gamma * gamma * l[c, r] * l[c, r])


def gmm(data: dict[str, Any]) -> Prepared:
    parameters, rest = arrays.gmm_arguments(data)
    d, k, n = data["d"], data["k"], data["n"]
    alpha, mu, q, l = map(_array, parameters)
    x, place = _array(rest["x"], False), _array(rest["place"].astype(np.int32))
    z, beta, sums = _array(np.zeros((n, k, d))), _array(np.zeros((n, k))), _array(np.zeros(n))
    row, row_sum = alpha.reshape((1, k)), _array(np.zeros(1))
    # What is subtracted from all of a sum's exponents has no derivative.
    top, row_top = _array(np.zeros(n), False), _array(np.zeros(1), False)
    gamma, m = rest["gamma"], rest["m"]

    def launches(total: Any) -> None:
        sums.zero_()
        row_sum.zero_()
        wp.launch(image_kernel, (n, k, d), [mu, q, l, x, place, z])
        wp.launch(beta_kernel, (n, k), [alpha, q, z, beta])
        wp.launch(top_kernel, n, [beta, top])
        wp.launch(sums_kernel, (n, k), [beta, top, sums])
        wp.launch(mixture_kernel, n, [top, sums, 1.0, total])
        wp.launch(top_kernel, 1, [row, row_top])
        wp.launch(sums_kernel, (1, k), [row, row_top, row_sum])
        wp.launch(mixture_kernel, 1, [row_top, row_sum, -float(n), total])
        wp.launch(prior_kernel, (k, d), [q, gamma, m, total])
        wp.launch(prior_l_kernel, l.shape, [l, gamma, total])

    return _gradient(launches, [alpha, mu, q, l], [z, beta, sums, row_sum])

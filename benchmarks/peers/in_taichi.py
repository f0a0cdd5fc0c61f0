"""Taichi on the processor: kernels over fields, differentiated by its tape."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import taichi as ti

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared, flat

VERSION = ".".join(map(str, ti.__version__))
ti.init(arch=ti.cpu, default_fp=ti.f64, cpu_max_num_threads=int(os.environ.get("BENCHMARK_NUM_THREADS", "1")))


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    return globals()[objective](data)  # type: ignore[no-any-return]


def _field(value: Any, active: bool = True) -> Any:
    value = np.ascontiguousarray(value)
    found = ti.field(ti.i32 if value.dtype.kind == "i" else ti.f64, shape=value.shape, needs_grad=active)
    found.from_numpy(value)
    return found


def _gradient(launches: Callable[[Any], None], unknowns: list[Any]) -> Prepared:
    total = ti.field(ti.f64, shape=(), needs_grad=True)

    def primal() -> Any:
        total[None] = 0.0
        launches(total)
        return total[None]

    def derivative() -> list[Any]:
        total[None] = 0.0
        with ti.ad.Tape(total):
            launches(total)
        ti.sync()
        return [u.grad for u in unknowns]

    return Prepared(primal, derivative, lambda result: flat(*(g.to_numpy() for g in result)))


@ti.kernel
def waves_kernel(a: ti.template(), total: ti.template()):
    for i in a:
        total[None] += ti.sin(a[i]) * ti.exp(-a[i] * a[i])


def waves(data: dict[str, Any]) -> Prepared:
    a = _field(data["a"])
    return _gradient(lambda total: waves_kernel(a, total), [a])


@ti.kernel
def nbody_kernel(x: ti.template(), y: ti.template(), z: ti.template(), mass: ti.template(), total: ti.template()):
    for i in x:
        for j in range(i):
            dx, dy, dz = x[i] - x[j], y[i] - y[j], z[i] - z[j]
            total[None] -= mass[i] * mass[j] / ti.sqrt(dx * dx + dy * dy + dz * dz + 1e-3)


def nbody(data: dict[str, Any]) -> Prepared:
    positions, mass = [_field(p) for p in data["positions"]], _field(data["mass"], False)
    return _gradient(lambda total: nbody_kernel(*positions, mass, total), positions)


@ti.kernel
def start_kernel(start: ti.template(), u: ti.template()):
    for i in start:
        u[0, i] = start[i]


@ti.kernel
def step_kernel(u: ti.template(), t: ti.i32, n: ti.i32):
    for i in range(n):
        if i == 0 or i == n - 1:
            u[t + 1, i] = u[t, i]
        else:
            bend = u[t, i - 1] - 2.0 * u[t, i] + u[t, i + 1]
            rise = 0.5 * (u[t, i + 1] - u[t, i - 1])
            u[t + 1, i] = u[t, i] + 0.2 * (1.0 + 0.1 * u[t, i] * u[t, i]) * bend - 0.1 * u[t, i] * rise


@ti.kernel
def squares_kernel(u: ti.template(), t: ti.i32, n: ti.i32, total: ti.template()):
    for i in range(n):
        total[None] += u[t, i] * u[t, i]


def stencil(data: dict[str, Any]) -> Prepared:
    n, steps, start = len(data["start"]), data["steps"], _field(data["start"])
    u = ti.field(ti.f64, shape=(steps + 1, n), needs_grad=True)

    def launches(total: Any) -> None:
        start_kernel(start, u)
        for t in range(steps):
            step_kernel(u, t, n)
        squares_kernel(u, steps, n, total)

    return _gradient(launches, [start])


@ti.kernel
def clear_kernel(z: ti.template(), sums: ti.template()):
    for index in ti.grouped(z):
        z[index] = 0.0
    for i in sums:
        sums[i] = 0.0


@ti.kernel
def image_kernel(mu: ti.template(), q: ti.template(), l: ti.template(), x: ti.template(), place: ti.template(),
                 z: ti.template()):  # fmt: skip
    for i, c, r in z:
        z[i, c, r] += ti.exp(q[c, r]) * (x[i, r] - mu[c, r])
        for j in range(r):
            z[i, c, r] += l[c, place[r, j]] * (x[i, j] - mu[c, j])


@ti.kernel
def beta_kernel(alpha: ti.template(), q: ti.template(), z: ti.template(), beta: ti.template()):
    for i, c in beta:
        beta[i, c] = alpha[c]
        for r in range(q.shape[1]):
            beta[i, c] += q[c, r] - 0.5 * z[i, c, r] * z[i, c, r]


@ti.kernel
def top_kernel(beta: ti.template(), top: ti.template()):
    for i in top:
        value = beta[i, 0]
        for c in range(1, beta.shape[1]):
            value = ti.max(value, beta[i, c])
        top[i] = value


@ti.kernel
def sums_kernel(beta: ti.template(), top: ti.template(), sums: ti.template()):
    for i, c in beta:
        sums[i] += ti.exp(beta[i, c] - top[i])


@ti.kernel
def mixture_kernel(top: ti.template(), sums: ti.template(), total: ti.template()):
    for i in sums:
        total[None] += top[i] + ti.log(sums[i])


@ti.kernel
def weights_kernel(alpha: ti.template(), top: ti.f64, sum: ti.template()):
    for c in alpha:
        sum[None] += ti.exp(alpha[c] - top)


@ti.kernel
def prior_kernel(q: ti.template(), l: ti.template(), gamma: ti.f64, m: ti.f64, n: ti.f64, sum: ti.template(),
                 top: ti.f64, total: ti.template()):  # fmt: skip
    for c, r in q:
        total[None] += m * q[c, r] - 0.5 * gamma * gamma * ti.exp(2.0 * q[c, r])
    for c, r in l:
        total[None] += -0.5 * gamma * gamma * l[c, r] * l[c, r]
    for _ in range(1):
        total[None] -= n * (top + ti.log(sum[None]))


def gmm(data: dict[str, Any]) -> Prepared:
    parameters, rest = arrays.gmm_arguments(data)
    d, k, n = data["d"], data["k"], data["n"]
    alpha, mu, q, l = map(_field, parameters)
    x, place = _field(rest["x"], False), _field(rest["place"].astype(np.int32), False)
    z, beta = (ti.field(ti.f64, shape=shape, needs_grad=True) for shape in ((n, k, d), (n, k)))
    sums = ti.field(ti.f64, shape=n, needs_grad=True)
    top = ti.field(ti.f64, shape=n)  # what is subtracted from all of a sum's exponents has no derivative
    weights, highest = ti.field(ti.f64, shape=(), needs_grad=True), float(parameters[0].max())

    def launches(total: Any) -> None:
        weights[None] = 0.0
        clear_kernel(z, sums)
        image_kernel(mu, q, l, x, place, z)
        beta_kernel(alpha, q, z, beta)
        top_kernel(beta, top)
        sums_kernel(beta, top, sums)
        mixture_kernel(top, sums, total)
        weights_kernel(alpha, highest, weights)
        prior_kernel(q, l, rest["gamma"], rest["m"], float(n), weights, highest, total)

    return _gradient(launches, [alpha, mu, q, l])

"""Dr.Jit by LLVM: whole arrays traced into one kernel, loops as loops of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import drjit as dr
import numpy as np
from drjit.llvm.ad import Float64, UInt32

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared, flat

VERSION = dr.__version__
dr.set_thread_count(int(os.environ.get("BENCHMARK_NUM_THREADS", "1")))


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    return globals()[objective](data)  # type: ignore[no-any-return]


def _gradient(function: Callable[..., Any], *arguments: Any) -> Prepared:
    values = [Float64(np.ascontiguousarray(a)) for a in arguments]

    def primal() -> Any:
        result = function(*(dr.detach(v) for v in values))
        dr.eval(result)
        dr.sync_thread()
        return result

    def derivative() -> list[Any]:
        unknowns = [Float64(v) for v in values]
        dr.enable_grad(unknowns)
        dr.backward(function(*unknowns))
        found = [dr.grad(u) for u in unknowns]
        dr.eval(found)
        dr.sync_thread()
        return found

    return Prepared(primal, derivative, lambda result: flat(*(g.numpy() for g in result)))


def waves(data: dict[str, Any]) -> Prepared:
    return _gradient(lambda a: dr.sum(dr.sin(a) * dr.exp(-a * a)), data["a"])


def lse(data: dict[str, Any]) -> Prepared:
    def logsumexp(x: Any) -> Any:
        top = dr.max(dr.detach(x))
        return top + dr.log(dr.sum(dr.exp(x - top)))

    return _gradient(logsumexp, data["x"])


def inplace(data: dict[str, Any]) -> Prepared:
    def run(x: Any) -> Any:
        for _ in range(10):
            x = dr.sin(x) * x
        return dr.sum(x)

    return _gradient(run, data["start"])


def nbody(data: dict[str, Any]) -> Prepared:
    n = len(data["mass"])
    first, second = (UInt32(index.astype(np.uint32)) for index in np.tril_indices(n, -1))
    pairs = Float64(arrays.nbody_pairs(data)[np.tril_indices(n, -1)])

    def energy(x: Any, y: Any, z: Any) -> Any:
        dx, dy, dz = (dr.gather(Float64, v, first) - dr.gather(Float64, v, second) for v in (x, y, z))
        return -dr.sum(pairs * dr.rsqrt(dx * dx + dy * dy + dz * dz + 1e-3))

    return _gradient(energy, *data["positions"])


@dr.syntax
def _newton(x: Any) -> Any:
    y = Float64(0.0) + dr.zeros(Float64, dr.width(x))
    r = y + dr.exp(y) - x
    while dr.hint(dr.abs(r) >= 1e-12, max_iterations=30):
        y -= r / (1.0 + dr.exp(y))
        r = y + dr.exp(y) - x
    return y


def newton(data: dict[str, Any]) -> Prepared:
    return _gradient(lambda x: dr.sum(_newton(x)), data["x"])

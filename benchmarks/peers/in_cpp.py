"""Derivatives by hand in C++ (`floor.cpp`), compiled with the system's compiler when first used."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import compiler, folder
from benchmarks.peers.exchange import Prepared

SOURCE = Path(__file__).with_name("floor.cpp")
FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-std=c++17", "-shared", "-fPIC"]


def _build(source: Path, flags: list[str]) -> ctypes.CDLL:
    """The library, from the cache where the source and the flags are the same."""
    found = compiler()
    if found is None:
        raise RuntimeError("there is no C++ compiler")
    name = hashlib.sha256(source.read_bytes() + " ".join([found, *flags]).encode()).hexdigest()[:16]
    path = folder() / "cpp" / f"{source.stem}-{name}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        subprocess.run([found, *flags, str(source), "-o", str(part), "-lm"], check=True)
        part.replace(path)
    return ctypes.CDLL(str(path))


def _version() -> str:
    out = subprocess.run([compiler() or "c++", "-dumpfullversion"], capture_output=True, text=True)
    return f"{Path(compiler() or 'c++').name} {out.stdout.strip()}"


VERSION = _version()


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    library = _build(SOURCE, FLAGS)
    arguments, size = globals()[objective](data)
    gradient = np.zeros(size)
    # A pointer alone keeps no array alive: `value` below holds them.
    kept = [np.ascontiguousarray(a, dtype=np.float64) if isinstance(a, (np.ndarray, list)) else a for a in arguments]
    passed = [_c(a) for a in kept]
    primal = library[objective]
    derivative = library["kmeans_direction" if objective == "kmeans" else f"{objective}_gradient"]
    primal.restype, derivative.restype = ctypes.c_double, None
    # Objectives that fill an array take it in the primal too; three arrays of one gradient are passed as three.
    parts = gradient.reshape(3, -1) if objective == "nbody" else [gradient]
    out = [_c(p) for p in parts]
    result = np.zeros(size)
    filled = [_c(result)] if objective == "ode" else []

    def run() -> np.ndarray:
        derivative(*passed, *out)
        return gradient

    def value(kept: Any = (kept, result)) -> Any:
        return primal(*passed, *filled)

    return Prepared(value, run, lambda result: result.copy())


def _c(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_long(int(value))


Arguments = tuple[list[Any], int]


def waves(data: dict[str, Any]) -> Arguments:
    return [len(data["a"]), data["a"]], len(data["a"])


def lse(data: dict[str, Any]) -> Arguments:
    return [len(data["x"]), data["x"]], len(data["x"])


newton = lse


def inplace(data: dict[str, Any]) -> Arguments:
    return [len(data["start"]), data["start"]], len(data["start"])


def llsq(data: dict[str, Any]) -> Arguments:
    return [len(data["x"]), data["n"], data["x"]], len(data["x"])


def nbody(data: dict[str, Any]) -> Arguments:
    n = len(data["mass"])
    return [n, *data["positions"], data["mass"]], 3 * n


def stencil(data: dict[str, Any]) -> Arguments:
    return [len(data["start"]), data["steps"], data["start"]], len(data["start"])


def lorenz(data: dict[str, Any]) -> Arguments:
    return [data["steps"], float(data["dt"]), data["start"], data["parameters"]], 6


def ode(data: dict[str, Any]) -> Arguments:
    return [len(data["x"]), data["s"], data["x"]], len(data["x"])


def kmeans(data: dict[str, Any]) -> Arguments:
    k, d = data["centroids"].shape
    return [k, len(data["points"]), d, data["centroids"], data["points"]], k * d


def gmm(data: dict[str, Any]) -> Arguments:
    d, k = data["d"], data["k"]
    arrays = [data[name] for name in ("alpha", "mu", "q", "l", "x")]
    return [d, k, data["n"], *arrays, float(data["gamma"]), data["m"]], k * (1 + 2 * d + d * (d - 1) // 2)


def lstm(data: dict[str, Any]) -> Arguments:
    layers, (length, b) = len(data["state"]) // 2, data["sequence"].shape
    arrays = [data[name] for name in ("main_params", "extra_params", "state", "sequence")]
    return [layers, b, length, *arrays], 8 * layers * b + 3 * b

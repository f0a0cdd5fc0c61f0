"""Where the grid kernels of the verification run: on a GPU by CuPy, else on the simulator, else on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Place(NamedTuple):
    """A name for the matrix, and how arrays get there and back."""

    name: str
    asarray: Callable[[np.ndarray], Any]
    asnumpy: Callable[[Any], np.ndarray]


def find() -> Place:
    """The best place that there is."""
    for name, module in (("CUDA", _cupy()), ("simulator", _simulator())):
        if module is not None:
            return Place(name, module.asarray, module.asnumpy)
    return Place("CPU, no GPU", lambda array: array.copy(), lambda array: array)


def _cupy() -> Any:
    """CuPy, if it finds a device."""
    try:
        import cupy

        return cupy if cupy.cuda.runtime.getDeviceCount() else None
    except Exception:  # whatever a driver that is missing or too old makes of it
        return None


def _simulator() -> Any:
    from importlib import import_module
    from importlib.util import find_spec

    name = f"{__package__.rpartition('.')[0]}.simulator"
    return import_module(name) if find_spec(name) else None

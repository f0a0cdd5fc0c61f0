"""Inputs as files that every environment reads: nested dictionaries of arrays, numbers and lists, by their paths.

This module and the worker run in the peers' environments: they need NumPy and the standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Prepared:
    """What a peer gives for an objective on one input.

    `primal` and `derivative` are timed: they return when the result is there. `flat` makes of a derivative's result
    one float64 array in the objective's order; it is not timed. `primal` is None where there is none.
    """

    primal: Callable[[], Any] | None
    derivative: Callable[[], Any]
    flat: Callable[[Any], np.ndarray]


def flat(*arrays: Any) -> np.ndarray:
    """All elements of the arrays, one after the other."""
    return np.concatenate([np.asarray(a, dtype=np.float64).ravel() for a in arrays])


def save(path: Path, data: Mapping[str, Any]) -> None:
    """Write inputs to an .npz file."""
    found: dict[str, np.ndarray] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                visit(f"{prefix}/{key}" if prefix else key, inner)
        else:
            found[prefix] = np.asarray(value)

    visit("", data)
    np.savez(path, **{key.replace("/", "."): value for key, value in found.items()})


def load(path: str | Path) -> dict[str, Any]:
    """The inputs again: arrays as arrays, numbers as Python's."""
    data: dict[str, Any] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            *outer, last = key.split(".")
            place = data
            for name in outer:
                place = place.setdefault(name, {})
            value = file[key]
            place[last] = value if value.ndim else value.item()
    return data

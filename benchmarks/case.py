"""What a benchmark is: an objective with sizes, and at one size the things to time and to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import dsl

#: A kernel as the user wrote it, and the same compiled with `fastmath`.
Compile = Callable[[Any], Any]


def plain(kernel: Any) -> Any:
    """The kernel as it is written: sums in the order of the program."""
    return kernel


def fast(kernel: Any) -> Any:
    """The same kernel with `fastmath`: sums in any order, so that they become vector code."""
    return dsl.kernel(kernel.fn, fastmath=True)


@dataclass(frozen=True)
class Case:
    """One objective on one input.

    `derivative` returns what is compared with `reference`, as one flat float64 array in an order of the objective's
    own; `reference` is computed without the language, by a formula or by complex steps. `data` is what peers compute
    the same from.
    """

    primal: Callable[[], Any]
    derivative: Callable[[], np.ndarray]
    reference: Callable[[], np.ndarray]
    data: Mapping[str, Any]
    tolerance: float = 1e-8

    def error(self) -> float:
        """The largest difference from the reference, relative to the reference's largest element."""
        found, expected = self.derivative(), self.reference()
        if found.shape != expected.shape:
            raise AssertionError(f"the derivative has shape {found.shape}, the reference {expected.shape}")
        scale = float(np.max(np.abs(expected), initial=0.0))
        return float(np.max(np.abs(found - expected), initial=0.0)) / (scale or 1.0)


@dataclass(frozen=True)
class Objective:
    """An objective of the field: `make(data, compile)` gives the case, `inputs(**size)` the data."""

    name: str
    what: str
    derivative: str
    inputs: Callable[..., dict[str, Any]]
    make: Callable[[Mapping[str, Any], Compile], Case]
    #: Sizes to measure, and one for tests.
    sizes: Mapping[str, Mapping[str, int]]
    small: Mapping[str, int] = field(default_factory=dict)


def flat(*arrays: Any) -> np.ndarray:
    """All elements of the arrays, one after the other."""
    return np.concatenate([np.asarray(a, dtype=np.float64).ravel() for a in arrays])

"""Derivatives along a line by central differences.

The five-point formula, f'(t) = (f(t - 2h) - 8 f(t - h) + 8 f(t + h) - f(t + 2h)) / 12h + h**4 f''''' / 30 (Fornberg,
"Generation of finite difference formulas on arbitrarily spaced grids", Mathematics of Computation 51, 1988, table 1),
for a row of steps h. As h shrinks the error of truncation falls and that of rounding grows: of the two neighbours that
agree most the second is taken, for each part of the result by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from .values import Vector

STEPS = tuple(2.0**-k for k in range(6, 20, 2))
_WEIGHTS = ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0))


def along(f: Callable[[float], Vector]) -> tuple[Vector, list[float]]:
    """The derivative of f at 0, and for each part how far its two best estimates are apart."""
    with np.errstate(all="ignore"):
        rows = [_at(f, h) for h in STEPS]
        best, spread = [], []
        for estimates in zip(*rows):
            apart = [_distance(a, b) for a, b in itertools.pairwise(estimates)]
            k = min(range(len(apart)), key=apart.__getitem__)
            best.append(estimates[k + 1])
            spread.append(apart[k])
    return best, spread


def _at(f: Callable[[float], Vector], h: float) -> Vector:
    parts = [[weight * part for part in f(k * h)] for k, weight in _WEIGHTS]
    return [sum(terms[1:], terms[0]) / (12 * h) for terms in zip(*parts)]


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference; infinite where one of them is not a number."""
    found = float(np.max(np.abs(a - b), initial=0.0))
    return found if np.isfinite(found) else np.inf

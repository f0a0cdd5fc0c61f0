"""Derivatives of a case of the corpus: forward mode against central differences, reverse against forward mode.

Run on arrays that `place` makes of NumPy arrays and `fetch` makes NumPy arrays of again, so on any backend.
"""

from __future__ import annotations

import numpy as np

import dsl
from dsl import Active, Const, Duplicated

from .corpus import Case


def wide(array):
    """In double precision, in which it is compared."""
    return np.asarray(array).astype(np.float64)


class Point:
    """A case's arguments with directions for the active ones."""

    def __init__(self, case: Case, place=lambda a: a, fetch=lambda a: a):
        self.case, self.place, self.fetch = case, place, fetch
        self.values = case.arguments()
        self.active = [name in case.active for name in case.kernel.params]
        rng = np.random.default_rng(7)
        self.directions = [self._like(v, rng) if a else None for v, a in zip(self.values, self.active)]
        numbers = [v for v in self.values if isinstance(v, (np.ndarray, np.floating)) and v.dtype.kind in "fV"]
        self.bytes = min((n.dtype.itemsize for n in numbers), default=8)

    @staticmethod
    def _like(value, rng):
        made = rng.normal(size=np.shape(value))
        return made.astype(value.dtype) if isinstance(value, np.ndarray) else type(value)(made)

    def _copy(self, value):
        return self.place(value.copy()) if isinstance(value, np.ndarray) else value

    def _arrays(self, values):
        return [x for x, v, a in zip(values, self.values, self.active) if a and isinstance(v, np.ndarray)]

    def differences(self, step=1e-3):
        """The derivative of what is in the active arrays after the launch, by central differences of order 4."""

        def at(t):
            moved = [v + t * d if a else v for v, d, a in zip(self.values, self.directions, self.active)]
            moved = [m.copy() if isinstance(m, np.ndarray) else m for m in moved]
            self.case.grid(*moved)
            return self._arrays(moved)

        points = [at(k * step) for k in (1, -1, 2, -2)]
        return [(8 * (a - b) - (c - d)) / (12 * step) for a, b, c, d in zip(*points)]

    def forward(self):
        """The tangents of the active arrays after the launch."""
        tangents = [self._copy(d) for d in self.directions]
        pairs = zip(self.values, tangents, self.active)
        arguments = [Duplicated(self._copy(v), t) if a else Const(self._copy(v)) for v, t, a in pairs]
        dsl.autodiff(dsl.Forward, self.case.grid, Const, *arguments)
        return [self.fetch(t) for t in self._arrays(tangents)]

    def reverse(self, seeds):
        """The scalar product of the gradient with the directions, for these cotangents of the arrays."""
        shadows = [self._copy(s) for s in seeds]
        left = iter(shadows)
        arguments = []
        for v, a in zip(self.values, self.active):
            if not a:
                arguments.append(Const(self._copy(v)))
            else:
                arguments.append(Duplicated(self._copy(v), next(left)) if isinstance(v, np.ndarray) else Active(v))
        (gradients,) = dsl.autodiff(dsl.Reverse, self.case.grid, Const, *arguments)
        total = sum(
            float(np.sum(wide(self.fetch(s)) * wide(d))) for s, d in zip(shadows, self._arrays(self.directions))
        )
        numbers = zip(gradients, self.directions, self.values, self.active)
        return total + sum(float(g) * float(d) for g, d, v, a in numbers if a and not isinstance(v, np.ndarray))


def check(case: Case, place=lambda a: a, fetch=lambda a: a) -> None:
    """Both modes of a case, on the arrays that `place` makes."""
    point = Point(case, place, fetch)
    tangents = point.forward()
    if point.bytes == 8:
        for found, wanted in zip(tangents, point.differences(), strict=True):
            np.testing.assert_allclose(found, wanted, 1e-6, 1e-6 * max(1, np.abs(wanted).max()), err_msg="forward mode")
    rng = np.random.default_rng(8)
    seeds = [rng.normal(size=t.shape).astype(t.dtype) for t in tangents]
    left = sum(float(np.sum(wide(s) * wide(t))) for s, t in zip(seeds, tangents, strict=True))
    tolerance = {8: 1e-9, 4: 1e-4, 2: 3e-2}[point.bytes]
    np.testing.assert_allclose(point.reverse(seeds), left, tolerance, tolerance, err_msg="reverse mode")

"""Derivatives of a case of the corpus: forward mode against central differences, reverse against forward mode.

Run on arrays that `place` makes of NumPy arrays and `fetch` makes NumPy arrays of again, so on any backend. An argument
may be a struct; what is said of arrays and floats then holds of those in it.
"""

from __future__ import annotations

import dataclasses

import numpy as np

import dsl
import dsl.simulator
from dsl import Active, Const, Duplicated, MixedDuplicated, Ref

from .cases import Case


def wide(array):
    """In double precision, in which it is compared."""
    return np.asarray(array).astype(np.float64)


def fields(value):
    """The fields of a struct, None of anything else."""
    if dataclasses.is_dataclass(value):
        return [getattr(value, f.name) for f in dataclasses.fields(value)]
    return list(value) if isinstance(value, tuple) else None


def each(function, *values):
    """`function` of each array and number in arguments that are built alike, in the first one's form."""
    parts = [fields(value) for value in values]
    if parts[0] is None:
        return function(*values)
    made = [each(function, *part) for part in zip(*parts, strict=True)]
    return tuple(made) if type(values[0]) is tuple else type(values[0])(*made)


def leaves(value):
    parts = fields(value)
    return [value] if parts is None else [leaf for part in parts for leaf in leaves(part)]


def is_array(value):
    return isinstance(value, (np.ndarray, dsl.simulator.Array))


class Point:
    """A case's arguments with directions for the active ones."""

    def __init__(self, case: Case, place=lambda a: a, fetch=lambda a: a):
        self.case, self.place, self.fetch = case, place, fetch
        self.values = case.arguments()
        self.active = [name in case.active for name in case.kernel.params]
        rng = np.random.default_rng(7)
        pairs = zip(self.values, self.active)
        self.directions = [each(lambda x: self._like(x, rng), v) if a else None for v, a in pairs]
        numbers = [x for v in self.values for x in leaves(v) if isinstance(x, (np.ndarray, np.floating))]
        self.bytes = min((n.dtype.itemsize for n in numbers if n.dtype.kind in "fV"), default=8)

    @staticmethod
    def _like(value, rng):
        made = rng.normal(size=np.shape(value))
        return made.astype(value.dtype) if isinstance(value, np.ndarray) else type(value)(made)

    def _copy(self, value):
        return each(lambda x: self.place(x.copy()) if isinstance(x, np.ndarray) else x, value)

    def _arrays(self, values):
        """The arrays in the active arguments; `values` has something for each argument."""
        return [x for v, a in zip(values, self.active) if a for x in leaves(v) if is_array(x)]

    def differences(self, step=1e-3):
        """The derivative of what is in the active arrays after the launch, by central differences of order 4."""

        def at(t):
            pairs = zip(self.values, self.directions, self.active)
            moved = [each(lambda x, d: x + t * d, v, d) if a else self._host_copy(v) for v, d, a in pairs]
            self.case.grid(*moved)
            return self._arrays(moved)

        points = [at(k * step) for k in (1, -1, 2, -2)]
        return [(8 * (a - b) - (c - d)) / (12 * step) for a, b, c, d in zip(*points)]

    @staticmethod
    def _host_copy(value):
        return each(lambda x: x.copy() if isinstance(x, np.ndarray) else x, value)

    def forward(self):
        """The tangents of the active arrays after the launch."""
        tangents = [self._copy(d) for d in self.directions]
        pairs = zip(self.values, tangents, self.active)
        arguments = [Duplicated(self._copy(v), t) if a else Const(self._copy(v)) for v, t, a in pairs]
        dsl.autodiff(dsl.Forward, self.case.grid, Const, *arguments)
        return [self.fetch(t) for t in self._arrays(tangents)]

    def reverse(self, seeds):
        """The scalar product of the gradient with the directions, for these cotangents of the arrays."""
        left = iter(seeds)
        arguments, total = [], 0.0
        shadows: list[Ref] = []
        for v, a in zip(self.values, self.active):
            shadow = each(lambda x: next(left) if isinstance(x, np.ndarray) else type(x)(0), v) if a else None
            shadows.append(Ref(self._copy(shadow)))
            if not a:
                arguments.append(Const(self._copy(v)))
            elif fields(v) is not None:
                arguments.append(MixedDuplicated(self._copy(v), shadows[-1]))
            else:
                arguments.append(
                    Duplicated(self._copy(v), shadows[-1].value) if isinstance(v, np.ndarray) else Active(v)
                )
        (gradients,) = dsl.autodiff(dsl.Reverse, self.case.grid, Const, *arguments)
        for ref, g, d, a in zip(shadows, gradients, self.directions, self.active):
            if a:
                found = leaves(ref.value if g is None else g)
                found = [self.fetch(x) if is_array(x) else x for x in found]
                total += sum(float(np.sum(wide(x) * wide(y))) for x, y in zip(found, leaves(d), strict=True))
        return total


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

"""A compiled kernel in every mode against its truth: value, forward and reverse, with and without the primal.

Outputs are compared in the max norm, relative to the largest of all entries: 1e-9 for values, 1e-8 for derivatives,
times the case's precision (1 for float64)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.generator.dual import is_float
from tests.generator.layout import copied
from tests.generator.oracle import Truth, flatten

VALUE_TOLERANCE = 1e-9
DERIVATIVE_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Failure:
    """What went wrong: `kind` is short and stays the same while the program is shrunk, `detail` is for the reader."""

    kind: str
    detail: str


@dataclass(frozen=True)
class Case:
    """A kernel at a point. For each argument: whether it is active (not Const), its tangent for forward mode (or None),
    and, if an active array, its cotangent for reverse mode (or None). `returns`: f a float, n nothing, else other."""

    kernel: Any
    arguments: list[Any]
    active: list[bool]
    tangents: list[Any]
    cotangents: list[Any]
    returns: str
    truth: Truth
    precision: float = 1.0

    @property
    def scale(self) -> float:
        return max(1.0, float(np.max(np.abs(self.truth.jacobian), initial=0)))


def copies(arguments: list[Any]) -> list[Any]:
    return [copied(v) if isinstance(v, np.ndarray) else v for v in arguments]


def _contents(arguments: list[Any]) -> np.ndarray:
    """All float arrays, flat, in the truth's order."""
    found = [v.ravel() for v in arguments if isinstance(v, np.ndarray) and is_float(v)]
    return np.concatenate(found) if found else np.zeros(0)


def differs(kind: str, got: Any, want: np.ndarray, tolerance: float, scale: float = 1.0) -> Failure | None:
    got = np.asarray(got, dtype=float)
    if got.shape != want.shape:
        return Failure(f"{kind}: shape", f"got shape {got.shape}, expected {want.shape}")
    bound = tolerance * max(scale, float(np.max(np.abs(want), initial=0)))
    if np.all(np.abs(got - want) <= bound):
        return None
    return Failure(f"{kind}: wrong", f"got      {got.tolist()}\nexpected {want.tolist()}")


def primal(case: Case) -> Failure | None:
    values = copies(case.arguments)
    returned = flatten(case.kernel(*values))
    return differs("primal: result", returned, case.truth.returned, case.precision * VALUE_TOLERANCE) or differs(
        "primal: arrays", _contents(values), case.truth.arrays, case.precision * VALUE_TOLERANCE
    )


def forward(case: Case) -> Failure | None:
    """Both forward modes along the case's tangents."""
    from dsl import Const, Duplicated, Forward, ForwardWithPrimal, autodiff

    truth = case.truth
    pairs = list(zip(case.arguments, case.tangents))
    flat = [np.ravel(np.zeros(np.shape(v)) if t is None else t) for v, t in pairs if is_float(v)]
    expected = truth.jacobian @ np.concatenate(flat)
    returned = len(truth.returned)
    for mode, with_primal in ((ForwardWithPrimal, True), (Forward, False)):
        name = "forward with primal" if with_primal else "forward"
        values, shadows = copies(case.arguments), copies(case.tangents)
        marked = [Const(v) if t is None else Duplicated(v, t) for v, t in zip(values, shadows)]
        result = flatten(autodiff(mode, case.kernel, Const if case.returns == "n" else Duplicated, *marked))
        want = np.concatenate([truth.returned, expected[:returned]]) if with_primal else expected[:returned]
        arrays = [(v, t) for v, t in zip(values, shadows) if isinstance(v, np.ndarray) and is_float(v)]
        after = _contents([np.zeros_like(v) if t is None else t for v, t in arrays])
        bad = (
            differs(f"{name}: result", result, want, case.precision * DERIVATIVE_TOLERANCE, case.scale)
            or differs(f"{name}: arrays", _contents(values), truth.arrays, case.precision * VALUE_TOLERANCE)
            or differs(
                f"{name}: shadows", after, expected[returned:], case.precision * DERIVATIVE_TOLERANCE, case.scale
            )
        )
        if bad:
            return bad
    return None


def reverse(case: Case) -> Failure | None:
    """Both combined reverse modes, from 1 for the result and the case's cotangents for the arrays."""
    from dsl import Active, Const, Duplicated, Reverse, ReverseWithPrimal, autodiff

    if case.returns not in "fn":
        return None  # seeds for returned arrays and tuples need split mode
    truth = case.truth
    seeds = [np.ones(len(truth.returned))]
    for v, c in zip(case.arguments, case.cotangents):
        if isinstance(v, np.ndarray) and is_float(v):
            seeds.append(np.ravel(np.zeros(v.shape) if c is None else c))
    flags = [np.full(np.size(v), a) for v, a in zip(case.arguments, case.active) if is_float(v)]
    expected = np.where(np.concatenate(flags), np.concatenate(seeds) @ truth.jacobian, 0.0)
    for mode, with_primal in ((ReverseWithPrimal, True), (Reverse, False)):
        name = "reverse with primal" if with_primal else "reverse"
        values, shadows = copies(case.arguments), copies(case.cotangents)
        marked: list[Any] = []
        for v, a, c in zip(values, case.active, shadows):
            marked.append(Const(v) if not a else Duplicated(v, c) if isinstance(v, np.ndarray) else Active(v))
        result = autodiff(mode, case.kernel, Active if case.returns == "f" else Const, *marked)
        if with_primal and case.returns == "f":
            bad = differs(f"{name}: result", [result[0]], truth.returned, case.precision * VALUE_TOLERANCE)
            if bad:
                return bad
        got: list[np.ndarray] = []
        for position, (v, a, c, gradient) in enumerate(zip(values, case.active, shadows, result[-1])):
            slot = a and not isinstance(v, np.ndarray)
            if slot != (gradient is not None):
                return Failure(f"{name}: slots", f"the slot of argument {position} is {gradient!r}")
            if is_float(v):
                got.append(np.zeros(np.size(v)) if not a else np.ravel(gradient if slot else c))
        bad = differs(
            f"{name}: gradient", np.concatenate(got), expected, case.precision * DERIVATIVE_TOLERANCE, case.scale
        )
        bad = bad or differs(f"{name}: arrays", _contents(values), truth.arrays, case.precision * VALUE_TOLERANCE)
        if bad:
            return bad
    return None


MODES = (("primal", primal), ("forward", forward), ("reverse", reverse))

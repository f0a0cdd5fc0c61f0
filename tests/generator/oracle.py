"""What a program must give: its value and its derivatives, from the undecorated Python functions.

`run_plain` is the undecorated kernel on floats and NumPy arrays; `jacobian` the same text on dual numbers. `judge` puts
both together and says whether the program is a fair test at this point: no error, moderate numbers, no branch that
hangs by rounding, and derivatives that do not change much when the point moves by a billionth."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.generator.dual import Dual, DualArrays, DualMath, DualNumpy, Margin, is_float, seed_inputs
from tests.generator.program import ENTRY, Program

# Nearer than this to the other side of a comparison, two correct programs may take different branches.
MARGIN = 1e-6
LARGEST = 1e6
STEP = 1e-9
# How much a derivative may change, relative to all of them, when the point moves by STEP: a condition of 1e4.
CHANGE = 1e-5
# What a program may do wrong in plain Python: a shrunk one anything, a generated one an assertion or a domain error.
PYTHON_ERRORS = (ArithmeticError, ValueError, LookupError, NameError, TypeError, AttributeError, AssertionError)


class PlainArrays(DualArrays):
    """Stands in for `dsl` in the undecorated function: NumPy's own functions."""

    zeros = staticmethod(np.zeros)  # type: ignore[assignment]
    ones = staticmethod(np.ones)  # type: ignore[assignment]
    full = staticmethod(np.full)  # type: ignore[assignment]


@dataclass(frozen=True)
class Truth:
    """Outputs are: what is returned, flat, then the contents of all float array arguments, as they are at the end.
    Inputs: all float arguments, flat. `jacobian[i, j]` is the derivative of output i by input j."""

    returned: np.ndarray
    arrays: np.ndarray
    jacobian: np.ndarray

    @property
    def outputs(self) -> np.ndarray:
        return np.concatenate([self.returned, self.arrays])


class Unfair(Exception):
    """Why a program at a point is no fair test."""


def functions(source: str, **modules: Any) -> dict[str, Any]:
    """The functions of the text, run with these modules."""
    namespace: dict[str, Any] = dict(modules)
    exec(compile(source, "<generated>", "exec"), namespace)
    return namespace


def flatten(returned: Any) -> list[Any]:
    if returned is None:
        return []
    if isinstance(returned, tuple):
        return [leaf for item in returned for leaf in flatten(item)]
    if isinstance(returned, np.ndarray):
        return list(returned.ravel())
    return [returned]


def run_plain(program: Program, arguments: list[Any]) -> np.ndarray:
    """All outputs of the undecorated program; the arguments are left as they were."""
    values = [v.copy() if isinstance(v, np.ndarray) else v for v in arguments]
    kernel = functions(program.source, math=math, np=np, dsl=PlainArrays)[ENTRY]
    returned = flatten(kernel(*values))
    for v in values:
        if isinstance(v, np.ndarray) and is_float(v):
            returned += list(v.ravel())
    return np.array([float(r) for r in returned])


def jacobian(program: Program, arguments: list[Any]) -> Truth:
    """Outputs and derivatives of the program by dual numbers."""
    return jacobian_of(functions(program.source, math=DualMath(), np=DualNumpy(), dsl=DualArrays)[ENTRY], arguments)


def jacobian_of(kernel: Callable[..., Any], arguments: list[Any]) -> Truth:
    """Outputs and derivatives of a function that takes dual numbers; the arguments are left as they were."""
    values, inputs = seed_inputs(arguments)
    returned = flatten(kernel(*values))
    arrays: list[Any] = []
    for v, original in zip(values, arguments):
        if isinstance(v, np.ndarray) and is_float(original):
            arrays += list(v.ravel())
    outputs = returned + arrays
    rows = [
        np.broadcast_to(np.asarray(o.d, dtype=float), (inputs,)) if isinstance(o, Dual) else np.zeros(inputs)
        for o in outputs
    ]
    numbers = [float(o.v) if isinstance(o, Dual) else float(o) for o in outputs]
    return Truth(
        np.array(numbers[: len(returned)]),
        np.array(numbers[len(returned) :]),
        np.array(rows).reshape(len(outputs), inputs),
    )


def moved(arguments: list[Any], rng: np.random.Generator) -> list[Any]:
    """The point moved by STEP in a random direction."""
    out: list[Any] = []
    for v in arguments:
        if not is_float(v):
            out.append(v)
        elif isinstance(v, np.ndarray):
            out.append(v + STEP * rng.choice((-1.0, 1.0), v.shape))
        else:
            out.append(v + STEP * float(rng.choice((-1.0, 1.0))))
    return out


def judge(program: Program, arguments: list[Any]) -> Truth:
    """The truth at a point; raises Unfair where the point is no fair test."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plain = run_plain(program, arguments)
            Margin.reset()
            truth = jacobian(program, arguments)
            margin, largest = Margin.smallest, Margin.largest
            near = jacobian(program, moved(arguments, np.random.default_rng(program.seed)))
        except PYTHON_ERRORS as error:
            raise Unfair(f"{type(error).__name__}: {error}") from error
    if margin < min(MARGIN * program.precision, 2e-3):
        raise Unfair(f"a comparison is decided by {margin:.1e}")
    if (
        not largest < LARGEST
        or not np.all(np.isfinite(truth.jacobian))
        or np.max(np.abs(truth.jacobian), initial=0) > LARGEST
    ):
        raise Unfair("numbers too large")
    if near.jacobian.shape != truth.jacobian.shape or plain.shape != truth.outputs.shape:
        raise Unfair("shape of the result changes")
    scale = max(1.0, float(np.max(np.abs(truth.jacobian), initial=0)))
    if np.max(np.abs(near.jacobian - truth.jacobian), initial=0) > CHANGE * scale:
        raise Unfair("ill conditioned")
    if not np.allclose(plain, truth.outputs, rtol=1e-10 * program.precision, atol=1e-12 * program.precision):
        if program.precision > 1:
            raise Unfair("single precision takes another way")
        raise AssertionError(f"dual numbers and plain Python disagree on the value: {plain} against {truth.outputs}")
    return truth

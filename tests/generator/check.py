"""The compiled program against its truth: value, forward and reverse mode, with and without the primal.

`check(program, point)` returns None, or a Failure that says which mode is wrong and how; Unfair comes through. Outputs
are compared in the max norm, relative to the largest of all entries: 1e-9 for values, 1e-8 for derivatives."""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.generator.dual import is_float
from tests.generator.oracle import Truth, flatten, judge
from tests.generator.program import ENTRY, Program
from tests.generator.reproducer import directions, module_text, seeds

VALUE_TOLERANCE = 1e-9
DERIVATIVE_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Failure:
    """What went wrong: `kind` is short and stays the same while the program is shrunk, `detail` is for the reader."""

    kind: str
    detail: str


def load(program: Program, point: int) -> ModuleType:
    """The program as a module of its own, written to a file so that errors can show its lines."""
    text = module_text(program, point)
    folder = Path(tempfile.gettempdir()) / "dsl_generated_programs"
    folder.mkdir(exist_ok=True)
    name = f"generated_{program.seed}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    file = folder / f"{name}.py"
    file.write_text(text)
    linecache.checkcache(str(file))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    file.unlink()
    linecache.cache[str(file)] = (len(text), None, text.splitlines(True), str(file))
    return module


def check(program: Program, point: int) -> Failure | None:
    """Judge the program at a point, run the compiled one in all modes, compare."""
    arguments = program.arguments(point)
    truth = judge(program, arguments)
    kernel = getattr(load(program, point), ENTRY)
    for name, mode in (("primal", _primal), ("forward", _forward), ("reverse", _reverse)):
        try:
            failure = mode(program, point, kernel, truth)
        except Exception as error:
            # The message's first line without numbers and names would be better still; the class is what is stable.
            where = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{name}: {type(error).__name__} at {Path(where.filename).name}:{where.name}"
            return Failure(kind, "".join(traceback.format_exception(error))[-6000:])
        if failure:
            return failure
    return None


def _copies(arguments: list[Any]) -> list[Any]:
    return [v.copy() if isinstance(v, np.ndarray) else v for v in arguments]


def _arrays(arguments: list[Any]) -> np.ndarray:
    """The contents of all float arrays, in the truth's order."""
    found = [np.asarray(v).ravel() for v in arguments if isinstance(v, np.ndarray) and is_float(v)]
    return np.concatenate(found) if found else np.zeros(0)


def _differs(kind: str, got: Any, want: np.ndarray, tolerance: float, scale: float = 1.0) -> Failure | None:
    got = np.asarray(got, dtype=float)
    if got.shape != want.shape:
        return Failure(f"{kind}: shape", f"got shape {got.shape}, expected {want.shape}")
    bound = tolerance * max(scale, float(np.max(np.abs(want), initial=0)))
    if np.all(np.abs(got - want) <= bound):
        return None
    return Failure(f"{kind}: wrong", f"got      {got.tolist()}\nexpected {want.tolist()}")


def _primal(program: Program, point: int, kernel: Any, truth: Truth) -> Failure | None:
    values = _copies(program.arguments(point))
    returned = flatten(kernel(*values))
    return _differs("primal: result", returned, truth.returned, VALUE_TOLERANCE) or _differs(
        "primal: arrays", _arrays(values), truth.arrays, VALUE_TOLERANCE
    )


def _forward(program: Program, point: int, kernel: Any, truth: Truth) -> Failure | None:
    from dsl import Const, Duplicated, Forward, ForwardWithPrimal, autodiff

    arguments = program.arguments(point)
    tangents = directions(program, point, arguments)
    flat = np.concatenate(
        [np.ravel(np.zeros(np.shape(v)) if t is None else t) for v, t in zip(arguments, tangents) if is_float(v)]
    )
    expected = truth.jacobian @ flat
    scale = max(1.0, float(np.max(np.abs(truth.jacobian), initial=0)))
    returned = len(truth.returned)
    for mode, primal in ((ForwardWithPrimal, True), (Forward, False)):
        name = "forward with primal" if primal else "forward"
        values, shadows = _copies(arguments), _copies(tangents)
        marked = [Const(v) if t is None else Duplicated(v, t) for v, t in zip(values, shadows)]
        if program.returns == "n":
            result = autodiff(mode, kernel, Const, *marked)
        else:
            result = autodiff(mode, kernel, Duplicated, *marked)
        got = flatten(result)
        want = np.concatenate([truth.returned, expected[:returned]]) if primal else expected[:returned]
        bad = _differs(f"{name}: result", got, want, DERIVATIVE_TOLERANCE, scale)
        bad = bad or _differs(f"{name}: arrays", _arrays(values), truth.arrays, VALUE_TOLERANCE)
        got_arrays = [np.zeros_like(v) if t is None else t for v, t in zip(values, shadows)]
        got_flat = _arrays([g for g, v in zip(got_arrays, arguments) if is_float(v)])
        bad = bad or _differs(f"{name}: shadows", got_flat, expected[returned:], DERIVATIVE_TOLERANCE, scale)
        if bad:
            return bad
    return None


def _reverse(program: Program, point: int, kernel: Any, truth: Truth) -> Failure | None:
    from dsl import Active, Const, Duplicated, Reverse, ReverseWithPrimal, autodiff

    if program.returns in "vt":
        return None  # seeds for returned arrays and tuples need split mode
    arguments = program.arguments(point)
    seed, array_seeds = seeds(program, point)
    cotangent = np.full(len(truth.returned), seed)
    for p, v in zip(program.params, arguments):
        if isinstance(v, np.ndarray) and is_float(v):
            cotangent = np.concatenate([cotangent, np.ravel(array_seeds.get(p.name, np.zeros(v.shape)))])
    expected = cotangent @ truth.jacobian
    active = np.concatenate([np.full(np.size(v), p.active) for p, v in zip(program.params, arguments) if is_float(v)])
    expected = np.where(active, expected, 0.0)
    for mode, primal in ((ReverseWithPrimal, True), (Reverse, False)):
        name = "reverse with primal" if primal else "reverse"
        values = _copies(arguments)
        marked: list[Any] = []
        for p, v in zip(program.params, values):
            if not p.active:
                marked.append(Const(v))
            elif isinstance(v, np.ndarray):
                marked.append(Duplicated(v, array_seeds[p.name].copy()))
            else:
                marked.append(Active(v))
        result = autodiff(mode, kernel, Active if program.returns == "f" else Const, *marked)
        if primal and program.returns == "f":
            bad = _differs(f"{name}: result", [result[0]], truth.returned, VALUE_TOLERANCE)
            if bad:
                return bad
        gradients = result[-1]
        got: list[np.ndarray] = []
        for p, v, m, g in zip(program.params, values, marked, gradients):
            if not is_float(v):
                continue
            if not p.active:
                got.append(np.zeros(np.size(v)))
            else:
                got.append(np.ravel(m.dval if isinstance(v, np.ndarray) else g))
            if (g is None) != (not (p.active and isinstance(v, float))):
                return Failure(f"{name}: slots", f"the slot of {p.name} is {g!r}")
        scale = max(1.0, float(np.max(np.abs(truth.jacobian), initial=0)))
        bad = _differs(f"{name}: gradient", np.concatenate(got), expected, DERIVATIVE_TOLERANCE, scale)
        bad = bad or _differs(f"{name}: arrays", _arrays(values), truth.arrays, VALUE_TOLERANCE)
        if bad:
            return bad
    return None

"""Random kernels in split mode, with NaN in every array between the two calls, against combined reverse mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dsl import (
    Active,
    Const,
    Duplicated,
    Forward,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
)
from tests.generator.check import load
from tests.generator.dual import is_float
from tests.generator.modes import copies
from tests.generator.program import ENTRY, make_program
from tests.generator.reproducer import seeds


def _annotated(program: Any, values: list[Any], shadows: list[Any]) -> list[Any]:
    return [
        Const(v) if not p.active else Duplicated(v, s) if isinstance(v, np.ndarray) else Active(v)
        for p, v, s in zip(program.params, values, shadows, strict=True)
    ]


@pytest.mark.parametrize("seed", range(500, 506))
def test_split_agrees_with_combined(seed: int) -> None:
    program = make_program(seed)
    if program.returns not in "fn":
        pytest.skip("a returned array has no seed")
    arguments = program.arguments(0)
    cotangents = [seeds(program, 0).get(p.name) for p in program.params]
    kernel = getattr(load(program, 0), ENTRY)
    returns, seed_of = (Active, (1.0,)) if program.returns == "f" else (Const, ())

    shadows = copies(cotangents)
    whole = _annotated(program, copies(arguments), shadows)
    primal, gradients = autodiff(ReverseWithPrimal, kernel, returns, *whole)

    split_values, split_shadows = copies(arguments), copies(cotangents)
    given = _annotated(program, split_values, split_shadows)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal.with_primal(), kernel, returns, *given)
    tape, value, _ = fwd(Const(kernel), *given)
    np.testing.assert_allclose(np.float64(0 if value is None else value), np.float64(0 if primal is None else primal))
    for one, other in zip(split_values, (a.val for a in whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
        if isinstance(one, np.ndarray) and is_float(one):
            one[...] = np.nan
    (found,) = rev(Const(kernel), *given, *seed_of, tape)
    tolerance = {"rtol": 1e-9 * program.precision, "atol": 1e-11 * program.precision}
    for one, other in zip(found, gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, **tolerance)
    for one, other in zip(split_shadows, shadows, strict=True):
        if one is not None:
            np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize("seed", [522, 538])
def test_returned_arrays_agree_with_forward_mode(seed: int) -> None:
    """The dot-product identity, with seeds in the shadow of the result and in those of all arrays."""
    program = make_program(seed)
    arguments = program.arguments(0)
    kernel = getattr(load(program, 0), ENTRY)
    rng = np.random.default_rng(seed)

    def like(value: Any) -> Any:
        made = rng.uniform(-1, 1, np.shape(value))
        return made.astype(value.dtype) if isinstance(value, np.ndarray) else float(made)

    tangents = [like(v) if p.active else None for p, v in zip(program.params, arguments, strict=True)]
    moved = _annotated(program, copies(arguments), copies(tangents))
    moved = [Duplicated(a.val, t) if type(a) is Active else a for a, t in zip(moved, tangents, strict=True)]
    (tangent,) = autodiff(Forward, kernel, Duplicated, *moved)

    shadows = [np.zeros_like(t) if isinstance(t, np.ndarray) else None for t in tangents]
    given = _annotated(program, copies(arguments), shadows)
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, kernel, Duplicated, *given)
    tape, _, shadow = fwd(Const(kernel), *given)
    seeds_ = [s if s is None else like(s) for s in (*shadows, shadow)]
    for place, seed_ in zip((*shadows, shadow), seeds_, strict=True):
        if place is not None:
            place[...] = seed_
    ((*gradients,),) = rev(Const(kernel), *given, tape)
    ends = [m.dval if isinstance(m, Duplicated) and isinstance(m.dval, np.ndarray) else None for m in moved]
    out = sum(float(np.sum(s * e)) for s, e in zip(seeds_, (*ends, tangent), strict=True) if s is not None)
    found = [g if s is None else s for g, s in zip(gradients, shadows, strict=True)]
    back = sum(float(np.sum(g * t)) for g, t in zip(found, tangents, strict=True) if t is not None)
    assert back == pytest.approx(out, rel=1e-8 * program.precision)

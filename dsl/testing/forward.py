"""`test_forward`: tangents against central differences."""

from __future__ import annotations

from typing import Any

from ..annotations import Annotation, Const
from ..autodiff import autodiff
from ..modes import Forward, ForwardWithPrimal, Mode
from ..request import result_activity
from ..shadows import typeof
from .problem import Argument, Problem
from .values import Vector, leaf_paths, vector


def test_forward(
    f: Any,
    returns: type[Annotation] | None,
    *args: Any,
    width: int = 2,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    strong_zero: bool = False,
) -> None:
    """Test `autodiff(Forward, f, returns, ...)` and ForwardWithPrimal at a point.

    `returns` is Duplicated, BatchDuplicated, Const or None (left out). An argument is `Const(c)`, an annotation with
    its tangents, `Duplicated(x, dx)`, or `(x, Duplicated)`, `(x, BatchDuplicated)` for random ones (`width` of them).
    Nothing of the caller's is changed.

    Tested is that the value is that of f; that every argument is changed as by f; that the result has as many parts
    as the annotations say, each in the form of f's own; and that the tangents of the result and of all arguments after
    the call are what central differences of five points give along the tangents before it. Differences are taken in
    float64 if f can be called with that, and errors measured relative to the largest entry of a leaf: `rtol` is 1e-8
    for float64, 1e-4 for float32, 3e-2 for float16, 0.2 for bfloat16, and `atol` the same. AssertionError says which
    entry is wrong. At kinks and where f jumps there is nothing to compare with: choose another point.

    >>> import dsl
    >>> dsl.testing.test_forward(lambda x, c: c * x * x, dsl.Duplicated, (3.0, dsl.Duplicated), dsl.Const(2.0))
    """
    problem = Problem("test_forward", f, returns, args, width, rtol, atol, seed)
    expected = [problem.derivative(_directions(problem, lane)) for lane in range(problem.width)]
    for mode in (ForwardWithPrimal, Forward):
        _check(problem, mode.with_strong_zero(strong_zero), expected)


test_forward.__test__ = False  # type: ignore[attr-defined]  # not a test of the file that imports it


def _directions(problem: Problem, lane: int) -> list[Vector | None]:
    return [a.shadows[lane] if a.moves else None for a in problem.arguments]


def _check(problem: Problem, mode: Mode, expected: list[tuple[list[Vector], list[Vector]]]) -> None:
    returns = problem.returns
    annotated = [argument.annotated() for argument in problem.arguments]
    found = autodiff(mode, problem.kernel, *(() if returns is None else (returns,)), *annotated)
    name = repr(mode)
    wanted = result_activity(mode, returns, typeof(problem.result)) is not Const
    parts = mode.primal + wanted
    if not isinstance(found, tuple) or len(found) != parts:
        problem.fail(f"{name}: the result is {found!r}; expected is a tuple of {parts}")
    if mode.primal:
        problem.check_primal(found[0], name)
    if wanted:
        tangents = found[-1] if problem.batched else (found[-1],)
        if problem.batched and (type(tangents) is not tuple or len(tangents) != problem.width):
            problem.fail(f"{name}: the tangent is {tangents!r}; expected is a tuple of {problem.width}")
        for lane, tangent in enumerate(tangents):
            problem.check_form(tangent, problem.result, f"{name}: the tangent")
            (want, *_), (spread, *_) = expected[lane]
            paths = leaf_paths("", problem.result)
            for path, got, exact, apart in zip(paths, vector(tangent), want, spread):
                where = f" at `{path}`" if path else ""
                what = f"{name}: the tangent{lane_text(problem, lane)} of the result{where}"
                problem.check_derivative(what, got, exact, float(apart))
    problem.check_arguments(annotated, name)
    for index, argument in enumerate(problem.arguments):
        if argument.shadows:
            for lane, shadow in enumerate(argument.shadows_of(annotated[index])):
                want, spread = expected[lane][0][index + 1], expected[lane][1][index + 1]
                _check_shadow(problem, name, argument, lane, shadow, want, spread)


def _check_shadow(
    problem: Problem, mode: str, argument: Argument, lane: int, shadow: Vector, want: Vector, spread: Vector
) -> None:
    for path, got, exact, apart in zip(leaf_paths(argument.name, argument.value), shadow, want, spread):
        what = f"{mode}: the tangent{lane_text(problem, lane)} of `{path}` after the call"
        problem.check_derivative(what, got, exact, float(apart))


def lane_text(problem: Problem, lane: int) -> str:
    return f" number {lane}" if problem.batched else ""

"""`test_reverse`: gradients against central differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..annotations import Active, Annotation, Const
from ..autodiff import autodiff
from ..errors import NotYetSupported
from ..modes import Mode, Reverse, ReverseSplitNoPrimal, ReverseSplitWithPrimal, ReverseWithPrimal
from ..request import result_activity
from ..shadows import typeof
from ..thunk import autodiff_thunk
from .forward import lane_text
from .problem import Problem
from .values import Vector, leaf_paths, leaves, vector

# Arguments of more numbers than this are tested along random directions only.
_ENTRIES = 64


def test_reverse(
    f: Any,
    returns: type[Annotation] | None,
    *args: Any,
    width: int = 2,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    strong_zero: bool = False,
    split: bool = True,
) -> None:
    """Test `autodiff(Reverse, f, returns, ...)`, ReverseWithPrimal, and unless `split` is False split mode, at a point.

    `returns` is Active, Const or None (left out), or Duplicated for a returned array, tested in split mode alone. An
    argument is `Const(c)`, `Active(x)`, an annotation with its shadows, `Duplicated(x, dx)`, or `(x, Active)`,
    `(x, Duplicated)`, `(x, MixedDuplicated)`, `(x, BatchDuplicated)`, whose shadows are drawn at random (`width` of
    them): with them the test sees that gradients are added, and that what f overwrites takes its seed from its shadow.
    Nothing of the caller's is changed.

    Tested is that the value is that of f; that every argument is changed as by f; that there is a slot for each
    argument, None where it is not Active, else in the form of the argument; and that the gradients are what central
    differences of five points give, along each entry of arguments of up to 64 numbers, and along random directions.
    Tolerances are those of `test_forward`.

    >>> import dsl
    >>> dsl.testing.test_reverse(lambda x, c: c * x * x, dsl.Active, (3.0, dsl.Active), dsl.Const(2.0))
    """
    problem = Problem("test_reverse", f, returns, args, width, rtol, atol, seed)
    tangents = _tangents(problem)
    active = result_activity(Reverse, problem.returns, typeof(problem.result)) is Active
    for mode in (ReverseWithPrimal, Reverse) if returns in (Active, Const, None) else ():
        mode = mode.with_strong_zero(strong_zero)
        annotated = [argument.annotated() for argument in problem.arguments]
        found = autodiff(mode, problem.kernel, *_returns(problem), *annotated)
        seeds = [[np.array(1.0)] if active else []] * problem.width
        _check(problem, mode, found, annotated, tangents, seeds)
    if split:
        for mode in (ReverseSplitWithPrimal, ReverseSplitNoPrimal):
            _check_split(problem, mode.with_strong_zero(strong_zero), tangents)


test_reverse.__test__ = False  # type: ignore[attr-defined]  # not a test of the file that imports it

# A direction of one argument, what messages call it, and the derivatives of result and arguments along it, with what
# they may be off.
_Tangent = tuple[int, str, Vector, list[Vector], list[Vector]]


def _returns(problem: Problem) -> tuple[type[Annotation], ...]:
    return () if problem.returns is None else (problem.returns,)


def _tangents(problem: Problem) -> list[_Tangent]:
    """Along the entries of each argument that is differentiated, and along random directions."""
    found: list[_Tangent] = []
    for index, argument in enumerate(problem.arguments):
        if not argument.moves:
            continue
        zero = [np.zeros_like(part) for part in vector(argument.value)]
        ways: list[tuple[str, Vector]] = []
        if sum(part.size for part in zero) <= _ENTRIES:
            for number, path in enumerate(leaf_paths(argument.name, argument.value)):
                ways += _entries(path, zero, number)
        ways += [("", problem.direction(argument.value)) for _ in range(2)]
        for name, way in ways:
            directions: list[Vector | None] = [None] * len(problem.arguments)
            directions[index] = way
            found.append((index, name, way, *problem.derivative(directions)))
    return found


def _entries(path: str, zero: Vector, number: int) -> list[tuple[str, Vector]]:
    """The directions of the entries of one leaf; for complex numbers, along both of their parts."""
    found = []
    steps = (1.0, 1.0j) if zero[number].dtype.kind == "c" else (1.0,)
    for at in np.ndindex(zero[number].shape):
        for step in steps:
            way = [part.copy() for part in zero]
            way[number][at] = step
            part = (".imag" if step == 1.0j else ".real") if len(steps) == 2 else ""
            found.append((f"{path}[{', '.join(map(str, at))}]{part}" if at else path + part, way))
    return found


def _check(
    problem: Problem,
    mode: Mode,
    found: Any,
    annotated: Sequence[Annotation],
    tangents: list[_Tangent],
    seeds: list[Vector],
) -> None:
    """The outcome of one call."""
    name = repr(mode)
    if not isinstance(found, tuple) or len(found) != 1 + mode.primal:
        problem.fail(f"{name}: the result is {found!r}; expected is a tuple of {1 + mode.primal}")
    if mode.primal:
        problem.check_primal(found[0], name)
    problem.check_arguments(annotated, name)
    _check_gradients(problem, mode, found[-1], annotated, tangents, seeds)


def _check_split(problem: Problem, mode: Mode, tangents: list[_Tangent]) -> None:
    """The two calls of split mode, with seeds other than 1."""
    f, name = problem.kernel, repr(mode)
    annotated = [argument.annotated() for argument in problem.arguments]
    try:
        forward, pullback = autodiff_thunk(mode, f, *_returns(problem), *annotated)
        tape, value, shadow = forward(Const(f), *annotated)
    except NotYetSupported:
        if problem.returns not in (Active, Const, None):
            raise  # nothing else is tested
        return
    if mode.primal:
        problem.check_primal(value, name)
    elif value is not None:
        problem.fail(f"{name}: the value is {value!r}; expected is None")
    problem.check_arguments(annotated, name)
    numbers = [1.5 + lane for lane in range(problem.width)]
    given: list[Any] = []
    seeds: list[Vector] = [[] for _ in numbers]
    if result_activity(mode, problem.returns, typeof(problem.result)) is Active:
        given = [tuple(numbers) if problem.batched else numbers[0]]
        seeds = [[np.array(number)] for number in numbers]
    elif shadow is not None:
        seeds = [_seeded(problem, lane) for lane in (shadow if problem.batched else (shadow,))]
    (slots,) = pullback(Const(f), *annotated, *given, tape)
    _check_gradients(problem, mode, slots, annotated, tangents, seeds)


def _seeded(problem: Problem, shadow: Any) -> Vector:
    """Random numbers put into the arrays of a result's shadow."""
    problem.check_form(shadow, problem.result, "the shadow of the result")
    for leaf, seed in zip(leaves(shadow), problem.direction(problem.result)):
        if isinstance(leaf, np.ndarray):
            leaf[...] = seed
    return vector(shadow)


def _check_gradients(
    problem: Problem,
    mode: Mode,
    slots: Any,
    annotated: Sequence[Annotation],
    tangents: list[_Tangent],
    seeds: list[Vector],
) -> None:
    """Slots and shadows against the derivative: for each direction v of an argument, the gradient times v is the sum of
    all seeds times what they belong to moves along v.
    """
    name = repr(mode)
    if type(slots) is not tuple or len(slots) != len(problem.arguments):
        problem.fail(f"{name}: the gradients are {slots!r}; expected is a tuple of {len(problem.arguments)}")
    gradients: list[list[Vector]] = []
    for argument, slot, given in zip(problem.arguments, slots, annotated):
        if argument.annotation is not Active:
            if slot is not None:
                problem.fail(f"{name}: the slot of `{argument.name}` is {slot!r}; expected is None")
            gradients.append(argument.shadows_of(given) if argument.shadows else [])
            continue
        lanes = slot if problem.batched else (slot,)
        if problem.batched and (type(lanes) is not tuple or len(lanes) != problem.width):
            problem.fail(f"{name}: the slot of `{argument.name}` is {slot!r}; expected is a tuple of {problem.width}")
        for lane in lanes:
            problem.check_form(lane, argument.value, f"{name}: the gradient by `{argument.name}`")
        gradients.append([vector(lane) for lane in lanes])
    for index, entry, way, (moved, *contents), (spread, *spreads) in tangents:
        argument = problem.arguments[index]
        for lane in range(problem.width):
            got = dot(gradients[index][lane], way)
            want = dot(seeds[lane], moved)
            apart = _total(seeds[lane], spread)
            for other, move, off in zip(problem.arguments, contents, spreads):
                if other.shadows:
                    want += dot(other.shadows[lane], move)
                    apart += _total(other.shadows[lane], off)
            by = f"by `{entry}`" if entry else f"by `{argument.name}` along a random direction"
            what = f"{name}: the gradient{lane_text(problem, lane)} {by}"
            problem.check_derivative(what, np.array(got), np.array(want), apart)


def _total(seeds: Vector, spread: Vector) -> float:
    """How far off a sum may be whose parts are multiplied by seeds."""
    return float(sum(np.sum(np.abs(s)) * float(o) for s, o in zip(seeds, spread)))


def dot(a: Vector, b: Vector) -> float:
    """The real inner product of two vectors."""
    return float(sum(np.sum(x.real * y.real) + np.sum(x.imag * y.imag) for x, y in zip(a, b)))

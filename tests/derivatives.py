"""`check_derivatives(kernel, *arguments)`: a kernel in all modes against its undecorated function on dual numbers.

For tests of hand-written kernels; what the generator does for its programs. The true gradient can be given besides, so
that a test also says what it is in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from tests.generator.dual import DualArrays, DualMath, DualNumpy, is_float
from tests.generator.modes import MODES, Case
from tests.generator.oracle import flatten, jacobian_of


def dual_twin(kernel: Any) -> Any:
    """The undecorated function, with what it refers to replaced by what dual numbers understand."""
    function = getattr(kernel, "fn", kernel)
    names = {name: _twin(value) for name, value in function.__globals__.items() if name in _names(function)}
    cells = tuple(_cell(_twin(c.cell_contents)) for c in function.__closure__ or ())
    return FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)


def _names(function: Any) -> set[str]:
    return set(function.__code__.co_names)


def _twin(value: Any) -> Any:
    if isinstance(value, ModuleType):
        return {"math": DualMath(), "numpy": DualNumpy(), "dsl": DualArrays}.get(value.__name__, value)
    if isinstance(value, FunctionType) or hasattr(value, "fn"):
        return dual_twin(value)
    return value


def _cell(value: Any) -> Any:
    return (lambda: value).__closure__[0]  # type: ignore[index]


def check_derivatives(kernel: Any, *arguments: Any, const: Sequence[int] = (), gradient: Any = None) -> None:
    """Compare value, forward and reverse mode of the kernel at the arguments with the truth, by dual numbers, and that
    with central differences. Arguments at the positions `const`, and all but floats, are Const. `gradient`, if given,
    is what the first active argument must get from a returned float."""
    values = [v.copy() if isinstance(v, np.ndarray) else v for v in arguments]
    truth = jacobian_of(dual_twin(kernel), values)
    active = [is_float(v) and position not in const for position, v in enumerate(values)]
    rng = np.random.default_rng(20)
    tangents = [_like(v, rng) if a else None for v, a in zip(values, active)]
    cotangents = [_like(v, rng) if a and isinstance(v, np.ndarray) else None for v, a in zip(values, active)]
    returned = kernel.fn(*[v.copy() if isinstance(v, np.ndarray) else v for v in values])
    returns = "n" if returned is None else "f" if isinstance(returned, (float, np.floating)) else "o"
    _against_differences(kernel, values, truth.jacobian)
    case = Case(kernel, values, active, tangents, cotangents, returns, truth)
    for _, mode in MODES:
        failure = mode(case)
        assert failure is None, f"{failure.kind}\n{failure.detail}"
    if gradient is not None:
        _gradient_is(kernel, values, active, np.asarray(gradient, dtype=float))


def _like(v: Any, rng: np.random.Generator) -> Any:
    return rng.uniform(-1, 1, v.shape) if isinstance(v, np.ndarray) else float(rng.uniform(-1, 1))


def _gradient_is(kernel: Any, values: list[Any], active: list[bool], expected: np.ndarray) -> None:
    """The plain call that a user makes: zero shadows, the result's gradient by the first active argument."""
    from dsl import Active, Const, Duplicated, Reverse, autodiff

    marked: list[Any] = []
    for v, a in zip(values, active):
        if not a:
            marked.append(Const(v))
        else:
            marked.append(Duplicated(v.copy(), np.zeros_like(v)) if isinstance(v, np.ndarray) else Active(v))
    ((*gradients,),) = autodiff(Reverse, kernel, Active, *marked)
    first = active.index(True)
    got = marked[first].dval if isinstance(values[first], np.ndarray) else gradients[first]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def _against_differences(kernel: Any, values: list[Any], jacobian: np.ndarray) -> None:
    """Central differences of fourth order: a check of the truth itself, near no kink."""
    column = 0
    for position, v in enumerate(values):
        if not is_float(v):
            continue
        for at in np.ndindex(np.shape(v)):
            differences = _along(kernel, values, position, at)
            scale = max(1.0, float(np.max(np.abs(jacobian[:, column]), initial=0)))
            assert np.max(np.abs(differences - jacobian[:, column]), initial=0) < 1e-6 * scale, (position, at)
            column += 1


def _along(kernel: Any, values: list[Any], position: int, at: tuple[int, ...]) -> np.ndarray:
    step = 1e-4

    def outputs(t: float) -> np.ndarray:
        moved = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
        if isinstance(moved[position], np.ndarray):
            moved[position][at] += t * step
        else:
            moved[position] += t * step
        parts = flatten(kernel.fn(*moved))
        for v in moved:
            if isinstance(v, np.ndarray) and is_float(v):
                parts += list(v.ravel())
        numbers = np.array([float(p) for p in parts])
        return np.where(np.isfinite(numbers), numbers, math.nan)

    return (8 * (outputs(1) - outputs(-1)) - (outputs(2) - outputs(-2))) / (12 * step)

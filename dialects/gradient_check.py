"""`dsl-opt --check-gradients @f`: the derivatives of a function against its own values.

Floats and complex numbers are active, memrefs of them duplicated, everything else constant. At random points, along
random directions: forward mode against central differences, and reverse mode against forward mode by the dot-product
identity <w, J d> = <J* w, d>, where J maps all inputs to all results and to what the arrays hold at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mlir.ir import InsertionPoint, Location, Module, Operation, StringAttr, TypeAttr

from . import pipeline
from .errors import refuse
from .execution import ArgumentError, Kind, compiled, find, signature
from .prepare import prepare, results_to_arguments
from .structure import symbol

#: By the number of bytes of the real numbers: the step of the differences, and what errors are accepted.
STEPS = {8: 1e-3, 4: 2e-2, 2: 0.1}
TOLERANCES = {8: 1e-6, 4: 5e-3, 2: 0.2}
FORWARD, REVERSE = "check.forward", "check.reverse"
_TRIES = 8


@dataclass
class Settings:
    """How a check is made."""

    seed: int = 0
    points: int = 2
    size: int = 4
    low: float = 0.5
    high: float = 1.5
    const: frozenset[int] = frozenset()


@dataclass
class Row:
    """One line of the table: the largest error that was seen, relative to the largest value."""

    name: str
    tolerance: float
    error: float = 0.0

    @property
    def is_right(self) -> bool:
        return self.error <= self.tolerance  # false for NaN

    def see(self, found: float, expected: float, scale: float = 1.0) -> None:
        error = abs(found - expected) / max(scale, abs(expected))
        self.error = error if not error <= self.error else self.error  # keeps a NaN


class Check:
    """A function with its derivatives, compiled."""

    def __init__(self, module: Module, name: str, settings: Settings, given: Sequence[Any] = ()):
        self.name, self.settings = name, settings
        self.rng = np.random.default_rng(settings.seed)
        with module.context, Location.unknown():
            self._build(module, name, given)

    def _build(self, module: Module, name: str, given: Sequence[Any]) -> None:
        """Compile the function and its derivatives."""
        find(module, name).attributes["sym_visibility"] = StringAttr.get("public")  # not to be removed as unused
        prepare(module)
        _refuse_open_results(find(module, name))
        results_to_arguments(module)
        function = find(module, name)
        self.inputs, self.outputs = signature(function)
        self.given = list(given) + [None] * (len(self.inputs) - len(given))
        if len(self.given) > len(self.inputs):
            raise ArgumentError(f"@{name} takes {len(self.inputs)} arguments, {len(given)} are given")
        self.moving = [k.is_moving and i not in self.settings.const for i, k in enumerate(self.inputs)]
        self._request(module, function)
        pipeline.differentiate(module)
        self.primal, self.forward, self.reverse = (compiled(module, n) for n in (name, FORWARD, REVERSE))

    def _request(self, module: Module, function: Operation) -> None:
        """Ask for both derivatives, with their primal results."""
        returns = [kind.is_moving for kind in self.outputs]
        type_ = TypeAttr(function.attributes["function_type"]).value
        for mode, name in (("forward", FORWARD), ("reverse", REVERSE)):
            on = "duplicated" if mode == "forward" else "active"
            activity = [
                "const" if not m else "duplicated" if k.shape is not None else on
                for k, m in zip(self.inputs, self.moving, strict=True)
            ]
            _declare(module, name, mode, symbol(function), type_, activity, [on if r else "const" for r in returns])

    # one point -----------------------------------------------------------------------------------------------------
    def run(self) -> list[Row]:
        """The table."""
        size = min([k.dtype.itemsize // (2 if k.dtype.kind == "c" else 1) for k in self._moving_kinds()] or [8])
        step, tolerance = STEPS[size], TOLERANCES[size]
        exact = {8: 1e-10, 4: 1e-3, 2: 5e-2}[size]
        rows = [
            Row("values of the forward derivative", exact),
            Row("values of the reverse derivative", exact),
            Row("forward mode against differences", tolerance),
            Row("reverse mode against forward mode", {8: 1e-8, 4: 1e-3, 2: 0.1}[size]),
        ]
        points = tries = 0
        while points < self.settings.points:
            point = [self._input(i) for i in range(len(self.inputs))]
            direction = [self._random_like(p) if moves else None for p, moves in zip(point, self.moving, strict=True)]
            difference = self._differences(point, direction, step)
            tries += 1
            if difference is None:
                if tries >= _TRIES:
                    raise ArgumentError(
                        f"no point was found where @{self.name} is smooth: its differences depend on their step, "
                        "or are not finite; try another --range or --seed, or give the arguments with --args"
                    )
                continue
            points += 1
            self._compare(rows, point, direction, difference)
        return rows

    def _moving_kinds(self) -> list[Kind]:
        return [k for k, m in zip(self.inputs, self.moving, strict=True) if m] + [
            k for k in self.outputs if k.is_moving
        ]

    def _compare(self, rows: list[Row], point: list[Any], direction: list[Any], difference: list[Any]) -> None:
        expected = self._values(point)
        values, tangent = self._forward(point, direction)
        seeds = [self._random_like(v) for v in expected]
        reverse_values, gradient = self._reverse(point, seeds)
        for row, found in ((rows[0], values), (rows[1], reverse_values)):
            for a, b in zip(found, expected, strict=True):
                for x, y in zip(_reals(a), _reals(b), strict=True):
                    if not (np.isnan(x) and np.isnan(y)):
                        row.see(x, y)
        scale = max([1.0, *(abs(x) for v in difference for x in _reals(v))])
        for a, b in zip(tangent, difference, strict=True):
            for x, y in zip(_reals(a), _reals(b), strict=True):
                rows[2].see(x, y, scale)
        left = sum(_dot(w, t) for w, t in zip(seeds, tangent, strict=True))
        right = sum(_dot(g, d) for g, d in zip(gradient, direction, strict=True) if d is not None)
        terms = sum(_dot(np.abs(_reals(w)), np.abs(_reals(t))) for w, t in zip(seeds, tangent, strict=True))
        rows[3].see(right, left, max(1.0, terms))

    def _values(self, point: list[Any]) -> list[Any]:
        """The results that have derivatives, then the contents of the arrays that have."""
        arguments = [_copied(k, p) for k, p in zip(self.inputs, point, strict=True)]
        results = self.primal(*arguments)
        return [r for r, k in zip(results, self.outputs, strict=True) if k.is_moving] + self._arrays(arguments)

    def _arrays(self, arguments: list[Any]) -> list[Any]:
        rest = zip(arguments, self.inputs, self.moving, strict=True)
        return [a for a, kind, moves in rest if moves and kind.shape is not None]

    def _forward(self, point: list[Any], direction: list[Any]) -> tuple[list[Any], list[Any]]:
        arguments: list[Any] = []
        primal: list[Any] = []
        shadows: list[Any] = []
        for i, kind in enumerate(self.inputs):
            own = _copied(kind, point[i])
            primal.append(own)
            arguments.append(own)
            if self.moving[i]:
                arguments.append(_copied(kind, direction[i]))
                if kind.shape is not None:
                    shadows.append(arguments[-1])
        results = self.forward(*arguments)
        count = len(self.outputs)
        values = [r for r, k in zip(results[:count], self.outputs, strict=True) if k.is_moving] + self._arrays(primal)
        return values, results[count:] + shadows

    def _reverse(self, point: list[Any], seeds: list[Any]) -> tuple[list[Any], list[Any]]:
        scalar_seeds = seeds[: sum(k.is_moving for k in self.outputs)]
        array_seeds = list(seeds[len(scalar_seeds) :])
        arguments: list[Any] = []
        primal: list[Any] = []
        shadows: dict[int, Any] = {}
        for i, kind in enumerate(self.inputs):
            primal.append(_copied(kind, point[i]))
            arguments.append(primal[-1])
            if self.moving[i] and kind.shape is not None:
                shadows[i] = _copied(kind, array_seeds.pop(0))
                arguments.append(shadows[i])
        results = self.reverse(*arguments, *scalar_seeds)
        count = len(self.outputs)
        values = [r for r, k in zip(results[:count], self.outputs, strict=True) if k.is_moving] + self._arrays(primal)
        scalars = iter(results[count:])
        gradient = [
            None if not moves else shadows[i] if i in shadows else next(scalars) for i, moves in enumerate(self.moving)
        ]
        return values, gradient

    def _differences(self, point: list[Any], direction: list[Any], step: float) -> list[Any] | None:
        """The derivative of all values along `direction` by central differences; None where it depends on the
        step.
        """
        near, far = (self._stencil(point, direction, h) for h in (step, 2 * step))
        worst = TOLERANCES[8] / 10 if step == STEPS[8] else TOLERANCES[4 if step == STEPS[4] else 2] / 2
        scale = max([1.0, *(abs(x) for v in near for x in _reals(v))])
        for a, b in zip(near, far, strict=True):
            if not np.all(np.abs(_reals(a) - _reals(b)) <= worst * scale):
                return None
        return near

    def _stencil(self, point: list[Any], direction: list[Any], h: float) -> list[Any]:
        def at(t: float) -> list[Any]:
            moved = [
                p if d is None else (np.asarray(p) + np.asarray(t * np.asarray(d))).astype(kind.dtype)
                for p, d, kind in zip(point, direction, self.inputs, strict=True)
            ]
            return [
                np.asarray(v).astype(complex if np.asarray(v).dtype.kind == "c" else float) for v in self._values(moved)
            ]

        rest = zip(at(h), at(-h), at(2 * h), at(-2 * h), strict=True)
        return [(8 * (a - b) - (c - d)) / (12 * h) for a, b, c, d in rest]

    # random data ---------------------------------------------------------------------------------------------------
    def _input(self, i: int) -> Any:
        kind, given = self.inputs[i], self.given[i]
        if given is not None:
            return np.asarray(given).astype(kind.dtype)
        shape = None if kind.shape is None else tuple(self.settings.size if n is None else n for n in kind.shape)
        if kind.is_moving:
            low, high = self.settings.low, self.settings.high
            real = self.rng.uniform(low, high, shape)
            return np.asarray(
                real + 1j * self.rng.uniform(low, high, shape) if kind.dtype.kind == "c" else real
            ).astype(kind.dtype)
        if shape is None:
            return np.asarray(self.settings.size).astype(kind.dtype)
        return self.rng.integers(0, self.settings.size, shape).astype(kind.dtype)

    def _random_like(self, value: Any) -> Any:
        value = np.asarray(value)
        made = self.rng.uniform(-1, 1, value.shape)
        if value.dtype.kind == "c":
            made = made + 1j * self.rng.uniform(-1, 1, value.shape)
        return np.asarray(made).astype(value.dtype)


def _refuse_open_results(function: Operation) -> None:
    for kind in signature(function)[1]:
        if kind.shape is not None and None in kind.shape:
            raise refuse(
                function,
                f"@{symbol(function)} returns a memref whose size is not known before the call",
                "let it fill a memref that it is given as an argument",
            )


def table(name: str, rows: list[Row], settings: Settings) -> str:
    """The rows as text."""
    lines = [f"@{name} at {settings.points} random points (seed {settings.seed})"]
    lines.append(f"  {'':36}{'error':>10}{'allowed':>10}")
    for row in rows:
        lines.append(f"  {row.name:36}{row.error:10.1e}{row.tolerance:10.0e}  {'ok' if row.is_right else 'WRONG'}")
    return "\n".join(lines) + "\n"


def _declare(
    module: Module, name: str, mode: str, callee: str, type_: Any, activity: list[str], returns: list[str]
) -> None:
    """Add the declaration that asks for a derivative."""
    inputs: list[str] = []
    outputs = [str(t) for t in type_.results]
    for t, kind in zip(type_.inputs, activity, strict=True):
        inputs += [str(t)] * (2 if kind == "duplicated" else 1)
    moving = [str(t) for t, kind in zip(type_.results, returns, strict=True) if kind != "const"]
    if mode == "forward":
        outputs += moving
    else:
        inputs += moving
        outputs += [str(t) for t, kind in zip(type_.inputs, activity, strict=True) if kind == "active"]
    quote = lambda words: ", ".join(f'"{w}"' for w in words)  # noqa: E731
    text = (
        f'func.func private @"{name}"({", ".join(inputs)}) -> ({", ".join(outputs)}) attributes {{'
        f'autodiff.{mode} = @"{callee}", autodiff.activity = [{quote(activity)}], '
        f"autodiff.returns = [{quote(returns)}], autodiff.primal, autodiff.public}}"
    )
    with module.context, Location.unknown():
        Operation.parse(text).clone(InsertionPoint(module.body))


def _copied(kind: Kind, value: Any) -> Any:
    return np.asarray(value).astype(kind.dtype) if kind.shape is None else kind.array(np.asarray(value))


def _reals(value: Any) -> np.ndarray:
    """All real numbers in a value, flat."""
    flat = np.asarray(value).reshape(-1)
    return np.concatenate([flat.real, flat.imag]) if flat.dtype.kind == "c" else flat.astype(float)


def _dot(a: Any, b: Any) -> float:
    return float(_reals(a).astype(float) @ _reals(b).astype(float))

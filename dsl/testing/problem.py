"""What both modes are tested with: the function, its arguments, and what it does without a derivative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ..annotations import Annotation, BatchMixedDuplicated, Const, MixedDuplicated, Ref
from ..checks import the_kernel
from ..errors import ArgumentError, DslError
from ..kernel import Kernel
from ..request import BATCHES, SHADOWED
from . import differences
from .values import Vector, clone, in_double, leaf_paths, leaves, like, moved, other_contents, unit, vector

# Of float64, float32, float16 and bfloat16, by their units in the last place: how far a derivative may be off, relative
# to the largest entry of its leaf. Where differences can be taken in float64, that is where they are taken.
TOLERANCES = {2.0**-52: 1e-8, 2.0**-23: 1e-4, 2.0**-10: 3e-2, 2.0**-7: 2e-1}


@dataclass
class Argument:
    """One argument: its annotation, value, and shadows as vectors (none where they are to be drawn)."""

    name: str
    annotation: type[Annotation]
    value: Any
    shadows: list[Vector]

    @property
    def moves(self) -> bool:
        return self.annotation is not Const

    def annotated(self) -> Annotation:
        """The argument of a call, in memory of its own."""
        value = clone(self.value)
        if self.annotation not in SHADOWED:
            return self.annotation(value)
        made: tuple[Any, ...] = tuple(like(self.value, shadow) for shadow in self.shadows)
        if self.annotation in (MixedDuplicated, BatchMixedDuplicated):
            made = tuple(map(Ref, made))
        annotation: Any = self.annotation
        return annotation(value, made if annotation in BATCHES else made[0])

    def shadows_of(self, annotated: Annotation) -> list[Vector]:
        """What the shadows of a call's argument hold."""
        held = annotated.dval if self.annotation in BATCHES else (annotated.dval,)  # type: ignore[attr-defined]
        return [vector(shadow.value if isinstance(shadow, Ref) else shadow) for shadow in held]


class Problem:
    """A function at a point, with directions. `what` is how messages call the test."""

    def __init__(
        self,
        what: str,
        f: Any,
        returns: type[Annotation] | None,
        given: Sequence[Any],
        width: int,
        rtol: float | None,
        atol: float | None,
        seed: int,
    ) -> None:
        self.kernel: Kernel = the_kernel(f)
        self.what = what
        self.returns = returns
        self.rng = np.random.default_rng(seed)
        self.arguments = [_argument(self.kernel, index, item) for index, item in enumerate(given)]
        widths = {len(a.shadows) for a in self.arguments if a.annotation in BATCHES and a.shadows}
        self.width = (widths.pop() if widths else width) if any(a.annotation in BATCHES for a in self.arguments) else 1
        self.batched = any(a.annotation in BATCHES for a in self.arguments)
        for argument in self.arguments:
            if argument.annotation in SHADOWED and not argument.shadows:
                argument.shadows = [self.direction(argument.value) for _ in range(self.width)]
        self.values = [a.value for a in self.arguments]
        self.result, self.after = self.run(self.values)
        self.unit = max(unit(v) for v in (*self.values, self.result))
        self.rtol = TOLERANCES.get(self.unit, 1e-8) if rtol is None else rtol
        self.atol = self.rtol if atol is None else atol
        self.smooth = self._in_double()

    # --- running the function

    def run(self, values: Sequence[Any]) -> tuple[Any, list[Any]]:
        """The result for copies of values, and those copies afterwards."""
        copies = [clone(v) for v in values]
        return self.kernel(*copies), copies

    def _in_double(self) -> list[Any]:
        """The arguments for differences: in double precision where the function takes that and gives the same."""
        if self.unit == 2.0**-52:
            return self.values
        wide = [in_double(v) for v in self.values]
        try:
            result, after = self.run(wide)
        except (DslError, TypeError, ValueError, ArithmeticError, LookupError):
            return self.values
        narrow = [part for v in (self.result, *self.after) for part in vector(v)]
        same = [part for v in (result, *after) for part in vector(v)]
        alike = len(same) == len(narrow) and all(
            a.shape == b.shape and np.max(np.abs(a - b), initial=0) <= self.rtol * (1 + np.max(np.abs(a), initial=0))
            for a, b in zip(narrow, same)
        )
        return wide if alike else self.values

    def direction(self, value: Any) -> Vector:
        """A random direction: each entry of about the size of the number itself, and not near 0."""
        found: Vector = []
        for part in vector(value):
            size = np.where(part == 0, 1.0, np.maximum(np.abs(part), 1e-3))
            turn = self.rng.uniform(0.5, 1.0, part.shape) * self.rng.choice([-1.0, 1.0], part.shape)
            if part.dtype.kind == "c":
                turn = turn + 1j * self.rng.uniform(-1.0, 1.0, part.shape)
            found.append(_rounded(turn * size, leaves(value)[len(found)]))
        return found

    def derivative(self, directions: Sequence[Vector | None]) -> tuple[list[Vector], list[Vector]]:
        """The derivative of the result and of the arguments' contents, by differences.

        `directions` has one for each argument, None for those that do not move. Leaves two lists of vectors: first
        [that of the result, those of the arguments], then how far off each part of them may be.
        """
        sizes: list[int] = []

        def at(t: float) -> Vector:
            values = [v if d is None else moved(v, d, t) for v, d in zip(self.smooth, directions)]
            result, after = self.run(values)
            parts = [vector(v) for v in (result, *after)]
            sizes[:] = map(len, parts)
            return [part for own in parts for part in own]

        best, spread = differences.along(at)
        return _grouped(best, sizes), _grouped([np.asarray(s) for s in spread], sizes)

    # --- comparing

    def check_primal(self, result: Any, mode: str) -> None:
        """The value that a derivative returns is that of the function."""
        self.check_form(result, self.result, f"{mode}: the value")
        for path, got, want in zip(leaf_paths("", self.result), vector(result), vector(self.result)):
            self._near(f"{mode}: the value{f' at `{path}`' if path else ''}", got, want, self._primal_bound(want))

    def check_arguments(self, annotated: Sequence[Annotation], mode: str) -> None:
        """The derivative has changed each argument as the function does."""
        for argument, got, want in zip(self.arguments, annotated, self.after):
            if argument.annotation.__name__.endswith("NoNeed"):
                continue
            other = other_contents(want, got.val)
            if other is not None:
                self.fail(f"{mode}: `{argument.name}{other}` is not what the function makes of it")
            for path, a, b in zip(leaf_paths(argument.name, want), vector(got.val), vector(want)):
                self._near(f"{mode}: after the call, `{path}`", a, b, self._primal_bound(b))

    def _primal_bound(self, want: np.ndarray) -> float:
        """Other vector functions, and sums in another order: about ten bits of a value's largest entry."""
        return 2**10 * self.unit * (1.0 + largest(want))

    def check_form(self, got: Any, want: Any, what: str) -> None:
        """Another value of the same type and shapes."""
        if type(got) is not type(want) and not (isinstance(got, float) and isinstance(want, float)):
            self.fail(f"{what} is {got!r} ({type(got).__name__}); expected is a {type(want).__name__}")
        shapes = [part.shape for part in vector(got)], [part.shape for part in vector(want)]
        if shapes[0] != shapes[1]:
            self.fail(f"{what} has shapes {shapes[0]}; expected are {shapes[1]}")

    def check_derivative(self, what: str, got: np.ndarray, want: np.ndarray, spread: float) -> None:
        """A derivative against differences, whose own spread is allowed for as long as it is small."""
        bound = self.rtol * largest(want) + self.atol
        if not spread <= bound and not np.any(np.isnan(want)):
            bound = min(bound + spread, 100 * bound)
        self._near(what, got, want, bound)

    def _near(self, what: str, got: np.ndarray, want: np.ndarray, bound: float) -> None:
        if got.shape != want.shape:
            self.fail(f"{what} has shape {got.shape}; expected is {want.shape}")
        with np.errstate(invalid="ignore"):
            good = (np.abs(got - want) <= bound) | (got == want) | (np.isnan(got) & np.isnan(want))
        if np.all(good):
            return
        apart = np.where(good, 0.0, np.nan_to_num(np.abs(got - want), nan=np.inf))
        at = np.unravel_index(np.argmax(apart), got.shape)
        where = f"[{', '.join(map(str, at))}]" if at else ""
        self.fail(f"{what}{where}: expected {want[at]}, got {got[at]} (tolerance {bound:.1e})")

    def fail(self, message: str) -> NoReturn:
        raise AssertionError(f"{self.what} of `{self.kernel.name}`, {message}{self._at()}")

    def _at(self) -> str:
        names = ", ".join(f"{a.name}: {a.annotation.__name__}" for a in self.arguments)
        return f"\n  arguments: {names}\n  --> {self.kernel.loc.file}:{self.kernel.loc.line}:{self.kernel.loc.col}"


def largest(part: np.ndarray) -> float:
    return float(np.max(np.abs(part), initial=0.0, where=np.isfinite(part)))


def _rounded(part: np.ndarray, leaf: Any) -> np.ndarray:
    """A part of a direction, rounded to the type of the leaf that it belongs to: what a call will be given."""
    return part.astype(np.asarray(leaf).dtype).astype(part.dtype)


def _grouped(parts: list[Any], sizes: list[int]) -> list[Any]:
    rest = iter(parts)
    return [[next(rest) for _ in range(size)] for size in sizes]


def _argument(kernel: Kernel, index: int, given: Any) -> Argument:
    """From Const(x), Duplicated(x, dx), ... or (x, Duplicated), where the shadow is to be drawn."""
    name = kernel.params[index] if index < len(kernel.params) else f"argument {index}"
    if isinstance(given, Annotation):
        shadows: tuple[Any, ...] = ()
        if type(given) in SHADOWED:
            held = given.dval if type(given) in BATCHES else (given.dval,)  # type: ignore[attr-defined]
            shadows = tuple(shadow.value if isinstance(shadow, Ref) else shadow for shadow in held)
        return Argument(name, type(given), given.val, [vector(shadow) for shadow in shadows])
    if (
        isinstance(given, tuple)
        and len(given) == 2
        and isinstance(given[1], type)
        and issubclass(given[1], Annotation)
    ):
        return Argument(name, given[1], given[0], [])
    raise ArgumentError(
        f"argument {index} (`{name}`) of the test is {given!r}",
        kernel.loc,
        "write Const(x), Duplicated(x, dx), or (x, Duplicated) for a random shadow",
    )

"""All modes of differentiation of a case of the corpus.

`Modes(case)` has the case's arguments as a flat list, structs taken apart (so the kernel is called by a small one that
puts them together), with two directions and two sets of cotangents. Arrays that are passed are made by `place` of NumPy
arrays, and `fetch` makes NumPy arrays of them again, so all runs on any backend.

`MODES` gives each mode a function of `Modes`, which returns arrays, and one that says what they should be, by what is
simpler and on the CPU: forward mode is held to central differences of the NumPy oracle, reverse mode to forward mode,
several directions at once to one at a time, the derivative of a gradient to central differences of gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

import dsl
from dsl import Active, BatchDuplicated, Const, Duplicated, Forward, Reverse, ReverseSplitWithPrimal

from .cases import Case
from .differentiate import fields, leaves

Arrays = list[np.ndarray]
NAMES = {name: getattr(dsl, name) for name in ("Active", "Const", "Duplicated", "Forward", "Reverse", "autodiff")}


def same(value: Any) -> Any:
    return value


def is_float(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "fV"  # bfloat16 has no kind of NumPy's


def wide(value: Any) -> np.ndarray:
    return np.asarray(value).astype(np.float64)


class Modes:
    """One case, on the backend of `place`."""

    def __init__(self, case: Case, place: Callable[[Any], Any] = same, fetch: Callable[[Any], Any] = same):
        self.case, self.place, self.fetch = case, place, fetch
        self.values = [x for v in case.arguments() for x in leaves(v)]
        self.names = [f"x{k}" for k in range(len(self.values))]
        of_active = [n in case.active for n, v in zip(case.kernel.params, case.arguments()) for _ in leaves(v)]
        self.active = [a and is_float(v) for a, v in zip(of_active, self.values)]
        self.bytes = min(np.asarray(v).dtype.itemsize for v in self.values if is_float(v))
        #: Of central differences, see `precise`; cases in 16 bits are quadratic at most.
        self.step = 0.25 if self.bytes == 2 else 2e-4
        rng = np.random.default_rng(11)
        self.directions, self.others, self.seeds, self.other_seeds = (
            [self._like(v, rng) if a else None for v, a in zip(self.values, self.active)] for _ in range(4)
        )

    @staticmethod
    def _like(value: Any, rng: np.random.Generator) -> Any:
        made = rng.normal(size=np.shape(value))
        return made.astype(value.dtype) if isinstance(value, np.ndarray) else type(value)(made)

    # --- kernels

    @cached_property
    def flat(self) -> Any:
        """The kernel, of arrays and numbers alone."""
        given = self.case.arguments()
        if all(fields(v) is None for v in given):
            return self.case.kernel
        constants: dict[str, Any] = {"kernel": self.case.kernel}
        names = iter(self.names)

        def form(value: Any) -> str:
            if fields(value) is None:
                return next(names)
            constants[type(value).__name__] = type(value)
            return f"{type(value).__name__}({', '.join(map(form, fields(value)))})"

        call = f"kernel({', '.join(map(form, given))})"
        return self._kernel(self.names, [call], constants)

    @staticmethod
    def _kernel(names: Sequence[str], lines: Sequence[str], constants: dict[str, Any]) -> Any:
        body = "".join(f"    {line}\n" for line in lines)
        return dsl.kernel(source=f"def made({', '.join(names)}):\n{body}", constants=constants)

    def _asking(self, mode: str, of: str, constants: dict[str, Any], add: str) -> Any:
        """A kernel that asks for a derivative of `of`, of the arguments and for each active one a shadow. In reverse
        mode the shadow of a number is an array of one element, to which `add` adds.
        """
        marks, results, adding = [], [], []
        for n, v, a in zip(self.names, self.values, self.active):
            is_number = mode == "Reverse" and not isinstance(v, np.ndarray)
            mark = "Const" if not a else "Active" if is_number else "Duplicated"
            marks.append(f"{mark}({n}, d{n})" if mark == "Duplicated" else f"{mark}({n})")
            results.append(f"r{n}" if mark == "Active" else "_")
            if mark == "Active":
                adding.append(add.format(f"d{n}", f"r{n}"))
        call = f"autodiff({mode}, {of}, Const, {', '.join(marks)})"
        lines = [f"(({', '.join(results)},),) = {call}", *adding] if adding else [call]
        names = [*self.names, *(f"d{n}" for n, a in zip(self.names, self.active) if a)]
        return self._kernel(names, lines, {**NAMES, "dsl": dsl, **constants})

    @property
    def grid(self) -> Any:
        return self.flat[self.case.blocks, self.case.threads]

    def host(self, mode: str) -> Any:
        """Host code that asks for the derivative of the launch."""
        constants = {"inner": self.flat, "blocks": self.case.blocks, "threads": self.case.threads}
        return self._asking(mode, "inner[blocks, threads]", constants, "{}[0] += {}")

    def deferred(self, mode: str) -> Any:
        """A launch whose threads ask for the derivative of what each of them does."""
        kernel = self._asking(mode, "inner", {"inner": self.flat}, "dsl.atomic_add({}, 0, {})")
        return kernel[self.case.blocks, self.case.threads]

    # --- arguments

    def put(self, value: Any) -> Any:
        return self.place(value.copy()) if isinstance(value, np.ndarray) else value

    def got(self, values: Sequence[Any]) -> Arrays:
        return [wide(v if np.isscalar(v) else self.fetch(v)) for v in values]

    def cotangents(self, seeds: Sequence[Any]) -> list[Any]:
        """Shadows for reverse mode, of active leaves: numbers have an array of one element."""
        pairs = [(v, s) for v, s, a in zip(self.values, seeds, self.active) if a]
        return [self.put(s if isinstance(v, np.ndarray) else np.zeros(1, np.asarray(v).dtype)) for v, s in pairs]

    def marked(self, make: Callable[[Any, Any], Any], shadows: Sequence[Any]) -> list[Any]:
        """Annotated arguments."""
        left = iter(shadows)
        return [make(self.put(v), next(left)) if a else Const(self.put(v)) for v, a in zip(self.values, self.active)]

    def arrays(self, values: Sequence[Any]) -> list[Any]:
        """Of what there is for each active leaf, that for arrays."""
        kept = [v for v, a in zip(self.values, self.active) if a]
        return [x for x, v in zip(values, kept, strict=True) if isinstance(v, np.ndarray)]

    def chosen(self, directions: Sequence[Any]) -> list[Any]:
        return [self.put(d) for d, a in zip(directions, self.active) if a]

    # --- the plain modes

    def forward(self, directions: Sequence[Any]) -> Arrays:
        """The tangents of the active arrays."""
        shadows = self.chosen(directions)
        dsl.autodiff(Forward, self.grid, Const, *self.marked(Duplicated, shadows))
        return self.got(self.arrays(shadows))

    def reverse(self, seeds: Sequence[Any], moved: Sequence[Any] | None = None) -> Arrays:
        """The gradient by each active leaf."""
        if moved is not None:
            other = Modes(self.case, self.place, self.fetch)
            other.values, other.flat = list(moved), self.flat
            return other.reverse(seeds)
        shadows = self.cotangents(seeds)
        (gradients,) = dsl.autodiff(Reverse, self.grid, Const, *self.marked(_reversed, shadows))
        return self.gradient(shadows, gradients)

    def gradient(self, shadows: Sequence[Any], gradients: Sequence[Any]) -> Arrays:
        found = [g for g, a in zip(gradients, self.active) if a]
        return self.got([s if g is None else g for s, g in zip(shadows, found, strict=True)])

    # --- what is compared with

    @property
    def precise(self) -> Modes:
        """Where the case is in single precision, the same in double, for differences."""
        if self.bytes != 4:
            return self
        made = Modes(self.case)

        def double(values: Sequence[Any]) -> list[Any]:
            return [x if x is None or not is_float(x) else x.astype(float) for x in values]

        made.values, made.directions, made.others = map(double, (self.values, self.directions, self.others))
        made.seeds, made.other_seeds = map(double, (self.seeds, self.other_seeds))
        return made

    def oracle(self, t: float) -> Arrays:
        """The active arrays after the oracle, at a place along the direction."""
        left = iter(_moved(v, d, t) if a else v for v, d, a in zip(self._fresh(), self.directions, self.active))

        def form(value: Any) -> Any:
            parts = fields(value)
            if parts is None:
                return next(left)
            made = [form(part) for part in parts]
            return tuple(made) if type(value) is tuple else type(value)(*made)

        args = [form(v) for v in self.case.arguments()]
        self.case.oracle(*args)
        after = [x for v in args for x in leaves(v)]
        return [wide(x) for x, a in zip(after, self.active) if a and isinstance(x, np.ndarray)]

    def _fresh(self) -> list[Any]:
        return [v.copy() if isinstance(v, np.ndarray) else v for v in self.values]

    def change(self) -> Arrays:
        """How the gradient changes where arguments go along the direction, and cotangents along the other seeds."""

        def at(t: float) -> Arrays:
            moved, seeds = (
                [_moved(v, d, t) if a else v for v, d, a in zip(values, along, self.active)]
                for values, along in ((self._fresh(), self.directions), (self.seeds, self.other_seeds))
            )
            return self.reverse(seeds, moved)

        return differences(at, self.step)


def _reversed(value: Any, shadow: Any) -> Any:
    return Active(value) if np.isscalar(value) else Duplicated(value, shadow)


def _moved(value: Any, direction: Any, t: float) -> Any:
    return (value + t * direction).astype(value.dtype) if isinstance(value, np.ndarray) else value + t * direction


def differences(at: Callable[[float], Arrays], step: float) -> Arrays:
    """The derivative at 0, by central differences of order 4."""
    points = [at(k * step) for k in (1, -1, 2, -2)]
    return [(8 * (a - b) - (c - d)) / (12 * step) for a, b, c, d in zip(*points, strict=True)]


# --- the modes


def oracle(m: Modes) -> Arrays:
    return differences(m.precise.oracle, m.step)


def forward(m: Modes) -> Arrays:
    return m.forward(m.directions)


def forwards(m: Modes) -> Arrays:
    return [*m.forward(m.directions), *m.forward(m.others)]


def forward_width(m: Modes) -> Arrays:
    """Two directions at once."""
    shadows = list(zip(m.chosen(m.directions), m.chosen(m.others), strict=True))
    dsl.autodiff(Forward, m.grid, Const, *m.marked(BatchDuplicated, shadows))
    return [x for k in range(2) for x in m.got(m.arrays([s[k] for s in shadows]))]


def reverses(m: Modes) -> Arrays:
    return [*m.reverse(m.seeds), *m.reverse(m.other_seeds)]


def split_width(m: Modes) -> Arrays:
    """A thunk of two halves with a tape between them, for two cotangents at once. What the arrays hold is lost in
    between.
    """
    shadows = list(zip(m.cotangents(m.seeds), m.cotangents(m.other_seeds), strict=True))
    marked = m.marked(lambda v, s: Active(v) if np.isscalar(v) else BatchDuplicated(v, s), shadows)
    augmented, pullback = dsl.autodiff_thunk(ReverseSplitWithPrimal, m.grid, Const, *marked)
    tape, _, _ = augmented(Const(m.grid), *marked)
    (gradients,) = pullback(Const(m.grid), *marked, tape)
    parts = [[None if g is None else g[k] for g in gradients] for k in range(2)]
    return [x for k in range(2) for x in m.gradient([s[k] for s in shadows], parts[k])]


def deferred_forward(m: Modes) -> Arrays:
    """Threads of a launch ask for it, each of its own."""
    shadows = m.chosen(m.directions)
    m.deferred("Forward")(*map(m.put, m.values), *shadows)
    return m.got(m.arrays(shadows))


def gradient_and_change(m: Modes) -> Arrays:
    return [*m.reverse(m.seeds), *m.precise.change()]


def _forward_over(m: Modes, kernel: Any) -> Arrays:
    """What a kernel that asks for a gradient gives, and its tangents."""
    gradient, tangents = m.cotangents(m.seeds), m.cotangents(m.other_seeds)
    marked = m.marked(Duplicated, m.chosen(m.directions))
    dsl.autodiff(Forward, kernel, Const, *marked, *map(Duplicated, gradient, tangents))
    return [*m.got(gradient), *m.got(tangents)]


def forward_over_reverse(m: Modes) -> Arrays:
    """Forward mode of host code that asks for the gradient of a launch."""
    return _forward_over(m, m.host("Reverse"))


def forward_over_deferred(m: Modes) -> Arrays:
    """Forward mode of a launch whose threads ask for the gradient."""
    return _forward_over(m, m.deferred("Reverse"))


def _cotangents_of_gradient(m: Modes) -> list[np.ndarray]:
    rng = np.random.default_rng(12)
    return [rng.normal(size=np.shape(s)).astype(np.asarray(s).dtype) for s in Modes(m.case).cotangents(m.seeds)]


def change_by(m: Modes) -> Arrays:
    """The scalar product of some cotangents with how the gradient changes."""
    found = _forward_over(m, m.host("Reverse"))
    pairs = zip(found[len(found) // 2 :], _cotangents_of_gradient(m), strict=True)
    return [np.asarray(sum(np.sum(x * wide(q)) for x, q in pairs))]


def _reverse_over(m: Modes, kernel: Any) -> Arrays:
    left = m.cotangents([np.zeros_like(s) if s is not None else None for s in m.seeds])
    shadows = [m.put(q) for q in _cotangents_of_gradient(m)]
    marked = m.marked(_reversed, left)
    (gradients,) = dsl.autodiff(Reverse, kernel, Const, *marked, *map(Duplicated, m.cotangents(m.seeds), shadows))
    along = [d for d, a in zip(m.directions, m.active) if a]
    found = m.gradient(left, gradients[: len(m.values)])
    total = sum(np.sum(x * wide(d)) for x, d in zip(found, along, strict=True))
    moving = m.cotangents(m.other_seeds)
    return [np.asarray(total + sum(np.sum(x * y) for x, y in zip(m.got(shadows), m.got(moving), strict=True)))]


def reverse_over_reverse(m: Modes) -> Arrays:
    """The same by reverse mode of host code that asks for the gradient."""
    return _reverse_over(m, m.host("Reverse"))


def reverse_over_deferred(m: Modes) -> Arrays:
    """The same by reverse mode of a launch whose threads ask for it."""
    return _reverse_over(m, m.deferred("Reverse"))


Mode = Callable[[Modes], Arrays]
MODES: dict[str, tuple[Mode, Mode]] = {
    f.__name__: (f, wanted)
    for f, wanted in (
        (forward, oracle),
        (forward_width, forwards),
        (split_width, reverses),
        (deferred_forward, forward),
        (forward_over_reverse, gradient_and_change),
        (forward_over_deferred, gradient_and_change),
        (reverse_over_reverse, change_by),
        (reverse_over_deferred, change_by),
    )
}
#: What is found by differences, and so not to the last digits.
ROUGH = frozenset({oracle, gradient_and_change})


def check(m: Modes, mode: str, wanted: Arrays) -> None:
    """A mode against what it should give, relative to the largest number of each array."""
    f, reference = MODES[mode]
    tolerance = ({8: 1e-6, 4: 1e-4, 2: 0.1} if reference in ROUGH else {8: 1e-9, 4: 1e-4, 2: 3e-2})[m.bytes]
    for found, expected in zip(f(m), wanted, strict=True):
        scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
        np.testing.assert_allclose(found, expected, 0, tolerance * scale, err_msg=f"{m.case.name}: {mode}")

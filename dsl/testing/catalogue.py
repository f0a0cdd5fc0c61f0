"""The kernels of the verification, with the points they are tested at and their derivatives as calculus has them.

A `Case` draws its arguments from a stream, asks for derivatives, and says what they are. Areas are the matrix's rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import rules
from ..annotations import Active, BatchDuplicated, Const, Duplicated
from ..autodiff import autodiff
from ..functions import ignore_derivatives
from ..kernel import Kernel, kernel
from ..modes import Forward, Reverse, ReverseSplitWithPrimal, ReverseWithPrimal
from ..parallel import atomic_add, grid
from ..random import SplitMix64
from ..thunk import autodiff_thunk
from ..transforms import hvp
from . import devices

Numbers = Mapping[str, Any]
AREAS = ("Scalar AD", "Array AD", "GPU kernel", "Batched", "Custom rules")


@dataclass(frozen=True)
class Case:
    """One kernel at one point: `derive(*arguments)` asks the system, `expect(*arguments)` is the truth."""

    name: str
    area: str
    kernel: Kernel
    draw: Callable[[SplitMix64], tuple[Any, ...]]
    derive: Callable[..., Numbers]
    expect: Callable[..., Numbers]


def between(stream: SplitMix64, low: float, high: float) -> float:
    return low + (high - low) * stream.uniform()


def array(stream: SplitMix64, low: float = -2.0, high: float = 2.0, least: int = 2, most: int = 9) -> np.ndarray:
    """An array of random length and content."""
    n = least + stream.bits() % (most - least + 1)
    return np.array([between(stream, low, high) for _ in range(n)])


# --- numbers


@kernel
def polynomial(x):
    return x * x + 2.0 * x + 1.0


@kernel
def exp_sin(x):
    return np.exp(x) * np.sin(x)


@kernel
def cubic(x):
    return x**3 - 2.0 * x**2 + x


@kernel
def root(x):
    """Newton's method, until it stands still."""
    y = x
    last = 0.0
    while y != last and abs(y - last) > 1e-15 * y:
        last = y
        y = 0.5 * (y + x / y)
    return y


def _slopes(f: Kernel) -> Callable[[float], Numbers]:
    return lambda x: {
        "forward": autodiff(Forward, f, Duplicated(x, 1.0))[0],
        "reverse": autodiff(Reverse, f, Active, Active(x))[0][0],
    }


def _with_primal(x: float) -> Numbers:
    value, (slope,) = autodiff(ReverseWithPrimal, exp_sin, Active, Active(x))
    return {"primal": value, "reverse": slope}


SCALAR = (
    Case("x^2 + 2x + 1 at 3", "Scalar AD", polynomial, lambda s: (3.0,), _slopes(polynomial), lambda x: _both(8.0)),
    Case(
        "exp(x) sin(x) with primal at 1",
        "Scalar AD",
        exp_sin,
        lambda s: (1.0,),
        _with_primal,
        lambda x: {"primal": math.e * math.sin(1.0), "reverse": math.e * (math.sin(1.0) + math.cos(1.0))},
    ),
    Case(
        "x^3 - 2x^2 + x at a random x",
        "Scalar AD",
        cubic,
        lambda s: (between(s, -2.0, 2.0),),
        _slopes(cubic),
        lambda x: _both(3.0 * x * x - 4.0 * x + 1.0),
    ),
    Case(
        "a root by Newton's method",
        "Scalar AD",
        root,
        lambda s: (between(s, 0.5, 4.0),),
        _slopes(root),
        lambda x: _both(0.5 / math.sqrt(x)),
    ),
)


def _both(slope: float) -> Numbers:
    return {"forward": slope, "reverse": slope}


# --- arrays


@kernel
def sum_of_squares(A):
    return np.sum(A**2)


@kernel
def horner(c, x):
    y = 0.0
    for i in range(len(c)):
        y = y * x + c[len(c) - 1 - i]
    return y


@kernel
def overwrite(y, x):
    for i in range(len(x)):
        y[i] = y[i] * x[i] * x[i]


@kernel
def quartic(x):
    s = 0.0
    for i in range(len(x)):
        s += x[i] ** 4
    return s


def _gradient(A: np.ndarray) -> Numbers:
    dA = np.zeros_like(A)
    autodiff(Reverse, sum_of_squares, Active, Duplicated(A, dA))
    return {"reverse": dA}


def _horner(c: np.ndarray, x: float) -> Numbers:
    dc = np.zeros_like(c)
    value, (_, dx) = autodiff(ReverseWithPrimal, horner, Active, Duplicated(c, dc), Active(x))
    return {"primal": value, "coefficients": dc, "x": dx}


def _overwrite(x: np.ndarray) -> Numbers:
    y, dy, dx = np.full_like(x, 3.0), np.ones_like(x), np.zeros_like(x)
    autodiff(Reverse, overwrite, Const, Duplicated(y, dy), Duplicated(x, dx))
    return {"y": y, "dy": dy, "dx": dx}


def _two_calls(c: np.ndarray, x: float) -> Numbers:
    dc = np.zeros_like(c)
    forward, pullback = autodiff_thunk(ReverseSplitWithPrimal, horner, Active, Duplicated(c, dc), Active(x))
    given = Const(horner), Duplicated(c, dc), Active(x)
    tape, value, _ = forward(*given)
    ((_, dx),) = pullback(*given, 1.0, tape)
    return {"primal": value, "coefficients": dc, "x": dx}


def _polynomial(c: np.ndarray, x: float) -> Numbers:
    p = np.polynomial.Polynomial(c)
    return {"primal": p(x), "coefficients": x ** np.arange(len(c)), "x": p.deriv()(x)}


ARRAY = (
    Case("sum of squares", "Array AD", sum_of_squares, lambda s: (array(s),), _gradient, lambda A: {"reverse": 2 * A}),
    Case(
        "a random polynomial", "Array AD", horner, lambda s: (array(s), between(s, -1.0, 1.0)), _horner, _polynomial
    ),
    Case(
        "the same in two calls",
        "Array AD",
        horner,
        lambda s: (array(s), between(s, -1.0, 1.0)),
        _two_calls,
        _polynomial,
    ),
    Case(
        "y overwritten by y x^2",
        "Array AD",
        overwrite,
        lambda s: (array(s),),
        _overwrite,
        lambda x: {"y": 3 * x * x, "dy": x * x, "dx": 6 * x},
    ),
    Case(
        "second derivatives",
        "Array AD",
        quartic,
        lambda s: (array(s),),
        lambda x: {"hvp": hvp(quartic, x, np.ones_like(x))},
        lambda x: {"hvp": 12 * x * x},
    ),
)


# --- batches


def _lanes(x: float) -> Numbers:
    (tangents,) = autodiff(Forward, cubic, BatchDuplicated(x, (1.0, 2.0, -1.0)))
    return {"forward": tangents}


def _batched_seeds(x: np.ndarray) -> Numbers:
    shadows = tuple(np.zeros_like(x) for _ in x)
    y, seeds = np.full_like(x, 3.0), tuple(np.eye(len(x)))
    autodiff(Reverse, overwrite, Const, BatchDuplicated(y, seeds), BatchDuplicated(x, shadows))
    return {"rows": np.array(shadows)}


BATCHED = (
    Case(
        "three tangents",
        "Batched",
        cubic,
        lambda s: (between(s, -2.0, 2.0),),
        _lanes,
        lambda x: {"forward": [k * (3.0 * x * x - 4.0 * x + 1.0) for k in (1.0, 2.0, -1.0)]},
    ),
    Case(
        "a Jacobian by rows",
        "Batched",
        overwrite,
        lambda s: (array(s),),
        _batched_seeds,
        lambda x: {"rows": np.diag(6 * x)},
    ),
)


# --- grids of threads


@kernel
def saxpy(a, X, Y):
    i = grid(1)
    if i < len(X):
        Y[i] = a * X[i] + Y[i]


@kernel
def launch_saxpy(a, X, Y):
    saxpy[(len(X) + 31) // 32, 32](a, X, Y)


@kernel
def energy(E, X):
    i = grid(1)
    if i < len(X):
        atomic_add(E, 0, X[i] * X[i])


@kernel
def launch_energy(E, X):
    energy[(len(X) + 31) // 32, 32](E, X)


def _long(stream: SplitMix64) -> np.ndarray:
    return array(stream, least=33, most=100)


def _saxpy(X: np.ndarray) -> Numbers:
    gpu = devices.find()
    Y, dX, dY = gpu.asarray(np.ones_like(X)), gpu.asarray(np.zeros_like(X)), gpu.asarray(np.ones_like(X))
    autodiff(Reverse, launch_saxpy, Const, Const(2.0), Duplicated(gpu.asarray(X), dX), Duplicated(Y, dY))
    return {"Y": gpu.asnumpy(Y), "dX": gpu.asnumpy(dX), "dY": gpu.asnumpy(dY)}


def _energy(X: np.ndarray) -> Numbers:
    gpu = devices.find()
    E, dE, dX = gpu.asarray(np.zeros(1)), gpu.asarray(np.ones(1)), gpu.asarray(np.zeros_like(X))
    autodiff(Reverse, launch_energy, Const, Duplicated(E, dE), Duplicated(gpu.asarray(X), dX))
    return {"dX": gpu.asnumpy(dX)}


GRID = (
    Case(
        "saxpy",
        "GPU kernel",
        saxpy,
        lambda s: (_long(s),),
        _saxpy,
        lambda X: {"Y": 2.0 * X + 1.0, "dX": np.full_like(X, 2.0), "dY": np.ones_like(X)},
    ),
    Case("a sum by atomics", "GPU kernel", energy, lambda s: (_long(s),), _energy, lambda X: {"dX": 2.0 * X}),
)


# --- rules: of kernels whose bodies have the derivative 0, so that what is right comes from the rule


@kernel
def opaque_cube(x):
    return ignore_derivatives(x) ** 3


@rules.easy(opaque_cube)
def opaque_cube_partials(x):
    return 3.0 * x * x


@kernel
def opaque_scale(x, c):
    return ignore_derivatives(x) * c


@rules.augmented_primal(opaque_scale)
def opaque_scale_augmented(config, func, RT, x, c):
    return rules.AugmentedReturn(func.val(x.val, c.val), None, c.val)


@rules.reverse(opaque_scale)
def opaque_scale_reverse(config, func, dret, tape, x, c):
    return dret.val * tape, None


@kernel
def through_rule(x, c):
    return opaque_scale(x * x, c)


CUSTOM = (
    Case(
        "partial derivatives",
        "Custom rules",
        opaque_cube,
        lambda s: (between(s, -2.0, 2.0),),
        _slopes(opaque_cube),
        lambda x: _both(3.0 * x * x),
    ),
    Case(
        "a reverse rule with a tape",
        "Custom rules",
        opaque_scale,
        lambda s: (between(s, -2.0, 2.0), between(s, -2.0, 2.0)),
        lambda x, c: {"reverse": autodiff(Reverse, through_rule, Active, Active(x), Const(c))[0][0]},
        lambda x, c: {"reverse": 2.0 * x * c},
    ),
)


CASES: tuple[Case, ...] = (*SCALAR, *ARRAY, *GRID, *BATCHED, *CUSTOM)

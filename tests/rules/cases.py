"""One case an op: the op in MLIR, points inside its domain, and the same function in NumPy for complex arguments.

The references know nothing of the rules: first derivatives come from the complex step, which is exact to rounding, and
second derivatives from differences of those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.special as sp

_rng = np.random.default_rng(7)


def between(low: float, high: float, count: int = 24) -> np.ndarray:
    return np.linspace(low, high, count) + 0.0137 * (high - low) / count


def pairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x against y in a random order."""
    return x, _rng.permutation(np.resize(y, len(x)))


def signed(low: float, high: float) -> np.ndarray:
    return np.concatenate([-between(low, high, 12), between(low, high, 12)])


@dataclass(frozen=True)
class Case:
    """`text` defines %r from %x, %y, %z of type T; `f` is it in NumPy; `points` has one array an argument."""

    name: str
    text: str
    f: Callable[..., np.ndarray]
    points: tuple[np.ndarray, ...]
    f32: bool = True
    vectors: bool = True
    declarations: str = ""
    integers: tuple[int, ...] = ()  # which arguments are i32
    derivative: Callable[..., np.ndarray] | None = None  # in closed form, where NumPy has no complex version of f


def unary(name: str, f: Callable[..., np.ndarray], points: np.ndarray) -> Case:
    return Case(name, f"%r = {name} %x : T", f, (points,))


def binary(name: str, f: Callable[..., np.ndarray], x: np.ndarray, y: np.ndarray) -> Case:
    return Case(name, f"%r = {name} %x, %y : T", f, pairs(x, y))


def called(name: str, f: Callable[..., np.ndarray], *points: np.ndarray) -> Case:
    arguments = ", ".join(["%x", "%y", "%z"][: len(points)])
    types = ", ".join(["T"] * len(points))
    return Case(
        name,
        f"%r = func.call @{name}({arguments}) : ({types}) -> T",
        f,
        points if len(points) == 1 else pairs(*points),
        vectors=False,
        declarations=f"func.func private @{name}({types}) -> T",
    )


def where_real(condition: Callable[..., np.ndarray], a: Callable[..., np.ndarray], b: Callable[..., np.ndarray]):
    return lambda *z: np.where(condition(*[np.real(v) for v in z]), a(*z), b(*z))


def quotient(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.trunc(np.real(x) / np.real(y))


_first = lambda x, y: x + 0 * y
_second = lambda x, y: y + 0 * x
_bigger = where_real(np.greater_equal, _first, _second)
_smaller = where_real(np.less_equal, _first, _second)
_all = signed(0.05, 3)
_other = signed(0.07, 2.9)  # no ties with _all


def _clamp(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return _bigger(_smaller(x, high), low)


def _atan2(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.where(abs(np.real(x)) > abs(np.real(y)), np.arctan(y / x), -np.arctan(x / y))


_SELECT = "%c = arith.cmpf ogt, %x, %y : T\n%r = arith.select %c, %x, %y : BOOL, T"

CASES = [
    binary("arith.addf", np.add, _all, _other),
    binary("arith.subf", np.subtract, _all, _other),
    binary("arith.mulf", np.multiply, _all, _other),
    binary("arith.divf", np.divide, _all, _other),
    binary("arith.remf", lambda x, y: x - quotient(x, y) * y, _all, signed(0.3, 1.1)),
    binary("arith.maximumf", _bigger, _all, _other),
    binary("arith.minimumf", _smaller, _all, _other),
    binary("arith.maxnumf", _bigger, _all, _other),
    binary("arith.minnumf", _smaller, _all, _other),
    unary("arith.negf", np.negative, _all),
    Case("arith.select", _SELECT, _bigger, pairs(_all, _other)),
    unary("math.absf", lambda x: x * np.sign(np.real(x)), _all),
    unary("math.acos", np.arccos, signed(0.01, 0.97)),
    unary("math.acosh", np.arccosh, between(1.03, 30)),
    unary("math.asin", np.arcsin, signed(0.01, 0.97)),
    unary("math.asinh", np.arcsinh, signed(0.02, 30)),
    unary("math.atan", np.arctan, signed(0.01, 9)),
    unary("math.atanh", np.arctanh, signed(0.01, 0.97)),
    binary("math.atan2", _atan2, _all, _other),
    unary("math.cbrt", lambda x: np.sign(np.real(x)) * np.exp(np.log(np.sign(np.real(x)) * x) / 3), _all),
    Case("math.clampf", "%r = math.clampf %x to [%y, %z] : T", _clamp, (_all, between(-1.5, -0.5), between(0.4, 1.6))),
    binary("math.copysign", lambda x, y: x * np.sign(np.real(x)) * np.sign(np.real(y)), _all, _other),
    unary("math.cos", np.cos, _all),
    unary("math.cosh", np.cosh, _all),
    unary("math.erf", sp.erf, _all),
    unary("math.erfc", lambda x: 1 - sp.erf(x), _all),
    unary("math.exp", np.exp, _all),
    unary("math.exp2", lambda x: np.exp(x * np.log(2)), _all),
    unary("math.expm1", lambda x: np.exp(x) - 1, signed(0.05, 30)),
    Case("math.fma", "%r = math.fma %x, %y, %z : T", lambda x, y, z: x * y + z, (_all, _all[::-1].copy(), _all + 0.3)),
    Case(
        "math.fpowi",
        "%r = math.fpowi %x, %y : T, INT",
        lambda x, n: x ** np.real(n),
        pairs(_all, np.array([-3, -2, -1, 0, 1, 2, 3, 5])),
        integers=(1,),
    ),
    unary("math.log", np.log, between(0.02, 9)),
    unary("math.log10", np.log10, between(0.02, 9)),
    unary("math.log1p", np.log1p, between(-0.9, 9)),
    unary("math.log2", lambda x: np.log(x) / np.log(2), between(0.02, 9)),
    binary("math.powf", lambda x, y: np.exp(y * np.log(x)), between(0.1, 3), _all),
    unary("math.rsqrt", lambda x: 1 / np.sqrt(x), between(0.05, 9)),
    unary("math.sin", np.sin, _all),
    Case("math.sincos", "%a, %b = math.sincos %x : T\n%q = arith.mulf %a, %b : T\n%r = arith.addf %q, %b : T",
         lambda x: np.sin(x) * np.cos(x) + np.cos(x), (_all,)),
    unary("math.sinh", np.sinh, _all),
    unary("math.sqrt", np.sqrt, between(0.05, 9)),
    unary("math.tan", np.tan, between(-1.4, 1.4)),
    unary("math.tanh", np.tanh, _all),
]  # fmt: skip

C_CASES = [
    called("lgamma", sp.loggamma, between(0.1, 30)),
    replace(
        called("tgamma", sp.gamma, np.concatenate([between(0.1, 8), between(-3.9, -3.1, 5)])),
        derivative=lambda x: sp.gamma(x) * sp.digamma(x),
    ),
    called("hypot", lambda x, y: np.sqrt(x * x + y * y), _all, _other),
    called("fmod", lambda x, y: x - quotient(x, y) * y, _all, signed(0.3, 1.1)),
    called("remainder", lambda x, y: x - np.round(np.real(x) / np.real(y)) * y, _all, signed(0.3, 1.1)),
    called("fmax", _bigger, _all, _other),
    called("fmin", _smaller, _all, _other),
    called("fdim", where_real(np.greater, lambda x, y: x - y, lambda x, y: 0 * x * y), _all, _other),
    called("nextafter", lambda x, y: x + 0 * y, _all, _other),
    called("pow", lambda x, y: np.exp(y * np.log(x)), between(0.1, 3), _all),
    called("sinh", np.sinh, _all),
]


def first(case: Case, points: list[np.ndarray], operand: int) -> np.ndarray:
    """The derivative by one argument, by the complex step."""
    if case.derivative is not None:
        return case.derivative(*points)
    step = 1e-200
    moved = [p.astype(complex) + (1j * step if i == operand else 0) for i, p in enumerate(points)]
    return np.imag(case.f(*moved)) / step


def second(case: Case, points: list[np.ndarray], i: int, j: int) -> np.ndarray:
    """The second derivative by arguments i and j: central differences of order 6 of the complex step."""
    h = 2e-4 * np.minimum(1, np.abs(points[j]) + 0.01)
    total = np.zeros_like(points[j])
    for k, c in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60)):
        up, down = ([p + (s * k * h if a == j else 0) for a, p in enumerate(points)] for s in (1, -1))
        total = total + c * (first(case, up, i) - first(case, down, i))
    return total / h

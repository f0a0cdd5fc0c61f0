"""Dual numbers: the oracle of the derivative tests.

A `Dual` is a float with its derivatives by all inputs at once. Plain Python functions run on it unchanged, NumPy runs
on object arrays of it, and `DualMath` stands in for `math`. So the derivative that a kernel must have comes from
the undecorated function, to the last few bits and along the branches that it really takes.

Each comparison of two such numbers records how near it was to coming out the other way (`Margin`): a program whose
branches hang by rounding errors is no test of anything and is left out by its margin, not by a wider tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special


class Margin:
    """The smallest relative distance between the two sides of any comparison, and the largest magnitude met."""

    smallest = math.inf
    largest = 0.0

    @classmethod
    def reset(cls) -> None:
        cls.smallest = math.inf
        cls.largest = 0.0

    @classmethod
    def note(cls, distance: float, scale: float) -> None:
        cls.smallest = min(cls.smallest, abs(distance) / (1.0 + scale))


def _value(x: Any) -> float:
    return x.v if isinstance(x, Dual) else float(x)


# name -> (function, derivative from the argument and the function's value)
UNARY: dict[str, tuple[Callable[[float], float], Callable[[float, float], float]]] = {
    "sin": (math.sin, lambda x, r: math.cos(x)),
    "cos": (math.cos, lambda x, r: -math.sin(x)),
    "tan": (math.tan, lambda x, r: 1 + r * r),
    "asin": (math.asin, lambda x, r: 1 / math.sqrt(1 - x * x)),
    "acos": (math.acos, lambda x, r: -1 / math.sqrt(1 - x * x)),
    "atan": (math.atan, lambda x, r: 1 / (1 + x * x)),
    "sinh": (math.sinh, lambda x, r: math.cosh(x)),
    "cosh": (math.cosh, lambda x, r: math.sinh(x)),
    "tanh": (math.tanh, lambda x, r: 1 - r * r),
    "asinh": (math.asinh, lambda x, r: 1 / math.sqrt(x * x + 1)),
    "acosh": (math.acosh, lambda x, r: 1 / math.sqrt(x * x - 1)),
    "atanh": (math.atanh, lambda x, r: 1 / (1 - x * x)),
    "exp": (math.exp, lambda x, r: r),
    "expm1": (math.expm1, lambda x, r: r + 1),
    "log": (math.log, lambda x, r: 1 / x),
    "log2": (math.log2, lambda x, r: 1 / (x * math.log(2))),
    "log10": (math.log10, lambda x, r: 1 / (x * math.log(10))),
    "log1p": (math.log1p, lambda x, r: 1 / (1 + x)),
    "sqrt": (math.sqrt, lambda x, r: 0.5 / r),
    "erf": (math.erf, lambda x, r: 2 / math.sqrt(math.pi) * math.exp(-x * x)),
    "erfc": (math.erfc, lambda x, r: -2 / math.sqrt(math.pi) * math.exp(-x * x)),
    "gamma": (math.gamma, lambda x, r: r * float(special.digamma(x))),
    "lgamma": (math.lgamma, lambda x, r: float(special.digamma(x))),
}


class Dual:
    """A value `v` with its derivatives `d`, one for each input."""

    __slots__ = ("d", "v")

    def __init__(self, v: float, d: np.ndarray | float):
        self.v = v
        self.d = d
        Margin.largest = max(Margin.largest, abs(v)) if math.isfinite(v) else math.inf

    def __repr__(self) -> str:
        return f"Dual({self.v!r}, {self.d!r})"

    # Arithmetic. An array on the other side goes back to NumPy, which comes again for each element.
    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Dual(self.v + _value(other), self.d + derivative(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Dual(self.v - _value(other), self.d - derivative(other))

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Dual(_value(other) - self.v, derivative(other) - self.d)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        o = _value(other)
        return Dual(self.v * o, self.d * o + self.v * derivative(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return _quotient(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return _quotient(other, self)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return power(other, self)

    def __mod__(self, other: Any) -> Any:
        return _modulo(self, other)

    def __rmod__(self, other: Any) -> Any:
        return _modulo(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _floor_quotient(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _floor_quotient(other, self)

    def __neg__(self) -> Dual:
        return Dual(-self.v, -self.d)

    def __pos__(self) -> Dual:
        return self

    def __abs__(self) -> Dual:
        Margin.note(self.v, abs(self.v))
        return -self if self.v < 0 else self

    # Comparisons look at the value alone, and note how near a thing it was.
    def _compare(self, other: Any) -> tuple[float, float]:
        o = _value(other)
        Margin.note(self.v - o, abs(self.v) + abs(o))
        return self.v, o

    def __lt__(self, other: Any) -> bool:
        a, b = self._compare(other)
        return a < b

    def __le__(self, other: Any) -> bool:
        a, b = self._compare(other)
        return a <= b

    def __gt__(self, other: Any) -> bool:
        a, b = self._compare(other)
        return a > b

    def __ge__(self, other: Any) -> bool:
        a, b = self._compare(other)
        return a >= b

    def __eq__(self, other: object) -> bool:
        a, b = self._compare(other)
        return a == b

    def __ne__(self, other: object) -> bool:
        a, b = self._compare(other)
        return a != b

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        Margin.note(self.v, abs(self.v))
        return self.v != 0

    def __float__(self) -> float:
        raise TypeError("float() of a dual number would lose its derivative")

    def __int__(self) -> int:
        return math.floor(self) if self.v >= 0 else -math.floor(-self)

    def __floor__(self) -> int:
        below = math.floor(self.v)
        Margin.note(min(self.v - below, below + 1 - self.v), 0.0)
        return below


def derivative(x: Any) -> Any:
    """The derivatives of a number: zero for one that is no Dual."""
    return x.d if isinstance(x, Dual) else 0.0


def _quotient(a: Any, b: Any) -> Dual:
    bv = _value(b)
    q = _value(a) / bv
    return Dual(q, (derivative(a) - q * derivative(b)) / bv)


def _floor_quotient(a: Any, b: Any) -> float:
    return float(math.floor(_quotient(a, b)))


def _modulo(a: Any, b: Any) -> Dual:
    turns = math.floor(_quotient(a, b))
    return Dual(_value(a) % _value(b), derivative(a) - turns * derivative(b))


def power(a: Any, b: Any) -> Dual:
    """a ** b: with a constant exponent of any base, else of a positive base."""
    av, bv = _value(a), _value(b)
    r = av**bv
    d: Any = 0.0
    if isinstance(a, Dual):
        d = d + (bv * av ** (bv - 1) if bv != 0 else 0.0) * a.d
    if isinstance(b, Dual):
        d = d + (r * math.log(av)) * b.d
    return Dual(r, d)


def unary(name: str, x: Any) -> Any:
    """A function of the table above, of a Dual or of a plain number."""
    function, slope = UNARY[name]
    if not isinstance(x, Dual):
        return function(x)
    r = function(x.v)
    return Dual(r, slope(x.v, r) * x.d)


class DualMath:
    """Stands in for the module `math`; of plain numbers it is `math`."""

    pi, e, tau, inf, nan = math.pi, math.e, math.tau, math.inf, math.nan

    def __getattr__(self, name: str) -> Callable[[Any], Any]:
        if name in UNARY:
            return lambda x: unary(name, x)
        raise AttributeError(f"the dual numbers have no math.{name}")

    @staticmethod
    def atan2(y: Any, x: Any) -> Any:
        yv, xv = _value(y), _value(x)
        square = xv * xv + yv * yv
        return Dual(math.atan2(yv, xv), (xv * derivative(y) - yv * derivative(x)) / square)

    @staticmethod
    def hypot(x: Any, y: Any) -> Any:
        xv, yv = _value(x), _value(y)
        r = math.hypot(xv, yv)
        return Dual(r, (xv * derivative(x) + yv * derivative(y)) / r)

    @staticmethod
    def pow(x: Any, y: Any) -> Any:
        return power(x, y)

    @staticmethod
    def fabs(x: Any) -> Any:
        return abs(x)

    @staticmethod
    def floor(x: Any) -> int:
        return math.floor(x)

    @staticmethod
    def copysign(x: Any, y: Any) -> Any:
        Margin.note(_value(x), abs(_value(x)))
        Margin.note(_value(y), abs(_value(y)))
        return -x if (_value(x) < 0) != (_value(y) < 0) else x


# Functions of NumPy that only move entries, or do arithmetic and comparisons with them.
_NUMPYS_OWN = frozenset(
    "where maximum minimum abs concatenate roll flip cumsum diff outer sort repeat tile take stack square".split()
)


class DualNumpy:
    """Stands in for the module `numpy`: elementwise functions of arrays whose entries are Duals and floats."""

    def __getattr__(self, name: str) -> Any:
        if name in UNARY:
            return np.frompyfunc(lambda x: unary(name, x), 1, 1)
        if name in _NUMPYS_OWN:
            return getattr(np, name)
        if name == "array":
            return lambda elements: np.array(elements, dtype=object)
        raise AttributeError(f"the dual numbers have no np.{name}")


class DualArrays:
    """Stands in for `dsl` where a program makes arrays or reduces them: arrays of objects, floats until written to."""

    @staticmethod
    def kernel(f: Any) -> Any:
        return f

    @staticmethod
    def zeros(shape: Any) -> np.ndarray:
        return np.full(shape, 0.0, dtype=object)

    @staticmethod
    def ones(shape: Any) -> np.ndarray:
        return np.full(shape, 1.0, dtype=object)

    @staticmethod
    def full(shape: Any, value: Any) -> np.ndarray:
        out = np.empty(shape, dtype=object)
        out.fill(value)
        return out

    sum = staticmethod(np.sum)
    mean = staticmethod(np.mean)
    prod = staticmethod(np.prod)
    max = staticmethod(np.max)
    min = staticmethod(np.min)
    dot = staticmethod(np.dot)


def seed_inputs(values: list[Any]) -> tuple[list[Any], int]:
    """Floats and float arrays as Duals, each entry an input of its own; ints, bools and their arrays as they are.
    Returns the arguments and the number of inputs."""
    total = sum(np.size(v) for v in values if is_float(v))
    identity = np.eye(total)
    seeded: list[Any] = []
    at = 0
    for v in values:
        if not is_float(v):
            seeded.append(v.copy() if isinstance(v, np.ndarray) else v)
        elif isinstance(v, np.ndarray):
            duals = np.empty(v.shape, dtype=object)
            for index in np.ndindex(v.shape):
                duals[index] = Dual(float(v[index]), identity[at])
                at += 1
            seeded.append(duals)
        else:
            seeded.append(Dual(v, identity[at]))
            at += 1
    return seeded, total


def is_float(v: Any) -> bool:
    """Whether derivatives flow through this argument."""
    return v.dtype.kind == "f" if isinstance(v, np.ndarray) else isinstance(v, float)

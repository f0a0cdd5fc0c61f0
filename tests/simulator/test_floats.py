"""Arithmetic in f32 and f64 against rational numbers, in every rounding direction."""

# ruff: noqa: E501  (tables)
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from .opcodes import case, check, exact_round, finite, flushed

NAN, INF = float("nan"), float("inf")
MODES = ("rn", "rz", "rm", "rp")
CASES = []


def zero(a: float, b: float, mode: str) -> float:
    """The sign of an exact sum of zero."""
    if math.copysign(1, a) == math.copysign(1, b):
        return a * 0.0 if a == 0 else math.copysign(0.0, a)
    return -0.0 if mode == "rm" else 0.0


def add(a: float, b: float, type: str, mode: str) -> float:
    if not finite(a, b):
        return a + b
    total = Fraction(a) + Fraction(b)
    return exact_round(total, type, mode) if total else zero(a, b, mode)


def mul(a: float, b: float, type: str, mode: str) -> float:
    if not finite(a, b) or a == 0 or b == 0:
        return float(np.float64(a) * np.float64(b))
    rounded = exact_round(Fraction(a) * Fraction(b), type, mode)
    return math.copysign(rounded, math.copysign(1, a) * math.copysign(1, b))


def fma(a: float, b: float, c: float, type: str, mode: str) -> float:
    if not finite(a, b):
        return a * b + c
    if not finite(c):
        return c
    total = Fraction(a) * Fraction(b) + Fraction(c)
    if total == 0:
        return zero(math.copysign(1, a) * math.copysign(1, b), math.copysign(1, c), mode) * 0.0
    rounded = exact_round(total, type, mode)
    return math.copysign(rounded, 1 if total > 0 else -1)


def div(a: float, b: float, type: str, mode: str) -> float:
    if not finite(a, b) or a == 0 or b == 0:
        with np.errstate(all="ignore"):
            return float(np.float64(a) / np.float64(b))
    rounded = exact_round(Fraction(a) / Fraction(b), type, mode)
    return math.copysign(rounded, math.copysign(1, a) * math.copysign(1, b))


def sqrt(a: float, type: str, mode: str) -> float:
    if a != a or a < 0:
        return NAN
    if a == 0 or a == INF:
        return a
    x = Fraction(a)
    scale = 1 << 400  # the root to 200 and more bits after the point, below and not equal unless exact
    root = math.isqrt(x.numerator * scale**2 * 4**300 // x.denominator)
    low = Fraction(root, scale * 2**300)
    if low * low != x:
        low += Fraction(1, 2 * scale * 2**300)
    return exact_round(low, type, mode)


def saturated(x: float) -> float:
    return 0.0 if not x > 0 else min(x, 1.0)


for _t in ("f32", "f64"):
    for _m in MODES:
        CASES += [
            case(f"add.{_m}.{_t}", _t, f"{_t} {_t}", lambda a, b, t=_t, m=_m: add(a, b, t, m)),
            case(f"sub.{_m}.{_t}", _t, f"{_t} {_t}", lambda a, b, t=_t, m=_m: add(a, -b, t, m)),
            case(f"mul.{_m}.{_t}", _t, f"{_t} {_t}", lambda a, b, t=_t, m=_m: mul(a, b, t, m)),
            case(f"fma.{_m}.{_t}", _t, f"{_t} {_t} {_t}", lambda a, b, c, t=_t, m=_m: fma(a, b, c, t, m)),
            case(f"mad.{_m}.{_t}", _t, f"{_t} {_t} {_t}", lambda a, b, c, t=_t, m=_m: fma(a, b, c, t, m)),
            case(f"div.{_m}.{_t}", _t, f"{_t} {_t}", lambda a, b, t=_t, m=_m: div(a, b, t, m)),
            case(f"rcp.{_m}.{_t}", _t, _t, lambda a, t=_t, m=_m: div(1.0, a, t, m)),
            case(f"sqrt.{_m}.{_t}", _t, _t, lambda a, t=_t, m=_m: sqrt(a, t, m)),
        ]
    CASES += [
        case(f"add.{_t}", _t, f"{_t} {_t}", lambda a, b, t=_t: add(a, b, t, "rn")),
        case(f"neg.{_t}", _t, _t, lambda a: -a),
        case(f"abs.{_t}", _t, _t, abs),
        case(f"min.{_t}", _t, f"{_t} {_t}", lambda a, b: least(a, b)),
        case(f"max.{_t}", _t, f"{_t} {_t}", lambda a, b: -least(-a, -b)),
        case(f"copysign.{_t}", _t, f"{_t} {_t}", lambda a, b: math.copysign(b, a) if b == b else NAN),
        case(f"testp.finite.{_t}", "pred", _t, lambda a: finite(a)),
        case(f"testp.infinite.{_t}", "pred", _t, math.isinf),
        case(f"testp.number.{_t}", "pred", _t, lambda a: a == a),
        case(f"testp.notanumber.{_t}", "pred", _t, lambda a: a != a),
        case(f"testp.normal.{_t}", "pred", _t, lambda a, t=_t: finite(a) and abs(a) >= tiny(t)),
        case(f"testp.subnormal.{_t}", "pred", _t, lambda a, t=_t: 0 < abs(a) < tiny(t)),
    ]


def tiny(type: str) -> float:
    return 2.0**-126 if type == "f32" else 2.0**-1022


def least(a: float, b: float, nan: bool = False) -> float:
    if a != a or b != b:
        return NAN if nan or (a != a and b != b) else (b if a != a else a)
    if a == b:
        return a if math.copysign(1, a) < 0 else b
    return min(a, b)


def greatest(a: float, b: float) -> float:
    return -least(-a, -b)


def xor_sign(a: float, b: float, choose=least) -> float:  # type: ignore[no-untyped-def]
    chosen = choose(abs(a), abs(b))
    return math.copysign(chosen, math.copysign(1, a) * math.copysign(1, b))


CASES += [
    case("add.rn.ftz.f32", "f32", "f32 f32", lambda a, b: flushed(add(flushed(a), flushed(b), "f32", "rn"))),
    case("add.sat.f32", "f32", "f32 f32", lambda a, b: saturated(add(a, b, "f32", "rn"))),
    case("mul.rz.ftz.sat.f32", "f32", "f32 f32", lambda a, b: saturated(flushed(mul(flushed(a), flushed(b), "f32", "rz")))),
    case("fma.rn.ftz.f32", "f32", "f32 f32 f32", lambda a, b, c: flushed(fma(flushed(a), flushed(b), flushed(c), "f32", "rn"))),
    case("fma.rn.sat.f32", "f32", "f32 f32 f32", lambda a, b, c: saturated(fma(a, b, c, "f32", "rn"))),
    case("div.rn.ftz.f32", "f32", "f32 f32", lambda a, b: flushed(div(flushed(a), flushed(b), "f32", "rn"))),
    case("neg.ftz.f32", "f32", "f32", lambda a: -flushed(a)),
    case("abs.ftz.f32", "f32", "f32", lambda a: abs(flushed(a))),
    case("min.NaN.f32", "f32", "f32 f32", lambda a, b: least(a, b, True)),
    case("max.NaN.f32", "f32", "f32 f32", lambda a, b: -least(-a, -b, True)),
    case("min.ftz.f32", "f32", "f32 f32", lambda a, b: least(flushed(a), flushed(b))),
    case("min.xorsign.abs.f32", "f32", "f32 f32", lambda a, b: xor_sign(a, b)),
    case("max.xorsign.abs.f32", "f32", "f32 f32", lambda a, b: xor_sign(a, b, greatest)),
]  # fmt: skip


def approximately(function):  # type: ignore[no-untyped-def]
    def oracle(*operands: float) -> float:
        with np.errstate(all="ignore"):
            return float(function(*map(np.float64, operands)))

    return oracle


for _name, _function in {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rcp": lambda x: 1 / x,
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}.items():
    CASES.append(case(f"{_name}.approx.f32", "f32", "f32", approximately(_function), ulps=1))
    if _name != "tanh":
        CASES.append(
            case(
                f"{_name}.approx.ftz.f32",
                "f32",
                "f32",
                lambda a, g=_function: flushed(np.float32(approximately(g)(flushed(a))).item()),
                ulps=1,
            )
        )


def upper(x: float) -> float:
    return (np.array([x]).view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)[0].item()


def gross(function):  # type: ignore[no-untyped-def]
    def oracle(a: float) -> float:
        with np.errstate(all="ignore"):
            start = upper(a)
            start = math.copysign(0.0, start) if abs(start) < 2.0**-1022 else start
            result = float(function(np.float64(start)))
        return upper(math.copysign(0.0, result) if abs(result) < 2.0**-1022 else result)

    return oracle


CASES += [
    case("div.approx.f32", "f32", "f32 f32", approximately(np.divide), ulps=1),
    case("div.full.f32", "f32", "f32 f32", approximately(np.divide), ulps=1),
    case("div.full.ftz.f32", "f32", "f32 f32", lambda a, b: flushed(np.float32(approximately(np.divide)(flushed(a), flushed(b))).item()), ulps=1),
    case("rsqrt.approx.f64", "f64", "f64", approximately(lambda x: 1 / np.sqrt(x)), ulps=1),
    case("rcp.approx.ftz.f64", "f64", "f64", gross(lambda x: 1 / x)),
    case("rsqrt.approx.ftz.f64", "f64", "f64", gross(lambda x: 1 / np.sqrt(x))),
]  # fmt: skip

NEWEST = [
    case("min.f32", "f32", "f32 f32 f32", lambda a, b, c: least(least(a, b), c)),
    case("max.NaN.f32", "f32", "f32 f32 f32", lambda a, b, c: -least(least(-a, -b, True), -c, True)),
]


@pytest.mark.parametrize("c", [*CASES, *NEWEST], ids=str)
def test_instruction(c):
    check(c)


def test_multiply_add_rounds_once():
    """Operands for which two roundings differ from one: found by construction, random ones hardly meet them."""
    from lowering.simulator.arithmetic.exact import fma32, fma64

    small = 2.0**-20
    a, b = np.float32(2.0**-12 * (1 + small)), np.float32(2.0**-12 * (1 - small))
    triples = [(a, b, np.float32(1 + 2.0**-23)), (a, -b, np.float32(-1 - 2.0**-23))]
    tiny = np.float32(2.0**-140)
    triples += [(np.float32(2.0**-75 * (1 + small)), np.float32(2.0**-75 * (1 - small)), tiny)]
    triples += [(np.float32(1 + 2.0**-23), np.float32(1 - 2.0**-23), np.float32(-1))]
    for x, y, z in triples:
        got = fma32(*(np.array([v]) for v in (x, y, z)))[0]
        assert got == exact_round(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)), "f32")
    naive = np.float32(np.float64(a) * np.float64(b) + np.float64(triples[0][2]))
    assert naive != fma32(*(np.array([v]) for v in triples[0]))[0]
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 500))
    z = np.where(np.arange(500) % 2, -(x * y), rng.normal(size=500) * 2.0 ** rng.integers(-200, 60, 500))
    with np.errstate(all="ignore"):
        got = fma64(x, y, z)
    for k in range(500):
        assert got[k] == exact_round(Fraction(x[k]) * Fraction(y[k]) + Fraction(z[k]), "f64")

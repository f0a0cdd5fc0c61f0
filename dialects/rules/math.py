"""Rules of the math dialect.

Forms are chosen for accuracy and for what they do at the ends of the domain, also when they are differentiated once
more; where that is not obvious a comment says why.
"""

from __future__ import annotations

from math import log, pi, sqrt

from dialects.rules.expr import (
    Expr,
    both,
    compare,
    either,
    fn,
    instead,
    int_is_zero,
    int_minus_one,
    int_to_float,
    is_zero,
    powi,
    r0,
    r1,
    select,
    x0,
    x1,
    x2,
)
from dialects.rules.rule import Rule, row, rows

# 1 / sqrt(1 + x^2) with x and 1 scaled by the larger of them, so that no square overflows. Mathematically the scale
# cancels, so it does not matter for second derivatives which one a tie takes.
_scale = 1 / fn("max", fn("abs", x0), 1)
_scaled_x = x0 * _scale
_asinh = _scale / fn("sqrt", _scale * _scale + _scaled_x * _scaled_x)


def _atan2() -> tuple[Expr, Expr]:
    """Partials of atan2(x0, x1) by x0 and x1: x1 / (x0^2 + x1^2) and -x0 / (x0^2 + x1^2), scaled; 0 at the origin."""
    size = fn("max", fn("abs", x0), fn("abs", x1))
    origin = is_zero(size)
    safe = instead(origin, 1, size)
    y, x = x0 / safe, x1 / safe
    norm = safe * instead(origin, 1, y * y + x * x)
    return x / norm, -(y / norm)


def _pow() -> tuple[Expr, Expr]:
    """Partials of x0 ** x1."""
    # 0 ** 0 has slope 0 by x0: the base is replaced and not the exponent, because x0 ** (x1 - 1) must stay what the
    # mixed second derivative, 1 / x0 at x1 = 0, is made from.
    base = instead(both(is_zero(x0), is_zero(x1)), 1, x0)
    by_base = x1 * fn("pow", base, x1 - 1)
    positive = instead(both(is_zero(x0), compare("oge", x1, 0)), 1, x0)
    return by_base, r0 * fn("log", positive)


def _clamp() -> tuple[Expr, Expr, Expr]:
    """Partials of clampf(x0, lower x1, upper x2); bounds in the wrong order leave the op's own value open."""
    below, above = compare("olt", x0, x1), compare("ogt", x0, x2)
    return select(either(below, above), 0, 1), select(below, 1, 0), select(above, 1, 0)


abs_sign = select(is_zero(x0), 0, fn("copysign", 1, x0))

RULES: dict[str, Rule] = {
    "math.absf": row(abs_sign, note="0 at 0"),
    "math.acos": row(-(1 / fn("sqrt", (1 - x0) * (1 + x0))), note="-inf at 1 and -1"),
    "math.acosh": row(1 / (fn("sqrt", x0 - 1) * fn("sqrt", x0 + 1)), note="inf at 1"),
    "math.asin": row(1 / fn("sqrt", (1 - x0) * (1 + x0)), note="inf at 1 and -1"),
    "math.asinh": row(_asinh),
    "math.atan": row(1 / (1 + x0 * x0)),
    "math.atan2": row(*_atan2(), note="0 at (0, 0)"),
    "math.atanh": row(1 / ((1 - x0) * (1 + x0))),
    "math.cbrt": row(1 / (3 * (r0 * r0)), note="inf at 0"),
    "math.clampf": row(*_clamp(), note="at a bound the value counts as inside"),
    "math.copysign": row(
        select(is_zero(x0), 0, fn("copysign", 1, x0) * fn("copysign", 1, x1)), None, note="0 where the magnitude is 0"
    ),
    "math.cos": row(-fn("sin", x0)),
    "math.cosh": row(fn("sinh", x0)),
    "math.erf": row(2 / sqrt(pi) * fn("exp", -(x0 * x0))),
    "math.erfc": row(-(2 / sqrt(pi) * fn("exp", -(x0 * x0)))),
    "math.exp": row(r0),
    "math.exp2": row(log(2) * r0),
    # Not r0 + 1, which loses all its digits for large negative x0.
    "math.expm1": row(fn("exp", x0)),
    "math.fma": row(x1, x0, 1),
    "math.fpowi": row(
        int_to_float(x1) * powi(instead(int_is_zero(x1), 1, x0), int_minus_one(x1)), None, note="0 where the power is 0"
    ),
    "math.log": row(1 / x0),
    "math.log10": row(1 / (log(10) * x0)),
    "math.log1p": row(1 / (1 + x0)),
    "math.log2": row(1 / (log(2) * x0)),
    "math.powf": row(
        *_pow(),
        note="by the base 0 at 0 ** 0; by the exponent 0 where the base is 0 and the exponent not negative, NaN for "
        "negative bases",
    ),
    "math.rsqrt": row(-0.5 * (r0 / x0), note="-inf at 0"),
    "math.sin": row(fn("cos", x0)),
    "math.sincos": rows([r1], [-r0]),
    "math.sinh": row(fn("cosh", x0)),
    "math.sqrt": row(0.5 / r0, note="inf at 0"),
    "math.tan": row(1 + r0 * r0),
    "math.tanh": row(1 - r0 * r0, note="good to an absolute, not relative, rounding error where it is nearly 0"),
}

_INACTIVE = "absi ceil ctlz ctpop cttz floor ipowi isfinite isinf isnan isnormal round roundeven trunc"
INACTIVE = frozenset(f"math.{name}" for name in _INACTIVE.split())

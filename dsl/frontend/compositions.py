"""Elementwise functions that are no single operation: how they are composed of others, so that the derivative comes
by itself.

Each takes and gives MLIR numbers, or is the emission of a Function (see `operations`).
"""

from __future__ import annotations

import math as python_math
from collections.abc import Callable, Sequence
from functools import reduce

from mlir import ir
from mlir.dialects import arith, math
from mlir.dialects import complex as complex_

from .. import types
from . import arithmetic, casts
from .math_rules import Formula, emit_float, joined, python_float
from .operations import Emit, Function, Result
from .scalars import compare_numbers, describe
from .values import Builder, Value

_I = arith.CmpIPredicate
_F = arith.CmpFPredicate


def _type_of(value: Value) -> types.Scalar:
    assert isinstance(value.type, types.Scalar)
    return value.type


# --- real formulas


def log_add_exp(f: Formula, x: ir.Value, y: ir.Value) -> ir.Value:
    """log(exp(x) + exp(y)) without overflow; equal ones (infinities too) give x + log 2."""
    return _log_sum(f, x, y, math.exp, math.log1p, python_math.log(2.0))


def log_add_exp2(f: Formula, x: ir.Value, y: ir.Value) -> ir.Value:
    """log2(2**x + 2**y)."""

    def log1p_base2(p: ir.Value) -> ir.Value:
        return f.scaled(math.log1p(p), 1.0 / python_math.log(2.0))

    return _log_sum(f, x, y, math.exp2, log1p_base2, 1.0)


def _log_sum(
    f: Formula,
    x: ir.Value,
    y: ir.Value,
    exp: Callable[[ir.Value], ir.Value],
    log1p: Callable[[ir.Value], ir.Value],
    twice: float,
) -> ir.Value:
    larger, smaller = arith.maximumf(x, y), arith.minimumf(x, y)
    below = arith.subf(smaller, larger)
    equal_infinities = arith.andi(f.equal(x, y), f.equal(math.absf(x), f.number(python_math.inf)))
    apart = arith.addf(larger, log1p(exp(arith.select(equal_infinities, f.number(0.0), below))))
    return arith.select(equal_infinities, arith.addf(x, f.number(twice)), apart)


def heaviside(f: Formula, x: ir.Value, at_zero: ir.Value) -> ir.Value:
    step = arith.select(f.less(x, f.number(0.0)), f.number(0.0), f.number(1.0))
    step = arith.select(f.equal(x, f.number(0.0)), at_zero, step)
    return arith.select(f.is_nan(x), x, step)


def sinc(f: Formula, x: ir.Value) -> ir.Value:
    """sin(pi x) / (pi x), and 1 at 0."""
    at_zero = f.equal(x, f.number(0.0))
    angle = f.scaled(arith.select(at_zero, f.number(1.0), x), python_math.pi)
    return arith.select(at_zero, f.number(1.0), arith.divf(math.sin(angle), angle))


def emit_log(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """log(x), or log(x, base), which Python divides."""
    op = complex_.log if t.kind == "c" else math.log
    logs = [arithmetic.in_float32(b, t, lambda _, x: op(x), casts.coerce(b, a, t)) for a in args]
    return logs[0] if len(logs) == 1 else arithmetic.true_divide(b, logs[0], logs[1], t)


def emit_hypot(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """The Euclidean norm of any number of numbers, without overflow."""

    def compute(s: types.Scalar, *numbers: ir.Value) -> ir.Value:
        if len(numbers) == 1:
            return math.absf(numbers[0])
        return reduce(lambda x, y: Formula(b, s).libm("hypot", x, y), numbers)

    return arithmetic.in_float32(b, t, compute, *(casts.coerce(b, a, t) for a in args))


def next_after_type(b: Builder, args: Sequence[Value]) -> types.Scalar:
    t = python_float("nextafter")(b, args)
    if casts.is_half(t):
        raise b.error(f"nextafter() of {t} is not supported", "convert to float32")
    return t


def double_type(name: str) -> Result:
    """The result rule of functions that always compute in float64."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        python_float(name)(b, args)
        return types.float64

    return result


def ldexp_type(b: Builder, args: Sequence[Value]) -> types.Scalar:
    exponent = _type_of(args[1]) if isinstance(args[1].type, types.Scalar) else None
    if exponent is None or exponent.kind not in "biu":
        raise b.error(f"the exponent of ldexp() must be an integer, not {describe(args[1].type)}")
    return python_float("ldexp")(b, args[:1])


def emit_ldexp(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """x * 2**n in steps whose powers of two are all finite and normal, so that only the last one can round."""
    s = types.float32 if casts.is_half(t) else t
    low, high = (-126, 127) if s.bits == 32 else (-1022, 1023)
    n = casts.coerce(b, args[1], types.int64)
    n = arith.maxsi(arith.minsi(n, b.i64(3 * high)), b.i64(3 * low))

    def compute(_: types.Scalar, x: ir.Value) -> ir.Value:
        rest = n
        for _step in range(3):
            step = arith.maxsi(arith.minsi(rest, b.i64(high)), b.i64(low))
            rest = arith.subi(rest, step)
            x = arith.mulf(x, math.exp2(arith.sitofp(b.type(s), step)))
        return x

    return arithmetic.in_float32(b, t, compute, casts.coerce(b, args[0], t))


# --- predicates


def _is_nan(b: Builder, x: ir.Value, t: types.Scalar) -> ir.Value:
    return arith.cmpf(_F.UNO, x, x)


def _is_inf(b: Builder, x: ir.Value, t: types.Scalar) -> ir.Value:
    return arith.cmpf(_F.OEQ, math.absf(x), b.number(python_math.inf, t))


def _is_finite(b: Builder, x: ir.Value, t: types.Scalar) -> ir.Value:
    return arith.cmpf(_F.OLT, math.absf(x), b.number(python_math.inf, t))


def _predicate(
    test: Callable[[Builder, ir.Value, types.Scalar], ir.Value],
    combine: Callable[[ir.Value, ir.Value], ir.Value],
    of_integers: bool,
) -> Emit:
    """A predicate of a float; of a complex number both parts are asked and combined."""

    def emit(b: Builder, args: Sequence[Value], _: types.Scalar) -> ir.Value:
        t = _type_of(args[0])
        if t.kind in "biu":
            return b.i1(of_integers)
        x = b.ir(args[0])
        if t.kind == "c":
            return combine(test(b, complex_.re(x), t.part), test(b, complex_.im(x), t.part))
        if casts.is_half(t):
            x, t = casts.cast(b, x, t, types.float32), types.float32
        return test(b, x, t)

    return emit


emit_is_nan = _predicate(_is_nan, arith.ori, False)
emit_is_inf = _predicate(_is_inf, arith.ori, False)
emit_is_finite = _predicate(_is_finite, arith.andi, True)


def emit_sign_bit(b: Builder, args: Sequence[Value], _: types.Scalar) -> ir.Value:
    """Whether the sign is set, of zeros and NaNs too."""
    t = _type_of(args[0])
    if t.kind in "bu":
        return b.i1(False)
    x = b.ir(args[0])
    if t.kind == "f":
        bits = types.BY_NAME[f"int{t.bits}"]
        return arith.cmpi(_I.slt, arith.bitcast(b.type(bits), x), b.number(0, bits))
    return arith.cmpi(_I.slt, x, b.number(0, t))


def emit_logical(combine: Callable[[ir.Value, ir.Value], ir.Value]) -> Emit:
    def emit(b: Builder, args: Sequence[Value], _: types.Scalar) -> ir.Value:
        left, right = (casts.coerce(b, a, types.bool_) for a in args)
        return combine(left, right)

    return emit


# --- rounding


def whole_type(name: str) -> Result:
    """math.floor and the like: Python gives an int; an integer stays what it is."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        t = joined(b, args, name)
        if t.kind == "c":
            raise b.error(f"{name}() does not take complex numbers", "take .real or .imag of it")
        return types.pyint if t.kind in "fb" else t

    return result


def emit_whole(op: Callable[[ir.Value], ir.Value]) -> Emit:
    def emit(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
        source = _type_of(args[0])
        if source.kind != "f":
            return casts.coerce(b, args[0], t)
        rounded = arithmetic.in_float32(b, source, lambda _, x: op(x), b.ir(args[0]))
        return casts.cast(b, rounded, source, t)

    return emit


def emit_rounding(op: Callable[[ir.Value], ir.Value]) -> Emit:
    """np.floor and the like: the type stays."""
    real = emit_float(op)

    def emit(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
        return real(b, args, t) if t.kind == "f" else casts.coerce(b, args[0], t)

    return emit


def round_to(b: Builder, x: ir.Value, t: types.Scalar, digits: int) -> ir.Value:
    """x rounded to `digits` decimals, halves to even, by NumPy's method: scale, round, scale back."""

    def compute(s: types.Scalar, p: ir.Value) -> ir.Value:
        if digits == 0:
            return math.roundeven(p)
        scale = b.number(10.0 ** abs(digits), s)
        scaled = arith.mulf(p, scale) if digits > 0 else arith.divf(p, scale)
        whole = math.roundeven(scaled)
        result = arith.divf(whole, scale) if digits > 0 else arith.mulf(whole, scale)
        # a number so large that scaling overflows has no decimals
        return arith.select(_is_finite(b, scaled, s), result, p)

    return arithmetic.in_float32(b, t, compute, x)


# --- of all kinds of numbers


def absolute_type(b: Builder, args: Sequence[Value]) -> types.Scalar:
    t = joined(b, args, "abs")
    return types.pyint if t.kind == "b" else t.part


def emit_absolute(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    source = _type_of(args[0])
    if source.kind == "c":
        return complex_.abs(b.ir(args[0]))
    x = casts.coerce(b, args[0], t)
    if t.kind == "f":
        return math.absf(x)
    if t.kind == "u":
        return x
    negative = arith.cmpi(_I.slt, x, b.number(0, t))
    return arith.select(negative, arith.subi(b.number(0, t), x), x)


def emit_sign(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """-1, 0 or 1; NaN of NaN."""
    x = casts.coerce(b, args[0], t)
    zero, one = b.number(0, t), b.number(1, t)
    above = arith.select(compare_numbers(b, ">", x, zero, t), one, zero)
    if t.kind == "u":
        return above
    sign = arith.select(compare_numbers(b, "<", x, zero, t), b.number(-1, t), above)
    return arith.select(_is_nan(b, x, t), x, sign) if t.kind == "f" else sign


def emit_square(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    x = casts.coerce(b, args[0], t)
    return arithmetic.multiply(b, x, x, t)


def emit_reciprocal(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    return arithmetic.true_divide(b, b.number(1, t), casts.coerce(b, args[0], t), t)


def emit_fmod(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """The remainder with the sign of the dividend; of integers 0 where the divisor is 0."""
    x, y = (casts.coerce(b, a, t) for a in args)
    if t.kind == "f":
        return arithmetic.in_float32(b, t, lambda _, p, q: arith.remf(p, q), x, y)
    special = arith.cmpi(_I.eq, y, b.number(0, t))
    if t.kind == "i":
        special = arith.ori(special, arith.cmpi(_I.eq, y, b.number(-1, t)))
    safe = arith.select(special, b.number(1, t), y)
    return arith.remsi(x, safe) if t.kind == "i" else arith.remui(x, safe)


def extremum(b: Builder, which: str, x: ir.Value, y: ir.Value, t: types.Scalar, ignore_nan: bool = False) -> ir.Value:
    """The larger ("max") or smaller ("min") of two numbers of one type. NaN wins, or loses with `ignore_nan`."""
    upper = which == "max"
    if t.kind == "b":
        return arith.ori(x, y) if upper else arith.andi(x, y)
    if t.kind == "i":
        return arith.maxsi(x, y) if upper else arith.minsi(x, y)
    if t.kind == "u":
        return arith.maxui(x, y) if upper else arith.minui(x, y)
    if ignore_nan:
        op = arith.maxnumf if upper else arith.minnumf
    else:
        op = arith.maximumf if upper else arith.minimumf
    return arithmetic.in_float32(b, t, lambda _, p, q: op(p, q), x, y)


def emit_extremum(which: str, ignore_nan: bool = False) -> Emit:
    def emit(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
        x, y = (casts.coerce(b, a, t) for a in args)
        return extremum(b, which, x, y, t, ignore_nan)

    return emit


def python_extremum(b: Builder, which: str, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    """max(x, y) of Python: y where it is larger, else x; so the place of a NaN matters, and ties give x."""
    if t.kind in "iu":
        return extremum(b, which, x, y, t)
    wins = compare_numbers(b, ">" if which == "max" else "<", y, x, t)
    return arith.select(wins, y, x)


def same_or_int(b: Builder, args: Sequence[Value], name: str) -> types.Scalar:
    """The type that numbers which can be ordered promote to."""
    t = joined(b, args, name)
    if t.kind == "c":
        raise b.error(f"{name}() does not take complex numbers", "compare abs(), .real or .imag")
    if t.kind == "i" and any(a.type is types.pyint and not a.known for a in args):
        return types.pyint if t.weak else types.int64  # which hold any of them
    return t


def close(symmetric: bool) -> Function:
    """Whether |a - b| is within a tolerance: of the larger one and an absolute one, or the sum of both (NumPy)."""

    def emit(b: Builder, args: Sequence[Value], _: types.Scalar) -> ir.Value:
        t = joined(b, args[:2], "isclose")
        t = t.strong if t.kind == "f" and t.bits >= 32 else types.float64
        x, y, relative, absolute = (casts.coerce(b, a, t) for a in args)
        distance = math.absf(arith.subf(x, y))
        if symmetric:
            larger = arith.maximumf(math.absf(x), math.absf(y))
            limit = arith.maximumf(arith.mulf(relative, larger), absolute)
        else:
            limit = arith.addf(absolute, arith.mulf(relative, math.absf(y)))
        near = arith.cmpf(_F.OLE, distance, limit)
        finite = arith.andi(_is_finite(b, x, t), _is_finite(b, y, t))  # an infinity is close to itself only
        return arith.ori(arith.cmpf(_F.OEQ, x, y), arith.andi(near, finite))

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        same_or_int(b, args, "isclose")
        return types.bool_

    return Function("isclose", result, emit)


def _emit_fraction(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """What is behind the point: 0 of an infinity, with the sign of x."""

    def compute(s: types.Scalar, x: ir.Value) -> ir.Value:
        infinite = _is_inf(b, x, s)
        rest = arith.select(infinite, b.number(0.0, s), arith.subf(x, math.trunc(x)))
        return math.copysign(rest, x)

    return arithmetic.in_float32(b, t, compute, casts.coerce(b, args[0], t))


FRACTION = Function("fraction", python_float("modf"), _emit_fraction)


def where_type(b: Builder, args: Sequence[Value]) -> types.Scalar:
    joined(b, args[:1], "where")
    return joined(b, args[1:], "where").strong


def emit_where(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    condition = casts.coerce(b, args[0], types.bool_)
    return arith.select(condition, casts.coerce(b, args[1], t), casts.coerce(b, args[2], t))


def emit_nan_to_num(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """NaN as 0, infinities as the largest numbers."""
    x = casts.coerce(b, args[0], t)
    if t.kind != "f":
        return x
    import numpy as np

    if t.name == "bfloat16":
        import ml_dtypes

        largest = float(ml_dtypes.finfo(t.dtype).max)
    else:
        largest = float(np.finfo(t.dtype).max)
    high, low = b.number(largest, t), b.number(-largest, t)
    x = arith.select(arith.cmpf(_F.OEQ, x, b.number(python_math.inf, t)), high, x)
    x = arith.select(arith.cmpf(_F.OEQ, x, b.number(-python_math.inf, t)), low, x)
    return arith.select(_is_nan(b, x, t), b.number(0.0, t), x)

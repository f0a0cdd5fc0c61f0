"""The arithmetic of two MLIR numbers of one scalar type: add to shift. Emission only; the types are decided in
`scalars`.

float16 and bfloat16 are computed in float32 and rounded after each operation, as NumPy does it. No integer operation is
undefined or traps: divisors of 0 and -1 are put aside first.
"""

from __future__ import annotations

from collections.abc import Callable

from mlir import ir
from mlir.dialects import arith, math
from mlir.dialects import complex as complex_

from .. import types
from . import casts
from .values import Builder

_I = arith.CmpIPredicate
_F = arith.CmpFPredicate


def in_float32(b: Builder, t: types.Scalar, compute: Callable[..., ir.Value], *numbers: ir.Value) -> ir.Value:
    """compute(type, *numbers), by way of float32 where the type is a half."""
    if not casts.is_half(t):
        return compute(t, *numbers)
    wide = [arith.extf(b.type(types.float32), x) for x in numbers]
    return arith.truncf(b.type(t), compute(types.float32, *wide))


def add(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    if t.kind == "f":
        return in_float32(b, t, lambda _, p, q: arith.addf(p, q), x, y)
    return complex_.add(x, y) if t.kind == "c" else arith.addi(x, y)


def subtract(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    if t.kind == "f":
        return in_float32(b, t, lambda _, p, q: arith.subf(p, q), x, y)
    return complex_.sub(x, y) if t.kind == "c" else arith.subi(x, y)


def multiply(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    if t.kind == "f":
        return in_float32(b, t, lambda _, p, q: arith.mulf(p, q), x, y)
    return complex_.mul(x, y) if t.kind == "c" else arith.muli(x, y)


def true_divide(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    if t.kind == "f":
        return in_float32(b, t, lambda _, p, q: arith.divf(p, q), x, y)
    return complex_.div(x, y)


def negate(b: Builder, x: ir.Value, t: types.Scalar) -> ir.Value:
    if t.kind == "f":
        return in_float32(b, t, lambda _, p: arith.negf(p), x)
    return complex_.neg(x) if t.kind == "c" else arith.subi(b.number(0, t), x)


# --- floor division and modulo


def floor_divide(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar, divisor: int | None) -> ir.Value:
    """x // y; `divisor` is y where it is a known integer."""
    if t.kind == "f":
        return in_float32(b, t, lambda s, p, q: _float_floor_divide(b, p, q, s), x, y)
    return _integer_division(b, x, y, t, divisor, quotient=True)


def modulo(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar, divisor: int | None) -> ir.Value:
    """x % y, with the sign of y; `divisor` is y where it is a known integer."""
    if t.kind == "f":
        return in_float32(b, t, lambda s, p, q: _float_modulo(b, p, q, s)[1], x, y)
    return _integer_division(b, x, y, t, divisor, quotient=False)


def _float_modulo(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> tuple[ir.Value, ir.Value, ir.Value]:
    """fmod(x, y), x % y, and whether they differ. The remainder is exact; a zero has the sign of y, as in Python."""
    zero = b.number(0.0, t)
    rest = arith.remf(x, y)
    nonzero = arith.cmpf(_F.UNE, rest, zero)
    opposite = arith.xori(arith.cmpf(_F.OLT, y, zero), arith.cmpf(_F.OLT, rest, zero))
    moved = arith.andi(nonzero, opposite)
    adjusted = arith.select(moved, arith.addf(rest, y), rest)
    # fmod(x, 0) is NaN, which is not equal to zero, and stays
    return rest, arith.select(nonzero, adjusted, math.copysign(zero, y)), moved


def _float_floor_divide(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    """Python's algorithm: from the exact remainder, so that the quotient is never one too large by rounding."""
    zero, one = b.number(0.0, t), b.number(1.0, t)
    rest, _, moved = _float_modulo(b, x, y, t)
    exact = arith.divf(arith.subf(x, rest), y)
    exact = arith.select(moved, arith.subf(exact, one), exact)
    floor = math.floor(exact)
    rounded = arith.select(
        arith.cmpf(_F.OGT, arith.subf(exact, floor), b.number(0.5, t)), arith.addf(floor, one), floor
    )
    ratio = arith.divf(x, y)
    whole = arith.select(arith.cmpf(_F.UNE, exact, zero), rounded, math.copysign(zero, ratio))
    return arith.select(arith.cmpf(_F.OEQ, y, zero), ratio, whole)


def _integer_division(
    b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar, divisor: int | None, quotient: bool
) -> ir.Value:
    zero = b.number(0, t)
    if divisor is None or divisor == 0:
        is_zero = arith.cmpi(_I.eq, y, zero)
        if b.boundscheck:
            ok = arith.xori(is_zero, b.i1(True))
            b.check(ok, "ZeroDivisionError", "integer division or modulo by zero", soft=True)
    else:
        is_zero = None
    if t.kind == "u":
        safe = y if is_zero is None else arith.select(is_zero, b.number(1, t), y)
        result = arith.divui(x, safe) if quotient else arith.remui(x, safe)
    else:
        result = _signed_division(b, x, y, t, divisor, quotient, is_zero)
    return result if is_zero is None else arith.select(is_zero, zero, result)


def _signed_division(
    b: Builder,
    x: ir.Value,
    y: ir.Value,
    t: types.Scalar,
    divisor: int | None,
    quotient: bool,
    is_zero: ir.Value | None,
) -> ir.Value:
    zero, one, minus_one = b.number(0, t), b.number(1, t), b.number(-1, t)
    is_minus_one = arith.cmpi(_I.eq, y, minus_one) if divisor is None or divisor == -1 else None
    safe = y
    for special in (is_zero, is_minus_one):
        if special is not None:
            safe = arith.select(special, one, safe)
    rest = arith.remsi(x, safe)
    # truncation went the wrong way where the remainder is not zero and has the other sign than the divisor
    inexact = arith.cmpi(_I.ne, rest, zero)
    if divisor is not None:
        wrong_sign = arith.cmpi(_I.slt if divisor > 0 else _I.sgt, rest, zero)
        moved = wrong_sign
    else:
        moved = arith.andi(inexact, arith.cmpi(_I.slt, arith.xori(rest, safe), zero))
    if not quotient:
        result = arith.select(moved, arith.addi(rest, safe), rest)
        return result if is_minus_one is None else arith.select(is_minus_one, zero, result)
    whole = arith.divsi(x, safe)
    result = arith.select(moved, arith.subi(whole, one), whole)
    if is_minus_one is not None:  # the most negative integer over -1 wraps, where the machine's division would trap
        result = arith.select(is_minus_one, arith.subi(zero, x), result)
    return result


# --- shifts: a count of the width or more (or a negative one) shifts everything out, as in NumPy


def shift_left(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    inside = arith.cmpi(_I.ult, y, b.number(t.bits, t))
    count = arith.select(inside, y, b.number(0, t))
    return arith.select(inside, arith.shli(x, count), b.number(0, t))


def shift_right(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    inside = arith.cmpi(_I.ult, y, b.number(t.bits, t))
    if t.kind == "u":
        count = arith.select(inside, y, b.number(0, t))
        return arith.select(inside, arith.shrui(x, count), b.number(0, t))
    return arith.shrsi(x, arith.select(inside, y, b.number(t.bits - 1, t)))

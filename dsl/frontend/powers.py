"""`**`: small known exponents by multiplication, integers by math.ipowi, floats by math.powf, complex numbers by
complex.pow.

An integer to a negative power that is known only at run time has no integer result: NumPy raises a ValueError, and so
does this. Where the exponent is a literal, the result is a float, as in Python.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import arith, math
from mlir.dialects import complex as complex_

from .. import types
from . import arithmetic, casts
from .values import Builder, Value

_LARGEST_FLOAT = 4  # beyond this the error of repeated multiplication exceeds that of pow
_LARGEST_INTEGER = 16
_LARGEST_COMPLEX = 16


def emit_power(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """base ** exponent in type t, that of the result."""
    base, exponent = args
    known = exponent.const if exponent.known and type(exponent.const) in (bool, int, float) else None
    if t.kind in "iu":
        return _integer(b, base, exponent, t, known)
    x = casts.coerce(b, base, t)
    largest = _LARGEST_COMPLEX if t.kind == "c" else _LARGEST_FLOAT
    if known is not None and abs(known) <= largest and known == int(known):
        whole = int(known)
        return arithmetic.in_float32(b, t, lambda s, p: _by_multiplication(b, p, whole, s), x)
    if t.kind == "c":
        return complex_.pow(x, casts.coerce(b, exponent, t))
    if known == 0.5:
        return arithmetic.in_float32(b, t, lambda _, p: math.sqrt(p), x)
    y = casts.coerce(b, exponent, t)
    return arithmetic.in_float32(b, t, lambda _, p, q: math.powf(p, q), x, y)


def _by_multiplication(b: Builder, x: ir.Value, exponent: int, t: types.Scalar) -> ir.Value:
    """x ** exponent by repeated squaring; 1 where the exponent is 0, even of NaN."""
    if exponent < 0:
        return arithmetic.true_divide(b, b.number(1, t), _by_multiplication(b, x, -exponent, t), t)
    result: ir.Value | None = None
    square = x
    while exponent:
        if exponent & 1:
            result = square if result is None else arithmetic.multiply(b, result, square, t)
        exponent >>= 1
        if exponent:
            square = arithmetic.multiply(b, square, square, t)
    return b.number(1, t) if result is None else result


def _integer(b: Builder, base: Value, exponent: Value, t: types.Scalar, known: float | None) -> ir.Value:
    x = casts.coerce(b, base, t)
    if known is not None and known <= _LARGEST_INTEGER:
        return _by_multiplication(b, x, int(known), t)
    y = casts.coerce(b, exponent, t)
    kind = exponent.type.kind if isinstance(exponent.type, types.Scalar) else ""
    if known is None and kind == "i" and not exponent.nonneg:
        zero = b.number(0, t)
        ok = arith.cmpi(arith.CmpIPredicate.sge, y, zero)
        b.check(ok, "ValueError", "Integers to negative integer powers are not allowed.", soft=True)
        y = arith.select(ok, y, zero)
    if t.kind == "u" and not (known is not None and casts.fits(int(known), _SIGNED[t.bits])):
        # math.ipowi reads its exponent as signed; in the next wider type it is what it was
        wide = types.uint64
        if t.bits == 64:  # (x*x) ** (y//2) * x ** (y%2)
            half = arith.shrui(y, b.number(1, t))
            odd = arith.cmpi(arith.CmpIPredicate.ne, arith.andi(y, b.number(1, t)), b.number(0, t))
            even_part = math.ipowi(arith.muli(x, x), half)
            return arith.muli(even_part, arith.select(odd, x, b.number(1, t)))
        power = math.ipowi(casts.cast(b, x, t, wide), casts.cast(b, y, t, wide))
        return casts.cast(b, power, wide, t)
    return math.ipowi(x, y)


_SIGNED = {8: types.int8, 16: types.int16, 32: types.int32, 64: types.int64}

"""Conversions between the scalar types: `cast` of one MLIR number, `convert` of a `Value` as `float(x)` or
`np.int8(x)` do it.

Takes values of any scalar type; leaves nothing undefined. What C leaves undefined is what NumPy does on x86-64: a
float that an int64 or int32 cannot hold (NaN and infinities too) becomes the most negative integer; narrower and
unsigned ones wrap. Where NumPy raises, because a Python int does not fit a sized integer, an OverflowError is
recorded.
"""

from __future__ import annotations

from typing import Any

from mlir import ir
from mlir.dialects import arith
from mlir.dialects import complex as complex_

from .. import errors, types
from .values import Builder, Value


def is_half(scalar: types.Scalar) -> bool:
    """Whether arithmetic of this type is done in float32 and rounded after each operation, as NumPy does it."""
    return scalar.kind == "f" and scalar.bits == 16


def _int(b: Builder, bits: int, value: int) -> ir.Value:
    """An integer constant of some width; MLIR integers have no sign."""
    type_ = b.shared.type(f"i{bits}")
    if value >= 1 << (bits - 1):
        value -= 1 << bits
    return arith.constant(type_, value)


def cast(b: Builder, value: ir.Value, src: types.Scalar, dst: types.Scalar) -> ir.Value:
    """One number of type `src` as one of type `dst`.

    A complex number has no real form: that is refused by `check_castable`.
    """
    src, dst = src.strong, dst.strong
    if src is dst:
        return value
    if dst.kind == "b":
        return nonzero(b, value, src)
    if dst.kind == "c":
        return _to_complex(b, value, src, dst)
    if src.kind == "f":
        return _float_to_float(b, value, src, dst) if dst.kind == "f" else _float_to_int(b, value, src, dst)
    if dst.kind == "f":
        if is_half(dst):
            return arith.truncf(b.type(dst), cast(b, value, src, types.float32))
        return arith.sitofp(b.type(dst), value) if src.kind == "i" else arith.uitofp(b.type(dst), value)
    return _int_to_int(b, value, src, dst)


def nonzero(b: Builder, value: ir.Value, scalar: types.Scalar) -> ir.Value:
    """Whether a number is not zero (NaN is not), as an i1."""
    if scalar.kind == "b":
        return value
    if scalar.kind == "f":
        return arith.cmpf(arith.CmpFPredicate.UNE, value, b.number(0.0, scalar))
    if scalar.kind == "c":
        return complex_.neq(value, b.number(0.0, scalar))
    return arith.cmpi(arith.CmpIPredicate.ne, value, b.number(0, scalar))


def _int_to_int(b: Builder, value: ir.Value, src: types.Scalar, dst: types.Scalar) -> ir.Value:
    src_bits = 1 if src.kind == "b" else src.bits
    if src_bits == dst.bits:
        return value
    if src_bits > dst.bits:
        return arith.trunci(b.type(dst), value)
    return arith.extsi(b.type(dst), value) if src.kind == "i" else arith.extui(b.type(dst), value)


def _float_to_float(b: Builder, value: ir.Value, src: types.Scalar, dst: types.Scalar) -> ir.Value:
    if src.bits == dst.bits:  # float16 and bfloat16: neither holds the other
        value, src = arith.extf(b.type(types.float32), value), types.float32
    return arith.extf(b.type(dst), value) if dst.bits > src.bits else arith.truncf(b.type(dst), value)


def _float_to_int(b: Builder, value: ir.Value, src: types.Scalar, dst: types.Scalar) -> ir.Value:
    if is_half(src):
        value, src = arith.extf(b.type(types.float32), value), types.float32
    if dst.kind == "u" and dst.bits == 64:
        # the upper half of the range: take 2**63 off, convert, put it back
        half = b.number(2.0**63, src)
        upper = arith.cmpf(arith.CmpFPredicate.OGE, value, half)
        low = arith.select(upper, arith.subf(value, half), value)
        bits = _guarded_fptosi(b, low, src, 64)
        return arith.xori(bits, arith.select(upper, _int(b, 64, 1 << 63), _int(b, 64, 0)))
    width = 32 if dst.kind == "i" and dst.bits <= 32 else 64
    wide = _guarded_fptosi(b, value, src, width)
    return wide if width == dst.bits else arith.trunci(b.type(dst), wide)


def _guarded_fptosi(b: Builder, value: ir.Value, src: types.Scalar, bits: int) -> ir.Value:
    """Truncation to a signed integer; the most negative one for what does not fit (where arith.fptosi is undefined)."""
    limit = 2.0 ** (bits - 1)
    if bits == 32 and src.bits == 64:  # -2147483648.9 truncates to a number that fits
        low = arith.cmpf(arith.CmpFPredicate.OGT, value, b.number(-limit - 1, src))
    else:
        low = arith.cmpf(arith.CmpFPredicate.OGE, value, b.number(-limit, src))
    fits = arith.andi(low, arith.cmpf(arith.CmpFPredicate.OLT, value, b.number(limit, src)))
    safe = arith.select(fits, value, b.number(0.0, src))
    whole = arith.fptosi(b.shared.type(f"i{bits}"), safe)
    return arith.select(fits, whole, _int(b, bits, 1 << (bits - 1)))


def _to_complex(b: Builder, value: ir.Value, src: types.Scalar, dst: types.Scalar) -> ir.Value:
    part = dst.part
    if src.kind == "c":
        real = cast(b, complex_.re(value), src.part, part)
        imag = cast(b, complex_.im(value), src.part, part)
    else:
        real, imag = cast(b, value, src, part), b.number(0.0, part)
    return complex_.create_(b.type(dst), real, imag)


def check_castable(b: Builder, src: types.Type, dst: types.Scalar) -> None:
    """Refuse the conversions that Python refuses, at the current place."""
    if not isinstance(src, types.Scalar):
        raise b.error(f"cannot make a {dst} of a value of type {src}", "only numbers convert to numbers")
    if src.kind == "c" and dst.kind not in "cb":
        raise b.error(f"a {src} number has no {dst} form", "take .real, .imag or abs() of it")


def convert(b: Builder, value: Value, scalar: types.Scalar) -> Value:
    """A scalar `value` as one of type `scalar`: what `np.float32(x)` and `int(x)` do, and joins and annotations."""
    if value.type is scalar:
        return value
    check_castable(b, value.type, scalar)
    if value.known:
        constant = _convert_constant(b, value.const, scalar)
        if constant is not None:
            return Value(scalar, const=constant)
    assert isinstance(value.type, types.Scalar)
    return Value(scalar, (coerce(b, value, scalar),), nonneg=value.nonneg and scalar.kind in "iu" and scalar.bits == 64)


def _convert_constant(b: Builder, const: Any, scalar: types.Scalar) -> Any:
    """A constant of the new type;

    None where the conversion is to be done at run time (it rounds, or is out of range).
    """
    if scalar.kind == "b":
        return bool(const)
    if scalar.kind == "c":
        return complex(const) if scalar.bits == 128 else None
    if scalar.kind == "f":
        try:
            return float(const) if scalar.bits == 64 else None
        except OverflowError:
            raise b.error(f"{const} is too large for a float", cls=errors.KernelValueError) from None
    if isinstance(const, float) and not (-(2.0**63) <= const < 2.0**63):
        return None
    whole = int(const)
    if fits(whole, scalar):
        return whole
    if isinstance(const, int) and not isinstance(const, bool):
        raise b.error(
            f"the integer {whole} does not fit {scalar.strong}",
            "use a float, or a type that holds it",
            errors.KernelValueError,
        )
    return None


def fits(value: int, scalar: types.Scalar) -> bool:
    """Whether a Python int is one of the values of an integer type."""
    if scalar.kind == "u":
        return 0 <= value < 1 << scalar.bits
    return -(1 << (scalar.bits - 1)) <= value < 1 << (scalar.bits - 1)


def coerce(b: Builder, value: Value, scalar: types.Scalar) -> ir.Value:
    """The MLIR number of a scalar value in type `scalar`; a constant is made in that type.

    A Python int that is known only at run time must fit a narrower integer type, as in NumPy: else an OverflowError
    is recorded.
    """
    src = value.type
    check_castable(b, src, scalar)
    assert isinstance(src, types.Scalar)
    if value.leaves is None and value.known:
        if scalar.kind in "iu" and src.kind == "f":
            return cast(b, b.number(value.const, src), src, scalar)
        return b.number(_exact(b, value.const, scalar), scalar)
    number = b.ir(value)
    if src is types.pyint and scalar.kind in "iu" and not (scalar.bits == 64 and (scalar.kind == "i" or value.nonneg)):
        number = _check_fits(b, number, scalar)
    return cast(b, number, src, scalar)


def _exact(b: Builder, const: Any, scalar: types.Scalar) -> Any:
    """A constant that MLIR's own conversion of literals handles; integers too large for a float are refused."""
    if scalar.kind in "fc" and isinstance(const, int):
        try:
            float(const)
        except OverflowError:
            raise b.error("the integer is too large for a float", cls=errors.KernelValueError) from None
    return const


def _check_fits(b: Builder, number: ir.Value, scalar: types.Scalar) -> ir.Value:
    """Record an OverflowError where a Python int is out of the bounds of a narrower integer type."""
    low = 0 if scalar.kind == "u" else -(1 << (scalar.bits - 1))
    above = arith.cmpi(arith.CmpIPredicate.sge, number, b.i64(low))
    if scalar.bits < 64:
        high = (1 << (scalar.bits - (scalar.kind == "i"))) - 1
        above = arith.andi(above, arith.cmpi(arith.CmpIPredicate.sle, number, b.i64(high)))
    b.check(above, "OverflowError", f"Python integer out of bounds for {scalar.strong}", soft=True)
    return number

"""Functions of complex numbers that are no single operation, and those that take them apart or put them together."""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import arith, math
from mlir.dialects import complex as complex_

from .. import types
from . import arithmetic, casts
from .compositions import same_or_int
from .operations import Function
from .values import Builder, Value


def _type_of(value: Value) -> types.Scalar:
    assert isinstance(value.type, types.Scalar)
    return value.type


def complex_sinh(z: ir.Value) -> ir.Value:
    x, y = complex_.re(z), complex_.im(z)
    return complex_.create_(z.type, arith.mulf(math.sinh(x), math.cos(y)), arith.mulf(math.cosh(x), math.sin(y)))


def complex_cosh(z: ir.Value) -> ir.Value:
    x, y = complex_.re(z), complex_.im(z)
    return complex_.create_(z.type, arith.mulf(math.cosh(x), math.cos(y)), arith.mulf(math.sinh(x), math.sin(y)))


def emit_angle(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    """The argument of a number; of a real one 0 or pi."""
    source = _type_of(args[0])
    if source.kind == "c":
        z = b.ir(args[0])
        return math.atan2(complex_.im(z), complex_.re(z))
    x = casts.coerce(b, args[0], t)
    return arithmetic.in_float32(b, t, lambda s, p: math.atan2(b.number(0.0, s), p), x)


def emit_real(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    x = b.ir(args[0])
    return complex_.re(x) if _type_of(args[0]).kind == "c" else x


def emit_imag(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    return complex_.im(b.ir(args[0])) if _type_of(args[0]).kind == "c" else b.number(0, t)


def emit_conjugate(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    x = b.ir(args[0])
    return complex_.conj(x) if t.kind == "c" else x


def _complex_type(b: Builder, args: Sequence[Value]) -> types.Scalar:
    t = same_or_int(b, args, "complex")
    return types.complex64 if t.kind == "f" and t.bits == 32 else types.pycomplex


def _emit_complex(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    return complex_.create_(b.type(t), *(casts.coerce(b, a, t.part) for a in args))


COMPLEX = Function("complex", _complex_type, _emit_complex, complex)

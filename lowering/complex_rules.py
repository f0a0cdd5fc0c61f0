"""Rewrites operations of `complex` as calls of the C library, or in terms of real functions where C has none.

C passes a `double complex` as two doubles, as LLVM passes the pair that MLIR makes of it; for `float complex` the two
differ. So all is computed in double, and the results in single precision are right to the last bit or nearly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir.ir import ComplexType, F32Type, F64Type, Operation, Type, Value

from .errors import LoweringError, position
from .rewriting import Builder, Rule

# complex operation -> C function for double complex
LIBM = {
    "complex.cos": "ccos", "complex.exp": "cexp", "complex.log": "clog", "complex.sin": "csin",
    "complex.sqrt": "csqrt", "complex.tan": "ctan", "complex.tanh": "ctanh",
}  # fmt: skip


def _element(op: Operation) -> Type:
    element = ComplexType(op.operands[0].type).element_type
    if not isinstance(element, F32Type | F64Type):
        raise LoweringError(
            f"{op.name} on {op.operands[0].type}", position(op.location), "use complex numbers of float32 or float64"
        )
    return element


def _parts(b: Builder, value: Value) -> tuple[Value, Value]:
    """Real and imaginary part, as double."""
    element = ComplexType(value.type).element_type
    real, imag = b.op("complex.re", element, value), b.op("complex.im", element, value)
    if isinstance(element, F32Type):
        double = F64Type.get()
        return b.op("arith.extf", double, real), b.op("arith.extf", double, imag)
    return real, imag


def _narrow(b: Builder, value: Value, element: Type) -> Value:
    return b.op("arith.truncf", element, value) if isinstance(element, F32Type) else value


def _pack(b: Builder, op: Operation, real: Value, imag: Value) -> list[Value]:
    element = _element(op)
    return [b.op("complex.create", op.results[0].type, _narrow(b, real, element), _narrow(b, imag, element))]


def _call(b: Builder, name: str, op: Operation) -> tuple[Value, Value]:
    """The C function of all operands: both parts of its result."""
    double = ComplexType.get(F64Type.get())
    wide = [b.op("complex.create", double, *_parts(b, operand)) for operand in op.operands]
    return _parts(b, b.call(name, double, *wide))


def _libm(name: str) -> Rule:
    def rule(b: Builder, op: Operation) -> Sequence[Value]:
        _element(op)
        return _pack(b, op, *_call(b, name, op))

    return rule


def _pow(b: Builder, op: Operation) -> Sequence[Value]:
    """cpow, but z ** 0 is 1 for every z, as in Python."""
    _element(op)
    real, imag = _call(b, "cpow", op)
    zero, one = b.constant(F64Type.get(), 0.0), b.constant(F64Type.get(), 1.0)
    x, y = _parts(b, op.operands[1])
    nothing = b.same("arith.andi", b.compare("oeq", x, zero), b.compare("oeq", y, zero))
    return _pack(b, op, b.select(nothing, one, real), b.select(nothing, zero, imag))


def _real(function: Callable[[Builder, Value, Value], Value]) -> Rule:
    """A real function of both parts."""

    def rule(b: Builder, op: Operation) -> Sequence[Value]:
        element = _element(op)
        return [_narrow(b, function(b, *_parts(b, op.operands[0])), element)]

    return rule


def _expm1(b: Builder, op: Operation) -> Sequence[Value]:
    """exp(x + iy) - 1 = (expm1(x) cos y - 2 sin²(y/2)) + i exp(x) sin y."""
    _element(op)
    x, y = _parts(b, op.operands[0])
    double = x.type
    half = b.call("sin", double, b.same("arith.mulf", y, b.constant(double, 0.5)))
    grown = b.same("arith.mulf", b.call("expm1", double, x), b.call("cos", double, y))
    lost = b.same("arith.mulf", b.constant(double, 2.0), b.same("arith.mulf", half, half))
    sine = b.call("sin", double, y)
    flat = b.compare("oeq", sine, b.constant(double, 0.0))  # on the real axis, also where exp overflows
    imag = b.select(flat, sine, b.same("arith.mulf", b.call("exp", double, x), sine))
    return _pack(b, op, b.same("arith.subf", grown, lost), imag)


def _log1p(b: Builder, op: Operation) -> Sequence[Value]:
    """log(1 + z): near zero by log1p(2x + x² + y²) / 2, else by the modulus."""
    _element(op)
    x, y = _parts(b, op.operands[0])
    double = x.type
    one, half = b.constant(double, 1.0), b.constant(double, 0.5)
    moved = b.same("arith.addf", one, x)
    square = b.same("arith.mulf", x, b.same("arith.addf", b.constant(double, 2.0), x))
    small = b.call("log1p", double, b.same("arith.addf", square, b.same("arith.mulf", y, y)))
    large = b.call("log", double, b.call("hypot", double, moved, y))
    near = b.same(
        "arith.andi",
        b.compare("olt", b.same("math.absf", x), half),
        b.compare("olt", b.same("math.absf", y), half),
    )
    real = b.select(near, b.same("arith.mulf", half, small), large)
    return _pack(b, op, real, b.call("atan2", double, y, moved))


def _conj(b: Builder, op: Operation) -> Sequence[Value]:
    value = op.operands[0]
    element = ComplexType(value.type).element_type
    imag = b.same("arith.negf", b.op("complex.im", element, value))
    return [b.op("complex.create", value.type, b.op("complex.re", element, value), imag)]


COMPLEX_RULES: dict[str, Rule] = {
    **{name: _libm(function) for name, function in LIBM.items()},
    "complex.abs": _real(lambda b, x, y: b.call("hypot", x.type, x, y)),
    "complex.angle": _real(lambda b, x, y: b.call("atan2", x.type, y, x)),
    "complex.conj": _conj,
    "complex.expm1": _expm1,
    "complex.log1p": _log1p,
    "complex.pow": _pow,
}

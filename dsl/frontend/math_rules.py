"""The types of the results of math functions, and the helpers with which their emission is written.

`python_float`: as Python's `math` does it, except that a sized float keeps its type (math.sin of a float32 is a
float32). `numpy_float`: as NumPy's ufuncs do it (np.sin of an int8 is a float16). Both take complex numbers only
where told to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from mlir import ir
from mlir.dialects import arith

from .. import types
from . import arithmetic, casts
from .operations import Emit, Result
from .scalars import describe, scalar_type
from .values import Builder, Value


def joined(b: Builder, args: Sequence[Value], name: str) -> types.Scalar:
    """The type that all arguments promote to; all must be numbers."""
    return reduce(types.promote, [scalar_type(b, a, f"{name}()") for a in args])


def python_float(name: str, takes_complex: bool = False) -> Result:
    """The result rule of a function of `math` (or, taking complex numbers, of `cmath`)."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        t = joined(b, args, name)
        if t.kind == "c" and not takes_complex:
            raise b.error(
                f"{name}() does not take complex numbers", "use the function of cmath or np, or abs, .real, .imag"
            )
        if t.kind in "fc":
            return t
        return types.pyfloat if t.weak or t.kind == "b" else types.float64

    return result


def to_complex(name: str) -> Result:
    """The result rule of a function of `cmath`: complex whatever it takes."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        t = python_float(name, True)(b, args)
        return t if t.kind == "c" else types.promote(t, types.pycomplex)

    return result


def numpy_float(name: str, takes_complex: bool = False) -> Result:
    """The result rule of a ufunc that computes in floats."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        t = joined(b, args, name)
        if t.kind == "c" and not takes_complex:
            raise b.error(f"np.{name} does not take complex numbers here", "take abs(), .real or .imag of it")
        if t.kind in "fc":
            return t.strong
        if t.weak or t.bits >= 32:
            return types.float64
        return types.float16 if t.bits == 8 else types.float32

    return result


def same(name: str, kinds: str = "iufc") -> Result:
    """The result rule of functions that keep the type; `kinds` says which ones they take."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        t = joined(b, args, name)
        if t.kind not in kinds:
            raise b.error(f"{name}() does not take {describe(t)}")
        return t

    return result


def numpy_same(name: str, kinds: str = "biufc") -> Result:
    """As `same`, for ufuncs: what they return is a sized number."""
    rule = same(name, kinds)
    return lambda b, args: rule(b, args).strong


def boolean(name: str) -> Result:
    """The result rule of predicates."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        joined(b, args, name)
        return types.bool_

    return result


def part_of(name: str) -> Result:
    """The result rule of functions of a complex number that give a real one; a real one keeps its type."""
    return lambda b, args: joined(b, args, name).part


def emit_float(compute: Callable[..., ir.Value]) -> Emit:
    """Emission by an operation on floats: compute(x, y, ...) gets numbers of the result's type."""

    def emit(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
        numbers = [casts.coerce(b, a, t) for a in args]
        return arithmetic.in_float32(b, t, lambda _, *xs: compute(*xs), *numbers)

    return emit


def emit_formula(compute: Callable[..., ir.Value]) -> Emit:
    """As `emit_float`, for several operations: compute(formula, x, y, ...), see `Formula`."""

    def emit(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
        numbers = [casts.coerce(b, a, t) for a in args]
        return arithmetic.in_float32(b, t, lambda s, *xs: compute(Formula(b, s), *xs), *numbers)

    return emit


def emit_libm(name: str) -> Emit:
    """Emission as a call of the C function `name`, or of the one with an "f" behind it for float32."""

    def emit(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
        numbers = [casts.coerce(b, a, t) for a in args]
        return arithmetic.in_float32(b, t, lambda s, *xs: Formula(b, s).libm(name, *xs), *numbers)

    return emit


def emit_complex_or(real: Emit, on_complex: Callable[..., ir.Value]) -> Emit:
    """Emission by `real`, or by an operation of the complex dialect where the result is complex."""

    def emit(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
        if t.kind == "c":
            return on_complex(*(casts.coerce(b, a, t) for a in args))
        return real(b, args, t)

    return emit


class Formula:
    """Writes a formula over the numbers of one float type (or an integer one where said)."""

    def __init__(self, b: Builder, t: types.Scalar) -> None:
        self.b, self.t = b, t

    def number(self, value: Any) -> ir.Value:
        return self.b.number(value, self.t)

    def libm(self, name: str, *args: ir.Value) -> ir.Value:
        """Call a C function on doubles, or its twin on floats."""
        single = self.t.bits == 32
        return self.b.call_c(name + "f" if single else name, list(args), self.b.type(self.t))

    def less(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return arith.cmpf(arith.CmpFPredicate.OLT, x, y)

    def equal(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return arith.cmpf(arith.CmpFPredicate.OEQ, x, y)

    def is_nan(self, x: ir.Value) -> ir.Value:
        return arith.cmpf(arith.CmpFPredicate.UNO, x, x)

    def scaled(self, x: ir.Value, factor: float) -> ir.Value:
        return arith.mulf(x, self.number(factor))

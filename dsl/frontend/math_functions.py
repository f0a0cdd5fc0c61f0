"""The elementwise functions of `math`, `cmath` and NumPy, one row each: the names, the rule of its type, its MLIR.

At the edge of a function's domain the answer is NumPy's (nan, inf), where Python's `math` would raise. `math.floor`,
`ceil` and `trunc` give an int, as Python's do; of NaN and infinities that is the most negative one. `FUNCTIONS` maps
a name such as "math.sin" or "np.arctan2" to its Function and to whether it takes arrays.
"""

from __future__ import annotations

import cmath
import math as python_math
from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir
from mlir.dialects import arith, math
from mlir.dialects import complex as complex_

from .. import types
from . import casts, complexes, integers
from . import compositions as c
from .math_rules import (
    boolean,
    emit_complex_or,
    emit_float,
    emit_formula,
    emit_libm,
    numpy_float,
    numpy_same,
    part_of,
    python_float,
    same,
    to_complex,
)
from .operations import Emit, Function
from .scalars import ARRAY_BINARY, ARRAY_UNARY, BINARY, COMPARE, UNARY
from .values import Builder, Value


class Entry:
    """What a name stands for:

    a Function of `low` to `high` numbers, the one for arrays where that differs, keyword names.
    """

    __slots__ = ("array_function", "function", "high", "low", "params")

    def __init__(
        self,
        function: Function,
        low: int,
        high: int | None = None,
        array_function: Function | None = None,
        params: tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self.array_function = array_function  # None: arrays are refused, as by Python's math
        self.low, self.high = low, low if high is None else high
        self.params = params


FUNCTIONS: dict[str, Entry] = {}


def _fold(name: str) -> Callable[..., Any] | None:
    return getattr(python_math, name, None)


def _row(
    python: str, numpy: str, emit: Emit, arity: int = 1, on_complex: Callable[..., ir.Value] | None = None
) -> None:
    """A function on floats under its name in `math` and its names in NumPy (separated by blanks;

    either may be empty).
    """
    full = emit if on_complex is None else emit_complex_or(emit, on_complex)
    if python:
        function = Function(python, python_float(python), emit, _fold(python))
        FUNCTIONS["math." + python] = Entry(function, arity)
        if on_complex is not None and hasattr(cmath, python):
            function = Function(python, to_complex(python), full, getattr(cmath, python))
            FUNCTIONS["cmath." + python] = Entry(function, arity)
    for name in numpy.split():
        function = Function(name, numpy_float(name, on_complex is not None), full, _fold(python))
        FUNCTIONS["np." + name] = Entry(function, arity, array_function=function)


# math          NumPy               the operation                        of complex numbers
_row("sin", "sin", emit_float(math.sin), on_complex=complex_.sin)
_row("cos", "cos", emit_float(math.cos), on_complex=complex_.cos)
_row("tan", "tan", emit_float(math.tan), on_complex=complex_.tan)
_row("asin", "arcsin asin", emit_float(math.asin))
_row("acos", "arccos acos", emit_float(math.acos))
_row("atan", "arctan atan", emit_float(math.atan))
_row("atan2", "arctan2 atan2", emit_float(math.atan2), 2)
_row("sinh", "sinh", emit_float(math.sinh), on_complex=complexes.complex_sinh)
_row("cosh", "cosh", emit_float(math.cosh), on_complex=complexes.complex_cosh)
_row("tanh", "tanh", emit_float(math.tanh), on_complex=complex_.tanh)
_row("asinh", "arcsinh asinh", emit_float(math.asinh))
_row("acosh", "arccosh acosh", emit_float(math.acosh))
_row("atanh", "arctanh atanh", emit_float(math.atanh))
_row("exp", "exp", emit_float(math.exp), on_complex=complex_.exp)
_row("exp2", "exp2", emit_float(math.exp2))
_row("expm1", "expm1", emit_float(math.expm1), on_complex=complex_.expm1)
_row("log", "log", emit_float(math.log), on_complex=complex_.log)
_row("log2", "log2", emit_float(math.log2))
_row("log10", "log10", emit_float(math.log10))
_row("log1p", "log1p", emit_float(math.log1p), on_complex=complex_.log1p)
_row("sqrt", "sqrt", emit_float(math.sqrt), on_complex=complex_.sqrt)
_row("cbrt", "cbrt", emit_float(math.cbrt))
_row("erf", "", emit_float(math.erf))
_row("erfc", "", emit_float(math.erfc))
_row("gamma", "", emit_libm("tgamma"))
_row("lgamma", "", emit_libm("lgamma"))
_row("fabs", "fabs", emit_float(math.absf))
_row("copysign", "copysign", emit_float(math.copysign), 2)
_row("remainder", "", emit_libm("remainder"), 2)
_row("pow", "", emit_float(math.powf), 2)
_row("fma", "", emit_float(math.fma), 3)
_row("degrees", "degrees rad2deg", emit_formula(lambda f, x: f.scaled(x, 180.0 / python_math.pi)))
_row("radians", "radians deg2rad", emit_formula(lambda f, x: f.scaled(x, python_math.pi / 180.0)))
_row("", "logaddexp", emit_formula(c.log_add_exp), 2)
_row("", "logaddexp2", emit_formula(c.log_add_exp2), 2)
_row("", "heaviside", emit_formula(c.heaviside), 2)
_row("", "sinc", emit_formula(c.sinc))
_row("", "hypot", emit_libm("hypot"), 2)


def _add(
    names: str, function: Function, low: int, high: int | None = None, arrays: bool = False, params: str = ""
) -> None:
    """One function under several names."""
    for name in names.split():
        FUNCTIONS[name] = Entry(function, low, high, function if arrays else None, tuple(params.split()))


def _numpy(names: str, function: Function, arity: int, params: str = "", high: int | None = None) -> None:
    _add(" ".join("np." + n for n in names.split()), function, arity, high, True, params)


# --- functions of `math` with a rule of their own

_add("math.log", Function("log", python_float("log"), c.emit_log, python_math.log), 1, 2)
_add("cmath.log", Function("log", to_complex("log"), c.emit_log, cmath.log), 1, 2)
_add("math.hypot", Function("hypot", python_float("hypot"), c.emit_hypot, python_math.hypot), 1, 1000)
_add("math.fmod", Function("fmod", python_float("fmod"), emit_float(arith.remf), python_math.fmod), 2)
_add("math.ldexp", Function("ldexp", c.ldexp_type, c.emit_ldexp, python_math.ldexp), 2)
_add("math.isnan", Function("isnan", boolean("isnan"), c.emit_is_nan, python_math.isnan), 1)
_add("math.isinf", Function("isinf", boolean("isinf"), c.emit_is_inf, python_math.isinf), 1)
_add("math.isfinite", Function("isfinite", boolean("isfinite"), c.emit_is_finite, python_math.isfinite), 1)
_add("cmath.isnan", Function("isnan", boolean("isnan"), c.emit_is_nan, cmath.isnan), 1)
_add("cmath.isinf", Function("isinf", boolean("isinf"), c.emit_is_inf, cmath.isinf), 1)
_add("cmath.isfinite", Function("isfinite", boolean("isfinite"), c.emit_is_finite, cmath.isfinite), 1)
_add("cmath.phase", Function("phase", part_of("phase"), complexes.emit_angle, cmath.phase), 1)
_add("math.gcd", Function("gcd", same("gcd", "iu"), integers.emit_gcd, python_math.gcd), 1, 1000)
_add("math.lcm", Function("lcm", same("lcm", "iu"), integers.emit_lcm, python_math.lcm), 1, 1000)
for _name, _op in (("floor", math.floor), ("ceil", math.ceil), ("trunc", math.trunc)):
    _add("math." + _name, Function(_name, c.whole_type(_name), c.emit_whole(_op), _fold(_name)), 1)
    # NumPy keeps the type of integers, and of floats
    _numpy(_name, Function(_name, numpy_same(_name, "biuf"), c.emit_rounding(_op)), 1)
_numpy("fix", FUNCTIONS["np.trunc"].function, 1)
_numpy("rint", Function("rint", numpy_float("rint"), emit_float(math.roundeven)), 1)

_NEXT_AFTER = Function("nextafter", c.next_after_type, emit_libm("nextafter"), _fold("nextafter"))
_add("math.nextafter", _NEXT_AFTER, 2)

# --- NumPy's own

_numpy("nextafter", _NEXT_AFTER, 2)
_numpy("float_power", Function("float_power", c.double_type("float_power"), emit_float(math.powf)), 2)

_numpy("isnan", FUNCTIONS["math.isnan"].function, 1)
_numpy("isinf", FUNCTIONS["math.isinf"].function, 1)
_numpy("isfinite", FUNCTIONS["math.isfinite"].function, 1)
_numpy("signbit", Function("signbit", boolean("signbit"), c.emit_sign_bit), 1)
_numpy("sign", Function("sign", numpy_same("sign", "iuf"), c.emit_sign), 1)
_numpy("square", Function("square", numpy_same("square", "iufc"), c.emit_square), 1)
_numpy("reciprocal", Function("reciprocal", numpy_same("reciprocal", "fc"), c.emit_reciprocal), 1)
_numpy("fmod", Function("fmod", numpy_same("fmod", "iuf"), c.emit_fmod), 2)
_numpy("maximum", Function("maximum", numpy_same("maximum", "biuf"), c.emit_extremum("max")), 2)
_numpy("minimum", Function("minimum", numpy_same("minimum", "biuf"), c.emit_extremum("min")), 2)
_numpy("fmax", Function("fmax", numpy_same("fmax", "biuf"), c.emit_extremum("max", ignore_nan=True)), 2)
_numpy("fmin", Function("fmin", numpy_same("fmin", "biuf"), c.emit_extremum("min", ignore_nan=True)), 2)
_numpy("ldexp", Function("ldexp", c.ldexp_type, c.emit_ldexp), 2)
_numpy("gcd", Function("gcd", numpy_same("gcd", "iu"), integers.emit_gcd), 2)
_numpy("lcm", Function("lcm", numpy_same("lcm", "iu"), integers.emit_lcm), 2)
_numpy("angle", Function("angle", part_of("angle"), complexes.emit_angle), 1)
_numpy("real", Function("real", part_of("real"), complexes.emit_real), 1)
_numpy("imag", Function("imag", part_of("imag"), complexes.emit_imag), 1)
_numpy("conj conjugate", Function("conjugate", same("conjugate"), complexes.emit_conjugate), 1)
_numpy("where", Function("where", c.where_type, c.emit_where), 3)
_numpy("nan_to_num", Function("nan_to_num", numpy_same("nan_to_num", "biuf"), c.emit_nan_to_num), 1)
_numpy("logical_and", Function("logical_and", boolean("logical_and"), c.emit_logical(arith.andi)), 2)
_numpy("logical_or", Function("logical_or", boolean("logical_or"), c.emit_logical(arith.ori)), 2)
_numpy("logical_xor", Function("logical_xor", boolean("logical_xor"), c.emit_logical(arith.xori)), 2)
_numpy("logical_not", UNARY["not"], 1)

# --- what Python's own functions and NumPy's names for the operators do

_ABSOLUTE = Function("abs", c.absolute_type, c.emit_absolute, abs)
_add("builtins.abs np.abs np.absolute", _ABSOLUTE, 1, arrays=True)


def _operator(names: str, function: Function, array_function: Function) -> None:
    arity = 1 if function in UNARY.values() else 2
    for name in names.split():
        FUNCTIONS["np." + name] = Entry(function, arity, array_function=array_function)


for _names, _symbol in (
    ("add", "+"),
    ("subtract", "-"),
    ("multiply", "*"),
    ("divide true_divide", "/"),
    ("floor_divide", "//"),
    ("mod remainder", "%"),
    ("power pow", "**"),
    ("bitwise_and", "&"),
    ("bitwise_or", "|"),
    ("bitwise_xor", "^"),
    ("left_shift bitwise_left_shift", "<<"),
    ("right_shift bitwise_right_shift", ">>"),
):
    _operator(_names, BINARY[_symbol], ARRAY_BINARY[_symbol])
for _names, _symbol in (
    ("equal", "=="),
    ("not_equal", "!="),
    ("less", "<"),
    ("less_equal", "<="),
    ("greater", ">"),
    ("greater_equal", ">="),
):
    _operator(_names, COMPARE[_symbol], COMPARE[_symbol])
_operator("negative", UNARY["-"], ARRAY_UNARY["-"])
_operator("positive", UNARY["+"], ARRAY_UNARY["+"])
_operator("invert bitwise_not bitwise_invert", ARRAY_UNARY["~"], ARRAY_UNARY["~"])
FUNCTIONS["builtins.pow"] = Entry(BINARY["**"], 2, array_function=ARRAY_BINARY["**"])


def cast_function(scalar: types.Scalar) -> Function:
    """The conversion to a scalar type, as a function: float, np.int8, dsl.float32, .astype."""

    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        casts.check_castable(b, args[0].type, scalar)
        return scalar

    return Function(scalar.name, result, lambda b, args, t: casts.coerce(b, args[0], t))

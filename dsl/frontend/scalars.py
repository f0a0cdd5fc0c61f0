"""The operators on scalars, with Python's meaning for Python's numbers and NumPy's for sized ones.

`BINARY`, `COMPARE` and `UNARY` hold a Function for each operator; elementwise uses them too, with `ARRAY_BINARY`
where arrays of bool differ. Nothing here kills the process: an integer divided by zero is 0, as in NumPy, and a
ZeroDivisionError where bounds are checked. Integers wrap around. Python's floats divided by zero give inf or nan, as
NumPy's do. Where neither operand is an array, a bool counts as a Python bool (`True + True` is 2). The arithmetic
itself is in `arithmetic` and `powers`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir
from mlir.dialects import arith

from .. import errors, types
from . import arithmetic, casts, powers
from .operations import Function, scalar_call
from .values import Builder, Value

INTEGERS = "biu"
SYMBOLS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


def scalar_type(b: Builder, value: Value, what: str) -> types.Scalar:
    """The type of an operand that must be a number."""
    if not isinstance(value.type, types.Scalar):
        raise b.error(f"{what} does not take {describe(value.type)}", "operands must be numbers or arrays of numbers")
    return value.type


def describe(type_: types.Type) -> str:
    """A type in the words of an error message."""
    if isinstance(type_, types.TupleType):
        return f"a tuple {type_}"
    if isinstance(type_, types.NoneType_):
        return "None"
    if isinstance(type_, types.ArrayType):
        return f"an array of {type_.dtype}"
    return f"a {type_}" if not isinstance(type_, types.Literal) else str(type_)


def binary_type(b: Builder, op: str, left: Value, right: Value, in_array: bool) -> types.Scalar:
    """The type of `left op right`. `in_array` says that an operand is an array, so that NumPy's rules for bool hold."""
    lt, rt = scalar_type(b, left, f"`{op}`"), scalar_type(b, right, f"`{op}`")
    joined = types.promote(lt, rt)
    kinds = lt.kind + rt.kind
    if op in ("&", "|", "^", "<<", ">>"):
        if "f" in kinds or "c" in kinds:
            raise b.error(f"`{op}` needs integers or bools, not {lt} and {rt}")
        if joined.kind == "b" and op in ("<<", ">>"):
            return types.int8 if in_array else types.pyint
        return joined
    if op in ("//", "%") and "c" in kinds:
        raise b.error(f"`{op}` is not defined for complex numbers")
    if op == "/":
        if joined.kind not in INTEGERS:
            return joined
        weak = (lt.weak or lt.kind == "b") and (rt.weak or rt.kind == "b") and not in_array
        return types.pyfloat if weak else types.float64
    if joined.kind == "b":
        if not in_array:
            return types.pyint
        if op == "-":
            raise b.error("NumPy does not subtract arrays of bool", "use `^`, or convert one with .astype(int)")
        return types.bool_ if op in ("+", "*") else types.int8
    if op == "**" and joined.kind in INTEGERS and right.known and right.const < 0:
        if in_array:
            message = "integers to negative integer powers are not allowed"
            raise b.error(message, "NumPy refuses it too; make one of them a float", errors.KernelValueError)
        return types.pyfloat if joined.weak else types.float64
    return joined


def _emit_add(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    if t.kind == "b":
        return arith.ori(x, y)
    return arithmetic.add(b, x, y, t)


def _emit_multiply(b: Builder, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    if t.kind == "b":
        return arith.andi(x, y)
    return arithmetic.multiply(b, x, y, t)


def _same_type(emit: Callable[[Builder, ir.Value, ir.Value, types.Scalar], ir.Value]) -> Any:
    """The emission of an operator that computes in the type of its result."""

    def emit_binary(b: Builder, args: Sequence[Value], type_: types.Scalar) -> ir.Value:
        left, right = (casts.coerce(b, a, type_) for a in args)
        return emit(b, left, right, type_)

    return emit_binary


def _emit_division(emit: Callable[[Builder, ir.Value, ir.Value, types.Scalar, int | None], ir.Value]) -> Any:
    """As `_same_type`, for `//` and `%`, which are simpler where the divisor is known."""

    def emit_binary(b: Builder, args: Sequence[Value], type_: types.Scalar) -> ir.Value:
        left, right = (casts.coerce(b, a, type_) for a in args)
        divisor = args[1].const if args[1].known and type_.kind in "iu" else None
        return emit(b, left, right, type_, None if divisor is None else int(divisor))

    return emit_binary


_EMIT: dict[str, Any] = {
    "+": _same_type(_emit_add),
    "-": _same_type(arithmetic.subtract),
    "*": _same_type(_emit_multiply),
    "/": _same_type(arithmetic.true_divide),
    "//": _emit_division(arithmetic.floor_divide),
    "%": _emit_division(arithmetic.modulo),
    "**": powers.emit_power,
    "&": _same_type(lambda b, x, y, t: arith.andi(x, y)),
    "|": _same_type(lambda b, x, y, t: arith.ori(x, y)),
    "^": _same_type(lambda b, x, y, t: arith.xori(x, y)),
    "<<": _same_type(arithmetic.shift_left),
    ">>": _same_type(arithmetic.shift_right),
}

_LONGEST_FOLD = 4096  # bits of an integer that is worked out when compiling


def _fold_power(x: Any, y: Any) -> Any:
    if isinstance(x, int) and isinstance(y, int) and y > 0 and x.bit_length() * y > _LONGEST_FOLD:
        raise OverflowError("too large to be worked out")
    return x**y


def _fold_shift(x: Any, y: Any) -> Any:
    if y > _LONGEST_FOLD:
        raise OverflowError("too large to be worked out")
    return x << y


_FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": _fold_power,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": _fold_shift,
    ">>": operator.rshift,
}


def _binary_function(op: str, in_array: bool) -> Function:
    def result(b: Builder, args: Sequence[Value]) -> types.Scalar:
        return binary_type(b, op, args[0], args[1], in_array)

    return Function(op, result, _EMIT[op], None if in_array else _FOLD[op])


BINARY: dict[str, Function] = {op: _binary_function(op, False) for op in _EMIT}
ARRAY_BINARY: dict[str, Function] = {op: _binary_function(op, True) for op in _EMIT}


# --- comparisons

_FLOAT_PREDICATE = {
    "==": arith.CmpFPredicate.OEQ,
    "!=": arith.CmpFPredicate.UNE,  # NaN differs from everything
    "<": arith.CmpFPredicate.OLT,
    "<=": arith.CmpFPredicate.OLE,
    ">": arith.CmpFPredicate.OGT,
    ">=": arith.CmpFPredicate.OGE,
}
_SIGNED = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
_UNSIGNED = {"==": "eq", "!=": "ne", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge"}
_COMPARE_FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare_numbers(b: Builder, op: str, x: ir.Value, y: ir.Value, t: types.Scalar) -> ir.Value:
    """Compare two numbers of one type; an i1."""
    if t.kind == "c":
        from mlir.dialects import complex as complex_

        return complex_.eq(x, y) if op == "==" else complex_.neq(x, y)
    if t.kind == "f":
        return arith.cmpf(_FLOAT_PREDICATE[op], x, y)
    names = _SIGNED if t.kind == "i" else _UNSIGNED
    return arith.cmpi(getattr(arith.CmpIPredicate, names[op]), x, y)


def _compare_type(b: Builder, op: str, left: Value, right: Value) -> types.Scalar:
    lt, rt = scalar_type(b, left, f"`{op}`"), scalar_type(b, right, f"`{op}`")
    if op not in ("==", "!=") and "c" in lt.kind + rt.kind:
        raise b.error(f"`{op}` is not defined for complex numbers", "compare abs(), .real or .imag")
    return types.bool_


def _emit_compare(b: Builder, op: str, left: Value, right: Value) -> ir.Value:
    lt, rt = left.type, right.type
    assert isinstance(lt, types.Scalar) and isinstance(rt, types.Scalar)
    for one, other, value in ((left, rt, lt), (right, lt, rt)):
        if one.known and value is types.pyint and other.kind in "iu" and not casts.fits(one.const, other.strong):
            # no value of the other type equals it, and all are on one side: NumPy's answer, without a conversion
            above = one.const > 0
            stand_in = (0, 1) if above == (one is right) else (1, 0)
            return b.i1(_COMPARE_FOLD[op](*stand_in))
    if lt.kind + rt.kind in ("iu", "ui"):
        return _compare_mixed(b, op, left, right)
    if lt.kind + rt.kind == "ii":  # a Python int is compared as it is, whatever it is compared with
        lt, rt = (types.int64 if t is types.pyint else t for t in (lt, rt))
    joined = types.promote(lt, rt)
    return compare_numbers(b, op, casts.coerce(b, left, joined), casts.coerce(b, right, joined), joined)


def _compare_mixed(b: Builder, op: str, left: Value, right: Value) -> ir.Value:
    """A signed integer with an unsigned one, exactly:

    a negative number is below, else both are compared as unsigned.
    """
    signed_left = isinstance(left.type, types.Scalar) and left.type.kind == "i"
    numbers = []
    for value in (left, right):
        assert isinstance(value.type, types.Scalar)
        wide = types.int64 if value.type.kind == "i" else types.uint64
        numbers.append(casts.coerce(b, value, wide))
    same = compare_numbers(b, op, numbers[0], numbers[1], types.uint64)
    negative = arith.cmpi(arith.CmpIPredicate.slt, numbers[0 if signed_left else 1], b.i64(0))
    below = _COMPARE_FOLD[op](*((0, 1) if signed_left else (1, 0)))
    return arith.select(negative, b.i1(below), same)


def _compare_function(op: str) -> Function:
    return Function(
        op,
        lambda b, args: _compare_type(b, op, args[0], args[1]),
        lambda b, args, t: _emit_compare(b, op, args[0], args[1]),
        _COMPARE_FOLD[op],
    )


COMPARE: dict[str, Function] = {op: _compare_function(op) for op in _FLOAT_PREDICATE}


# --- one operand


def _unary_type(b: Builder, op: str, value: Value, in_array: bool) -> types.Scalar:
    t = scalar_type(b, value, f"unary `{op}`")
    if op == "not":
        return types.bool_
    if op == "~":
        if t.kind not in INTEGERS:
            raise b.error(f"`~` needs an integer, not {describe(t)}")
        if t.kind == "b" and not in_array:
            raise b.error("`~` of a bool is -1 or -2 in Python, and its negation in NumPy", "write `not`")
        return t
    if t.kind == "b":
        if in_array:
            raise b.error(f"NumPy has no unary `{op}` for arrays of bool", "use `~` for the negation")
        return types.pyint
    return t


def _emit_unary(b: Builder, op: str, value: Value, t: types.Scalar) -> ir.Value:
    if op == "not":
        assert isinstance(value.type, types.Scalar)
        return arith.xori(casts.nonzero(b, b.ir(value), value.type), b.i1(True))
    number = casts.coerce(b, value, t)
    if op == "-":
        return arithmetic.negate(b, number, t)
    if op == "~":
        return arith.xori(number, b.i1(True) if t.kind == "b" else arith.constant(number.type, -1))
    return number


_UNARY_FOLD: dict[str, Callable[[Any], Any]] = {
    "-": operator.neg,
    "+": operator.pos,
    "~": operator.invert,
    "not": operator.not_,
}


def _unary_function(op: str, in_array: bool) -> Function:
    return Function(
        op,
        lambda b, args: _unary_type(b, op, args[0], in_array),
        lambda b, args, t: _emit_unary(b, op, args[0], t),
        _UNARY_FOLD[op],
    )


UNARY: dict[str, Function] = {op: _unary_function(op, False) for op in _UNARY_FOLD}
ARRAY_UNARY: dict[str, Function] = {op: _unary_function(op, True) for op in _UNARY_FOLD}


# --- what the visitor calls


def binary(b: Builder, op: str, left: Value, right: Value) -> Value:
    """`left op right` of two scalars."""
    if op not in BINARY:
        raise b.error(f"`{op}` does not take {describe(left.type)} and {describe(right.type)}", "it needs arrays")
    result = scalar_call(b, BINARY[op], (left, right))
    return _known_sign(op, left, right, result)


def _known_sign(op: str, left: Value, right: Value, result: Value) -> Value:
    """The result, marked as never negative where that follows from the operands without regard to overflow."""
    if result.known or result.leaves is None or result.type not in (types.pyint, types.int64):
        return result
    modulus = op == "%" and right.known and type(right.const) is int and right.const > 0
    quotient = op == "//" and left.nonneg and right.known and type(right.const) is int and right.const > 0
    masked = op == "&" and (left.nonneg or right.nonneg)
    monotone = op in ("+", "*", ">>") and left.nonneg and right.nonneg
    if modulus or quotient or masked or monotone:
        return Value(result.type, result.leaves, nonneg=True)
    return result


def compare(b: Builder, op: str, left: Value, right: Value) -> Value:
    """`left op right` of two scalars, for one of the six comparison operators; a bool_."""
    return scalar_call(b, COMPARE[op], (left, right))


def unary(b: Builder, op: str, operand: Value) -> Value:
    """`op operand`, where op is one of - + ~ not."""
    if op == "not":
        return scalar_call(b, UNARY["not"], (truth(b, operand),))
    return scalar_call(b, UNARY[op], (operand,))


def truth(b: Builder, value: Value) -> Value:
    """What `if` asks of a value: not zero, not empty, not None."""
    if value.known:
        return Value(types.bool_, const=bool(value.const))
    if isinstance(value.type, types.TupleType):
        return Value(types.bool_, const=len(value.type.elements) > 0)
    if isinstance(value.type, types.ArrayType):
        raise b.error("the truth value of an array is ambiguous", "use np.any or np.all, or compare one element")
    t = scalar_type(b, value, "a condition")
    return value if t.kind == "b" else Value(types.bool_, (casts.nonzero(b, b.ir(value), t),))

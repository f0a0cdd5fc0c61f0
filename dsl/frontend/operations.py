"""`Function`: one operation on numbers, in two faces, the type of its result and its MLIR; and `scalar_call`, which
applies it.

Operators, casts and the functions of `math` and NumPy are all Functions, so that all of them work on scalars, on arrays
(elementwise, fused) and on constants (folded) by one mechanism. A Function sees scalar `Value`s only; `result` may
look at the types and the constants of its arguments, never at their MLIR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir

from .. import types
from .values import UNKNOWN, Builder, Value

Result = Callable[[Builder, Sequence[Value]], types.Scalar]
Emit = Callable[[Builder, Sequence[Value], types.Scalar], ir.Value]


class Function:
    """An operation on numbers. `fold` is the Python function that computes it on constants, if there is one."""

    __slots__ = ("emit", "fold", "name", "result")

    def __init__(self, name: str, result: Result, emit: Emit, fold: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.result = result
        self.emit = emit
        self.fold = fold


def scalar_call(b: Builder, function: Function, args: Sequence[Value]) -> Value:
    """Apply a function to scalars: at once where all of them are constants, else by emitting it."""
    type_ = function.result(b, args)
    if function.fold is not None and all(a.known and type(a.const) in (bool, int, float, complex) for a in args):
        folded = fold_constants(function.fold, [a.const for a in args], type_)
        if folded is not UNKNOWN:
            return Value(type_, const=folded)
    return Value(type_, (function.emit(b, args, type_),))


def fold_constants(fold: Callable[..., Any], args: list[Any], type_: types.Scalar) -> Any:
    """The constant that the function gives in its result type;

    UNKNOWN where it fails or rounds otherwise at run time.
    """
    if type_.kind in "fc" and not (type_.weak or type_.bits == (64 if type_.kind == "f" else 128)):
        return UNKNOWN
    try:
        value = fold(*args)
    except (ArithmeticError, ValueError, TypeError):
        return UNKNOWN  # outside of the function's domain, NumPy's answer is computed at run time
    kind = {bool: "b", int: "i", float: "f", complex: "c"}.get(type(value))
    if kind == type_.kind or (kind == "i" and type_.kind == "u"):
        return value
    if kind in ("b", "i") and type_.kind == "f":
        return float(value)
    return UNKNOWN

"""Arithmetic in f32 and f64. What the machine approximates is computed in f64 and rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .. import types
from ..arithmetic import exact
from ..forms import Alu, Binder, Form, Step, form
from ..syntax import Instruction

if TYPE_CHECKING:
    from ..operands import Scope

F8 = np.float64


def shaped(f: Form, function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """With what `.ftz` and `.sat` of the form do around the function."""
    if f.ftz:
        inner = function

        def flushing(*operands: np.ndarray) -> np.ndarray:
            return exact.flush(inner(*[exact.flush(x) for x in operands]))

        function = flushing
    if f.sat:
        unbounded = function
        return lambda *operands: exact.saturate(unbounded(*operands))
    return function


@form("add{.rnd}{.ftz}{.sat}.f32", "add{.rnd}.f64")
@form("sub{.rnd}{.ftz}{.sat}.f32", "sub{.rnd}.f64")
@form("mul{.rnd}{.ftz}{.sat}.f32", "mul{.rnd}.f64")
def arithmetic(f: Form) -> Alu:
    make = {"add": exact.add, "sub": exact.subtract, "mul": exact.multiply}[f.opcode.split(".")[0]]
    type = f.opcode.split(".")[-1]
    return Alu(type, (type, type), shaped(f, make(f.rnd or "rn")))


@form("fma.rnd{.ftz}{.sat}.f32", "fma.rnd.f64", "mad.rnd{.ftz}{.sat}.f32", "mad.rnd.f64")
def fused(f: Form) -> Alu:
    type = f.opcode.split(".")[-1]
    return Alu(type, (type,) * 3, shaped(f, exact.fma(type, f.rnd)))


@form("div.rnd{.ftz}.f32", "div.rnd.f64")
def div(f: Form) -> Alu:
    type = f.opcode.split(".")[-1]
    return Alu(type, (type, type), shaped(f, exact.divide(f.rnd)))


@form("div.approx{.ftz}.f32", "div.full{.ftz}.f32")
def div_approximate(f: Form) -> Alu:
    return Alu("f32", ("f32", "f32"), shaped(f, np.divide))


@form("sqrt.rnd{.ftz}.f32", "sqrt.rnd.f64")
def sqrt(f: Form) -> Alu:
    type = f.opcode.split(".")[-1]
    return Alu(type, (type,), shaped(f, exact.square_root(f.rnd)))


@form("rcp.rnd{.ftz}.f32", "rcp.rnd.f64")
def rcp(f: Form) -> Alu:
    type = f.opcode.split(".")[-1]
    divide, one = exact.divide(f.rnd), np.ones(1, types.dtype(type))
    return Alu(type, (type,), shaped(f, lambda a: divide(one, a)))


APPROXIMATE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "rcp": lambda x: 1 / x,
    "ex2": np.exp2,
    "lg2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
}


@form("sqrt.approx{.ftz}.f32", "rsqrt.approx{.ftz}.f32", "rcp.approx{.ftz}.f32", "ex2.approx{.ftz}.f32")
@form("lg2.approx{.ftz}.f32", "sin.approx{.ftz}.f32", "cos.approx{.ftz}.f32", "tanh.approx.f32")
def approximate(f: Form) -> Alu:
    function = APPROXIMATE[f.opcode.split(".")[0]]
    return Alu("f32", ("f32",), shaped(f, lambda a: function(a.astype(F8)).astype(np.float32)))


@form("rsqrt.approx.f64")
def rsqrt(f: Form) -> Alu:
    return Alu("f64", ("f64",), lambda a: 1 / np.sqrt(a))


@form("rcp.approx.ftz.f64", "rsqrt.approx.ftz.f64")
def gross(f: Form) -> Alu:
    """The start of an iteration: only the upper 32 bits are given, and only they are read."""
    function = APPROXIMATE[f.opcode.split(".")[0]]
    upper = np.uint64(0xFFFFFFFF00000000)

    def top(x: np.ndarray) -> np.ndarray:
        return (np.ascontiguousarray(x).view(np.uint64) & upper).view(F8)

    return Alu("f64", ("f64",), lambda a: top(exact.flush(function(exact.flush(top(a))))))


@form("neg{.ftz}.f32", "neg.f64", "abs{.ftz}.f32", "abs.f64")
def sign(f: Form) -> Alu:
    type = f.opcode.split(".")[-1]
    return Alu(type, (type,), shaped(f, np.negative if f.opcode.startswith("neg") else np.abs))


def extremum(name: str, nan: str, xor_sign: str = "", magnitude: str = "") -> Callable[..., np.ndarray]:
    """min or max of two or more: a NaN counts only if all are, or with .NaN if any is; -0 is less than +0."""
    least = name == "min"

    def two(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        x, y = (np.abs(a), np.abs(b)) if magnitude else (a, b)
        first = (x < y) if least else (x > y)
        first |= (x == y) & (np.signbit(x) if least else ~np.signbit(x))
        result = np.where(first, x, y)
        result = np.where(np.isnan(x), y, np.where(np.isnan(y), x, result))
        if nan:
            result = np.where(np.isnan(x) | np.isnan(y), a.dtype.type(np.nan), result)
        if xor_sign:
            result = np.copysign(result, np.where(np.signbit(a) ^ np.signbit(b), a.dtype.type(-1), a.dtype.type(1)))
        return result

    def all_of(*operands: np.ndarray) -> np.ndarray:
        result = operands[0]
        for operand in operands[1:]:
            result = two(result, operand)
        return result

    return all_of


@form("min{.ftz}{.NaN}.xorsign.abs.f32", "max{.ftz}{.NaN}.xorsign.abs.f32", "min.f64", "max.f64")
def min_max(f: Form) -> Alu:
    type = f.opcode.split(".")[-1]
    return Alu(type, (type, type), shaped(f, extremum(f.opcode[:3], f.NaN, f.xorsign, f.abs)))


@form("min{.ftz}{.NaN}{.abs}.f32", "max{.ftz}{.NaN}{.abs}.f32")
def min_max_of_two_or_three(f: Form) -> Binder:
    function = shaped(f, extremum(f.opcode[:3], f.NaN, magnitude=f.abs))

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(3, 4)
        return Alu("f32", ("f32",) * (len(instruction.operands) - 1), function)(instruction, scope)

    return bind


@form("copysign.type", type="f32 f64")
def copysign(f: Form) -> Alu:
    """The sign of the first operand on the second one."""
    return Alu(f.type, (f.type, f.type), lambda a, b: np.copysign(b, a))


@form("testp.op.type", op="finite infinite number notanumber normal subnormal", type="f32 f64")
def testp(f: Form) -> Alu:
    tiny = np.finfo(types.dtype(f.type)).tiny
    test: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "finite": np.isfinite,
        "infinite": np.isinf,
        "number": lambda a: ~np.isnan(a),
        "notanumber": np.isnan,
        "normal": lambda a: np.isfinite(a) & (np.abs(a) >= tiny),
        "subnormal": lambda a: (np.abs(a) < tiny) & (a != 0),
    }
    return Alu("pred", (f.type,), test[f.op])

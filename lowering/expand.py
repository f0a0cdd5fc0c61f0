"""Rewrites the operations that upstream's conversion to LLVM has not, or has with a loss, in terms of others.

Takes a module of upstream dialects, leaves one in which `convert-to-llvm` finds a good lowering for every arith, math
and complex operation:

- Functions of `math` become calls of the C library by name (not LLVM intrinsics: only a declared function can carry its
  vector variants, see `vector_math`). 16-bit floats are computed in 32 bits.
- Predicates, integer functions and rounding conversions become a few arith operations.

One table, `RULES`: the operation's name and the function that emits its replacement. Those of `complex` are in
`complex_rules`, those of `vector` in `vector_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product

from mlir.ir import (
    Attribute,
    F32Type,
    F64Type,
    IntegerType,
    Module,
    Operation,
    Type,
    Value,
    VectorType,
    WalkResult,
)

from .complex_rules import COMPLEX_RULES
from .rewriting import Builder, Rule, element_of, functions, symbol_name, with_element
from .vector_rules import VECTOR_RULES

# math operation -> C function for double; the one for float has an "f" behind. What LLVM has as an instruction or
# expands well (sqrt, fma, floor, fabs, ...) is not here: convert-to-llvm makes intrinsics of it.
LIBM = {
    "math.acos": "acos", "math.acosh": "acosh", "math.asin": "asin", "math.asinh": "asinh", "math.atan": "atan",
    "math.atan2": "atan2", "math.atanh": "atanh", "math.cbrt": "cbrt", "math.cos": "cos", "math.cosh": "cosh",
    "math.erf": "erf", "math.erfc": "erfc", "math.exp": "exp", "math.exp2": "exp2", "math.expm1": "expm1",
    "math.log": "log", "math.log10": "log10", "math.log1p": "log1p", "math.log2": "log2", "math.powf": "pow",
    "math.sin": "sin", "math.sinh": "sinh", "math.tan": "tan", "math.tanh": "tanh",
}  # fmt: skip


def _each_element(b: Builder, type: Type, operands: Sequence[Value], emit: Callable[..., Value]) -> Value:
    """`emit` on scalars; for vectors on each element in turn."""
    if not isinstance(type, VectorType):
        return emit(*operands)
    result = b.constant(type, 0.0)
    for place in product(*map(range, VectorType(type).shape)):
        at = Attribute.parse(f"array<i64: {', '.join(map(str, place))}>")
        parts = [b.op("vector.extract", element_of(operand.type), operand, static_position=at) for operand in operands]
        result = b.op("vector.insert", type, emit(*parts), result, static_position=at)
    return result


def _libm(name: str) -> Callable[[Builder, Operation], list[Value]]:
    """A call of the C function for double or float; narrower floats are widened to float and rounded back."""

    def scalar(b: Builder, *operands: Value) -> Value:
        type = operands[0].type
        if isinstance(type, F64Type):
            return b.call(name, type, *operands)
        single = F32Type.get()
        if type == single:
            return b.call(name + "f", type, *operands)
        wide = [_widen(b, operand, single) for operand in operands]
        return _round(b, b.call(name + "f", single, *wide), type)

    def rule(b: Builder, op: Operation) -> list[Value]:
        return [_each_element(b, op.results[0].type, list(op.operands), lambda *parts: scalar(b, *parts))]

    return rule


def _sincos(b: Builder, op: Operation) -> Sequence[Value]:
    return [*_libm("sin")(b, op), *_libm("cos")(b, op)]


def _is_nan(b: Builder, op: Operation) -> Sequence[Value]:
    return [b.compare("uno", op.operands[0], op.operands[0])]


def _is_inf(b: Builder, op: Operation) -> Sequence[Value]:
    x = op.operands[0]
    return [b.compare("oeq", b.same("math.absf", x), b.constant(x.type, float("inf")))]


def _is_finite(b: Builder, op: Operation) -> Sequence[Value]:
    x = op.operands[0]
    return [b.compare("one", b.same("math.absf", x), b.constant(x.type, float("inf")))]


def _is_normal(b: Builder, op: Operation) -> Sequence[Value]:
    x = op.operands[0]
    smallest = {"f64": 2.0**-1022, "f32": 2.0**-126, "bf16": 2.0**-126, "f16": 2.0**-14}[str(element_of(x.type))]
    size = b.same("math.absf", x)
    below = b.compare("one", size, b.constant(x.type, float("inf")))
    above = b.compare("oge", size, b.constant(x.type, smallest))
    return [b.same("arith.andi", below, above)]


def _clamp(b: Builder, op: Operation) -> Sequence[Value]:
    type = op.results[0].type
    narrow = str(element_of(type)) == "bf16"
    wide = with_element(type, F32Type.get()) if narrow else type
    x, low, high = [_widen(b, v, wide) if narrow else v for v in op.operands]
    result = b.same("arith.minimumf", b.same("arith.maximumf", x, low), high)
    return [_round(b, result, type) if narrow else result]


def _floor_divide(b: Builder, op: Operation) -> Sequence[Value]:
    """Truncating division, less one where the remainder is not zero and its sign is not the divisor's."""
    x, y = op.operands
    zero = b.constant(x.type, 0)
    quotient, rest = b.same("arith.divsi", x, y), b.same("arith.remsi", x, y)
    differ = b.compare("slt", b.same("arith.xori", rest, y), zero)
    down = b.same("arith.andi", b.compare("ne", rest, zero), differ)
    return [b.select(down, b.same("arith.subi", quotient, b.constant(x.type, 1)), quotient)]


def _ceil_divide(b: Builder, op: Operation) -> Sequence[Value]:
    """Truncating division, and one more where the remainder is not zero and its sign is the divisor's."""
    x, y = op.operands
    zero = b.constant(x.type, 0)
    quotient, rest = b.same("arith.divsi", x, y), b.same("arith.remsi", x, y)
    same = b.compare("sge", b.same("arith.xori", rest, y), zero)
    up = b.same("arith.andi", b.compare("ne", rest, zero), same)
    return [b.select(up, b.same("arith.addi", quotient, b.constant(x.type, 1)), quotient)]


def _ceil_divide_unsigned(b: Builder, op: Operation) -> Sequence[Value]:
    x, y = op.operands
    quotient, rest = b.same("arith.divui", x, y), b.same("arith.remui", x, y)
    more = b.compare("ne", rest, b.constant(x.type, 0))
    return [b.select(more, b.same("arith.addi", quotient, b.constant(x.type, 1)), quotient)]


def _through_i64(b: Builder, op: Operation) -> Sequence[Value] | None:
    """The same operation on i64, for those that upstream has for integers but not for `index`."""
    if str(op.results[0].type) != "index":
        return None
    wide = IntegerType.get_signless(64)
    operands = [b.op("arith.index_cast", wide, operand) for operand in op.operands]
    return [b.op("arith.index_cast", op.results[0].type, b.op(op.name, wide, *operands))]


def _add_with_carry(b: Builder, op: Operation) -> Sequence[Value] | None:
    """Upstream lowers the pair for integers, but not for `index`."""
    if str(op.results[0].type) != "index":
        return None
    x, y = op.operands
    total = b.same("arith.addi", x, y)
    return [total, b.compare("ult", total, x)]


def _bits(type: Type) -> Type:
    width = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16}[str(element_of(type))]
    return with_element(type, IntegerType.get_signless(width))


def _round_to_odd(b: Builder, x: Value) -> Value:
    """double to float, cut off, with the last bit set if anything was lost: rounding it once more is then exact."""
    single = with_element(x.type, F32Type.get())
    word = _bits(single)
    near = b.op("arith.truncf", single, x)
    back = b.op("arith.extf", x.type, near)
    bits = b.op("arith.bitcast", word, near)
    one = b.constant(word, 1)
    beyond = b.compare("ogt", b.same("math.absf", back), b.same("math.absf", x))
    cut = b.select(beyond, b.same("arith.subi", bits, one), bits)
    inexact = b.compare("one", back, x)  # false for NaN, which stays as it is
    return b.op("arith.bitcast", single, b.select(inexact, b.same("arith.ori", cut, one), bits))


def _round(b: Builder, x: Value, type: Type) -> Value:
    """`x`, f32 or f64, rounded to nearest even in `type`, without the helper functions of compiler libraries."""
    target, source = str(element_of(type)), str(element_of(x.type))
    if source == "f64" and target in ("f16", "bf16"):
        x = _round_to_odd(b, x)
    if target != "bf16":
        return b.op("arith.truncf", type, x)
    word, half = _bits(x.type), _bits(type)
    bits = b.op("arith.bitcast", word, x)
    sixteen, one = b.constant(word, 16), b.constant(word, 1)
    odd = b.same("arith.andi", b.same("arith.shrui", bits, sixteen), one)
    up = b.same("arith.addi", bits, b.same("arith.addi", odd, b.constant(word, 0x7FFF)))
    quiet = b.same("arith.ori", bits, b.constant(word, 0x400000))
    kept = b.select(b.compare("uno", x, x), quiet, up)
    return b.op("arith.bitcast", type, b.op("arith.trunci", half, b.same("arith.shrui", kept, sixteen)))


def _truncf(b: Builder, op: Operation) -> Sequence[Value] | None:
    target, source = str(element_of(op.results[0].type)), str(element_of(op.operands[0].type))
    if target == "bf16" or (target, source) == ("f16", "f64"):
        return [_round(b, op.operands[0], op.results[0].type)]
    return None


def _widen(b: Builder, x: Value, type: Type) -> Value:
    """`x` in a wider float type. bfloat16 by its bits: seeing it as a float, LLVM would compute in it again."""
    if str(element_of(x.type)) != "bf16":
        return b.op("arith.extf", type, x)
    single = with_element(x.type, F32Type.get())
    word = _bits(single)
    bits = b.op("arith.extui", word, b.op("arith.bitcast", _bits(x.type), x))
    value = b.op("arith.bitcast", single, b.same("arith.shli", bits, b.constant(word, 16)))
    return value if type == single else b.op("arith.extf", type, value)


def _extf(b: Builder, op: Operation) -> Sequence[Value] | None:
    if str(element_of(op.operands[0].type)) != "bf16":
        return None
    return [_widen(b, op.operands[0], op.results[0].type)]


def _widened(b: Builder, op: Operation) -> Sequence[Value] | None:
    """Operations that LLVM has not for narrow floats, computed in wider ones and rounded once."""
    type = op.results[0].type
    element = str(element_of(type))
    if element not in _NARROW_WITHOUT.get(op.name, ("bf16",)):
        return None
    wide = with_element(type, F64Type.get() if op.name == "math.fma" else F32Type.get())
    operands = [_widen(b, v, wide) if v.type == type else v for v in op.operands]
    return [_round(b, b.op(op.name, wide, *operands), type)]


# The types for which an operation is widened, where it is not bfloat16 alone.
_NARROW_WITHOUT = {"math.fma": ("bf16", "f16"), "math.fpowi": ("bf16", "f16")}
_WIDENED = (
    "math.ceil", "math.floor", "math.fma", "math.fpowi", "math.round", "math.roundeven", "math.rsqrt", "math.sqrt",
    "math.trunc", "arith.maximumf", "arith.minimumf", "arith.maxnumf", "arith.minnumf",
)  # fmt: skip

RULES: dict[str, Rule] = {
    **COMPLEX_RULES,
    **VECTOR_RULES,
    **{name: _libm(function) for name, function in LIBM.items()},
    **dict.fromkeys(_WIDENED, _widened),
    "math.sincos": _sincos,
    "math.isnan": _is_nan,
    "math.isinf": _is_inf,
    "math.isfinite": _is_finite,
    "math.isnormal": _is_normal,
    "math.clampf": _clamp,
    "math.absi": _through_i64,
    "math.ctlz": _through_i64,
    "math.cttz": _through_i64,
    "math.ctpop": _through_i64,
    "math.ipowi": _through_i64,
    "arith.addui_extended": _add_with_carry,
    "arith.floordivsi": _floor_divide,
    "arith.ceildivsi": _ceil_divide,
    "arith.ceildivui": _ceil_divide_unsigned,
    "arith.truncf": _truncf,
    "arith.extf": _extf,
}
# Rules that only concern narrow floats need not be looked for where there are none.
_MENTION = re.compile("|".join(rf"{re.escape(name)}\b" for name in RULES if name not in _WIDENED) + r"|f16\b")


def expand(module: Module, text: str) -> None:
    """Apply RULES everywhere. `text`, the module's own, is looked at first: most kernels need few rules or none."""
    if not _MENTION.search(text):
        return
    found: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if op.name in RULES:
            found.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    declared = {symbol_name(op): op for op in functions(module)}
    for op in found:
        values = RULES[op.name](Builder(op, declared, module.body), op)
        if values is not None:
            for result, value in zip(op.results, values):
                result.replace_all_uses_with(value)
            op.erase()

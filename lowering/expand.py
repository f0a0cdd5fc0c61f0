"""Rewrites the operations that upstream's conversion to LLVM has not, or has with a loss, in terms of others.

Takes a module of upstream dialects, leaves one in which `convert-to-llvm` finds a good lowering for every arith, math
and complex operation:

- Functions of `math` and `complex` become calls of the C library by name (not LLVM intrinsics: only a declared function
  can carry its vector variants, see `vector_math`). 16-bit floats are computed in 32 bits, single complex in double.
- Predicates, integer functions and rounding conversions become a few arith operations.

One table, `RULES`: the operation's name and the function that emits its replacement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from mlir.ir import (
    Attribute,
    ComplexType,
    F32Type,
    F64Type,
    FlatSymbolRefAttr,
    FloatAttr,
    FunctionType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Location,
    Module,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    Value,
    VectorType,
    WalkResult,
)

from .errors import LoweringError, position

# math operation -> C function for double; the one for float has an "f" behind. What LLVM has as an instruction or
# expands well (sqrt, fma, floor, fabs, ...) is not here: convert-to-llvm makes intrinsics of it.
LIBM = {
    "math.acos": "acos", "math.acosh": "acosh", "math.asin": "asin", "math.asinh": "asinh", "math.atan": "atan",
    "math.atan2": "atan2", "math.atanh": "atanh", "math.cbrt": "cbrt", "math.cos": "cos", "math.cosh": "cosh",
    "math.erf": "erf", "math.erfc": "erfc", "math.exp": "exp", "math.exp2": "exp2", "math.expm1": "expm1",
    "math.log": "log", "math.log10": "log10", "math.log1p": "log1p", "math.log2": "log2", "math.powf": "pow",
    "math.sin": "sin", "math.sinh": "sinh", "math.tan": "tan", "math.tanh": "tanh",
}  # fmt: skip
# complex operation -> C function for double complex. C passes two doubles, as LLVM passes the pair that MLIR makes;
# for float complex the two differ, so single precision goes through double.
COMPLEX_LIBM = {
    "complex.cos": "ccos", "complex.exp": "cexp", "complex.log": "clog", "complex.pow": "cpow", "complex.sin": "csin",
    "complex.sqrt": "csqrt", "complex.tan": "ctan", "complex.tanh": "ctanh",
}  # fmt: skip
# Predicates of arith.cmpi and arith.cmpf by name.
_INT = {"eq": 0, "ne": 1, "slt": 2, "sle": 3, "sgt": 4, "sge": 5, "ult": 6, "ule": 7, "ugt": 8, "uge": 9}
_FLOAT = {"oeq": 1, "ogt": 2, "oge": 3, "olt": 4, "ole": 5, "one": 6, "ord": 7, "uno": 14}


class Builder:
    """Emits operations before one that is being replaced, at its location."""

    def __init__(self, op: Operation, functions: dict[str, Operation], body: Any):
        self.ip, self.loc = InsertionPoint(op), op.location
        self.functions, self.body = functions, body

    def op(self, name: str, type: Type, *operands: Value, **attributes: Attribute) -> Value:
        created = Operation.create(
            name, results=[type], operands=list(operands), attributes=attributes, loc=self.loc, ip=self.ip
        )
        return created.results[0]

    def same(self, name: str, *operands: Value) -> Value:
        """An operation whose result has the type of its first operand."""
        return self.op(name, operands[0].type, *operands)

    def constant(self, type: Type, value: float) -> Value:
        """A number, of an integer, index or float type or a vector of them."""
        element = VectorType(type).element_type if isinstance(type, VectorType) else type
        text = f"{int(value)}" if _is_integer(element) else _float_text(value, element)
        text = f"dense<{text}> : {type}" if element != type else f"{text} : {type}"
        return self.op("arith.constant", type, value=Attribute.parse(text))

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        integers = _is_integer(_element(a.type))
        table, name = (_INT, "arith.cmpi") if integers else (_FLOAT, "arith.cmpf")
        code = IntegerAttr.get(IntegerType.get_signless(64), table[predicate])
        return self.op(name, _with_element(a.type, IntegerType.get_signless(1)), a, b, predicate=code)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        return self.op("arith.select", yes.type, condition, yes, no)

    def call(self, function: str, type: Type, *operands: Value) -> Value:
        """A call of a C function, declared on its first use."""
        if function not in self.functions:
            signature = FunctionType.get([operand.type for operand in operands], [type])
            attributes = {
                "sym_name": StringAttr.get(function),
                "function_type": TypeAttr.get(signature),
                "sym_visibility": StringAttr.get("private"),
            }
            self.functions[function] = Operation.create(
                "func.func", attributes=attributes, regions=1, loc=Location.unknown(), ip=InsertionPoint(self.body)
            )
        return self.op("func.call", type, *operands, callee=FlatSymbolRefAttr.get(function))


Rule = Callable[[Builder, Operation], Sequence[Value]]


def _is_integer(type: Type) -> bool:
    return str(type) == "index" or isinstance(type, IntegerType)


def _element(type: Type) -> Type:
    return VectorType(type).element_type if isinstance(type, VectorType) else type


def _with_element(type: Type, element: Type) -> Type:
    """The vector type of the same shape with another element, or that element for a scalar."""
    return VectorType.get(VectorType(type).shape, element) if isinstance(type, VectorType) else element


def _float_text(value: float, type: Type) -> str:
    return str(FloatAttr.get(type, value)).split(" : ")[0]


def _each_element(b: Builder, type: Type, operands: Sequence[Value], emit: Callable[..., Value]) -> Value:
    """`emit` on scalars; for vectors on each element in turn."""
    if not isinstance(type, VectorType):
        return emit(*operands)
    element = VectorType(type).element_type
    result = b.constant(type, 0.0)
    for place in product(*map(range, VectorType(type).shape)):
        at = Attribute.parse(f"array<i64: {', '.join(map(str, place))}>")
        parts = [b.op("vector.extract", _element(operand.type), operand, static_position=at) for operand in operands]
        result = b.op("vector.insert", type, emit(*parts), result, static_position=at)
        assert _element(type) == element
    return result


def _libm(name: str) -> Rule:
    """A call of the C function for double or float; narrower floats are widened to float and rounded back."""

    def scalar(b: Builder, *operands: Value) -> Value:
        type = operands[0].type
        if isinstance(type, F64Type):
            return b.call(name, type, *operands)
        single = F32Type.get()
        if type == single:
            return b.call(name + "f", type, *operands)
        wide = [b.op("arith.extf", single, operand) for operand in operands]
        return _round(b, b.call(name + "f", single, *wide), type)

    def rule(b: Builder, op: Operation) -> Sequence[Value]:
        return [_each_element(b, op.results[0].type, list(op.operands), lambda *parts: scalar(b, *parts))]

    return rule


def _sincos(b: Builder, op: Operation) -> Sequence[Value]:
    return [*_libm("sin")(b, op), *_libm("cos")(b, op)]


def _parts(b: Builder, value: Value) -> tuple[Value, Value]:
    """Real and imaginary part as double (half precision and its like stay as they are: refused by the caller)."""
    element = ComplexType(value.type).element_type
    real, imag = b.op("complex.re", element, value), b.op("complex.im", element, value)
    if element == F32Type.get():
        double = F64Type.get()
        return b.op("arith.extf", double, real), b.op("arith.extf", double, imag)
    return real, imag


def _narrow(b: Builder, value: Value, element: Type) -> Value:
    return b.op("arith.truncf", element, value) if element == F32Type.get() else value


def _complex_element(op: Operation) -> Type:
    element = ComplexType(op.operands[0].type).element_type
    if element != F32Type.get() and not isinstance(element, F64Type):
        raise LoweringError(
            f"{op.name} on {op.operands[0].type}", position(op.location), "use complex numbers of float32 or float64"
        )
    return element


def _complex_libm(name: str) -> Rule:
    def rule(b: Builder, op: Operation) -> Sequence[Value]:
        element = _complex_element(op)
        double = ComplexType.get(F64Type.get())
        wide = [b.op("complex.create", double, *_parts(b, operand)) for operand in op.operands]
        result = b.call(name, double, *wide)
        real, imag = _parts(b, result)
        return [b.op("complex.create", op.results[0].type, _narrow(b, real, element), _narrow(b, imag, element))]

    return rule


def _complex_to_real(name: str, swap: bool) -> Rule:
    """A real function of both parts: the absolute value and the angle."""

    def rule(b: Builder, op: Operation) -> Sequence[Value]:
        element = _complex_element(op)
        real, imag = _parts(b, op.operands[0])
        pair = (imag, real) if swap else (real, imag)
        return [_narrow(b, b.call(name, F64Type.get(), *pair), element)]

    return rule


def _conj(b: Builder, op: Operation) -> Sequence[Value]:
    value = op.operands[0]
    element = ComplexType(value.type).element_type
    imag = b.same("arith.negf", b.op("complex.im", element, value))
    return [b.op("complex.create", value.type, b.op("complex.re", element, value), imag)]


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
    smallest = {"f64": 2.0**-1022, "f32": 2.0**-126, "bf16": 2.0**-126, "f16": 2.0**-14}[str(_element(x.type))]
    size = b.same("math.absf", x)
    below = b.compare("one", size, b.constant(x.type, float("inf")))
    above = b.compare("oge", size, b.constant(x.type, smallest))
    return [b.same("arith.andi", below, above)]


def _clamp(b: Builder, op: Operation) -> Sequence[Value]:
    x, low, high = op.operands
    return [b.same("arith.minimumf", b.same("arith.maximumf", x, low), high)]


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


def _bits(type: Type) -> Type:
    width = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16}[str(_element(type))]
    return _with_element(type, IntegerType.get_signless(width))


def _round_to_odd(b: Builder, x: Value) -> Value:
    """double to float, cut off, with the last bit set if anything was lost: rounding it once more is then exact."""
    single = _with_element(x.type, F32Type.get())
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
    target, source = str(_element(type)), str(_element(x.type))
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
    target, source = str(_element(op.results[0].type)), str(_element(op.operands[0].type))
    if target == "bf16" or (target, source) == ("f16", "f64"):
        return [_round(b, op.operands[0], op.results[0].type)]
    return None


RULES: dict[str, Callable[[Builder, Operation], Sequence[Value] | None]] = {
    **{name: _libm(function) for name, function in LIBM.items()},
    **{name: _complex_libm(function) for name, function in COMPLEX_LIBM.items()},
    "complex.abs": _complex_to_real("hypot", swap=False),
    "complex.angle": _complex_to_real("atan2", swap=True),
    "complex.conj": _conj,
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
    "arith.floordivsi": _floor_divide,
    "arith.ceildivsi": _ceil_divide,
    "arith.ceildivui": _ceil_divide_unsigned,
    "arith.truncf": _truncf,
}
_MENTION = re.compile("|".join(re.escape(name) + r"\b" for name in RULES))


def expand(module: Module, text: str) -> None:
    """Apply RULES everywhere. `text`, the module's own, is looked at first: most kernels need few rules or none."""
    if not _MENTION.search(text):
        return
    found: list[Operation] = []
    functions: dict[str, Operation] = {}

    def visit(op: Operation) -> WalkResult:
        if op.name in RULES:
            found.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in module.body.operations:
        if op.operation.name == "func.func":
            functions[StringAttr(op.attributes["sym_name"]).value] = op.operation
    for op in found:
        values = RULES[op.name](Builder(op, functions, module.body), op)
        if values is not None:
            for result, value in zip(op.results, values):
                result.replace_all_uses_with(value)
            op.erase()

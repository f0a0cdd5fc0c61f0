"""Sine and cosine of one number, computed together.

The derivative of a sine is a cosine of the same number, so most loops that need one need the other. A library computes
each with its own reduction of the argument; here they share it, and both polynomials are evaluated anyway, since the
quadrant decides which of them is which.

`pair` takes a module with math.sin and math.cos, and leaves calls of one function in place of two of the same number in
one block. `definitions` is that function in LLVM IR: a scalar one, by the C library, and vector versions for LLVM's
vectoriser. These subtract multiples of π/2 in three parts; results are within 1.5 units in the last place. Numbers too
large for that, and infinities, go to the C library one by one. The order of the operations matters: the text must not
get the flags of the user's arithmetic.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence

from mlir.ir import (
    F64Type,
    FlatSymbolRefAttr,
    FunctionType,
    InsertionPoint,
    Location,
    Module,
    Operation,
    StringAttr,
    TypeAttr,
    WalkResult,
)

NAME = "dsl.sincos"
# The declaration that the definitions take the place of, and any: there may be one of a function only.
_PLACEHOLDER = re.compile(rf"^declare [^\n]*@{re.escape(NAME)}\([^\n]*\n", re.M)
_DECLARE = re.compile(r"^declare [^\n]*?@([^\s(]+)\([^\n]*\n", re.M)
_HALVES = {"math.sin": 0, "math.cos": 1}

# π/2 in three parts, rounded down so that all are positive; 2/π.
_PARTS = tuple(map(float.fromhex, ("0x1.921fb54442d18p+0", "0x1.1a62633145c06p-54", "0x1.c1cd129024e09p-107")))
_QUARTERS = float.fromhex("0x1.45f306dc9c883p-1")
# Added to a number, this leaves the nearest integer in the last bits.
_ROUND = 1.5 * 2.0**52
# Up to here, subtracting multiples of the first part loses nothing, and what the three parts leave out is not seen.
_LARGEST = 2.0**28
# sin r = r + r³ S(r²) and cos r = 1 + r² C(r²) for |r| <= π/4, from the constant upwards: interpolated at Chebyshev's
# points.
_SINE = (
    -0.16666666666666666, 0.008333333333330948, -0.00019841269836758538, 2.755731610253375e-06,
    -2.5051131841108444e-08, 1.5918129014234338e-10,
)  # fmt: skip
_COSINE = (
    -0.5, 0.041666666666666664, -0.0013888888888887398, 2.4801587298765665e-05, -2.75573172717181e-07,
    2.0876146265966424e-09, -1.1382632249960623e-11,
)  # fmt: skip


def pair(module: Module, text: str) -> bool:
    """Compute sines and cosines of one f64 together; whether there are any. `text`, the module's own, is looked at
    first.
    """
    if not all(name in text for name in _HALVES):
        return False
    found: dict[object, list[Operation]] = {}

    def visit(op: Operation) -> WalkResult:
        if op.name in _HALVES and isinstance(op.operands[0].type, F64Type):
            found.setdefault((op.block, op.operands[0]), []).append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    pairs = [ops for ops in found.values() if {op.name for op in ops} == _HALVES.keys()]
    for ops in pairs:
        call = Operation.create(
            "func.call",
            [F64Type.get()] * 2,
            [ops[0].operands[0]],
            {"callee": FlatSymbolRefAttr.get(NAME)},
            loc=ops[0].location,
            ip=InsertionPoint(ops[0]),
        )
        for op in ops:
            op.results[0].replace_all_uses_with(call.results[_HALVES[op.name]])
            op.erase()
    if pairs:
        attributes = {
            "sym_name": StringAttr.get(NAME),
            "function_type": TypeAttr.get(FunctionType.get([F64Type.get()], [F64Type.get()] * 2)),
            "sym_visibility": StringAttr.get("private"),
        }
        ip = InsertionPoint(module.body)
        Operation.create("func.func", [], [], attributes, regions=1, loc=Location.unknown(), ip=ip)
    return bool(pairs)


def names(lanes: Sequence[int]) -> list[str]:
    """The functions that `definitions` defines."""
    return [NAME, *(f"{NAME}.{n}" for n in lanes)]


def define(ir: str, lanes: Sequence[int]) -> str:
    """A module's LLVM IR with the function in it, and versions of so many lanes."""
    versions = ",".join(f"_ZGV_LLVM_N{n}v_{NAME}({NAME}.{n})" for n in lanes)
    added = _SCALAR.replace("#versions", versions) + "".join(map(_vector, lanes))
    there = {declared[1] for declared in _DECLARE.finditer(ir)}
    added = _DECLARE.sub(lambda declared: "" if declared[1] in there else declared[0], added)
    return _PLACEHOLDER.sub("", ir) + added


# Not to be inlined before loops are made vector code. It has no effects and always returns.
_FLAGS = "noinline nounwind willreturn nofree nosync nocallback speculatable memory(none)"
_SCALAR = f"""
declare double @llvm.sin.f64(double)
declare double @llvm.cos.f64(double)
define internal {{ double, double }} @{NAME}(double %x) {_FLAGS} "vector-function-abi-variant"="#versions" {{
  %sin = call double @llvm.sin.f64(double %x)
  %cos = call double @llvm.cos.f64(double %x)
  %half = insertvalue {{ double, double }} poison, double %sin, 0
  %both = insertvalue {{ double, double }} %half, double %cos, 1
  ret {{ double, double }} %both
}}
"""


def _vector(lanes: int) -> str:
    """The version for vectors of so many lanes.

    The argument's size is reduced, and its sign goes to the sine at the end: so -0.0 stays what it is.
    """
    vector, integers = f"<{lanes} x double>", f"<{lanes} x i64>"
    both = f"{{ {vector}, {vector} }}"

    def splat(value: float) -> str:
        return f"splat (double 0x{struct.pack('>d', value).hex().upper()})"

    def fused(result: str, a: str, b: str, c: str) -> str:
        operands = ", ".join(f"{vector} {operand}" for operand in (a, b, c))
        return f"  %{result} = call {vector} @llvm.fma.v{lanes}f64({operands})\n"

    def polynomial(name: str, coefficients: tuple[float, ...]) -> str:
        """%name, by Horner's scheme in %z."""
        *rest, highest = map(splat, coefficients)
        lines, value = "", highest
        for power, coefficient in reversed(list(enumerate(rest))):
            lines += fused(f"{name}.{power}", value, "%z", coefficient)
            value = f"%{name}.{power}"
        return lines

    slow = "".join(
        f"""  %x.{k} = extractelement {vector} %x, i64 {k}
  %both.{k} = call {{ double, double }} @{NAME}(double %x.{k})
  %sin.{k} = extractvalue {{ double, double }} %both.{k}, 0
  %cos.{k} = extractvalue {{ double, double }} %both.{k}, 1
  %sins.{k + 1} = insertelement {vector} {f"%sins.{k}" if k else "poison"}, double %sin.{k}, i64 {k}
  %coss.{k + 1} = insertelement {vector} {f"%coss.{k}" if k else "poison"}, double %cos.{k}, i64 {k}
"""
        for k in range(lanes)
    )
    return f"""
declare {vector} @llvm.fabs.v{lanes}f64({vector})
declare {vector} @llvm.fma.v{lanes}f64({vector}, {vector}, {vector})
declare i1 @llvm.vector.reduce.or.v{lanes}i1(<{lanes} x i1>)
define internal {both} @{NAME}.{lanes}({vector} %x) {_FLAGS} {{
  %size = call {vector} @llvm.fabs.v{lanes}f64({vector} %x)
  %large = fcmp ogt {vector} %size, {splat(_LARGEST)}
  %any = call i1 @llvm.vector.reduce.or.v{lanes}i1(<{lanes} x i1> %large)
  br i1 %any, label %slow, label %fast, !prof !{{!"branch_weights", i32 1, i32 2000}}

fast:
{fused("rounded", "%size", splat(_QUARTERS), splat(_ROUND))}\
  %n = bitcast {vector} %rounded to {integers}
  %count = fsub {vector} %rounded, {splat(_ROUND)}
{fused("r.0", "%count", splat(-_PARTS[0]), "%size")}\
{fused("r.1", "%count", splat(-_PARTS[1]), "%r.0")}\
{fused("r", "%count", splat(-_PARTS[2]), "%r.1")}\
  %z = fmul {vector} %r, %r
  %rz = fmul {vector} %r, %z
{polynomial("s", _SINE)}\
{fused("sine", "%rz", "%s.0", "%r")}\
{polynomial("c", _COSINE)}\
{fused("cosine", "%z", "%c.0", splat(1.0))}\
  %odd = trunc {integers} %n to <{lanes} x i1>
  %sin.size = select <{lanes} x i1> %odd, {vector} %cosine, {vector} %sine
  %cos.size = select <{lanes} x i1> %odd, {vector} %sine, {vector} %cosine
  %next = add {integers} %n, splat (i64 1)
  %sin.turn = shl {integers} %n, splat (i64 62)
  %cos.turn = shl {integers} %next, splat (i64 62)
  %x.bits = bitcast {vector} %x to {integers}
  %sin.both = xor {integers} %sin.turn, %x.bits
  %sin.sign = and {integers} %sin.both, splat (i64 -9223372036854775808)
  %cos.sign = and {integers} %cos.turn, splat (i64 -9223372036854775808)
  %sin.bits = bitcast {vector} %sin.size to {integers}
  %cos.bits = bitcast {vector} %cos.size to {integers}
  %sin.signed = xor {integers} %sin.bits, %sin.sign
  %cos.signed = xor {integers} %cos.bits, %cos.sign
  %sin = bitcast {integers} %sin.signed to {vector}
  %cos = bitcast {integers} %cos.signed to {vector}
  br label %done

slow:
{slow}  br label %done

done:
  %sin.value = phi {vector} [ %sin, %fast ], [ %sins.{lanes}, %slow ]
  %cos.value = phi {vector} [ %cos, %fast ], [ %coss.{lanes}, %slow ]
  %half = insertvalue {both} poison, {vector} %sin.value, 0
  %result = insertvalue {both} %half, {vector} %cos.value, 1
  ret {both} %result
}}
"""

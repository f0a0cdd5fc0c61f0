"""Integer arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import types
from ..arithmetic import integers
from ..forms import Alu, Binder, Form, Step, form
from ..syntax import Instruction

if TYPE_CHECKING:
    from ..operands import Scope
    from ..state import Batch
    from ..threads import Threads

_ALL = "u16 u32 u64 s16 s32 s64"
_CARRIED = "u32 s32 u64 s64"


def _wide(type: str) -> str:
    return f"{type[0]}{16 * types.size(type)}"


def _lanes(function):
    """Apply to 16-bit halves of 32 bits."""

    def packed(a: np.ndarray, b: np.ndarray, dtype: type) -> np.ndarray:
        a, b = np.broadcast_arrays(a, b)
        return function(_split(a, dtype), _split(b, dtype)).astype(dtype).view(np.uint32)[:, 0]

    return packed


def _split(a: np.ndarray, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(a).view(dtype).reshape(-1, 2)


@form("add.type", type=_ALL)
def add(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type), np.add)


@form("sub.type", type=_ALL)
def sub(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type), np.subtract)


@form("add.sat.s32", "sub.sat.s32")
def saturating(f: Form) -> Alu:
    sign = 1 if f.opcode.startswith("add") else -1

    def function(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.clip(a.astype(np.int64) + sign * b.astype(np.int64), -(2**31), 2**31 - 1).astype(np.int32)

    return Alu("s32", ("s32", "s32"), function)


@form("add.pair", "min.pair", "max.pair", pair="u16x2 s16x2")
def packed(f: Form) -> Alu:
    dtype = np.int16 if f.pair == "s16x2" else np.uint16
    work = _lanes({"add": np.add, "min": np.minimum, "max": np.maximum}[f.opcode.split(".")[0]])
    return Alu("b32", ("b32", "b32"), lambda a, b: work(a, b, dtype))


@form("mul.part.type", part="lo hi", type=_ALL)
def mul(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type), np.multiply if f.part == "lo" else integers.high_product)


@form("mul.wide.type", type="u16 u32 s16 s32")
def mul_wide(f: Form) -> Alu:
    wide = types.dtype(_wide(f.type))
    return Alu(_wide(f.type), (f.type, f.type), lambda a, b: a.astype(wide) * b)


@form("mad.part.type", part="lo hi", type=_ALL)
def mad(f: Form) -> Alu:
    product = np.multiply if f.part == "lo" else integers.high_product
    return Alu(f.type, (f.type,) * 3, lambda a, b, c: product(a, b) + c)


@form("mad.hi.sat.s32")
def mad_saturating(f: Form) -> Alu:
    def function(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        total = integers.high_product(a, b).astype(np.int64) + c
        return np.clip(total, -(2**31), 2**31 - 1).astype(np.int32)

    return Alu("s32", ("s32",) * 3, function)


@form("mad.wide.type", type="u16 u32 s16 s32")
def mad_wide(f: Form) -> Alu:
    wide = _wide(f.type)
    return Alu(wide, (f.type, f.type, wide), lambda a, b, c: a.astype(types.dtype(wide)) * b + c)


@form("mul24.part.type", "mad24.part.type", part="lo hi", type="u32 s32")
def mul24(f: Form) -> Alu:
    wide = np.int64 if f.type == "s32" else np.uint64

    def low24(a: np.ndarray) -> np.ndarray:
        return (
            (a << a.dtype.type(8)).astype(wide) >> wide(8)
            if f.type == "s32"
            else (a & np.uint32(0xFFFFFF)).astype(wide)
        )

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        full = low24(a) * low24(b)
        return (full if f.part == "lo" else full >> wide(16)).astype(types.dtype(f.type))

    if f.opcode.startswith("mul"):
        return Alu(f.type, (f.type, f.type), product)
    return Alu(f.type, (f.type,) * 3, lambda a, b, c: product(a, b) + c)


@form("div.type", type=_ALL)
def div(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type), integers.divide)


@form("rem.type", type=_ALL)
def rem(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type), integers.remainder)


@form("min.type", type=_ALL)
def minimum(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type), np.minimum)


@form("max.type", type=_ALL)
def maximum(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type), np.maximum)


@form("min.relu.s32", "max.relu.s32")
def bounded(f: Form) -> Alu:
    choose = np.minimum if f.opcode.startswith("min") else np.maximum
    return Alu("s32", ("s32", "s32"), lambda a, b: np.maximum(choose(a, b), np.int32(0)))


@form("abs.type", type="s16 s32 s64")
def absolute(f: Form) -> Alu:
    return Alu(f.type, (f.type,), np.abs)


@form("neg.type", type="s16 s32 s64")
def negative(f: Form) -> Alu:
    return Alu(f.type, (f.type,), np.negative)


@form("sad.type", type=_ALL)
def sad(f: Form) -> Alu:
    return Alu(f.type, (f.type,) * 3, lambda a, b, c: np.where(a < b, b - a, a - b) + c)


@form("dp4a.a.b", a="u32 s32", b="u32 s32")
def dp4a(f: Form) -> Alu:
    """Four products of bytes, added up."""
    kinds = [np.dtype("i1" if t == "s32" else "u1") for t in (f.a, f.b)]
    result = "u32" if f.a == f.b == "u32" else "s32"

    def function(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        a, b = np.broadcast_arrays(a, b)
        x, y = (np.ascontiguousarray(v).view(k).reshape(-1, 4).astype(np.int64) for v, k in zip((a, b), kinds))
        return (x * y).sum(1).astype(types.dtype(result)) + c

    return Alu(result, (f.a, f.b, result), function)


@form("dp2a.part.a.b", part="lo hi", a="u32 s32", b="u32 s32")
def dp2a(f: Form) -> Alu:
    """Two products of 16-bit halves by bytes of the lower or upper half."""
    first, second = (t == "s32" for t in (f.a, f.b))
    result = "u32" if f.a == f.b == "u32" else "s32"
    start = 0 if f.part == "lo" else 2

    def function(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        a, b = np.broadcast_arrays(a, b)
        x = np.ascontiguousarray(a).view("i2" if first else "u2").reshape(-1, 2).astype(np.int64)
        y = np.ascontiguousarray(b).view("i1" if second else "u1").reshape(-1, 4)[:, start : start + 2]
        return (x * y).sum(1).astype(types.dtype(result)) + c

    return Alu(result, (f.a, f.b, result), function)


# --- extended precision: the carry is one bit of each thread's state


@form("add.cc.type", "addc{.cc}.type", "sub.cc.type", "subc{.cc}.type", type=_CARRIED)
@form("mad.part.cc.type", "madc.part{.cc}.type", part="lo hi", type=_CARRIED)
def carrying(f: Form) -> Binder:
    name = f.opcode.split(".")[0]
    reads_carry, writes_carry = name.endswith("c"), bool(f.cc)
    subtracts, multiplies = name.startswith("sub"), name.startswith("mad")
    unsigned, signed = f"u{f.type[1:]}", f.type
    zero, one = types.dtype(unsigned).type(0), types.dtype(unsigned).type(1)

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(4 if multiplies else 3)
        write = scope.writer(instruction.operands[0], unsigned)
        kind = signed if multiplies else unsigned  # the high half of a product knows of signs
        reads = [scope.reader(o, kind) for o in instruction.operands[1:]]

        def step(m: Batch, t: Threads) -> None:
            values = [read(m, t) for read in reads]
            if multiplies:
                product = values[0] * values[1] if f.part == "lo" else integers.high_product(values[0], values[1])
                values = [product, values[2]]
            a, b = (v.view(types.dtype(unsigned)) for v in values)
            carry = np.array([False])
            if reads_carry:
                carry = m.carry if t.dense or m.carry.size == 1 else m.carry[t.index]
            extra = np.where(carry, one, zero)
            if subtracts:
                result = a - b - extra
                out = (a < b) | ((a == b) & carry)
            else:
                partial = a + b
                result = partial + extra
                out = (partial < a) | (result < partial)
            write(m, t, result)
            if writes_carry:
                if t.whole:
                    m.carry = out
                else:
                    kept = np.array(np.broadcast_to(m.carry, (m.n,)))
                    kept[t.index] = t.each(out)
                    m.carry = kept

        return step

    return bind

"""Logic, shifts and fields of bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import types
from ..arithmetic import integers
from ..forms import Alu, Binder, Form, Step, form
from ..syntax import Instruction, Int

if TYPE_CHECKING:
    from ..operands import Scope

_BITS = "pred b16 b32 b64"


@form("and.type", "or.type", "xor.type", type=_BITS)
def logic(f: Form) -> Alu:
    function = {"and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor}[f.opcode.split(".")[0]]
    return Alu(f.type, (f.type, f.type), function)


@form("not.type", type=_BITS)
def complement(f: Form) -> Alu:
    return Alu(f.type, (f.type,), np.invert)


@form("cnot.type", type="b16 b32 b64")
def cnot(f: Form) -> Alu:
    dtype = types.dtype(f.type)
    return Alu(f.type, (f.type,), lambda a: (a == 0).astype(dtype))


@form("lop3.b32")
def lop3(f: Form) -> Binder:
    """Any function of three bits, by its table of eight."""

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(5)
        table = instruction.operands[4]
        if not isinstance(table, Int):
            raise scope.error("the table of lop3 must be a constant")
        terms = [k for k in range(8) if table.value >> k & 1]
        write = scope.writer(instruction.operands[0], "b32")
        reads = [scope.reader(o, "b32") for o in instruction.operands[1:4]]

        def step(m, t) -> None:
            a, b, c = (read(m, t) for read in reads)
            result = np.zeros(1, np.uint32)
            for k in terms:
                result = result | ((a if k & 4 else ~a) & (b if k & 2 else ~b) & (c if k & 1 else ~c))
            write(m, t, result)

        return step

    return bind


@form("shl.type", type="b16 b32 b64")
def shl(f: Form) -> Alu:
    return Alu(f.type, (f.type, "u32"), integers.shift_left)


@form("shr.type", type="b16 b32 b64 u16 u32 u64 s16 s32 s64")
def shr(f: Form) -> Alu:
    return Alu(f.type, (f.type, "u32"), integers.shift_right)


@form("shf.way.mode.b32", way="l r", mode="clamp wrap")
def funnel(f: Form) -> Alu:
    """A shift of 64 bits, of which 32 are kept."""
    half = np.uint64(32)

    def function(low: np.ndarray, high: np.ndarray, count: np.ndarray) -> np.ndarray:
        by = (count & np.uint32(31) if f.mode == "wrap" else np.minimum(count, np.uint32(32))).astype(np.uint64)
        both = (high.astype(np.uint64) << half) | low
        if f.way == "r":
            return (both >> by).astype(np.uint32)
        # (by 32 bits in two steps of at most 32: the upper half of a shift to the left)
        return ((both << by) >> half).astype(np.uint32)

    return Alu("b32", ("b32", "b32", "u32"), function)


@form("popc.type", type="b32 b64")
def popc(f: Form) -> Alu:
    return Alu("u32", (f.type,), integers.count_ones)


@form("clz.type", type="b32 b64")
def clz(f: Form) -> Alu:
    return Alu("u32", (f.type,), integers.leading_zeros)


@form("brev.type", type="b32 b64")
def brev(f: Form) -> Alu:
    return Alu(f.type, (f.type,), integers.reverse_bits)


@form("bfind{.shiftamt}.type", type="u32 u64 s32 s64")
def bfind(f: Form) -> Alu:
    """Position of the highest bit that differs from the sign; all ones if there is none."""
    width = 8 * types.size(f.type)

    def function(a: np.ndarray) -> np.ndarray:
        x = a.view(types.bits(f.type))
        if f.type[0] == "s":
            x = np.where(a < 0, ~x, x)
        zeros = integers.leading_zeros(x)
        found = zeros if f.shiftamt else np.uint32(width - 1) - zeros
        return np.where(zeros == width, np.uint32(0xFFFFFFFF), found)

    return Alu("u32", (f.type,), function)


@form("bfe.type", type="u32 u64 s32 s64")
def bfe(f: Form) -> Alu:
    width = 8 * types.size(f.type)
    unsigned = types.bits(f.type)

    def function(a: np.ndarray, position: np.ndarray, length: np.ndarray) -> np.ndarray:
        start, count = position & np.uint32(255), length & np.uint32(255)
        raw = integers.shift_right(a.view(unsigned), start)
        ones = ~integers.shift_left(np.array([~unsigned.type(0)]), count)
        field = raw & ones
        if f.type[0] == "u":
            return field
        last = np.minimum(start + count - np.uint32(1), np.uint32(width - 1))
        sign = integers.shift_right(a.view(unsigned), last) & unsigned.type(1)
        # bits of the field beyond the number's own are its sign, too
        covered = np.minimum(count, np.uint32(width) - np.minimum(start, np.uint32(width)))
        high = ~(~integers.shift_left(np.array([~unsigned.type(0)]), covered))
        extended = np.where(sign != 0, field | high, field)
        return np.where(count == 0, unsigned.type(0), extended).view(types.dtype(f.type))

    return Alu(f.type, (f.type, "u32", "u32"), function)


@form("bfi.type", type="b32 b64")
def bfi(f: Form) -> Alu:
    dtype = types.dtype(f.type)

    def function(a: np.ndarray, b: np.ndarray, position: np.ndarray, length: np.ndarray) -> np.ndarray:
        start, count = position & np.uint32(255), length & np.uint32(255)
        ones = ~integers.shift_left(np.array([~dtype.type(0)]), count)
        mask = integers.shift_left(np.broadcast_to(ones, np.broadcast_shapes(ones.shape, start.shape)), start)
        return (b & ~mask) | (integers.shift_left(a, start) & mask)

    return Alu(f.type, (f.type, f.type, "u32", "u32"), function)


@form("bmsk.mode.b32", mode="clamp wrap")
def bmsk(f: Form) -> Alu:
    def function(position: np.ndarray, length: np.ndarray) -> np.ndarray:
        if f.mode == "wrap":
            position, length = position & np.uint32(31), length & np.uint32(31)
        ones = ~integers.shift_left(np.array([np.uint32(0xFFFFFFFF)]), length)
        return integers.shift_left(ones, position)

    return Alu("b32", ("u32", "u32"), function)


@form("szext.mode.type", mode="clamp wrap", type="u32 s32")
def szext(f: Form) -> Alu:
    """Extend the low bits by zeros or by their sign."""

    def function(a: np.ndarray, count: np.ndarray) -> np.ndarray:
        n = count & np.uint32(31) if f.mode == "wrap" else np.minimum(count, np.uint32(32))
        up = np.uint32(32) - n
        left = integers.shift_left(a, up)
        return np.where(n == 0, a.dtype.type(0), integers.shift_right(left, up))

    return Alu(f.type, (f.type, "u32"), function)


def _bytes(words: np.ndarray, which: np.ndarray) -> np.ndarray:
    return ((words >> (which.astype(np.uint64) * np.uint64(8))) & np.uint64(255)).astype(np.uint32)


_PRMT = {
    "f4e": [[(k + j) % 8 for j in range(4)] for k in range(4)],
    "b4e": [[(k - j) % 8 for j in range(4)] for k in range(4)],
    "rc8": [[k] * 4 for k in range(4)],
    "ecl": [[max(j, k) for j in range(4)] for k in range(4)],
    "ecr": [[min(j, k) for j in range(4)] for k in range(4)],
    "rc16": [[2 * (k & 1), 2 * (k & 1) + 1] * 2 for k in range(4)],
}


@form("prmt.b32{.mode}", mode="f4e b4e rc8 ecl ecr rc16")
def prmt(f: Form) -> Alu:
    """Four of eight bytes."""

    def function(a: np.ndarray, b: np.ndarray, selector: np.ndarray) -> np.ndarray:
        words = (b.astype(np.uint64) << np.uint64(32)) | a
        result = np.zeros(1, np.uint32)
        for k in range(4):
            if f.mode:
                which = np.array([row[k] for row in _PRMT[f.mode]], np.uint32)[selector & np.uint32(3)]
                byte = _bytes(words, which)
            else:
                nibble = (selector >> np.uint32(4 * k)) & np.uint32(15)
                byte = _bytes(words, nibble & np.uint32(7))
                signs = np.where(byte & np.uint32(128), np.uint32(255), np.uint32(0))
                byte = np.where(nibble & np.uint32(8), signs, byte)
            result = result | (byte << np.uint32(8 * k))
        return result

    return Alu("b32", ("b32", "b32", "b32"), function)

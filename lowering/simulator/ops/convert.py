"""Conversions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import types
from ..arithmetic import exact
from ..arithmetic.small import join, pack, unpack
from ..forms import Alu, Form, form

_INTS = "u8 u16 u32 u64 s8 s16 s32 s64"
_FLOATS = "f16 bf16 f32 f64"
_WHOLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rni": np.rint,
    "rzi": np.trunc,
    "rmi": np.floor,
    "rpi": np.ceil,
}


def _wide(type: str, x: np.ndarray) -> np.ndarray:
    """A float as it is computed with: f16 and bf16 as f64."""
    return unpack(type, x) if type in ("f16", "bf16") else x


def _narrow(type: str, x: np.ndarray, rounding: str = "rn") -> np.ndarray:
    if type in ("f16", "bf16"):
        return pack(type, x.astype(np.float64), rounding)
    return exact.round_to(x, types.dtype(type), rounding)


@form("cvt{.sat}.to.from", **{"to": _INTS, "from": _INTS})
def between_integers(f: Form) -> Alu:
    to, source = f.parts["to"], f.parts["from"]
    target = types.dtype(to)

    def function(a: np.ndarray) -> np.ndarray:
        if f.sat:
            here, there = np.iinfo(a.dtype), np.iinfo(target)
            a = np.clip(a, max(here.min, there.min), min(here.max, there.max))
        return a.astype(target)

    return Alu(to, (source,), function, widening=True)


@form("cvt.whole{.ftz}{.sat}.to.from", **{"to": _INTS, "from": _FLOATS})
def float_to_integer(f: Form) -> Alu:
    """Rounded to a whole number and clamped to the type's range.

    NaN becomes 0, or the highest bit alone if either type has 64 bits.
    """
    to, source = f.parts["to"], f.parts["from"]
    target = types.dtype(to)
    bounds = np.iinfo(target)
    top = 2.0**bounds.bits if bounds.min == 0 else 2.0 ** (bounds.bits - 1)
    carrier = np.int64 if bounds.min < 0 or bounds.bits < 64 else np.uint64
    highest = bounds.min if bounds.min < 0 else 1 << (bounds.bits - 1)
    nan = target.type(highest if source == "f64" or bounds.bits == 64 else 0)

    def function(a: np.ndarray) -> np.ndarray:
        wide = _wide(source, a)
        if f.ftz:
            wide = exact.flush(wide)
        x = _WHOLE[f.whole](wide.astype(np.float64))
        inside = (x >= float(bounds.min)) & (x < top)
        result = np.where(inside, x, 0).astype(carrier).astype(target)
        result = np.where(x >= top, target.type(bounds.max), result)
        result = np.where(x < float(bounds.min), target.type(bounds.min), result)
        return np.where(np.isnan(x), nan, result)

    return Alu(to, (source,), function, widening=True)


@form("cvt.rnd{.sat}.to.from", **{"to": _FLOATS, "from": _INTS})
def integer_to_float(f: Form) -> Alu:
    to, source = f.parts["to"], f.parts["from"]

    def function(a: np.ndarray) -> np.ndarray:
        if f.rnd == "rn" and to in ("f32", "f64"):
            result = a.astype(types.dtype(to))
        else:
            near = a.astype(np.float64)
            # What is left of 64 bits beyond the 53 of an f64: exact as an int, since near is whole.
            rest = _rest(a, near)
            if to == "f64":
                result = exact.step(near, rest, f.rnd) if f.rnd != "rn" else near
            else:
                result = _narrow(to, exact.to_odd(near, rest), f.rnd)
        return exact.saturate(result) if f.sat and to != "bf16" else result

    return Alu(to, (source,), function, widening=True)


def _rest(a: np.ndarray, near: np.ndarray) -> np.ndarray:
    """The sign of a - near."""
    if a.dtype.itemsize < 8:
        return np.zeros(a.shape)
    top = 2.0**64 if a.dtype.kind == "u" else 2.0**63
    beyond = near >= top
    back = np.where(beyond, 0, near).astype(a.dtype)
    return np.where(beyond | (a < back), -1.0, np.where(a > back, 1.0, 0.0))


@form("cvt{.ftz}{.sat}.to.from", **{"to": "f64 f32", "from": _FLOATS})
@form("cvt{.sat}.f16.f16", "cvt.bf16.bf16")
@form("cvt{.rnd}{.ftz}{.sat}.to.from", **{"to": _FLOATS, "from": _FLOATS})
@form("cvt.mode.relu.to.f32", mode="rn rz", to="f16 bf16")
def between_floats(f: Form) -> Alu:
    to, source = f.opcode.split(".")[-2:]
    rounding = f.rnd or f.mode or "rn"

    def function(a: np.ndarray) -> np.ndarray:
        x = _wide(source, a)
        if f.ftz and source == "f32":
            x = exact.flush(x)
        if f.relu:
            x = np.where(np.isnan(x), x, np.maximum(x, x.dtype.type(0)))
        if f.sat:
            x = exact.saturate(x)
        result = _narrow(to, x, rounding)
        return exact.flush(result) if f.ftz and to == "f32" else result

    return Alu(to, (source,), function, widening=True)


@form("cvt.whole{.ftz}{.sat}.type.same", type=_FLOATS, same=_FLOATS)
def to_whole(f: Form) -> Alu:
    """A float to a whole number that is a float."""
    to, source = f.type, f.same

    def function(a: np.ndarray) -> np.ndarray:
        x = _wide(source, a)
        if f.ftz:
            x = exact.flush(x)
        x = _WHOLE[f.whole](x)
        if f.sat:
            x = exact.saturate(x)
        return _narrow(to, x)

    return Alu(to, (source,), function, widening=True)


@form("cvt.mode{.relu}.to.f32", mode="rn rz", to="f16x2 bf16x2")
def to_pair(f: Form) -> Alu:
    """Two f32: the first becomes the upper half."""
    type = f.to.removesuffix("x2")

    def convert(x: np.ndarray) -> np.ndarray:
        if f.relu:
            x = np.where(np.isnan(x), x, np.maximum(x, np.float32(0)))
        return pack(type, x.astype(np.float64), f.mode)

    return Alu("b32", ("f32", "f32"), lambda a, b: join(convert(b), convert(a)))


@form("cvt.rna.tf32.f32")
def to_tf32(f: Form) -> Alu:
    """To 10 bits of fraction, to nearest with ties away from zero."""

    def function(a: np.ndarray) -> np.ndarray:
        rounded = (a + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
        special = (a & np.uint32(0x7F800000)) == np.uint32(0x7F800000)
        return np.where(special, a, rounded)

    return Alu("b32", ("b32",), function)


@form("cvt.pack.sat.to.s32{.old}", to="u16 s16", old="none")
def pack_two(f: Form) -> Alu:
    """Two ints clamped to 16 bits: the first becomes the upper half."""
    target = types.dtype(f.to)
    bounds = np.iinfo(target)

    def half(a: np.ndarray) -> np.ndarray:
        return np.clip(a, bounds.min, bounds.max).astype(target)

    return Alu("b32", ("s32", "s32"), lambda a, b: join(half(b), half(a)))

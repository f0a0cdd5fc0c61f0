"""Arithmetic in f16 and bf16, alone, in packed pairs and with f32, and in packed pairs of f32."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arithmetic import exact
from ..arithmetic.small import halves, join, pack, unpack
from ..forms import Alu, Form, form
from .floats import APPROXIMATE, extremum, shaped

_Wide = Callable[..., np.ndarray]


def _add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return exact.to_odd(*exact.two_sum(a, b))


def _fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return exact.to_odd(*exact.two_sum(a * b, c))  # the product of two small floats is exact


_WIDE: dict[str, _Wide] = {
    "add": _add,
    "sub": lambda a, b: _add(a, -b),
    "mul": np.multiply,
    "fma": _fma,
    "ex2": np.exp2,
    "tanh": np.tanh,
}


#: In f32, by the direction of rounding.
_FLOAT = {"add": exact.add, "sub": exact.subtract, "mul": exact.multiply}


def _flush(type: str, x: np.ndarray) -> np.ndarray:
    tiny = 2.0**-14 if type == "f16" else 2.0**-126
    return np.where(np.abs(x) < tiny, np.copysign(0.0, x), x)


def one(f: Form, type: str, work: _Wide) -> _Wide:
    """The function on one f16 (NumPy's) or bf16 (bits), with what .ftz, .sat and .relu of the form do."""

    def function(*operands: np.ndarray) -> np.ndarray:
        wide = [unpack(type, x) for x in operands]
        if f.ftz:
            wide = [_flush(type, x) for x in wide]
        result = work(*wide)
        if f.ftz:
            result = _flush(type, result)
        if f.sat:
            result = exact.saturate(result)
        if f.relu:
            result = np.where(np.isnan(result), result, np.where(result > 0, result, 0.0))
        return pack(type, result)

    return function


def both(type: str, work: _Wide) -> _Wide:
    """A function on one value, on both halves of a pair."""

    def function(*operands: np.ndarray) -> np.ndarray:
        pairs = [halves(x) for x in operands]
        low, high = (work(*[p[k] if type == "bf16" else p[k].view(np.float16) for p in pairs]) for k in (0, 1))
        return join(low, high)

    return function


def _alu(f: Form, operands: int, work: _Wide) -> Alu:
    kind = f.opcode.split(".")[-1]
    type = kind.removesuffix("x2")
    function = one(f, type, work)
    if kind.endswith("x2"):
        return Alu("b32", ("b32",) * operands, both(type, function))
    return Alu(type, (type,) * operands, function)


_F16 = "f16 f16x2"
_BF16 = "bf16 bf16x2"
_BOTH = f"{_F16} {_BF16}"


@form("add{.rn}{.ftz}{.sat}.type", "sub{.rn}{.ftz}{.sat}.type", "mul{.rn}{.ftz}{.sat}.type", type=_F16)
@form("add{.rn}.type", "sub{.rn}.type", "mul{.rn}.type", type=_BF16)
def arithmetic(f: Form) -> Alu:
    return _alu(f, 2, _WIDE[f.opcode[:3]])


@form("fma.rn{.ftz}{.sat}.type", "fma.rn{.ftz}.relu.type", type=_F16)
@form("fma.rn{.relu}.type", type=_BF16)
def fused(f: Form) -> Alu:
    return _alu(f, 3, _WIDE["fma"])


@form("neg{.ftz}.type", "abs{.ftz}.type", type=_F16)
@form("neg.type", "abs.type", type=_BF16)
def sign(f: Form) -> Alu:
    kind = f.opcode.split(".")[-1]
    if f.ftz:
        return _alu(f, 1, np.negative if f.opcode.startswith("neg") else np.abs)
    width = "b32" if kind.endswith("x2") else "b16"
    dtype = np.uint32 if width == "b32" else np.uint16
    if f.opcode.startswith("neg"):
        mask = dtype(0x80008000 & np.iinfo(dtype).max)
        return Alu(width, (width,), lambda a: a ^ mask)
    mask = dtype(0x7FFF7FFF & np.iinfo(dtype).max)
    return Alu(width, (width,), lambda a: a & mask)


@form("min{.ftz}{.NaN}{.xorsign}{.abs}.type", "max{.ftz}{.NaN}{.xorsign}{.abs}.type", type=_F16)
@form("min{.NaN}{.xorsign}{.abs}.type", "max{.NaN}{.xorsign}{.abs}.type", type=_BF16)
def min_max(f: Form) -> Alu:
    return _alu(f, 2, extremum(f.opcode[:3], f.NaN, f.xorsign, f.abs))


@form("ex2.approx{.ftz}.type", "tanh.approx.type", type=_BOTH)
def approximate(f: Form) -> Alu:
    return _alu(f, 1, APPROXIMATE[f.opcode.split(".")[0]])


# --- small operands of arithmetic in f32


@form("add{.rnd}{.sat}.f32.type", "sub{.rnd}{.sat}.f32.type", "fma.rnd{.sat}.f32.type", type="f16 bf16")
def mixed(f: Form) -> Alu:
    name, small, rounding = f.opcode[:3], f.opcode.split(".")[-1], f.rnd or "rn"
    work = exact.fma("f32", rounding) if name == "fma" else _FLOAT[name](rounding)
    function = shaped(f, work)

    def widened(*operands: np.ndarray) -> np.ndarray:
        return function(*[unpack(small, x).astype(np.float32) for x in operands[:-1]], operands[-1])

    return Alu("f32", (*[small] * (2 if name == "fma" else 1), "f32"), widened)


# --- pairs of f32 in 64 bits


def _floats(pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pair.astype(np.uint32).view(np.float32), (pair >> np.uint64(32)).astype(np.uint32).view(np.float32)


def _join_floats(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    words = [np.ascontiguousarray(x).view(np.uint32).astype(np.uint64) for x in (low, high)]
    return words[0] | (words[1] << np.uint64(32))


@form("add{.rnd}{.ftz}.f32x2", "sub{.rnd}{.ftz}.f32x2", "mul{.rnd}{.ftz}.f32x2", "fma.rnd{.ftz}.f32x2")
def pairs_of_floats(f: Form) -> Alu:
    name, rounding = f.opcode[:3], f.rnd or "rn"
    work = exact.fma("f32", rounding) if name == "fma" else _FLOAT[name](rounding)
    function = shaped(f, work)

    def pairwise(*operands: np.ndarray) -> np.ndarray:
        split = [_floats(x) for x in operands]
        return _join_floats(*(function(*[s[k] for s in split]) for k in (0, 1)))

    return Alu("b64", ("b64",) * (3 if name == "fma" else 2), pairwise)

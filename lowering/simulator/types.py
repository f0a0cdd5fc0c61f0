"""The types of PTX: their widths, and the NumPy types that hold them.

bf16, which NumPy lacks, and the packed types are held as their bits; `ops` unpacks them.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_BITS = {"pred": 8, "f16": 16, "bf16": 16, "f16x2": 32, "bf16x2": 32, "f32": 32, "f64": 64, "f32x2": 64, "tf32": 32}
_FLOATS: dict[str, np.dtype] = {"f16": np.dtype("f2"), "f32": np.dtype("f4"), "f64": np.dtype("f8")}
UNSIGNED: dict[int, np.dtype] = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}
SIGNED: dict[int, np.dtype] = {1: np.dtype("i1"), 2: np.dtype("i2"), 4: np.dtype("i4"), 8: np.dtype("i8")}


@cache
def size(type: str) -> int:
    """Bytes."""
    return (_BITS.get(type) or int(type[1:])) // 8


@cache
def dtype(type: str) -> np.dtype:
    """What a value of the type is in NumPy: unsigned ints for bits, bool for predicates."""
    if type == "pred":
        return np.dtype("?")
    if type in _FLOATS:
        return _FLOATS[type]
    return (SIGNED if type[0] == "s" else UNSIGNED)[size(type)]


@cache
def bits(type: str) -> np.dtype:
    """The unsigned type of the same width; bool for predicates."""
    return np.dtype("?") if type == "pred" else UNSIGNED[size(type)]


def is_float(type: str) -> bool:
    """Whether values of the type are one floating-point number each, bf16 included."""
    return type in _FLOATS or type == "bf16"

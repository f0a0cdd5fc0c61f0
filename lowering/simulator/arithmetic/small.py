"""f16 and bf16: values computed in f64 without error, or rounded to odd, then rounded once."""

from __future__ import annotations

import numpy as np

F8 = np.float64


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """As f64."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(F8)


def to_bf16(x: np.ndarray, rounding: str = "rn") -> np.ndarray:
    """The bits of an f64 rounded to bf16, to nearest or towards zero."""
    x = np.asarray(x, F8)
    narrow = x.astype(np.float32)
    bits = np.ascontiguousarray(narrow).view(np.uint32).astype(np.int64)
    # First to f32 rounded to odd.
    error = x - narrow
    away = (error > 0) == (x > 0)
    inexact = (error != 0) & np.isfinite(narrow)
    if rounding == "rn":
        bits = np.where(inexact & ((bits & 1) == 0), np.where(away, bits + 1, bits - 1), bits)
        bits = bits + 0x7FFF + ((bits >> 16) & 1)
    else:  # towards zero
        bits = np.where(inexact & ~away, bits - 1, bits)
        bits = np.where(np.isinf(narrow) & np.isfinite(x), bits - 1, bits)
    return np.where(np.isnan(x), np.uint16(0x7FFF), (bits >> 16).astype(np.uint16))


def unpack(type: str, bits: np.ndarray) -> np.ndarray:
    """f16 or bf16, as its bits or as NumPy's f16, to f64."""
    if type == "bf16":
        return from_bf16(bits)
    return (bits if bits.dtype == np.float16 else bits.view(np.float16)).astype(F8)


def pack(type: str, x: np.ndarray, rounding: str = "rn") -> np.ndarray:
    """f64 to the bits of a bf16, or to a NumPy f16."""
    if type == "bf16":
        return to_bf16(x, rounding)
    from .exact import round_to

    return round_to(np.asarray(x), np.dtype(np.float16), rounding)


def halves(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The low and the high 16 bits of 32."""
    return packed.astype(np.uint16), (packed >> np.uint32(16)).astype(np.uint16)


def join(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """32 bits of two times 16."""
    return low.view(np.uint16).astype(np.uint32) | (high.view(np.uint16).astype(np.uint32) << np.uint32(16))

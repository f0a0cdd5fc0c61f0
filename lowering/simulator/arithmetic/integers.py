"""Integer arithmetic: wide products, division as the machine does it, shifts by any count, counting bits."""

from __future__ import annotations

import numpy as np


def high_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The upper half of the exact product."""
    size = a.dtype.itemsize
    signed = a.dtype.kind == "i"
    if size < 8:
        wide = np.int64 if signed else np.uint64
        return ((a.astype(wide) * b.astype(wide)) >> wide(8 * size)).astype(a.dtype)
    x, y = a.view(np.uint64), b.view(np.uint64)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    x0, x1, y0, y1 = x & low, x >> half, y & low, y >> half
    carry = x1 * y0 + ((x0 * y0) >> half)
    middle = (carry & low) + x0 * y1
    high = x1 * y1 + (carry >> half) + (middle >> half)
    if not signed:
        return high
    zero = np.uint64(0)
    return (high - np.where(a < 0, y, zero) - np.where(b < 0, x, zero)).view(np.int64)


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Towards zero. By zero it gives all ones, as NVIDIA's machines do."""
    kind = a.dtype.type
    divisor = np.where(b == 0, kind(1), b)
    quotient = a // divisor
    if a.dtype.kind == "i":
        rest = a - quotient * divisor
        quotient = quotient + ((rest != 0) & ((rest < 0) != (a < 0))).astype(a.dtype)
        return np.where(b == 0, kind(-1), quotient)
    return np.where(b == 0, ~kind(0), quotient)


def remainder(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """With the sign of the dividend. By zero it gives the dividend."""
    return np.where(b == 0, a, a - divide(a, b) * b)


def shift_left(a: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Counts (u32) beyond the width give zero."""
    width = 8 * a.dtype.itemsize
    kind = a.dtype.type
    return np.where(count >= width, kind(0), a << np.minimum(count, width - 1).astype(a.dtype))


def shift_right(a: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Counts (u32) beyond the width give zero, or the sign's bit everywhere."""
    width = 8 * a.dtype.itemsize
    kept = np.minimum(count, width - 1).astype(a.dtype)
    if a.dtype.kind == "i":
        return a >> kept
    return np.where(count >= width, a.dtype.type(0), a >> kept)


def count_ones(a: np.ndarray) -> np.ndarray:
    """As u32."""
    x = a.astype(np.uint64)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((x * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint32)


def leading_zeros(a: np.ndarray) -> np.ndarray:
    """As u32; the width for zero."""
    x = a.copy()
    width = 8 * a.dtype.itemsize
    shift = 1
    while shift < width:  # smear the highest one downwards
        x = x | (x >> x.dtype.type(shift))
        shift *= 2
    return np.uint32(width) - count_ones(x)


def reverse_bits(a: np.ndarray) -> np.ndarray:
    width = 8 * a.dtype.itemsize
    x = a
    shift = width // 2
    mask = (1 << width) - 1
    while shift:
        mask ^= (mask << shift) & ((1 << width) - 1)
        keep, by = a.dtype.type(mask), a.dtype.type(shift)
        x = ((x >> by) & keep) | ((x & keep) << by)
        shift //= 2
    return x

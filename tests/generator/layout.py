"""Arrays whose entries do not lie one after the other: every second place, or backwards."""

from __future__ import annotations

import numpy as np


def lay_out(values: np.ndarray, layout: str) -> np.ndarray:
    """The same values in new memory of a layout ("" for the usual one)."""
    if layout == "spaced":
        new = np.full((*values.shape[:-1], 2 * values.shape[-1]), 77, values.dtype)[..., ::2]
    elif layout == "backward":
        new = np.empty(values.shape, values.dtype)[..., ::-1]
    else:
        new = np.empty(values.shape, values.dtype)
    new[...] = values
    return new


def layout_of(array: np.ndarray) -> str:
    if array.strides[-1] < 0:
        return "backward"
    return "" if array.flags.c_contiguous else "spaced"


def copied(array: np.ndarray) -> np.ndarray:
    """A copy in the same layout."""
    return lay_out(array, layout_of(array))


def literal(array: np.ndarray) -> str:
    """Python text that makes the array in its layout."""
    text = f"{array.tolist()!r}, dtype=np.{array.dtype}"
    layout = layout_of(array)
    if layout == "spaced":
        return f"np.repeat(np.array({text}), 2, axis=-1)[..., ::2]"
    if layout == "backward":
        backward = array[..., ::-1]
        return f"np.array({backward.tolist()!r}, dtype=np.{array.dtype})[..., ::-1]"
    return f"np.array({text})"

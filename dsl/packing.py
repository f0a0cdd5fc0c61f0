"""How values lie in the slots of a compiled call, as fragments of Python source and of `struct` formats.

Slots are 8-byte words (see docs/architecture.md). A scalar takes one, its bytes at the low end; a complex number
two; an array of rank r takes 3 + 2 r: allocated pointer, aligned pointer, offset, sizes, strides in elements.
`runner` puts the fragments together.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np

from . import types

_LOW = struct.pack("=H", 1)[0] == 1  # little-endian: the low end of a word comes first

_CODES = {
    types.bool_: "?",
    types.int8: "b",
    types.int16: "h",
    types.int32: "i",
    types.int64: "q",
    types.uint8: "B",
    types.uint16: "H",
    types.uint32: "I",
    types.uint64: "Q",
    types.float16: "e",
    types.bfloat16: "H",
    types.float32: "f",
    types.float64: "d",
}


def word_format(scalar: types.Scalar) -> str:
    """The struct format of a scalar: whole words."""
    if scalar.kind == "c":
        return 2 * word_format(scalar.part.strong)
    code = _CODES[scalar.strong]
    padding = 8 - struct.calcsize("=" + code)
    if not padding:
        return code
    return f"{code}{padding}x" if _LOW else f"{padding}x{code}"


def leaf_format(leaf: types.Type) -> str:
    """The struct format of a leaf."""
    if isinstance(leaf, types.Scalar):
        return word_format(leaf)
    assert isinstance(leaf, types.ArrayType)
    return f"{3 + 2 * leaf.ndim}q"


def words(leaf: types.Type) -> int:
    """How many words a leaf takes."""
    if isinstance(leaf, types.ArrayType):
        return 3 + 2 * leaf.ndim
    return 2 if isinstance(leaf, types.Scalar) and leaf.kind == "c" else 1


def scalar_words(scalar: types.Scalar, name: str) -> list[str]:
    """Expressions of what `struct` packs for the scalar in variable `name`."""
    if scalar.kind == "c":
        return [f"{name}.real", f"{name}.imag"]
    if scalar is types.bfloat16:
        return [f"bfloat16_bits({name})"]
    return [name]


def array_words(array: types.ArrayType, pointer: str, sizes: list[str], strides: list[str]) -> list[str]:
    """Expressions of the words of an array: `sizes` and `strides` (in elements) are expressions, too."""
    if array.contiguous:  # NumPy lets the strides of dimensions of size 1 be anything; compiled code does not
        strides = [" * ".join(sizes[i + 1 :]) or "1" for i in range(array.ndim)]
    return [pointer, pointer, "0", *sizes, *strides]


def result_names(leaf: types.Type, stem: str) -> list[str]:
    """Names of variables for what `struct` unpacks of a result leaf."""
    if isinstance(leaf, types.Scalar) and leaf.kind == "c":
        return [f"{stem}_re", f"{stem}_im"]
    if isinstance(leaf, types.ArrayType):
        return [f"{stem}_{i}" for i in range(3 + 2 * leaf.ndim)]
    return [stem]


# Results of these types are Python's own numbers; the others are NumPy's scalars.
_PLAIN = (types.bool_, types.int64, types.float64)


def leaf_result(leaf: types.Type, stem: str, names: dict[str, Any]) -> str:
    """The expression that makes a result leaf of its unpacked variables. What it refers to is put into `names`, where
    `adopt` is (see `Compiled`).
    """
    parts = result_names(leaf, stem)
    if isinstance(leaf, types.ArrayType):
        dtype = f"dtype_{leaf.dtype}"
        names[dtype] = leaf.dtype.dtype
        r = leaf.ndim
        shape, strides = parts[3 : 3 + r], parts[3 + r :]
        return f"adopt(owners, {dtype}, {', '.join(parts[:3])}, {_tuple(shape)}, {_tuple(strides)})"
    assert isinstance(leaf, types.Scalar)
    leaf = leaf.strong
    if leaf in _PLAIN:
        return stem
    if leaf is types.complex128:
        return f"complex({parts[0]}, {parts[1]})"
    if leaf is types.bfloat16:
        names["bfloat16_of"] = bfloat16_of
        return f"bfloat16_of({stem})"
    name = f"scalar_{leaf}"
    names[name] = leaf.dtype.type
    return f"{name}(complex({parts[0]}, {parts[1]}))" if leaf.kind == "c" else f"{name}({stem})"


def _tuple(items: list[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def bfloat16_bits(value: Any) -> int:
    """The bits of a number as a bfloat16, which `struct` does not know."""
    return int(np.asarray(value, types.bfloat16.dtype).view(np.uint16))


def bfloat16_of(bits: int) -> Any:
    """The bfloat16 with these bits."""
    return np.uint16(bits).view(types.bfloat16.dtype)


class Buffers:
    """Slots for calls: made when needed, used again and again, one for each call that is under way.

    With an error cell, the last word is that cell and the words before the results, which no call overwrites,
    describe it as a memref<1xi64>.
    """

    __slots__ = ("_cell_at", "_kind", "free")

    def __init__(self, argument_words: int, result_words: int, cell: bool) -> None:
        self._cell_at = 8 * (argument_words + 5 + result_words) if cell else 0
        self._kind = ctypes.c_int64 * (argument_words + result_words + (6 if cell else 0) or 1)
        self.free: list[tuple[Any, int]] = []

    def new(self, described_at: int) -> tuple[Any, int]:
        """A buffer and its address; `described_at` is the byte where the error cell's memref stands."""
        buffer = self._kind()
        address = ctypes.addressof(buffer)
        if self._cell_at:
            cell = address + self._cell_at
            struct.pack_into("=5q", buffer, described_at, cell, cell, 0, 1, 1)
        return buffer, address

"""NumPy arrays over raw memory, in both directions.

Where an array's elements are, and arrays over what compiled code allocated.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ALIGNED = 0x100  # bits of ndarray.flags.num
WRITEABLE = 0x400
C_CONTIGUOUS = 0x1

_free = ctypes.PyDLL(None).free  # free() is short: keeping the GIL costs less than giving it up
_free.argtypes = [ctypes.c_void_p]
_free.restype = None


def _official(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _direct(array: np.ndarray, _at: Callable[[int], Any] = ctypes.c_void_p.from_address) -> int:
    return _at(id(array) + 2 * _WORD).value or 0


_WORD = ctypes.sizeof(ctypes.c_void_p)


def _choose() -> Callable[[np.ndarray], int]:
    """How to find where an array's elements are.

    The array object begins, after Python's two words, with its data pointer: reading that takes a fifth of the time
    of asking. Where Python's objects begin otherwise (debugging and free-threaded builds, PyPy) we ask.
    """
    import sys

    if sys.implementation.name != "cpython" or object.__basicsize__ != 2 * _WORD:
        return _official
    probes = [np.arange(3.0), np.zeros((2, 3), np.int8)[::-1, 1:], np.float32(1) * np.ones(())]
    return _direct if all(_direct(np.asarray(p)) == _official(np.asarray(p)) for p in probes) else _official


address_of: Callable[[np.ndarray], int] = _choose()


def extent(address: int, shape: Sequence[int], strides: Sequence[int], itemsize: int) -> tuple[int, int]:
    """The first byte of an array, and the one after its last; an empty array has no bytes."""
    low = high = address
    for size, stride in zip(shape, strides):
        if size == 0:
            return address, address
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high + itemsize


def overlaps_itself(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Whether two elements of one array share memory, as in a broadcast array. Errs towards yes for odd strides."""
    reach = itemsize
    for stride, size in sorted((abs(stride), size) for size, stride in zip(shape, strides) if size > 1):
        if stride < reach:
            return 0 not in shape
        reach += (size - 1) * stride
    return False


class _Allocation:
    """Memory from malloc, freed when the last array over it is gone."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address

    def __del__(self, _free: Callable[[int], None] = _free) -> None:
        _free(self.address)


class _Window:
    """What NumPy asks for an array over an allocation; the array keeps it, and it keeps the allocation."""

    __slots__ = ("__array_interface__", "allocation")

    def __init__(self, allocation: _Allocation, interface: dict[str, Any]) -> None:
        self.allocation = allocation
        self.__array_interface__ = interface


def adopt(
    owners: dict[int, _Allocation],
    dtype: np.dtype,
    allocated: int,
    aligned: int,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> np.ndarray:
    """An array over a memref that compiled code allocated for its caller; strides and offset count elements.

    `owners` holds the allocations of this call: several results may lie in one.
    """
    owner = owners.get(allocated)
    if owner is None and allocated:
        owner = owners[allocated] = _Allocation(allocated)
    if owner is None or 0 in shape:
        return np.empty(shape, dtype)
    size = dtype.itemsize
    interface = {
        "version": 3,
        "shape": shape,
        "strides": tuple(stride * size for stride in strides),
        "typestr": f"|V{size}" if dtype.kind == "V" else dtype.str,  # bfloat16 is unknown to the protocol
        "data": (aligned + offset * size, False),
    }
    array = np.asarray(_Window(owner, interface))
    return array.view(dtype) if dtype.kind == "V" else array

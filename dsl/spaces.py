"""Making arrays where others are, on the host or on a device: what shadows and Jacobians are put together with."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import types
from .backends import backend_of
from .device_memory import Kept, array_over, clear, contiguous, copy_into, copy_of, empty, zeros
from .placed import Home, Replaced, leaves, placed


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or backend_of(type(x)) is not None


def described(x: Any) -> np.ndarray:
    """The array, or one of its shape, strides and dtype whose elements are not to be looked at; numbers as arrays."""
    return placed(x) if backend_of(type(x)) is not None else np.asarray(x)


def typeof(x: Any) -> types.Type:
    """The type of a value, wherever its arrays are."""
    return types.typeof(Replaced((x,)).args[0])


class Host:
    """NumPy's arrays."""

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        return np.zeros(shape, dtype)

    def unit(self, shape: tuple[int, ...], dtype: np.dtype, position: int) -> Any:
        """Zeros, but for a 1 in this place, counted row by row."""
        made = np.zeros(shape, dtype)
        made.reshape(-1)[position] = 1
        return made

    def copy(self, x: Any) -> Any:
        return x.copy()

    def clear(self, x: Any) -> None:
        x[...] = 0

    def assign(self, target: Any, source: Any) -> None:
        target[...] = source

    def stack(self, parts: list[Any], outer: tuple[int, ...], inner: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array of shape (*outer, *inner) of one part of shape `inner` for each place in `outer`."""
        return np.array(parts, dtype).reshape((*outer, *inner))

    def stack_last(self, parts: list[Any], outer: tuple[int, ...], inner: tuple[int, ...], dtype: np.dtype) -> Any:
        """An array of shape (*inner, *outer) of the same."""
        stacked = np.array(parts, dtype).reshape((len(parts), *inner))
        return np.moveaxis(stacked, 0, -1).reshape((*inner, *outer))


class OnDevice:
    """The arrays of one device."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        return zeros(self.home, shape, dtype)

    def unit(self, shape: tuple[int, ...], dtype: np.dtype, position: int) -> Any:
        made = zeros(self.home, shape, dtype)
        self._put(placed(made).ctypes.data + position * dtype.itemsize, np.ones(1, dtype))
        return made

    def copy(self, x: Any) -> Any:
        return copy_of(self.home, x)

    def clear(self, x: Any) -> None:
        clear(self.home, x)

    def assign(self, target: Any, source: Any) -> None:
        copy_into(self.home, target, source)

    def stack(self, parts: list[Any], outer: tuple[int, ...], inner: tuple[int, ...], dtype: np.dtype) -> Any:
        made = empty(self.home, (*outer, *inner), dtype)
        address, size = placed(made).ctypes.data, int(np.prod(inner, dtype=np.int64))
        if not size:
            return made
        if not any(backend_of(type(part)) is not None for part in parts):
            self._put(address, np.array(parts, dtype))
            return made
        for number, part in enumerate(parts):
            row = self._view(made, number * size, inner, contiguous(inner, dtype.itemsize))
            copy_into(self.home, row, part)
        return made

    def stack_last(self, parts: list[Any], outer: tuple[int, ...], inner: tuple[int, ...], dtype: np.dtype) -> Any:
        rows = self.stack(parts, (len(parts),), inner, dtype)
        if not inner:
            return self._view(rows, 0, outer, contiguous(outer, dtype.itemsize))
        first, *rest = placed(rows).strides
        made = empty(self.home, (*inner, *outer), dtype)
        flat = (*inner, len(parts))
        if placed(made).size:
            turned = self._view(rows, 0, flat, (*rest, first))
            copy_into(self.home, self._view(made, 0, flat, contiguous(flat, dtype.itemsize)), turned)
        return made

    def _view(self, whole: Any, start: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
        """An array over the memory of a contiguous one, from one of its elements on."""
        at = placed(whole)
        return array_over(self.home, Kept(whole, at), at.ctypes.data + start * at.itemsize, shape, at.dtype, strides)

    def _put(self, address: int, values: np.ndarray) -> None:
        driver = self.home.driver
        driver.copy_to_device(address, np.ascontiguousarray(values), driver.current_stream())


Space = Host | OnDevice


def space_of(*values: Any) -> Space:
    """Where the arrays of some values are; the host where there are none."""
    for leaf in leaves(values):
        backend = backend_of(type(leaf))
        if backend is not None:
            return OnDevice(Home(backend.driver(leaf), backend))
    return Host()

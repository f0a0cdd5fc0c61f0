"""Arrays on the simulator of a GPU: kernels that are called with them run as PTX, checked, without a GPU.

    from dsl import simulator as sim

    x = sim.asarray(np.ones(8))
    k[1, 32](x)
    x.get()

It is no GPU: results on it are not results on hardware, and time means nothing. What it watches for (out of bounds,
uninitialised shared or local memory, races, barriers that not all threads come to) ends a launch with an error that
names kernel, thread, address and the user's line.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lowering.simulator import ALL, NONE, Checks, Device
from lowering.simulator.errors import (
    DataRace,
    Deadlock,
    DivergentBarrier,
    Fault,
    Misaligned,
    OutOfBounds,
    ReadOnlyWrite,
    StepLimit,
    Trap,
    UninitialisedRead,
    WarpError,
)

from .errors import ArgumentError

__all__ = [
    "ALL",
    "NONE",
    "Array",
    "Checks",
    "DataRace",
    "Deadlock",
    "Device",
    "DivergentBarrier",
    "Fault",
    "Misaligned",
    "OutOfBounds",
    "ReadOnlyWrite",
    "StepLimit",
    "Trap",
    "UninitialisedRead",
    "WarpError",
    "asarray",
    "asnumpy",
    "default_device",
    "empty",
    "zeros",
]

_default: list[Device] = []


def default_device() -> Device:
    """The device of arrays that are made without saying which: an sm_80."""
    if not _default:
        _default.append(Device())
    return _default[0]


class Array:
    """An array in the memory of a simulated device. `get()` copies it to the host, `set(values)` from there.

    Basic indexing gives views; a store through an index copies from the host.
    """

    __slots__ = ("_memory", "_view", "device")

    def __init__(self, device: Device, memory: _Memory, view: np.ndarray) -> None:
        self.device = device
        self._memory = memory
        self._view = view  # has the address, shape and strides; its elements are not to be looked at

    @property
    def __simulated_array_interface__(self) -> dict[str, Any]:
        """Where the array is. (CUDA's libraries would take it for real by the name that they look for.)"""
        view = self._view
        strides = None if view.flags.c_contiguous else view.strides
        data = (view.__array_interface__["data"][0], False)
        return {"shape": view.shape, "typestr": view.dtype.str, "data": data, "strides": strides, "version": 3}

    @property
    def shape(self) -> tuple[int, ...]:
        return self._view.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._view.dtype

    @property
    def ndim(self) -> int:
        return self._view.ndim

    @property
    def size(self) -> int:
        return self._view.size

    @property
    def nbytes(self) -> int:
        return self._view.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        return self._view.strides

    def __len__(self) -> int:
        return len(self._view)

    def get(self) -> np.ndarray:
        """A copy on the host."""
        whole, offset = self._memory.read()
        first = self._view.__array_interface__["data"][0] - offset
        on_host = np.ndarray(self.shape, self.dtype, whole.data, first if self.size else 0, self.strides)
        return on_host.copy()

    def set(self, values: Any) -> None:
        """Copy from the host; `values` are broadcast."""
        whole, offset = self._memory.read()
        if self.size:
            first = self._view.__array_interface__["data"][0] - offset
            np.ndarray(self.shape, self.dtype, whole.data, first, self.strides)[...] = _on_host(values)
            self._memory.write(whole)

    def copy(self) -> Array:
        return asarray(self.get(), self.device)

    def reshape(self, *shape: Any) -> Array:
        """A view of another shape, of a contiguous array."""
        if not self._view.flags.c_contiguous:
            raise ArgumentError("only a contiguous array is reshaped", hint="copy it first: a.copy()")
        return Array(self.device, self._memory, self._view.reshape(*shape))

    def __getitem__(self, index: Any) -> Array:
        items = index if isinstance(index, tuple) else (index,)
        if not all(item is None or item is ... or isinstance(item, (int, np.integer, slice)) for item in items):
            raise ArgumentError("an array on the device is indexed by ints and slices only")
        if ... not in items:
            items = (*items, ...)  # a view, also of one element
        return Array(self.device, self._memory, self._view[items])

    def __setitem__(self, index: Any, values: Any) -> None:
        self[index].set(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("this array is on a simulated device: a.get() copies it to the host")

    def __repr__(self) -> str:
        return f"simulator.Array(shape={self.shape}, dtype={self.dtype}, device={self.device.chip})"


class _Memory:
    """One allocation, given back when no array refers to it; or what is `given`, which is kept."""

    def __init__(self, device: Device, nbytes: int, given: Any = None) -> None:
        self.device, self.nbytes, self.given = device, nbytes, given
        self.address = device.alloc(nbytes) if given is None else given.address

    def read(self) -> tuple[np.ndarray, int]:
        whole = np.empty(self.nbytes, np.uint8)
        if self.nbytes:
            self.device.copy_to_host(whole, self.address)
        return whole, self.address

    def write(self, whole: np.ndarray) -> None:
        self.device.copy_to_device(self.address, whole)

    def __del__(self) -> None:
        if self.given is None:
            self.device.free(self.address)


class _Interface:
    """What NumPy asks for an array at an address."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def empty(shape: Any, dtype: Any = np.float64, device: Device | None = None) -> Array:
    """A new array, its elements not set."""
    device = device or default_device()
    kind = np.dtype(getattr(dtype, "dtype", dtype) if not isinstance(dtype, type) else dtype)
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    nbytes = int(np.prod(sizes, dtype=np.int64)) * kind.itemsize
    memory = _Memory(device, nbytes)
    interface = {"shape": (nbytes,), "typestr": "|u1", "data": (memory.address, False), "version": 3}
    return Array(device, memory, np.asarray(_Interface(interface)).view(kind).reshape(sizes))


def over(
    device: Device, memory: Any, address: int, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...]
) -> Array:
    """An array over memory of the device, which it keeps: an object with `address` and `nbytes`."""
    whole = _Memory(device, memory.nbytes, memory)
    if 0 in shape:
        return Array(device, whole, np.empty(shape, dtype))
    interface = {
        "shape": shape,
        "typestr": f"|V{dtype.itemsize}" if dtype.kind == "V" else dtype.str,  # bfloat16 is unknown to the protocol
        "data": (address, False),
        "strides": strides,
        "version": 3,
    }
    view = np.asarray(_Interface(interface))
    return Array(device, whole, view.view(dtype) if dtype.kind == "V" else view)


def zeros(shape: Any, dtype: Any = np.float64, device: Device | None = None) -> Array:
    """A new array of zeros."""
    made = empty(shape, dtype, device)
    made.device.memset(made._memory.address, 0, made.nbytes)
    return made


def asarray(values: Any, device: Device | None = None) -> Array:
    """A copy on the device of an array on the host; an array of that device itself."""
    if isinstance(values, Array) and (device is None or values.device is device):
        return values
    on_host = np.ascontiguousarray(_on_host(values)).reshape(np.shape(_on_host(values)))
    made = empty(on_host.shape, on_host.dtype, device)
    if on_host.size:
        made.device.copy_to_device(made._memory.address, on_host)
    return made


def asnumpy(array: Array) -> np.ndarray:
    """A copy on the host."""
    return array.get()


def _on_host(values: Any) -> Any:
    return values.get() if isinstance(values, Array) else np.asarray(values)

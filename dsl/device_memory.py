"""Memory of devices and arrays over it, made by the driver protocol: for results, shadows, tapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .backends import backend_of
from .errors import ArgumentError
from .placed import Home, Replaced, placed

if TYPE_CHECKING:
    from lowering.driver import Driver


class Memory:
    """What a driver has allocated, given back when nothing refers to it. Without a driver it is somebody else's."""

    __slots__ = ("__weakref__", "address", "driver", "nbytes")

    def __init__(self, driver: Driver | None, address: int, nbytes: int) -> None:
        self.driver, self.address, self.nbytes = driver, address, nbytes

    def __del__(self) -> None:
        if self.driver is not None:
            self.driver.free(self.address)


class Kept:
    """Memory of an array that there is, for views of it."""

    __slots__ = ("address", "array", "nbytes")

    def __init__(self, array: Any, at: np.ndarray) -> None:
        self.array, self.address, self.nbytes = array, at.ctypes.data, at.nbytes


def array_over(
    home: Home, memory: Memory | Kept, address: int, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...]
) -> Any:
    """An array of the backend's kind over memory, which it keeps; strides are in bytes."""
    make = getattr(home.backend, "array", None)
    if make is None:
        raise ArgumentError(
            f"an array is to be made on the {home.driver.name}, but its backend cannot make one",
            hint="write into an argument, or give the backend a method `array` (see dsl.register_backend)",
        )
    return make(home.driver, memory, address, shape, dtype, strides)


def empty(home: Home, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """A new, contiguous array, its elements not set."""
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = Memory(home.driver, home.driver.alloc(nbytes, home.driver.current_stream()), nbytes)
    return array_over(home, memory, memory.address, shape, dtype, contiguous(shape, dtype.itemsize))


def zeros(home: Home, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    made = empty(home, shape, dtype)
    clear(home, made)
    return made


def clear(home: Home, array: Any) -> None:
    """Set all elements to 0."""
    at = placed(array)
    if not at.flags.c_contiguous:
        copy_into(home, array, zeros(home, at.shape, at.dtype))
    elif at.size:
        home.driver.memset(at.ctypes.data, 0, at.nbytes, home.driver.current_stream())


def copy_of(home: Home, array: Any) -> Any:
    """A contiguous copy."""
    at = placed(array)
    made = empty(home, at.shape, at.dtype)
    copy_into(home, made, array)
    return made


def fetched(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments with copies on the host of what is on a device."""
    return Replaced(args, _fetched).args


def _fetched(array: Any) -> np.ndarray:
    backend = backend_of(type(array))
    assert backend is not None
    driver, at = backend.driver(array), placed(array)
    if not at.flags.c_contiguous:
        array = copy_of(Home(driver, backend), array)
    made = np.empty(at.shape, at.dtype)
    if made.size:
        driver.copy_to_host(made, placed(array).ctypes.data, driver.current_stream())
    return made


def copy_into(home: Home, target: Any, source: Any) -> None:
    """Copy elements of an array of the same shape and dtype, whatever the strides."""
    to, at = placed(target), placed(source)
    if not at.size:
        return
    if to.flags.c_contiguous and at.flags.c_contiguous:
        home.driver.copy(to.ctypes.data, at.ctypes.data, at.nbytes, home.driver.current_stream())
    else:
        _copy()(target, source)


def _copy() -> Any:
    global _kernel
    if _kernel is None:
        from .kernel import kernel

        _kernel = kernel(source="def copy(target, source):\n    target[:] = source\n")
    return _kernel


_kernel: Any = None


def contiguous(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides: list[int] = []
    for size in reversed(shape):
        strides.insert(0, itemsize)
        itemsize *= size
    return tuple(strides)

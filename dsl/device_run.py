"""Programs for a device while they run: host code whose launches and allocations come back here.

Compiled host code calls one C function for all that it asks of the device (see `lowering.nvptx.host`); that is
`_asked`, which passes it to the call that is under way in this thread, a `Run`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.abi import ALLOC_CALL, FAILED, LAUNCH_CALL, READ_CALL, WRITE_CALL

from .device_memory import Memory, array_over, copy_of
from .placed import Home

if TYPE_CHECKING:
    from lowering.driver import Driver, Module

_local = threading.local()  # .run: the call that is under way


class Code:
    """Compiled host code with its kernels' PTX, loaded once for each driver: what is `loaded` of a program."""

    def __init__(self, meta: dict[str, Any], loaded: Any) -> None:
        self.host = loaded
        self.ptx: str = meta["ptx"]
        self.kernels: list[dict[str, Any]] = meta["kernels"]
        self.places: list[str] = meta["places"]  # of the arrays that it returns
        self.modules: dict[int, tuple[Driver, Module]] = {}
        self.adopt = adopt

    def module(self, driver: Driver) -> Module:
        found = self.modules.get(id(driver))
        if found is None:
            found = self.modules[id(driver)] = (driver, driver.load(self.ptx))
        return found[1]

    def function(self, address: int) -> int:
        """Run the host code on the slots at an address."""
        run = under_way()
        run.code = self
        status: int = self.host.function(address)
        if run.failure is not None:
            raise run.failure
        return status


def under_way() -> Run:
    """The call that is under way in this thread."""
    run: Run = _local.run
    return run


@contextmanager
def running(home: Home) -> Iterator[Run]:
    """A call on a device, which ends with this; calls may be nested."""
    outer = getattr(_local, "run", None)
    run = _local.run = Run(home)
    try:
        yield run
    finally:
        _local.run = outer
        run.close()


def adopt(
    owners: dict[int, Any],
    dtype: np.dtype,
    allocated: int,
    aligned: int,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
) -> Any:
    """An array on the device over what host code returns: see `memory.adopt`."""
    return under_way().adopt(owners, dtype, allocated, aligned + offset * dtype.itemsize, shape, strides)


class Run:
    """One call: its device and stream, and what was allocated for it and is still its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.driver = home.driver
        self.stream = self.driver.current_stream()
        self.code: Code | None = None
        self.allocated: dict[int, int] = {}  # addresses, with their bytes
        self.failure: BaseException | None = None
        self.cell = 0

    def close(self) -> None:
        for address in self.allocated:
            self.driver.free(address, self.stream)

    def take(self, address: int) -> Memory:
        """What was allocated there, which is the caller's from now on."""
        return Memory(self.driver, address, self.allocated.pop(address))

    def adopt(
        self,
        owners: dict[int, Memory],
        dtype: np.dtype,
        allocated: int,
        address: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
    ) -> Any:
        if allocated in self.allocated:
            owners[allocated] = self.take(allocated)
        in_bytes = tuple(stride * dtype.itemsize for stride in strides)
        memory = owners.get(allocated)
        found = array_over(self.home, memory or Memory(None, allocated, 0), address, shape, dtype, in_bytes)
        return found if memory is not None else copy_of(self.home, found)  # an argument's memory stays its own

    def alloc(self, nbytes: int) -> int:
        if nbytes < 0:
            raise ValueError("an array that is allocated has a negative size, or one that is too large")
        address = self.driver.alloc(nbytes, self.stream)
        self.allocated[address] = nbytes
        return address

    def asked(self, words: Any) -> int:
        """What host code asks for. It ends where that fails."""
        try:
            kind = words[0]
            if kind == LAUNCH_CALL:
                self.launch(words)
                return 0
            if kind == ALLOC_CALL:
                return self.alloc(words[1])
            if kind == READ_CALL:
                number = np.zeros(8, np.uint8)
                self.driver.copy_to_host(number[: words[2]], words[1], self.stream)
                return int(number.view(np.int64)[0])
            if kind == WRITE_CALL:
                number = np.array([words[3]], np.int64).view(np.uint8)
                self.driver.copy_to_device(words[1], number[: words[2]], self.stream)
                return 0
            if self.allocated.pop(words[1], None) is not None:
                self.driver.free(words[1], self.stream)
        except BaseException as error:
            self.failure = error
            words[0] = FAILED
        return 0

    def launch(self, words: Any) -> None:
        assert self.code is not None
        kernel = self.code.kernels[words[1]]
        extents = tuple(words[2:8])
        if 0 in extents:
            return
        parameters = kernel["parameters"]
        arguments = [_argument(p[1], word) for p, word in zip(parameters, words[8 : 8 + len(parameters)])]
        cells = [n for n, p in enumerate(parameters) if p[2] in kernel["cells"] and p[0] == "pointer"]
        if cells:
            if not self.cell:
                self.cell = self.alloc(8)
            self.driver.memset(self.cell, 0, 8, self.stream)
            arguments = [self.cell if n in cells else argument for n, argument in enumerate(arguments)]
        function = self.code.module(self.driver).function(kernel["name"])
        self.driver.launch(function, extents[:3], extents[3:], arguments, 0, self.stream)
        if cells:  # the host goes on only where no thread has failed
            number = np.zeros(1, np.int64)
            self.driver.copy_to_host(number, self.cell, self.stream)
            on_host = ctypes.c_int64.from_address(words[8 + cells[0]])
            on_host.value = on_host.value or int(number[0])


_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def _argument(nbytes: int, word: int) -> Any:
    return word if nbytes == 8 else _UNSIGNED[nbytes](word & ((1 << 8 * nbytes) - 1))


_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))


@_PROTOTYPE
def _asked(words: Any) -> int:
    return under_way().asked(words)


ADDRESS = ctypes.cast(_asked, ctypes.c_void_p).value or 0

"""The CUDA driver, by CuPy: a `lowering.driver.Driver`.

It has run on no hardware yet: CuPy is an extra, and its calls are made here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .driver import Argument, Dim3, DriverError, Limits
from .nvptx.options import CHIPS

_HINT = "without a GPU, use the simulator: arrays of dsl.simulator.asarray(x)"


class Function:
    """A kernel of a loaded module."""

    def __init__(self, name: str, raw: Any) -> None:
        self.name = name
        self.raw = raw


class Module:
    """A loaded PTX text."""

    def __init__(self, device: Device, raw: Any) -> None:
        self.device, self.raw = device, raw

    def function(self, name: str) -> Function:
        try:
            with self.device._current():
                return Function(name, self.raw.get_function(name))
        except self.device.cupy.cuda.driver.CUDADriverError as error:
            raise DriverError(f"the module has no kernel `{name}`: {error}") from None


class Device:
    """One CUDA device, by its number. All is done with it as the current one."""

    name = "cuda"

    def __init__(self, number: int = 0) -> None:
        self.cupy = usable()
        self.number = number
        self.chip = _chip(self.cupy.cuda.Device(number).compute_capability)
        self.limits = _limits(self.cupy, number)
        self._memory: dict[int, Any] = {}  # what keeps the memory that was allocated, by its address

    @contextmanager
    def _current(self, stream: int = 0) -> Iterator[Any]:
        """With this device and a stream as the current ones: the stream. CuPy's pool is ordered by it."""
        with self.cupy.cuda.Device(self.number), self.cupy.cuda.ExternalStream(stream) as current:
            yield current

    def load(self, ptx: str) -> Module:
        module = self.cupy.cuda.function.Module()
        try:
            with self._current():
                module.load(ptx.encode() + b"\0")  # the driver takes a text that ends with a zero
        except self.cupy.cuda.driver.CUDADriverError as error:
            raise DriverError(f"the CUDA driver does not load the PTX: {error}") from None
        return Module(self, module)

    def launch(
        self,
        function: Function,
        grid: Dim3,
        block: Dim3,
        arguments: Sequence[Argument],
        shared_bytes: int = 0,
        stream: int = 0,
    ) -> None:
        given = tuple(a if isinstance(a, np.generic) else np.uint64(a & (2**64 - 1)) for a in arguments)
        try:
            with self._current(stream) as current:
                function.raw(grid, block, given, shared_mem=shared_bytes, stream=current)
        except self.cupy.cuda.driver.CUDADriverError as error:
            raise DriverError(f"the launch of `{function.name}` failed: {error}") from None

    def alloc(self, nbytes: int, stream: int = 0) -> int:
        try:
            with self._current(stream):
                memory = self.cupy.cuda.alloc(max(nbytes, 1))
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            raise MemoryError(str(error)) from None
        self._memory[int(memory.ptr)] = memory
        return int(memory.ptr)

    def free(self, address: int, stream: int = 0) -> None:
        """Back to CuPy's pool, which gives it out again to later work of the stream that it was allocated for."""
        if address and self._memory.pop(address, None) is None:
            raise DriverError(f"{address:#x} is no address that alloc returned, or it was freed before")

    def copy_to_device(self, address: int, source: np.ndarray, stream: int = 0) -> None:
        self._copy(address, source.ctypes.data, source.nbytes, "memcpyHostToDevice", stream)
        self.synchronize(stream)

    def copy_to_host(self, destination: np.ndarray, address: int, stream: int = 0) -> None:
        self._copy(destination.ctypes.data, address, destination.nbytes, "memcpyDeviceToHost", stream)
        self.synchronize(stream)

    def copy(self, destination: int, source: int, nbytes: int, stream: int = 0) -> None:
        self._copy(destination, source, nbytes, "memcpyDeviceToDevice", stream)

    def _copy(self, target: int, source: int, nbytes: int, kind: str, stream: int) -> None:
        runtime = self.cupy.cuda.runtime
        with self._current(stream), self._failing():
            runtime.memcpyAsync(target, source, nbytes, getattr(runtime, kind), stream)

    def memset(self, address: int, byte: int, nbytes: int, stream: int = 0) -> None:
        with self._current(stream), self._failing():
            self.cupy.cuda.runtime.memsetAsync(address, byte, nbytes, stream)

    def current_stream(self) -> int:
        with self.cupy.cuda.Device(self.number):
            return int(self.cupy.cuda.get_current_stream().ptr)

    def synchronize(self, stream: int = 0) -> None:
        with self._current(stream), self._failing():
            self.cupy.cuda.runtime.streamSynchronize(stream)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What has gone wrong on the device comes up in a later call, as an error of the runtime."""
        try:
            yield
        except self.cupy.cuda.runtime.CUDARuntimeError as error:
            raise DriverError(f"on the device: {error}") from None

    def array(
        self, memory: Any, address: int, shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...]
    ) -> Any:
        """A CuPy array at an address in `memory` (with `address` and `nbytes`), which it keeps."""
        cuda = self.cupy.cuda
        with self._current():
            if 0 in shape:
                return self.cupy.empty(shape, dtype)
            whole = cuda.UnownedMemory(memory.address, memory.nbytes, memory, self.number)
            place = cuda.MemoryPointer(whole, address - memory.address)
            return self.cupy.ndarray(shape, dtype, place, strides)


def _chip(capability: str) -> str:
    """What to compile for: the newest chip that is known here and not newer than the device. PTX runs on newer ones."""
    known = sorted(int(chip[3:]) for chip in CHIPS if chip[3:].isdigit())
    found = [number for number in known if number <= int(capability)]
    if not found:
        raise DriverError(f"a device of compute capability {capability} is too old; {_HINT}")
    return f"sm_{found[-1]}"


def usable() -> Any:
    """CuPy, if it finds a device; DriverError, which names the simulator, if not."""
    try:
        import cupy
    except ImportError:
        message = "to launch on a GPU, CuPy is needed: pip install 'diffdsl[cuda12]' or 'diffdsl[cuda13]'"
        raise DriverError(f"{message}; {_HINT}") from None
    try:
        if cupy.cuda.runtime.getDeviceCount() < 1:
            raise DriverError(f"there is no CUDA device; {_HINT}")
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DriverError(f"there is no CUDA driver that works: {error}; {_HINT}") from None
    return cupy


def _limits(cupy: Any, number: int) -> Limits:
    found = cupy.cuda.runtime.getDeviceProperties(number)
    return Limits(
        threads_per_block=int(found["maxThreadsPerBlock"]),
        block=tuple(int(n) for n in found["maxThreadsDim"]),  # type: ignore[arg-type]
        grid=tuple(int(n) for n in found["maxGridSize"]),  # type: ignore[arg-type]
        shared_bytes=int(found["sharedMemPerBlock"]),
        warp_size=int(found["warpSize"]),
    )

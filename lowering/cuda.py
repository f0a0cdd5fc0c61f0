"""The CUDA driver, by CuPy: a `lowering.driver.Driver`.

It has run on no hardware yet: CuPy is an extra, and its calls are made here and nowhere else.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from .driver import Argument, Dim3, DriverError, Limits

_HINT = "without a GPU, use the simulator: arrays of dsl.simulator.asarray(x)"


class Function:
    """A kernel of a loaded module."""

    def __init__(self, name: str, raw: Any) -> None:
        self.name = name
        self.raw = raw


class Module:
    """A loaded PTX text."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def function(self, name: str) -> Function:
        try:
            return Function(name, self.raw.get_function(name))
        except Exception as error:
            raise DriverError(f"the module has no kernel `{name}`: {error}") from None


class Device:
    """CuPy's current device when it is made."""

    name = "cuda"

    def __init__(self) -> None:
        self.cupy = _cupy()
        self.number = int(self.cupy.cuda.Device().id)
        self.chip = f"sm_{self.cupy.cuda.Device().compute_capability}"
        self.limits = _limits(self.cupy, self.number)
        self._memory: dict[int, Any] = {}

    def load(self, ptx: str) -> Module:
        module = self.cupy.cuda.function.Module()
        try:
            module.load(ptx.encode())
        except Exception as error:
            raise DriverError(f"the CUDA driver does not load the PTX: {error}") from None
        return Module(module)

    def launch(
        self,
        function: Function,
        grid: Dim3,
        block: Dim3,
        arguments: Sequence[Argument],
        shared_bytes: int = 0,
        stream: int = 0,
    ) -> None:
        held = [_bytes(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * max(len(held), 1))(*(ctypes.addressof(h) for h in held))
        try:
            self.cupy.cuda.driver.launchKernel(
                function.raw.ptr, *grid, *block, shared_bytes, stream, ctypes.addressof(pointers), 0
            )
        except Exception as error:
            raise DriverError(f"the launch of `{function.name}` failed: {error}") from None

    def alloc(self, nbytes: int, stream: int = 0) -> int:
        try:
            with self.cupy.cuda.ExternalStream(stream):
                memory = self.cupy.cuda.alloc(max(nbytes, 1))
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            raise MemoryError(str(error)) from None
        self._memory[memory.ptr] = memory
        return int(memory.ptr)

    def free(self, address: int, stream: int = 0) -> None:
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
        runtime.memcpyAsync(target, source, nbytes, getattr(runtime, kind), stream)

    def memset(self, address: int, byte: int, nbytes: int, stream: int = 0) -> None:
        self.cupy.cuda.runtime.memsetAsync(address, byte, nbytes, stream)

    def current_stream(self) -> int:
        return int(self.cupy.cuda.get_current_stream().ptr)

    def synchronize(self, stream: int = 0) -> None:
        try:
            self.cupy.cuda.runtime.streamSynchronize(stream)
        except Exception as error:
            raise DriverError(f"on the device: {error}") from None


def _bytes(argument: Argument) -> Any:
    data = argument.tobytes() if isinstance(argument, np.generic) else (argument & (2**64 - 1)).to_bytes(8, "little")
    return ctypes.create_string_buffer(data, len(data))


def _cupy() -> Any:
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

"""What runs device code: one protocol for a CUDA driver and for the simulator.

Everything above it (compiling, packing arguments, grids, shared memory, tapes of launches) is written once, against
these names. Addresses of device memory are ints; a null pointer is 0. Nothing here imports MLIR, CuPy or the simulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

Dim3 = tuple[int, int, int]
"""Extents along x, y, z."""

Argument = np.generic | int
"""One kernel parameter: a NumPy scalar of the parameter's own size (`np.void` of a structured dtype for a struct that
goes by value), or an int, which is 8 bytes: an address or a 64-bit integer."""


class DriverError(RuntimeError):
    """The driver refused: text that does not load, a launch beyond the device's limits, an address it did not give."""


@dataclass(frozen=True)
class Limits:
    """What one launch may ask of the device."""

    threads_per_block: int = 1024
    block: Dim3 = (1024, 1024, 64)
    grid: Dim3 = (2**31 - 1, 65535, 65535)
    shared_bytes: int = 48 * 1024
    warp_size: int = 32


class Function(Protocol):
    """A kernel of a loaded module."""

    @property
    def name(self) -> str: ...


class Module(Protocol):
    """Loaded code. It is unloaded when nothing refers to it or to its functions."""

    def function(self, name: str) -> Function:
        """The kernel of this name; DriverError if there is none."""
        ...


@runtime_checkable
class Driver(Protocol):
    """One device.

    Work given to one stream is done in order; a stream is the driver's own handle as an int, 0 the default stream.
    Copies between host and device have happened when they return, after all earlier work of their stream.
    """

    @property
    def name(self) -> str:
        """ "cuda" or "simulator"."""
        ...

    @property
    def chip(self) -> str:
        """The target to compile for, such as "sm_80"."""
        ...

    @property
    def limits(self) -> Limits: ...

    def load(self, ptx: str) -> Module:
        """Assemble PTX text and load it; DriverError with the assembler's own words if it is not valid."""
        ...

    def launch(
        self,
        function: Function,
        grid: Dim3,
        block: Dim3,
        arguments: Sequence[Argument],
        shared_bytes: int = 0,
        stream: int = 0,
    ) -> None:
        """Start the kernel. `shared_bytes` is dynamic shared memory, beside what the kernel declares itself."""
        ...

    def alloc(self, nbytes: int, stream: int = 0) -> int:
        """Address of uninitialised memory, aligned to at least 256 bytes; MemoryError if there is not enough.

        No bytes are still an allocation with an address of its own.
        """
        ...

    def free(self, address: int, stream: int = 0) -> None:
        """Give back what `alloc` returned, once earlier work of the stream is done; 0 is ignored."""
        ...

    def copy_to_device(self, address: int, source: np.ndarray, stream: int = 0) -> None:
        """From a C-contiguous host array, all its bytes."""
        ...

    def copy_to_host(self, destination: np.ndarray, address: int, stream: int = 0) -> None:
        """Into a C-contiguous, writable host array, all its bytes."""
        ...

    def copy(self, destination: int, source: int, nbytes: int, stream: int = 0) -> None:
        """Within the device's memory; the ranges may overlap only if they are the same."""
        ...

    def memset(self, address: int, byte: int, nbytes: int, stream: int = 0) -> None: ...

    def current_stream(self) -> int:
        """The stream that the user's array library works on now; 0 where there is none."""
        ...

    def synchronize(self, stream: int = 0) -> None:
        """Wait for the stream's work; what went wrong on the device since the last wait is raised here at last."""
        ...

"""The simulated device: memory, loaded modules, launches. It is a `lowering.driver.Driver`."""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence

import numpy as np

from ..driver import Argument, Dim3, DriverError, Limits
from ..driver import Function as AnyFunction
from .checks import ALL, Checks
from .errors import LaunchError, PtxError
from .executor import Executor
from .memory import GlobalMemory
from .parser import parse
from .program import Program
from .races import Races
from .state import Batch, Launch
from .syntax import Float, Int, Name, Unit, Variable
from .types import dtype
from .types import size as type_size

_BATCH_THREADS = 1 << 16
_BATCH_BYTES = 1 << 28  # of shared and local memory in a batch


class Function:
    """A kernel of a loaded module. `parameters` are (name, offset, size in bytes)."""

    def __init__(self, module: Module, program: Program):
        self.module, self.program = module, program
        self.parameters = [(p.name, offset, p.size) for p, offset in program.parameters]

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def shared_bytes(self) -> int:
        """Of shared memory that the kernel declares itself."""
        return self.program.static_shared

    def __repr__(self) -> str:
        return f"<kernel {self.name} in the simulator>"


class Module:
    """A loaded PTX text. Its kernels are decoded when they are asked for."""

    def __init__(self, device: Device, text: str):
        self.device = device
        self._functions: dict[str, Function] = {}
        self.variables: dict[str, int] = {}
        self.unit: Unit = parse(text)
        for variable in self.unit.variables.values():
            if variable.space in ("global", "const"):
                self.variables[variable.name] = device.memory.alloc(variable.size, variable.space == "const")
        for variable in self.unit.variables.values():
            if variable.name in self.variables:
                self._initialise(variable)

    @property
    def kernels(self) -> list[str]:
        return [f.name for f in self.unit.functions.values() if f.kernel and f.defined]

    def function(self, name: str) -> Function:
        """The kernel of this name; DriverError if there is none, PtxError if it has what the simulator lacks."""
        if name not in self._functions:
            if name not in self.kernels:
                raise DriverError(f"the module has no kernel `{name}`; it has {', '.join(self.kernels) or 'none'}")
            self._functions[name] = Function(self, Program(self.unit, self.unit.functions[name]))
        return self._functions[name]

    def _initialise(self, variable: Variable) -> None:
        kind, width = dtype(variable.type), type_size(variable.type)
        values = np.zeros(max(variable.count, len(variable.initial)), kind)
        for k, value in enumerate(variable.initial):
            if isinstance(value, Name):
                if value.name not in self.variables:
                    raise PtxError(f"the initial value of {variable.name} is no address of a variable")
                values.view(f"u{width}")[k] = self.variables[value.name] + value.offset
            elif isinstance(value, Float) or (isinstance(value, Int) and kind.kind == "f"):
                values[k] = value.value
            else:
                values.view(f"u{width}")[k] = value.value & ((1 << 8 * width) - 1)
        target = self.device.memory.slice(self.variables[variable.name], variable.size)
        assert target is not None
        target[:] = values.view(np.uint8)[: variable.size]

    def __del__(self) -> None:
        for address in self.variables.values():
            self.device.memory.free(address)


class Device:
    """A device that runs PTX text on this machine's processor, and checks what kernels do.

    `chip` is what to compile for; text for any other chip runs as well. `memory` is the capacity in bytes.
    Everything is done when the call returns, so a fault of a kernel is raised by its launch.
    """

    name = "simulator"

    def __init__(self, chip: str = "sm_80", memory: int = 1 << 34, checks: Checks = ALL):
        self.chip, self.checks = chip, checks
        self.limits = Limits()
        self.memory = GlobalMemory(memory)
        self._lock = threading.RLock()  # one launch at a time, and no allocation during it
        self._own: set[int] = set()  # what `alloc` gave out, modules' variables apart

    # --- code

    def load(self, ptx: str) -> Module:
        return Module(self, ptx)

    def launch(
        self,
        function: AnyFunction,
        grid: Dim3,
        block: Dim3,
        arguments: Sequence[Argument],
        shared_bytes: int = 0,
        stream: int = 0,
    ) -> None:
        """Run a kernel to its end. Raises LaunchError before anything runs, or the first `Fault` of the kernel."""
        if not isinstance(function, Function):
            raise LaunchError(f"{function!r} is no kernel of the simulator")
        program = function.program
        self._check_extents(program, grid, block, shared_bytes)
        launch = Launch(
            program,
            self.memory,
            grid,
            block,
            _pack(function, arguments),
            shared_bytes,
            self.checks,
            function.module.variables,
        )
        with self._lock:
            self._run(launch)

    def _run(self, launch: Launch) -> None:
        """Batch after batch of blocks."""
        program, threads = launch.program, launch.block_threads
        own = threads * program.local_bytes + program.shared_bytes + launch.shared_bytes
        together = max(1, min(_BATCH_THREADS // threads, _BATCH_BYTES // max(own, 1)))
        if self.checks.races:
            self.memory.races = Races(self.memory.top, program.granule, launch.clock)
        try:
            with np.errstate(all="ignore"):
                for first in range(0, launch.blocks, together):
                    Executor(Batch(launch, first, min(together, launch.blocks - first))).run()
        finally:
            self.memory.races = None
            if launch.output:
                print("".join(launch.output), end="")

    def _check_extents(self, program: Program, grid: Dim3, block: Dim3, shared_bytes: int) -> None:
        limits, kernel = self.limits, program.kernel
        for what, extents, bounds in (("grid", grid, limits.grid), ("block", block, limits.block)):
            if len(extents) != 3 or not all(0 < n <= m for n, m in zip(extents, bounds)):
                raise LaunchError(f"a {what} of {extents}: each extent must be from 1 to {bounds}")
        threads = block[0] * block[1] * block[2]
        if threads > limits.threads_per_block:
            raise LaunchError(f"{threads} threads in a block: at most {limits.threads_per_block} are possible")
        if grid[0] * grid[1] * grid[2] * threads >= 2**31:
            raise LaunchError("the simulator runs at most 2**31 - 1 threads in a launch")
        if shared_bytes < 0 or program.static_shared + shared_bytes > limits.shared_bytes:
            raise LaunchError(
                f"{program.static_shared} bytes of static and {shared_bytes} of dynamic shared memory: "
                f"a block has {limits.shared_bytes}"
            )
        required, most = kernel.required_threads, kernel.maximum_threads
        if required and [*required, 1, 1][:3] != list(block):
            raise LaunchError(f"`{kernel.name}` requires blocks of {required} threads (.reqntid)")
        if most and threads > np.prod(most):
            raise LaunchError(
                f"`{kernel.name}` is compiled for at most {int(np.prod(most))} threads a block (.maxntid)"
            )

    # --- memory

    def alloc(self, nbytes: int, stream: int = 0) -> int:
        if nbytes < 0:
            raise DriverError(f"an allocation of {nbytes} bytes")
        with self._lock:
            address = self.memory.alloc(nbytes)
            self._own.add(address)
        return address

    def free(self, address: int, stream: int = 0) -> None:
        if not address:
            return
        with self._lock:
            if address not in self._own:
                raise DriverError(f"{address:#x} is no address that alloc returned, or it was freed before")
            self._own.discard(address)
            self.memory.free(address)

    def copy_to_device(self, address: int, source: np.ndarray, stream: int = 0) -> None:
        _contiguous(source)
        self._slice(address, source.nbytes)[:] = source.reshape(-1).view(np.uint8)

    def copy_to_host(self, destination: np.ndarray, address: int, stream: int = 0) -> None:
        _contiguous(destination)
        if not destination.flags.writeable:
            raise DriverError("the host array is read-only")
        destination.reshape(-1).view(np.uint8)[:] = self._slice(address, destination.nbytes)

    def copy(self, destination: int, source: int, nbytes: int, stream: int = 0) -> None:
        self._slice(destination, nbytes)[:] = self._slice(source, nbytes)

    def memset(self, address: int, byte: int, nbytes: int, stream: int = 0) -> None:
        self._slice(address, nbytes)[:] = byte

    def _slice(self, address: int, nbytes: int) -> np.ndarray:
        found = self.memory.slice(address, nbytes)
        if found is None:
            raise DriverError(f"{nbytes} bytes at {address:#x} are not within one allocation of the device")
        return found

    # --- streams: there is one, and its work is done when it is given

    def current_stream(self) -> int:
        return 0

    def synchronize(self, stream: int = 0) -> None:
        pass


def _contiguous(array: np.ndarray) -> None:
    if not array.flags.c_contiguous:
        raise DriverError("the host array must be C-contiguous")


def _pack(function: Function, arguments: Sequence[Argument]) -> np.ndarray:
    """The bytes of the kernel's parameters."""
    laid = function.program.parameters
    if len(arguments) != len(laid):
        raise LaunchError(f"`{function.name}` takes {len(laid)} parameters, {len(arguments)} were given")
    packed = bytearray(function.program.parameter_bytes)
    for (parameter, offset), argument in zip(laid, arguments):
        if isinstance(argument, np.generic | np.ndarray):
            raw = argument.tobytes()
        elif isinstance(argument, bool) or not isinstance(argument, int):
            raise LaunchError(f"parameter {parameter.name}: a {type(argument).__name__} is no kernel argument")
        else:
            raw = struct.pack("<q" if argument < 0 else "<Q", argument)
        if len(raw) != parameter.size:
            raise LaunchError(f"parameter {parameter.name} has {parameter.size} bytes, the argument has {len(raw)}")
        packed[offset : offset + parameter.size] = raw
    return np.frombuffer(bytes(packed), np.uint8)

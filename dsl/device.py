"""Calls with arrays on a device: on a GPU by CuPy, or on the simulator.

An array on a device is taken as a NumPy array at its address, whose elements nobody looks at: so all that is checked
and packed for arrays on the host is checked and packed for these, by the same code. What differs is the code that is
called, host code whose launches and allocations come back here (`Program`), and the driver that it runs on.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from lowering.abi import ALLOC_CALL, DEVICE, LAUNCH_CALL, READ_CALL, WRITE_CALL

from . import checks, types
from .annotations import Annotation
from .arrays import check_structs, check_written
from .backends import backend_of
from .compiled import Compiled
from .errors import ArgumentError, CompileError
from .kernel import Kernel
from .request import Request
from .runner import MISS, Runner, build

if TYPE_CHECKING:
    from lowering.driver import Driver, Module

    from .driver import State

# --- arrays -------------------------------------------------------------------------------------------------------


def on_device(value: Any) -> bool:
    """Whether a value is an array on a device, or holds one."""
    return any(backend_of(type(leaf)) is not None for leaf in _leaves(value))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Annotation):
        yield from _leaves(value.val)
        yield from _leaves(getattr(value, "dval", None))
    elif isinstance(value, tuple):
        for part in value:
            yield from _leaves(part)
    elif types.is_struct_class(type(value)):
        for name in types.field_names(type(value)):
            yield from _leaves(getattr(value, name))
    else:
        yield value


class _At:
    """An array's place, as NumPy takes it."""

    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def placed(value: Any) -> np.ndarray:
    """A NumPy array at the address of an array on a device. Its elements are not to be looked at."""
    backend = backend_of(type(value))
    assert backend is not None
    interface = backend.interface(value)
    if interface.get("mask") is not None:
        raise ArgumentError("an array with a mask cannot be passed to a kernel")
    dtype = getattr(value, "dtype", None)
    fields = {name: interface.get(name) for name in ("shape", "typestr", "data", "strides")}
    array = np.asarray(_At({**fields, "version": 3}))
    if isinstance(dtype, np.dtype) and dtype != array.dtype and dtype.itemsize == array.itemsize:
        array = array.view(dtype)  # bfloat16, which the interface cannot name
    return array


def _replaced(value: Any, copies: list[tuple[Any, Any]]) -> Any:
    """An argument with NumPy arrays in place of those on a device; `copies` gets the mutable structs and theirs."""
    if backend_of(type(value)) is not None:
        return placed(value)
    if not on_device(value):
        return value
    if isinstance(value, Annotation):
        parts = [_replaced(value.val, copies)]
        if hasattr(value, "dval"):
            parts.append(_replaced(value.dval, copies))
        return type(value)(*parts)
    if type(value) is tuple:
        return tuple(_replaced(part, copies) for part in value)
    cls = type(value)
    made = cls(**{name: _replaced(getattr(value, name), copies) for name in types.field_names(cls)})
    if types.is_mutable_class(cls):
        copies.append((value, made))
    return made


def _copy_back(copies: list[tuple[Any, Any]]) -> None:
    """Numbers that the call put into fields, to the user's own structs."""
    for own, made in copies:
        for name in types.field_names(type(own)):
            new = getattr(made, name)
            if not isinstance(new, np.ndarray) and not types.is_struct_class(type(new)) and type(new) is not tuple:
                setattr(own, name, new)


# --- drivers ------------------------------------------------------------------------------------------------------

def driver_of(kernel: Kernel, args: tuple[Any, ...]) -> Driver:
    """The one driver of all arrays of a call; arrays of several kinds are refused."""
    found: Driver | None = None
    for leaf in _leaves(args):
        if isinstance(leaf, np.ndarray):
            _mixed(kernel, "an array on the host")
        backend = backend_of(type(leaf))
        if backend is None:
            continue
        mine = backend.driver(leaf)
        if found is not None and found is not mine:
            _mixed(kernel, f"one of the {found.name} and one of the {mine.name}, or two devices")
        found = mine
    assert found is not None
    return found


def _mixed(kernel: Kernel, what: str) -> None:
    raise ArgumentError(
        f"arrays on a device are passed together with {what}, in a call of {kernel.name}",
        kernel.loc,
        "bring all arrays to one place",
    )


# --- programs -----------------------------------------------------------------------------------------------------

_local = threading.local()  # .run: the call that is under way


class Program(Compiled):
    """Compiled host code with its kernels' PTX, loaded once for each driver."""

    __slots__ = ("kernels", "modules", "ptx")

    def __init__(self, meta: dict[str, Any], result: types.Type, loaded: Any) -> None:
        super().__init__(meta, result, loaded)
        self.ptx: str = meta["ptx"]
        self.kernels: list[dict[str, Any]] = meta["kernels"]
        self.modules: dict[int, tuple[Driver, Module]] = {}
        self.call = self._run

    def module(self, driver: Driver) -> Module:
        found = self.modules.get(id(driver))
        if found is None:
            found = self.modules[id(driver)] = (driver, driver.load(self.ptx))
        return found[1]

    def _run(self, address: int) -> int:
        """Run the host code on the slots at an address."""
        run: _Run = _local.run
        run.program = self
        status: int = self.loaded.function(address)
        if run.failure is not None:
            raise run.failure
        return status


class _Run:
    """One call: its driver and stream, and what was allocated for it."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.stream = driver.current_stream()
        self.program: Program | None = None
        self.allocated: set[int] = set()
        self.failure: BaseException | None = None
        self.cell = 0

    def close(self) -> None:
        for address in self.allocated:
            self.driver.free(address, self.stream)

    def asked(self, words: Any) -> int:
        """What host code asks for; after a failure nothing more is done."""
        if self.failure is not None:
            return 0
        try:
            kind = words[0]
            if kind == LAUNCH_CALL:
                self.launch(words)
                return 0
            if kind == ALLOC_CALL:
                address = self.driver.alloc(words[1], self.stream)
                self.allocated.add(address)
                return address
            if kind == READ_CALL:
                number = np.zeros(8, np.uint8)
                self.driver.copy_to_host(number[: words[2]], words[1], self.stream)
                return int(number.view(np.int64)[0])
            if kind == WRITE_CALL:
                number = np.array([words[3]], np.int64).view(np.uint8)
                self.driver.copy_to_device(words[1], number[: words[2]], self.stream)
                return 0
            self.allocated.discard(words[1])
            self.driver.free(words[1], self.stream)
        except BaseException as error:
            self.failure = error
        return 0

    def launch(self, words: Any) -> None:
        assert self.program is not None
        kernel = self.program.kernels[words[1]]
        extents = tuple(words[2:8])
        if 0 in extents:
            return
        parameters = kernel["parameters"]
        arguments = [_argument(p[1], word) for p, word in zip(parameters, words[8 : 8 + len(parameters)])]
        cells = [n for n, p in enumerate(parameters) if p[2] in kernel["cells"] and p[0] == "pointer"]
        if cells:
            if not self.cell:
                self.cell = self.driver.alloc(8, self.stream)
                self.allocated.add(self.cell)
            self.driver.memset(self.cell, 0, 8, self.stream)
            arguments = [self.cell if n in cells else argument for n, argument in enumerate(arguments)]
        function = self.program.module(self.driver).function(kernel["name"])
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
    run: _Run = _local.run
    return run.asked(words)


_ADDRESS = ctypes.cast(_asked, ctypes.c_void_p).value or 0


# --- calls --------------------------------------------------------------------------------------------------------


def call(kernel: Kernel, args: tuple[Any, ...]) -> Any:
    """Run a kernel on arguments of which some are on a device."""
    return _carry_out(kernel, None, args, lambda given: checks.call_request(kernel, given))


def differentiate(mode: Any, f: Any, args: tuple[Any, ...]) -> Any:
    """Run a derivative on such arguments."""
    kernel = checks.the_kernel(f)
    return _carry_out(kernel, mode, args, lambda given: checks.derivative_request(mode, f, given))


def _carry_out(kernel: Kernel, mode: Any, args: tuple[Any, ...], request_of: Callable[[Any], Request]) -> Any:
    from . import driver as drivers

    driver = driver_of(kernel, args)
    copies: list[tuple[Any, Any]] = []
    given = tuple(_replaced(arg, copies) for arg in args)
    state = drivers.state_of(kernel)
    outer = getattr(_local, "run", None)
    run = _local.run = _Run(driver)
    try:
        runners: list[Runner] = state.on_devices.setdefault((driver.chip, mode), [])
        for runner in runners:
            result = runner(given)
            if result is not MISS:
                return result
        request = request_of(given)
        program = find(state, request, driver.chip)
        check_written(request, program.written, program.strict_aliasing)
        check_structs(request, program.writebacks)
        runner = build(request, program)
        result = runner(given)
        if result is not MISS:
            runners.append(runner)
            return result
        return build(request, program, guarded=False)(given)
    finally:
        run.close()
        _local.run = outer
        _copy_back(copies)


def find(state: State, request: Request, chip: str) -> Program:
    """The program for a request and a chip: in memory, on disk, or compiled."""
    from . import driver as drivers

    key = (chip, request.key())
    found = state.code.get(key)
    if found is None:
        with drivers._lock:
            found = state.code.get(key)
            if found is None:
                found = state.code[key] = _from_disk(state, request, chip) or _compile(state, request, chip)
    assert isinstance(found, Program)
    return found


def _options(state: State, request: Request, chip: str) -> Any:
    from lowering.nvptx.options import DeviceOptions

    from .driver import _strict

    chosen = state.options
    return DeviceOptions(chip, chosen.fastmath, chosen.contract, _strict(state, request))


def _name(state: State, request: Request, chip: str) -> str:
    from .driver import _disk_key

    return f"{_disk_key(state, request)}\0{_options(state, request, chip).key()}"


def _from_disk(state: State, request: Request, chip: str) -> Program | None:
    from lowering.errors import LoweringError
    from lowering.jit import load

    from .compiled import decode
    from .driver import _cache, _known_classes

    entry = _cache().get(_name(state, request, chip))
    if entry is None:
        return None
    meta, code = entry
    result = decode(meta["result"], _known_classes(request))
    if result is None:
        return None
    try:
        return Program(meta, result, load(code, meta["entry"], {DEVICE: _ADDRESS}))
    except LoweringError:
        return None


def lowered(state: State, request: Request, chip: str) -> tuple[Any, str, types.Type, dict[str, Any]]:
    """The program of a request as the lowering gives it, its entry, the result's type and the rest of the meta data."""
    from lowering import nvptx
    from lowering.errors import LoweringError

    from .driver import _as_ours, _module

    text, entry, result, meta = _module(state, request)
    try:
        program = nvptx.compile(text, entry, _options(state, request, chip), bool(meta["errors"]))
    except LoweringError as error:
        raise _as_ours(error, CompileError) from None
    return program, entry, result, meta


def _compile(state: State, request: Request, chip: str) -> Program:
    from lowering import cpu
    from lowering.errors import LoweringError

    from . import require
    from .compiled import encode
    from .driver import _as_ours, _cache, _known_classes, cpu_options

    require.compiler()
    program, entry, result, meta = lowered(state, request, chip)
    meta = {**meta, "ptx": program.ptx, "kernels": program.kernels}
    try:
        code = cpu.compile(program.host, entry, cpu_options(state.options, meta["strict_aliasing"]))
        loaded = cpu.load(code, entry, {DEVICE: _ADDRESS})
    except LoweringError as error:
        raise _as_ours(error, CompileError) from None
    encoded = encode(result, _known_classes(request))
    if encoded is not None:
        _cache().put(_name(state, request, chip), {**meta, "result": encoded}, code)
    return Program(meta, result, loaded)


__all__ = ["Program", "call", "differentiate", "driver_of", "find", "lowered", "on_device", "placed"]

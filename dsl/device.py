"""Calls with arrays on a device: on a GPU by CuPy, or on the simulator.

All that is checked and packed for arrays on the host is checked and packed for these, by the same code (see `placed`).
What differs is the code that is called, host code whose launches and allocations come back to `device_run`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lowering.abi import DEVICE

from . import checks, types
from .arrays import check_structs, check_written
from .device_run import ADDRESS, Code, Program, running
from .errors import CompileError
from .kernel import Kernel
from .placed import Replaced, home_of
from .request import Request
from .runner import MISS, Runner, build

if TYPE_CHECKING:
    from .driver import State


def call(kernel: Kernel, args: tuple[Any, ...]) -> Any:
    """Run a kernel on arguments of which some are on a device."""
    return _carry_out(kernel, None, args, lambda given: checks.call_request(kernel, given))


def differentiate(mode: Any, f: Any, args: tuple[Any, ...]) -> Any:
    """Run a derivative on such arguments."""
    kernel = checks.the_kernel(f)
    return _carry_out(kernel, mode, args, lambda given: checks.derivative_request(mode, f, given))


def _carry_out(kernel: Kernel, mode: Any, args: tuple[Any, ...], request_of: Callable[[Any], Request]) -> Any:
    from . import driver as drivers

    home = home_of(kernel, args)
    replaced = Replaced(args)
    given = replaced.args
    state = drivers.state_of(kernel)
    with running(home):
        try:
            runners: list[Runner] = state.on_devices.setdefault((home.driver.chip, mode), [])
            for runner in runners:
                result = runner(given)
                if result is not MISS:
                    return result
            request = request_of(given)
            program = find(state, request, home.driver.chip)
            check_written(request, program.written, program.strict_aliasing)
            check_structs(request, program.writebacks)
            runner = build(request, program)
            result = runner(given)
            if result is not MISS:
                runners.append(runner)
                return result
            return build(request, program, guarded=False)(given)
        finally:
            replaced.back()


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
        return Program(meta, result, Code(meta, load(code, meta["entry"], {DEVICE: ADDRESS})))
    except LoweringError:
        return None


def lowered(state: State, request: Request, chip: str) -> tuple[Any, str, types.Type, dict[str, Any]]:
    """The program of a request as the lowering gives it, its entry, the result's type and the rest of the meta data."""
    from lowering import nvptx
    from lowering.errors import LoweringError

    from .driver import _as_ours, _module

    text, entry, result, meta = _module(state, request)
    try:
        signature = nvptx.Signature(error=bool(meta["errors"]))
        program = nvptx.compile(text, entry, _options(state, request, chip), signature)
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
    meta = {**meta, "ptx": program.ptx, "kernels": program.kernels, "places": program.places}
    try:
        code = cpu.compile(program.host, entry, cpu_options(state.options, meta["strict_aliasing"]))
        loaded = Code(meta, cpu.load(code, entry, {DEVICE: ADDRESS}))
    except LoweringError as error:
        raise _as_ours(error, CompileError) from None
    encoded = encode(result, _known_classes(request))
    if encoded is not None:
        _cache().put(_name(state, request, chip), {**meta, "result": encoded}, code)
    return Program(meta, result, loaded)

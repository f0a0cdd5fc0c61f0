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
from .compiled import Compiled
from .device_run import ADDRESS, Code, running
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

    state = drivers.state_of(kernel)

    def work(chip: str, given: tuple[Any, ...]) -> Any:
        runners: list[Runner] = state.on_devices.setdefault((chip, mode), [])
        for runner in runners:
            result = runner(given)
            if result is not MISS:
                return result
        request = request_of(given)
        program = find(state, request, chip)
        check_written(request, program.written, program.strict_aliasing)
        check_structs(request, program.writebacks)
        runner = build(request, program)
        result = runner(given)
        if result is not MISS:
            runners.append(runner)
            return result
        return build(request, program, guarded=False)(given)

    return carried_out(kernel, args, work)


def carried_out(kernel: Kernel, args: tuple[Any, ...], work: Callable[[str, tuple[Any, ...]], Any]) -> Any:
    """A call on the device of its arguments: `work` is given its chip, and the arguments as the host takes them."""
    home = home_of(kernel, args)
    replaced = Replaced(args)
    with running(home):
        try:
            return work(home.driver.chip, replaced.args)
        finally:
            replaced.back()


def find(state: State, request: Request, chip: str) -> Compiled:
    """The program for a request and a chip: in memory, on disk, or compiled."""
    from . import driver as drivers

    key = (chip, request.key())
    found = state.code.get(key)
    if found is None:
        with drivers._lock:
            found = state.code.get(key)
            if found is None:
                found = state.code[key] = _from_disk(state, request, chip) or _compile(state, request, chip)
    return found


def options(state: State, chip: str, distinct: bool) -> Any:
    """What the lowering needs to know. `distinct`: arrays do not overlap."""
    from lowering.nvptx.options import DeviceOptions

    return DeviceOptions(chip, state.options.fastmath, state.options.contract, distinct)


def _options(state: State, request: Request, chip: str) -> Any:
    from .driver import _strict

    return options(state, chip, _strict(state, request))


def _name(state: State, request: Request, chip: str) -> str:
    from .driver import _disk_key

    return f"{_disk_key(state, request)}\0{_options(state, request, chip).key()}"


def _from_disk(state: State, request: Request, chip: str) -> Compiled | None:
    from lowering.errors import LoweringError

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
        return Compiled(meta, result, loaded(request, meta, code))
    except LoweringError:
        return None


def lowered(state: State, request: Request, chip: str) -> tuple[Any, str, types.Type, dict[str, Any]]:
    """The program of a request as the lowering gives it, its entry, the result's type and the rest of the meta data."""
    from .driver import _module

    text, entry, result, meta = _module(state, request, device=True)
    return program(text, meta, _options(state, request, chip)), entry, result, meta


def program(text: str, meta: dict[str, Any], options: Any, **signature: Any) -> Any:
    """The program of a module; `signature` says more of its entry than `meta` does (see `nvptx.Signature`)."""
    from lowering import nvptx
    from lowering.errors import LoweringError

    from .driver import _as_ours

    try:
        return nvptx.compile(text, meta["entry"], options, nvptx.Signature(bool(meta["errors"]), **signature))
    except LoweringError as error:
        raise _as_ours(error, CompileError) from None


def of_program(made: Any) -> dict[str, Any]:
    """What of a program goes into the meta data of compiled code."""
    return {"ptx": made.ptx, "kernels": made.kernels, "places": made.places}


def loaded(request: Request, meta: dict[str, Any], code: bytes) -> Code:
    """The host code of a program, loaded."""
    from lowering.jit import load

    from .driver import linked

    return Code(meta, linked(load, code, meta["entry"], request, {DEVICE: ADDRESS}))


def _compile(state: State, request: Request, chip: str) -> Compiled:
    from lowering import cpu
    from lowering.errors import LoweringError

    from . import require
    from .compiled import encode
    from .driver import _as_ours, _cache, _known_classes, cpu_options

    require.compiler()
    made, entry, result, meta = lowered(state, request, chip)
    meta = {**meta, **of_program(made)}
    try:
        code = cpu.compile(made.host, entry, cpu_options(state.options, meta["strict_aliasing"]))
        ready = loaded(request, meta, code)
    except LoweringError as error:
        raise _as_ours(error, CompileError) from None
    encoded = encode(result, _known_classes(request))
    if encoded is not None:
        _cache().put(_name(state, request, chip), {**meta, "result": encoded}, code)
    return Compiled(meta, result, ready)

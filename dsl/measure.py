"""How many bytes a derivative's tape takes for given arguments: counted by a variant of the derivative that counts.

The variant is compiled for this one purpose and run on copies of the arguments, so that nothing of the user's changes.
"""

from __future__ import annotations

import copy
import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple

from . import checks, derivative, driver, require, types
from .arrays import check_structs, check_written
from .compiled import Compiled
from .device_memory import fetched
from .errors import ArgumentError, CompileError
from .kernel import Kernel
from .modes import Mode
from .request import Request
from .runner import build
from .written import written_arguments

if TYPE_CHECKING:
    from dialects.explain import Examined, Site


class Measured(NamedTuple):
    """What the engine did, and where the final code allocates for its tape. The rest is to run the variant."""

    examined: Examined
    sites: list[Site]
    text: str  # the module that counts
    entry: str
    result: types.Type
    meta: dict[str, Any]  # of the plain derivative, see `Compiled`
    words: tuple[int, int]  # of its arguments, and of its results
    loaded: list[Any]  # the machine code, once it was needed


def tape_bytes(kernel: Kernel, args: tuple[Any, ...]) -> int:
    """The bytes that the tape of `dsl.autodiff(mode, kernel, ...)` takes, `args` being the mode and what follows."""
    if not args or not isinstance(args[0], Mode):
        hint = f"write {kernel.name}.tape_bytes(dsl.Reverse, annotated arguments...), as for dsl.autodiff"
        raise ArgumentError(f"{kernel.name}.tape_bytes needs a mode first", None, hint)
    args = fetched(args)
    request = checks.derivative_request(args[0], kernel, args[1:])
    measured = examine(request)
    return sum(of_bytes(measured, run(request, measured, args[1:])))


def of_bytes(measured: Measured, counts: list[int]) -> list[int]:
    """Those counts that are bytes of the tape."""
    return [count for site, count in zip(measured.sites, counts) if site.how != "steps"]


def examine(request: Request) -> Measured:
    """Make the derivative that a request asks for, with counters in it."""
    require.compiler()
    from mlir.ir import Location

    from dialects import explain
    from dialects.upstream import keep_only

    state, key = driver.state_of(request.kernel), request.key()
    with driver._lock:
        if _last and _last[0][0] is state and _last[0][1] == key:
            return _last[0][2]
        asked = driver._asked(state, request)
        examined = driver.engine(explain.examine, asked.module, request, asked.lowered)
        with asked.module.context, Location.unknown():
            keep_only(asked.module, asked.entry)
            written = written_arguments(asked.module, asked.entry)
            if asked.lowered.errors:
                written.pop()  # the error cell
            words = _words(asked.module, asked.entry)
            sites = driver.engine(lambda module: explain.count_tape(module, asked.entry), asked.module, request)
            text = asked.module.operation.get_asm(enable_debug_info=True)
        meta = {
            "returns": asked.returns,
            "primal": asked.primal,
            "errors": driver.error_records(asked.lowered),
            "files": driver.files_of_launches(text),
            "writebacks": list(asked.lowered.writebacks),
            "written": written,
            "strict_aliasing": driver._strict(state, request),
        }
        measured = Measured(examined, sites, text, asked.entry, asked.result, meta, words, [])
        _last[:] = [(state, key, measured)]
    return measured


_last: list[tuple[driver.State, Any, Measured]] = []  # the last one, for another call with other values


def run(request: Request, measured: Measured, args: tuple[Any, ...]) -> list[int]:
    """The bytes (or steps) of each site, by running the variant on copies of the arguments."""
    if not measured.sites:
        return []
    compiled = _compile(request, measured)
    check_written(request, compiled.written, compiled.strict_aliasing)
    check_structs(request, compiled.writebacks)
    counters = (ctypes.c_int64 * (2 * len(measured.sites)))()
    compiled.call = _call(compiled.loaded.function, counters, *measured.words)
    build(request, compiled, guarded=False)(copy.deepcopy(args))
    return list(counters)[: len(measured.sites)]


def _compile(request: Request, measured: Measured) -> Compiled:
    from lowering import cpu
    from lowering.errors import LoweringError

    try:
        with driver._lock:
            if not measured.loaded:
                chosen = driver.state_of(request.kernel).options
                options = driver.cpu_options(chosen, measured.meta["strict_aliasing"])
                measured.loaded.append(cpu.load(cpu.compile(measured.text, measured.entry, options), measured.entry))
    except LoweringError as error:
        raise driver._as_ours(error, CompileError) from None
    return Compiled(measured.meta, measured.result, measured.loaded[0])


def _call(function: Any, counters: Any, arguments: int, results: int) -> Any:
    """A function of the slots of the plain derivative that calls the variant, whose last argument are the counters."""
    slots = (ctypes.c_int64 * (arguments + 5 + results))()
    start = ctypes.addressof(counters)
    slots[arguments : arguments + 5] = [start, start, 0, len(counters), 1]

    def call(address: int) -> int:
        ctypes.memmove(slots, address, 8 * arguments)
        status: int = function(ctypes.addressof(slots))
        ctypes.memmove(address + 8 * arguments, ctypes.addressof(slots) + 8 * (arguments + 5), 8 * results)
        return status

    return call


def _words(module: Any, entry: str) -> tuple[int, int]:
    """How many slots the arguments of a function take, and its results: see `packing`."""
    from mlir import ir

    function = derivative._function(module, entry)
    type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    return sum(map(_slots, type_.inputs)), sum(map(_slots, type_.results))


def _slots(type_: Any) -> int:
    from mlir import ir

    if isinstance(type_, ir.MemRefType):
        return 3 + 2 * int(type_.rank)
    return 2 if isinstance(type_, ir.ComplexType) else 1

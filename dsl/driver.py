"""From a request to compiled code: memory first, then the cache on disk, and only then the compiler.

`call` and `differentiate` are what the user's calls come to when no runner fits: they check the arguments, find or make
the code, keep a runner for the next call alike, and run. Neither the front-end nor MLIR is imported unless something
has to be compiled.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from lowering.options import CpuOptions

from . import checks, require, types
from .arrays import check_structs, check_written
from .compiled import Compiled, classes, decode, encode
from .constants import also_watch, fingerprint, foreign_functions
from .errors import CompileError, DifferentiationError, DslError
from .kernel import Kernel
from .modes import Mode
from .options import KernelOptions, options, resolve
from .placed import on_device
from .request import Request, result_activity
from .runner import MISS, Runner, build
from .syntax.loc import Loc

if TYPE_CHECKING:
    from .frontend.lowered import Lowered

# More kinds of call of one kernel than this are looked up by their key each time.
_RUNNERS = 8
# So much code of one kernel is kept in memory.
_KINDS = 256


class State:
    """What is known of a kernel as it is now: its code, runners by mode. A changed global or option makes a new one."""

    __slots__ = ("code", "digest", "generation", "halves", "on_devices", "options", "runners", "watch")

    def __init__(self, kernel: Kernel) -> None:
        self.digest = fingerprint(kernel)
        self.watch = kernel.watch
        self.generation = options.generation
        self.options: KernelOptions = resolve(kernel.options)
        self.code: dict[Any, Compiled] = {}
        self.halves: dict[Any, Any] = {}  # of split mode, see dsl.halves
        self.runners: dict[Mode | None, list[Runner]] = {}
        self.on_devices: dict[tuple[str, Any], list[Runner]] = {}  # runners by chip and mode, see dsl.device

    def valid(self, kernel: Kernel) -> bool:
        watch = self.watch
        return (
            self.generation == options.generation and watch is kernel.watch and watch is not None and watch.unchanged()
        )


def state_of(kernel: Kernel) -> State:
    """The state of a kernel, made anew where what it was made of has changed."""
    found = kernel.__dict__.get("compiled_state")
    if found is None or not found.valid(kernel):
        found = State(kernel)
        kernel.__dict__["compiled_state"] = found
    return found


def call(kernel: Kernel, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    """Run a kernel on all its arguments."""
    if kwargs:
        args = kernel.bind(args, kwargs)
    state = state_of(kernel)
    for run in state.runners.get(None, ()):
        result = run(args)
        if result is not MISS:
            return result
    if on_device(args):
        from . import device

        return device.call(kernel, args)
    return _carry_out(state, checks.call_request(kernel, args), args)


def differentiate(mode: Any, f: Any, args: tuple[Any, ...]) -> Any:
    """Run a derivative for which there is no runner."""
    if on_device(args):
        from . import device

        return device.differentiate(mode, f, args)
    request = checks.derivative_request(mode, f, args)
    return _carry_out(state_of(request.kernel), request, args)


def _carry_out(state: State, request: Request, args: tuple[Any, ...]) -> Any:
    compiled = find(state, request)
    check_written(request, compiled.written, compiled.strict_aliasing)
    check_structs(request, compiled.writebacks)
    given = sum(argument.given for argument in request.arguments)
    runners = state.runners.setdefault(request.mode, [])
    # A promoted int warns each time, so it has to come here each time.
    promoted = any(argument.promoted for argument in request.arguments)
    if not promoted and len(runners) < _RUNNERS and given not in compiled.passed:
        run = build(request, compiled)
        result = run(args)
        if result is not MISS:
            runners.append(run)
            return result
    # Its quick tests took something for an overlap that is none, or there are too many runners: the checks in full have
    # been made, so it can do without.
    passed = compiled.passed.get(given)
    if passed is None:
        passed = compiled.passed[given] = build(request, compiled, guarded=False)
    return passed(args)


def code_for(kernel: Kernel, args: tuple[Any, ...]) -> tuple[Request, Compiled]:
    """The code that a call of a kernel would run, with its request."""
    state = state_of(kernel)
    if not on_device(args):
        request = checks.call_request(kernel, args)
        return request, find(state, request)
    from . import device
    from .placed import Replaced, home_of

    request = checks.call_request(kernel, Replaced(args).args)
    return request, device.find(state, request, home_of(kernel, args).driver.chip)


# --- finding and making code --------------------------------------------------------------------------------------

_lock = threading.Lock()  # one compilation at a time: MLIR's and LLVM's state is not for several


def find(state: State, request: Request) -> Compiled:
    """The code for a request."""
    key = request.key()
    found = state.code.get(key)
    if found is None:
        with _lock:
            found = state.code.get(key)
            if found is None:
                name = _disk_key(state, request)
                shown = state.options.print_ir or state.options.print_activity
                found = (None if shown else _from_disk(name, request)) or _compile(name, state, request)
                while len(state.code) >= _KINDS:  # calls with a new lambda each time, say
                    state.code.pop(next(iter(state.code)), None)
                state.code[key] = found
    return found


def cpu_options(chosen: KernelOptions, strict: bool) -> CpuOptions:
    """What the lowering needs to know of a kernel's options."""
    return CpuOptions(
        fastmath=chosen.fastmath,
        vector_math=chosen.vector_math,
        contract=chosen.contract,
        distinct_arrays=strict,
        check_threads=chosen.boundscheck,
    )


def _strict(state: State, request: Request) -> bool:
    """Whether written arrays must be apart. Split mode always takes that for granted."""
    return state.options.strict_aliasing or (request.mode is not None and request.mode.split)


_caches: dict[str | None, Any] = {}


def _cache() -> Any:
    """The cache on disk; its directory may change with the environment."""
    from lowering.cache import ENVIRONMENT, ObjectCache

    place = os.environ.get(ENVIRONMENT)
    found = _caches.get(place)
    if found is None:
        found = _caches[place] = ObjectCache()
    return found


def _disk_key(state: State, request: Request) -> str:
    from lowering.host import fingerprint as host

    from .version import toolchain

    brought = also_watch(request.kernel, _brought(argument.type for argument in request.arguments))
    chosen = cpu_options(state.options, _strict(state, request))
    parts = (state.digest, brought, request.text(), state.options.key(), chosen.key(), toolchain(), host())
    return "\0".join(parts)


def _brought(arg_types: Iterable[types.Type]) -> Iterator[Any]:
    """What of the code comes with the arguments: functions and classes, and the classes of structs."""
    for type_ in arg_types:
        if isinstance(type_, types.StructType):
            yield type_.cls
            yield from _brought(field for _, field in type_.fields)
        elif isinstance(type_, types.TupleType):
            yield from _brought(type_.elements)
        elif isinstance(type_, types.Literal):
            yield type_.value


def _known_classes(request: Request) -> dict[tuple[str, str], type]:
    found: dict[tuple[str, str], type] = {}
    for argument in request.arguments:
        classes(argument.type, found)
    return found


def _from_disk(name: str, request: Request) -> Compiled | None:
    from lowering.errors import LoweringError
    from lowering.jit import load

    entry = _cache().get(name)
    if entry is None:
        return None
    meta, code = entry
    result = decode(meta["result"], _known_classes(request))
    if result is None:
        return None
    try:
        return Compiled(meta, result, linked(load, code, meta["entry"], request))
    except LoweringError:
        return None  # it refers to a library that this process lacks: compiling anew says which


def brought(request: Request) -> Iterator[Any]:
    """What of the code comes with the arguments of a request."""
    return _brought(argument.type for argument in request.arguments)


def linked(
    load: Callable[..., Any], code: bytes, entry: str, request: Request, ours: dict[str, int] | None = None
) -> Any:
    """The loaded code, with the addresses of the foreign functions that it calls, and of `ours`."""
    found = foreign_functions(request.kernel, brought(request))
    if not found:
        return load(code, entry, ours)
    from .foreign import resolve

    loaded = load(code, entry, {**resolve(found), **(ours or {})})
    loaded.keep = found
    if any(function.kind == "host" for function in found):
        from .imported import session

        loaded.function = session(loaded.function)
    return loaded


def _compile(name: str, state: State, request: Request) -> Compiled:
    require.compiler()
    from lowering import cpu
    from lowering.errors import LoweringError

    module, entry, result, meta = _module(state, request)
    _show(state, request, module)
    try:
        code = cpu.compile(module, entry, cpu_options(state.options, meta["strict_aliasing"]))
        loaded = linked(cpu.load, code, entry, request)
    except LoweringError as error:
        raise _as_ours(error, CompileError) from None
    encoded = encode(result, _known_classes(request))
    if encoded is not None:
        _cache().put(name, {**meta, "result": encoded}, code)
    return Compiled(meta, result, loaded)


#: A place in the source, in a module's text.
_FILE = re.compile(r'"([^"]+)":\d+:\d+')


def files_of_launches(text: str) -> list[str]:
    """The source files that a module's text names, if it launches grids."""
    return sorted(set(_FILE.findall(text))) if "gpu.launch" in text else []


def _module(state: State, request: Request, device: bool = False) -> tuple[str, str, types.Type, dict[str, Any]]:
    """The MLIR of a request, the name of its entry, the result's type and the rest of the meta data."""
    from mlir.ir import Location, UnitAttr

    from dialects.custom.marks import release
    from dialects.pipeline import differentiate as expand
    from dialects.upstream import keep_only

    from . import derivative
    from .nesting import deep
    from .written import written_arguments

    asked = _asked(state, request)
    module, entry, lowered = asked.module, asked.entry, asked.lowered
    with deep(request.kernel), module.context, Location.unknown():
        # a kernel may ask for derivatives inside
        expanded = request.mode is not None or derivative.asks(module)
        if expanded and device:
            module.operation.attributes["autodiff.spread"] = UnitAttr.get()
        if expanded:
            engine(lambda module, rules: expand(module, rules, entry), module, request, lowered)
        elif lowered.rules is not None:
            release(module)
        keep_only(module, entry)
        written = written_arguments(module, entry)
        if lowered.errors:
            written.pop()  # the error cell
        text = lowered.module_text
        if derivative.drop_stops(module) or expanded or lowered.rules is not None:
            text = module.operation.get_asm(enable_debug_info=True)
    meta = {
        "entry": entry,
        "returns": asked.returns,
        "primal": asked.primal,
        "errors": error_records(lowered),
        "files": files_of_launches(text),
        "writebacks": list(lowered.writebacks),
        "written": written,
        "strict_aliasing": _strict(state, request),
    }
    return text, entry, asked.result, meta


def _show(state: State, request: Request, module: str) -> None:
    """Print what the options ask for."""
    from .listing import IRText, with_source_lines

    if state.options.print_activity and request.mode is not None:
        from dialects.show import activity

        print(IRText(with_source_lines(engine(activity, _asked(state, request).module, request)), "mlir"))
    if state.options.print_ir:
        print(IRText(with_source_lines(module), "mlir"))


class Asked(NamedTuple):
    """A kernel in MLIR, with the request for its derivative where there is one, not yet expanded."""

    module: Any
    entry: str
    lowered: Lowered
    result: types.Type
    returns: str
    primal: bool


def _asked(state: State, request: Request) -> Asked:
    """The kernel of a request, lowered and checked."""
    from mlir.ir import Location, UnitAttr

    from dialects.pipeline import parse

    from . import derivative
    from .frontend import lower

    mode = request.mode
    lowered = lower(request.kernel, request.arg_types, state.options)
    result = types.strong(lowered.result_type)
    writebacks = tuple(lowered.writebacks)
    checks.check_result(request, result)
    module = parse(lowered.module_text)
    if not _strict(state, request):
        module.operation.attributes["autodiff.overlap"] = UnitAttr.get(module.context)
    if not state.options.contract:
        module.operation.attributes["autodiff.ordered"] = UnitAttr.get(module.context)
    if mode is None:
        return Asked(module, lowered.entry, lowered, result, "const", True)
    returns = result_activity(mode, request.returns, result).__name__.lower()
    returns = "duplicated" if "duplicated" in returns else returns
    # What the kernel puts into fields is part of its effect, wanted value or not.
    # In split mode the shadow of what is returned is made like it.
    primal = mode.primal or bool(writebacks) or (mode.split and returns == "duplicated")
    checks.check_writebacks(request, writebacks)
    with module.context, Location.unknown():
        args = (request, result, returns, writebacks, bool(lowered.errors), primal)
        entry = derivative.add(module, lowered.entry, *args, overlap=not _strict(state, request))
    return Asked(module, entry, lowered, result, returns, primal)


def error_records(lowered: Lowered) -> list[dict[str, Any]]:
    """The places where a kernel may raise, those in rules that the engine has had made included."""
    return lowered.rules.error_records() if lowered.rules is not None and lowered.errors else list(lowered.errors)


def engine(work: Callable[..., Any], module: Any, request: Request, lowered: Lowered | None = None) -> Any:
    """What `work`, a part of the derivative engine, makes of the module of a request; its errors in our form. `lowered`
    for what makes derivatives: it may need rules of kernels.
    """
    from mlir.ir import Location

    from dialects.errors import DerivativeError

    from .nesting import deep

    with deep(request.kernel), module.context, Location.unknown():
        try:
            return work(module) if lowered is None else work(module, lowered.rules)
        except DerivativeError as error:
            _name_argument(error, request)
            raise _as_ours(error, DifferentiationError) from None


def _name_argument(error: Any, request: Request) -> None:
    """Call an argument by its name, as the user does, where the engine has a number."""
    leaves = request.leaves()
    if error.argument is not None and error.argument < len(leaves):
        error.message = error.message.replace(f"argument {error.argument}", f"`{leaves[error.argument].path}`", 1)


def _as_ours(error: Any, cls: type[DslError]) -> DslError:
    """An error of the engine or the lowering in the form of all our errors."""
    if error.loc is None:
        return cls(error.message, None, error.hint)
    file, line, col = error.loc
    loc = Loc(file, line, col, line, col + 1)
    return cls(error.message, loc, error.hint)

"""The code of split mode: an augmented primal and a pullback, both made of one request, and the tape between them.

`find` gives the `Halves` of a request, from memory, disk or compiler, as `driver.find` does for whole derivatives. The
two entries take the slots of a whole derivative; the augmented primal leaves the tape's words behind its results, and
the pullback takes the seeds, then the tape, behind its arguments.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import Any, NoReturn

from . import device, driver, require, types
from .arrays import check_structs, check_written
from .compiled import Compiled, decode, encode, seeds
from .device_run import under_way
from .errors import ArgumentError, CompileError, NotYetSupported
from .packing import scalar_words, words
from .request import Leaf, Request, is_continuous
from .runner import MISS, Runner, Writer, made
from .shadows import make_zero
from .spaces import described
from .structs import holds_mutable
from .tape import Tape, TapePart

# More kinds of call of one half than this go the slow way.
_RUNNERS = 4


class _Augment(Compiled):
    """The compiled augmented primal."""

    __slots__ = ()

    def seeds(self, request: Request) -> list[Leaf]:
        return []

    def result_leaves(self, request: Request) -> list[types.Type]:
        leaves = request.leaves()
        written = [leaves[index].type for index in self.writebacks]
        return [*types.leaves(self.result), *written] if self.primal else []


class _Pullback(Compiled):
    """The compiled pullback, which returns gradients alone."""

    __slots__ = ()

    def __init__(self, meta: dict[str, Any], result: types.Type, loaded: Any) -> None:
        super().__init__(meta, result, loaded)
        self.primal = False


class Calls:
    """Carries out the calls of one piece of compiled code, by runners, which it has made when they are needed."""

    def __init__(self, compiled: Compiled, make: Callable[[Request, bool], Runner]) -> None:
        self.compiled = compiled
        self._make = make  # the runner of a request, guarded or not
        self._runners: list[Runner] = []
        self._unguarded: Runner | None = None

    def carry_out(self, args: tuple[Any, ...], request: Callable[[], Request]) -> Any:
        """Run on these arguments. `request` checks them in full, and is called only where no runner fits them."""
        for run in self._runners:
            result = run(args)
            if result is not MISS:
                return result
        asked = request()
        check_written(asked, self.compiled.written, self.compiled.strict_aliasing)
        check_structs(asked, self.compiled.writebacks)
        promoted = any(argument.promoted for argument in asked.arguments)  # it warns each time
        if not promoted and len(self._runners) < _RUNNERS:
            run = self._make(asked, True)
            result = run(args)
            if result is not MISS:
                self._runners.append(run)
                return result
        if self._unguarded is None:
            self._unguarded = self._make(asked, False)
        return self._unguarded(args)


class Halves:
    """Both halves, ready to be called: `forward` and `backward` carry out calls."""

    def __init__(self, request: Request, augment: tuple[Any, ...], pullback: tuple[Any, ...]) -> None:
        meta = augment[0]
        self.kernel, self.key = request.kernel, request.key()
        self.on_device = "ptx" in meta
        self.parts = tuple(TapePart(*part) for part in meta["tape"])
        self.words = sum(part.words for part in self.parts)
        self.blocks: int | None = meta["blocks"]  # the part that lists blocks
        self.keeps_arguments: bool = meta["keeps_arguments"]  # whether the tape points to arguments
        self.seeded: bool = meta["returns"] == "active"
        self.shadowed: bool = meta["returns"] == "duplicated"
        first, second = _Augment(*augment), _Pullback(*pullback)
        self.result = first.result
        self.forward = Calls(first, lambda asked, guarded: made(_AugmentWriter(asked, self, first, guarded)))
        self.backward = Calls(second, lambda asked, guarded: made(_PullbackWriter(asked, self, second, guarded)))


class _AugmentWriter(Writer):
    """Writes the runner of the augmented primal, which returns `(tape, primal, shadow)`."""

    def __init__(self, request: Request, halves: Halves, compiled: Compiled, guarded: bool) -> None:
        super().__init__(request, compiled, guarded, {})
        self.halves = halves
        self.more_results = halves.words

    def _run(self, argument_words: int, results: list[types.Type]) -> None:
        at = argument_words + (5 if self.compiled.errors else 0) + sum(map(words, results))
        halves, call = self.halves, self.compiled.call

        def augment(buffer: Any, address: int) -> tuple[int, Tape | None]:
            status = call(address)
            if status:
                return status, None
            raw = bytes(buffer)
            run = under_way() if halves.on_device else None
            return 0, Tape(halves, raw[: 8 * argument_words], raw[8 * at : 8 * (at + halves.words)], run)

        self.names["augment"] = augment
        self.line("status, tape = augment(buffer, address)")

    def _gradients(self, leaves: list[Leaf], values: Any) -> str:
        return ""

    def _outputs(self, gradients: str) -> str:
        mode, returns = self.request.mode, self.request.returns
        primal = mode is not None and mode.primal and not (returns and returns.__name__.endswith("NoNeed"))
        return f"tape, {'primal' if primal else 'None'}, {self._shadows() if self.halves.shadowed else 'None'}"

    def _shadows(self) -> str:
        """Zeros like the arrays that are returned, which the tape keeps: their expression, in the result's form."""
        self.names["zeros"] = make_zero
        result = self.halves.result
        lanes: list[list[str]] = [[] for _ in range(self.request.width)]
        for k, leaf in enumerate(types.leaves(result)):
            if is_continuous(leaf):
                for lane, names in enumerate(lanes):
                    names.append(f"s{k}_{lane}")
                    self.line(f"s{k}_{lane} = zeros(r{k})")
        each = [name for group in zip(*lanes) for name in group]
        self.line(f"tape.shadows = ({''.join(name + ', ' for name in each)})")
        return self._batch([self._tree(result, iter(names), True) for names in lanes])


class _PullbackWriter(Writer):
    """Writes the runner of the pullback, which returns `(gradients,)`."""

    def __init__(self, request: Request, halves: Halves, compiled: Compiled, guarded: bool) -> None:
        super().__init__(request, compiled, guarded, {})
        self.halves = halves
        self.trailing = ("seed", "tape") if halves.seeded else ("tape",)

    def _seeds(self) -> None:
        result = self.halves.result
        self.shadows_at = sum(map(_format_words, self.formats))
        if self.halves.seeded:
            assert isinstance(result, types.Scalar)
            if self.request.batched:
                self.guard(f"len(seed) != {self.request.width}")
            for lane in range(self.request.width):
                name = f"seed[{lane}]" if self.request.batched else "seed"
                self._pack(result, scalar_words(result, name))
        elif self.halves.shadowed:
            count = sum(words(leaf) for leaf in types.leaves(result) if is_continuous(leaf))
            self.formats.append(f"{8 * count * self.request.width}x")
        super()._seeds()
        self.tape_at = sum(map(_format_words, self.formats))
        if self.halves.words:
            self.formats.append(f"{8 * self.halves.words}x")

    def _run(self, argument_words: int, results: list[types.Type]) -> None:
        call, at, shadows_at = self.compiled.call, 8 * self.tape_at, 8 * self.shadows_at
        layout = _Layout(self.request, self.halves.keeps_arguments)

        def pullback(buffer: Any, address: int, tape: Tape) -> int:
            layout.resume(buffer, tape.arguments)
            seeds = b"".join(map(_described, tape.shadows))
            taken = tape.take()
            ctypes.memmove(address + shadows_at, seeds, len(seeds))
            ctypes.memmove(address + at, taken, len(taken))
            try:
                status: int = call(address)
            finally:
                tape.release(taken)
            return status

        self.names["pullback"] = pullback
        self.line("status = pullback(buffer, address, tape)")

    def _outputs(self, gradients: str) -> str:
        return f"({gradients},)"


def _described(shadow: Any) -> bytes:
    """The words of an array of ours, which is contiguous."""
    array = described(shadow)
    strides = (stride // array.itemsize for stride in array.strides)
    return struct.pack(f"={3 + 2 * array.ndim}q", *2 * (array.ctypes.data,), 0, *array.shape, *strides)


def _format_words(format_: str) -> int:
    return struct.calcsize("=" + format_) // 8


class _Layout:
    """Where the arguments' numbers and shapes are in the slots, and which of them a pullback must find as they were."""

    def __init__(self, request: Request, keeps_arguments: bool) -> None:
        self.kernel = request.kernel
        changeable = request.overwritten()
        self.numbers: list[tuple[int, int, Leaf]] = []  # first word, words
        self.arrays: list[tuple[int, int, Leaf, str]] = []  # first word, rank, why it must be the same array
        at = 0
        for k, leaf in enumerate(request.leaves()):
            if isinstance(leaf.type, types.Scalar):
                self.numbers.append((at, words(leaf.type), leaf))
            else:
                kept = _KEPT if keeps_arguments else ""
                fixed = kept or (_DECLARED if changeable is not None and k not in changeable else "")
                self.arrays.append((at, leaf.type.ndim, leaf, fixed))
                for lane in range(request.width if leaf.shadowed and kept else 0):
                    self.arrays.append((at + (1 + lane) * words(leaf.type), leaf.type.ndim, leaf, kept))
            at += words(leaf.type) * (1 + request.width if leaf.shadowed else 1)

    def resume(self, buffer: Any, before: bytes) -> None:
        """Compare a pullback's arguments, in `buffer`, with those of the forward pass; refuse what has changed.

        Fields of mutable structs may change: the pullback goes on with the numbers of the forward pass.
        """
        for at, count, leaf in self.numbers:
            then = struct.unpack_from(f"={count}q", before, 8 * at)
            if tuple(buffer[at : at + count]) != then:
                if not holds_mutable(leaf.argument.type):
                    self._refuse(leaf, "has another value than in the forward pass", "pass the same value")
                buffer[at : at + count] = then
        for at, rank, leaf, fixed in self.arrays:
            aligned, _, *shape = struct.unpack_from(f"={2 + rank}q", before, 8 * (at + 1))
            found = list(buffer[at + 3 : at + 3 + rank])
            if found != shape:
                self._refuse(
                    leaf, f"has shape {tuple(found)}, in the forward pass {tuple(shape)}", "pass the same array"
                )
            if fixed and 0 not in shape and buffer[at + 1] != aligned:
                message, _, hint = fixed.partition("; ")
                self._refuse(leaf, f"is another array than in the forward pass, {message}", hint)

    def _refuse(self, leaf: Leaf, what: str, hint: str) -> NoReturn:
        message = f"`{leaf.path}` {what}, in a pullback of {self.kernel.name}"
        raise ArgumentError(message, self.kernel.loc, hint)


_KEPT = "or has another shadow, but the tape points to it, since the kernel exchanges arrays; pass the same arrays"
_DECLARED = (
    "but it is declared not to be overwritten in between; "
    "pass the same array, or give True for it in ReverseSplitModified"
)


# --- finding and making code --------------------------------------------------------------------------------------


def find(request: Request, chip: str | None = None) -> Halves:
    """The code for a request in split mode: that of this process, or of the cache on disk, or compiled. `chip`: for a
    device.
    """
    state = driver.state_of(request.kernel)
    key = (chip, request.key())
    found: Halves | None = state.halves.get(key)
    if found is None:
        with driver._lock:
            found = state.halves.get(key)
            if found is None:
                _refuse_pullbacks(request)
                shown = state.options.print_ir or state.options.print_activity
                name = driver._disk_key(state, request)
                name += f"\0{device.options(state, chip, True).key()}" if chip else ""
                found = (None if shown else _from_disk(name, request)) or _compile(name, state, request, chip)
                while len(state.halves) >= driver._KINDS:
                    state.halves.pop(next(iter(state.halves)), None)
                state.halves[key] = found
    return found


def _refuse_pullbacks(request: Request) -> None:
    """Python's pullbacks live as long as one call of compiled code."""
    for function in driver.foreign_functions(request.kernel, driver.brought(request)):
        if getattr(function, "tapes", False):
            raise NotYetSupported(
                f"split mode of {request.kernel.name}: the imported rule {function.name} leaves a Python object "
                "behind, which the tape of split mode does not hold yet",
                request.kernel.loc,
                "use dsl.Reverse",
            )


_NAMES = ("augment", "pullback")


def _from_disk(name: str, request: Request) -> Halves | None:
    from lowering.errors import LoweringError
    from lowering.jit import load

    found = []
    for half in _NAMES:
        entry = driver._cache().get(f"{name}\0{half}")
        if entry is None:
            return None
        meta, code = entry
        result = decode(meta["result"], driver._known_classes(request))
        if result is None:
            return None
        try:
            found.append((meta, result, _loaded(load, request, meta, code)))
        except LoweringError:
            return None
    return Halves(request, *found)


def _loaded(load: Callable[..., Any], request: Request, meta: dict[str, Any], code: bytes) -> Any:
    if "ptx" in meta:
        return device.loaded(request, meta, code)
    return driver.linked(load, code, meta["entry"], request)


def _compile(name: str, state: driver.State, request: Request, chip: str | None) -> Halves:
    require.compiler()
    from lowering import cpu
    from lowering.errors import LoweringError

    result, modules = _modules(state, request)
    encoded = encode(result, driver._known_classes(request))
    found = []
    taped: tuple[str, ...] = ()  # where the tape's arrays are
    for half, (text, meta) in zip(_NAMES, modules):
        driver._show(state, request, text)
        distinct = half == "augment" or not meta["keeps_arguments"]
        if chip is not None:
            signature: dict[str, Any] = {"arguments": taped} if taped else {"returned": meta["results"]}
            program = device.program(text, meta, device.options(state, chip, distinct), **signature)
            text, meta = program.host, {**meta, **device.of_program(program)}
            count = sum(part[2] is not None for part in meta["tape"])
            taped = tuple(program.places[len(program.places) - count :]) if half == "augment" else taped
        try:
            code = cpu.compile(text, meta["entry"], driver.cpu_options(state.options, distinct))
            loaded = _loaded(cpu.load, request, meta, code)
        except LoweringError as error:
            raise driver._as_ours(error, CompileError) from None
        if encoded is not None:
            driver._cache().put(f"{name}\0{half}", {**meta, "result": encoded}, code)
        found.append((meta, result, loaded))
    return Halves(request, *found)


def _modules(state: driver.State, request: Request) -> tuple[types.Type, list[tuple[str, dict[str, Any]]]]:
    """The result's type, and of both halves the MLIR with its meta data."""
    from mlir.ir import Location

    from dialects.pipeline import differentiate as expand
    from dialects.pipeline import parse
    from dialects.upstream import keep_only

    from . import split_entry
    from .written import written_arguments

    asked = driver._asked(state, request)
    expansions = driver.engine(expand, asked.module, request, asked.lowered)
    errors = driver.error_records(asked.lowered)
    tape = next(one.tape for one in expansions if one.function == asked.entry)
    with asked.module.context, Location.unknown():
        parts = [split_entry.part(type_) for type_ in tape.types]
        own = sum(map(is_continuous, types.leaves(asked.result)))
        count = own * (request.width if asked.returns == "duplicated" else asked.returns == "active")
        count += len(seeds(request, asked.lowered.writebacks))
        name = f"{asked.entry}.pullback"
        pullback = split_entry.pullback(asked.module, name, request, count, len(parts), bool(errors))
        results = split_entry.results(asked.module, f"{asked.entry}.augment") - len(parts)
        whole = asked.module.operation.get_asm(enable_debug_info=True)
    arrays = sum(
        1 + request.width * leaf.shadowed for leaf in request.leaves() if isinstance(leaf.type, types.ArrayType)
    )
    modules = []
    for entry in (f"{asked.entry}.augment", pullback):
        module = parse(whole)
        with module.context, Location.unknown():
            keep_only(module, entry)
            text = module.operation.get_asm(enable_debug_info=True)
            written = written_arguments(module, entry)[:arrays]  # and not the tape's, and the error cell
        meta = {
            "entry": entry,
            "returns": asked.returns,
            "primal": asked.primal,
            "errors": errors,
            "files": driver.files_of_launches(text),
            "writebacks": list(asked.lowered.writebacks),
            "written": written,
            "strict_aliasing": True,
            "tape": [list(one) for one in parts],
            "results": results,
            "blocks": tape.blocks,
            "keeps_arguments": tape.keeps_arguments,
        }
        modules.append((text, meta))
    return asked.result, modules

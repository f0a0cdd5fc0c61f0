"""LLVM IR to machine code for this host: parse, optimise, emit."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

from .errors import LoweringError
from .large import PASSES, Effort, effort, keep_on_stack
from .llvm_c import llvm
from .vector_library import wide_features


def host_cpu() -> str:
    """LLVM's name for this host's processor."""
    return _host().name


def has_feature(name: str) -> bool:
    """Whether this host's processor has a feature, by LLVM's name for it."""
    return name in _host().features


class Module(NamedTuple):
    """An optimised module, as long as the `with` of `optimised` lasts."""

    address: int
    machine: int

    def text(self) -> str:
        """As LLVM IR."""
        return llvm().text(lambda out: llvm().PrintModuleToString(self.address, out))

    def object_code(self) -> bytes:
        """As an object file of the host."""
        return self._emit(True)

    def assembly(self) -> str:
        """As assembly of the host."""
        return self._emit(False).decode("utf-8", "replace")

    def _emit(self, object_code: bool) -> bytes:
        lib, error = llvm(), ctypes.c_char_p()
        buffer = lib.TargetMachineEmitToMemory(self.machine, self.address, object_code, ctypes.byref(error))
        if not buffer:
            raise LoweringError(f"LLVM can't generate code: {lib.take(error)}")
        try:
            return ctypes.string_at(lib.GetBufferStart(buffer), lib.GetBufferSize(buffer))
        finally:
            lib.DisposeMemoryBuffer(buffer)


@contextmanager
def optimised(text: str, level: int) -> Iterator[Module]:
    """The module in LLVM IR `text` after LLVM's pipeline of this level."""
    lib, machine, chosen = llvm(), _machine(level), effort(text, level)
    if chosen.light:
        text = keep_on_stack(text)
    context = lib.ContextCreate()
    try:
        error = ctypes.c_char_p()
        module = lib.ParseAssembly(context, text.encode(), ctypes.byref(error))
        message = lib.take(error)
        if message or not module:
            raise LoweringError(f"LLVM refused the module: {message}")
        try:
            _run_pipeline(module, machine, chosen)
            yield Module(module, machine)
        finally:
            lib.DisposeModule(module)
    finally:
        lib.ContextDispose(context)


def _run_pipeline(module: int, machine: int, effort: Effort) -> None:
    lib = llvm()
    tuning = lib.CreatePipelineTuningOptions()
    lib.PTOSetLoopVectorization(tuning, effort.vectors)
    lib.PTOSetSLPVectorization(tuning, effort.vectors)
    if not effort.unrolling:
        lib.PTOSetLoopUnrolling(tuning, False)
        lib.PTOSetLoopInterleaving(tuning, False)
    builder = lib.CreatePassBuilder(machine, tuning)
    if effort.light:
        passes = lib.CreateNewModulePassManager()
        for name in PASSES:
            getattr(lib, f"module_Add{name}Pass")(passes)
    else:
        passes = lib.buildPerModuleDefaultPipeline(builder, effort.level)
    lib.RunNewModulePassManager(passes, module, builder)
    lib.DisposeNewModulePassManger(passes)
    lib.DisposePassBuilder(builder)
    lib.DisposePipelineTuningOptions(tuning)


class _Host(NamedTuple):
    triple: str
    name: str
    flags: str  # "+this,-that": all features, as code generation takes them
    features: frozenset[str]  # those that the host has


@lru_cache(maxsize=1)
def _host() -> _Host:
    lib = llvm()
    flags = lib.text(lib.GetHostCPUFeatures)
    has = frozenset(flag[1:] for flag in flags.split(",") if flag.startswith("+"))
    return _Host(lib.text(lib.GetDefaultTargetTriple), lib.text(lib.GetHostCPUName), flags, has)


@lru_cache(maxsize=1)
def _set_options() -> None:
    """Once a process: LLVM refuses an option that is given twice.

    A sum in the program's order is vectorised too: what is added is computed as vectors, and then added one by one.
    Whether arrays overlap is asked before the innermost loop. Asked before the loop around it, the answer would be yes
    where that goes backwards, as the loops of derivatives do.
    The register allocator looks at fewer blocks when it splits a range, which only functions with many notice: it
    takes half the time for them.
    """
    for option in ("force-ordered-reductions", "hoist-runtime-checks=false", "grow-region-complexity-budget=1000"):
        llvm().SetCommandLine(b"", f"-{option}".encode())


@lru_cache(maxsize=4)
def _machine(level: int) -> int:
    """LLVM's code generator for this host. Addresses are short: `jit` puts an object's parts close together."""
    _set_options()
    lib, host = llvm(), _host()
    error = ctypes.c_char_p()
    target = lib.GetTargetFromTriple(host.triple.encode(), ctypes.byref(error))
    if not target:
        raise LoweringError(f"LLVM has no code generator for this host: {lib.take(error)}")
    flags = ",".join([host.flags, *wide_features(has_feature)]) if host.flags else ""
    return lib.CreateTargetMachine(
        target, host.triple.encode(), host.name.encode(), flags.encode(), level, b"pic", b"small", 0, 1, b""
    )

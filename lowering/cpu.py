"""MLIR text to machine code for this CPU: `compile` gives an object file's bytes, `load` puts them into the process.

`load` is `jit.load`, named here too because the two belong together for their users.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from .errors import LoweringError
from .jit import Loaded, load
from .options import CpuOptions

__all__ = ["CpuOptions", "Loaded", "assembly", "compile", "llvm_ir", "load", "optimised_ir"]

# LLVM's and MLIR's contexts belong to one thread each, but llvmlite's is shared by the process.
_LOCK = threading.Lock()


def compile(module_text: str, entry: str, options: CpuOptions | None = None) -> bytes:
    """An object file that exports `abi.symbol(entry)`, the function @`entry` of the module behind one pointer."""
    options = options or CpuOptions()
    with _LOCK:
        machine, module = _optimised(module_text, entry, options)
        return machine.emit_object(module)


def llvm_ir(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """The LLVM IR that goes into the optimiser."""
    from .pipeline import to_llvm_ir

    return to_llvm_ir(module_text, entry, options or CpuOptions(), has_feature)


def optimised_ir(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """The LLVM IR that comes out of the optimiser."""
    with _LOCK:
        return str(_optimised(module_text, entry, options or CpuOptions())[1])


def assembly(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """The machine code as text."""
    with _LOCK:
        machine, module = _optimised(module_text, entry, options or CpuOptions())
        return machine.emit_assembly(module)


def _optimised(module_text: str, entry: str, options: CpuOptions) -> tuple[Any, Any]:
    """The target machine and the optimised LLVM module."""
    import llvmlite.binding as llvm

    text = llvm_ir(module_text, entry, options)
    machine = _machine(options.opt_level)
    try:
        module = llvm.parse_assembly(text)
        tuning = llvm.create_pipeline_tuning_options(speed_level=options.opt_level)
        tuning.loop_vectorization = tuning.slp_vectorization = options.opt_level >= 2
        builder = llvm.create_pass_builder(machine, tuning)
        builder.getModulePassManager().run(module, builder)
    except RuntimeError as error:
        raise LoweringError(f"LLVM refused the module: {error}") from None
    return machine, module


def has_feature(name: str) -> bool:
    """Whether this host's CPU has a feature, by LLVM's name for it."""
    return bool(_host()[1].get(name))


@lru_cache(maxsize=1)
def _host() -> tuple[str, Any]:
    import llvmlite.binding as llvm

    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features()


@lru_cache(maxsize=1)
def _prepare_llvm() -> None:
    """Once a process (LLVM refuses an option that is given twice): the host's code generator, and one option.

    A sum in the program's order is vectorised too: what is added is computed as vectors, and then added one by one.
    """
    import llvmlite.binding as llvm

    llvm.set_option("", "-force-ordered-reductions")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@lru_cache(maxsize=4)
def _machine(opt_level: int) -> Any:
    """LLVM's code generator for this host."""
    import llvmlite.binding as llvm

    from .vector_library import wide_features

    _prepare_llvm()
    name, features = _host()
    text = ",".join([features.flatten(), *wide_features(has_feature)])
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=name, features=text, opt=opt_level, reloc="pic", codemodel="small", jit=True
    )

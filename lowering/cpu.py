"""MLIR text to machine code for this CPU: `compile` gives an object file's bytes, `load` puts them into the process.

`load` is `jit.load`, named here too because the two belong together for their users.
"""

from __future__ import annotations

import threading

from .codegen import has_feature, optimised
from .jit import Loaded, load
from .options import CpuOptions

__all__ = ["CpuOptions", "Loaded", "assembly", "compile", "has_feature", "llvm_ir", "load", "optimised_ir"]

# MLIR and LLVM work on contexts of one thread each, but a code generator is shared.
_LOCK = threading.Lock()


def compile(module_text: str, entry: str, options: CpuOptions | None = None) -> bytes:
    """An object file that exports `abi.symbol(entry)`, the function @`entry` of the module behind one pointer."""
    options = options or CpuOptions()
    with _LOCK, optimised(llvm_ir(module_text, entry, options), options.opt_level) as module:
        return module.object_code()


def llvm_ir(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """The LLVM IR that goes into the optimiser."""
    from .pipeline import to_llvm_ir

    return to_llvm_ir(module_text, entry, options or CpuOptions(), has_feature)


def optimised_ir(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """The LLVM IR that comes out of the optimiser."""
    options = options or CpuOptions()
    with _LOCK, optimised(llvm_ir(module_text, entry, options), options.opt_level) as module:
        return module.text()


def assembly(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """The machine code as text."""
    options = options or CpuOptions()
    with _LOCK, optimised(llvm_ir(module_text, entry, options), options.opt_level) as module:
        return module.assembly()

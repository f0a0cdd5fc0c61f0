"""What one can look at between MLIR and machine code, each stage as text.

"llvm" is what LLVM is given, "optimised" what its optimiser makes of it, "asm" the machine code.
"""

from __future__ import annotations

from collections.abc import Callable

from . import cpu
from .options import CpuOptions


def llvm(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """LLVM IR before optimisation."""
    return cpu.llvm_ir(module_text, entry, options)


def optimised(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """LLVM IR after optimisation for this host."""
    return cpu.optimised_ir(module_text, entry, options)


def asm(module_text: str, entry: str, options: CpuOptions | None = None) -> str:
    """Assembly for this host."""
    return cpu.assembly(module_text, entry, options)


STAGES: dict[str, Callable[[str, str, CpuOptions | None], str]] = {"llvm": llvm, "optimised": optimised, "asm": asm}

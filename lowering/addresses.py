"""Addresses of elements, without a claim that MLIR makes and that does not hold.

Of the address of each element MLIR says that nothing wraps in it as an unsigned number (`nuw`): not the products of
index and stride, not their sum, not the step from the first element. Where a stride is negative all of that is wrong,
and LLVM uses it: it drops stores to elements that lie before the view's first. Signed (`nsw`, `inbounds`) it holds.
A stride may be known at run time only, so the claim is dropped everywhere; it makes no code faster that we have seen.
"""

from __future__ import annotations

import re

from mlir.ir import Module

_LLVM_IR = ("getelementptr inbounds", "= mul", "= add")
_MLIR = re.compile(r"(llvm\.getelementptr inbounds)\|nuw\b|(overflow<nsw), nuw>")


def signed(ir: str) -> str:
    """LLVM IR, as MLIR writes it, without the claim."""
    for claim in _LLVM_IR:
        ir = ir.replace(f"{claim} nuw ", f"{claim} ")
    return ir


def signed_module(module: Module) -> Module:
    """The same of a module in the llvm dialect, which has no other way to change these flags."""
    text = module.operation.get_asm(enable_debug_info=True)
    changed = _MLIR.sub(lambda found: found[1] or f"{found[2]}>", text)
    return module if changed == text else Module.parse(changed, module.context)

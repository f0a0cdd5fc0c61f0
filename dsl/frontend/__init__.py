"""From a kernel's syntax tree and the types of its arguments to MLIR. `lower` is the entry; MLIR is imported when it
is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .. import types
    from ..kernel import Kernel
    from .lowered import Lowered


def lower(kernel: Kernel, arg_types: tuple[types.Type, ...], options: Any) -> Lowered:
    """The MLIR of a kernel for these argument types (defaults already filled in), with all kernels that it calls.

    Raises errors.CompileError where the kernel is not one that can be compiled for them.
    """
    from mlir import ir

    from .. import types
    from ..nesting import deep
    from .lowered import Lowered
    from .unit import Unit

    with deep(kernel), ir.Context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        context.enable_multithreading(False)
        module = ir.Module.create()
        unit = Unit(module, options)
        _count(kernel, arg_types)
        entry = unit.entry(kernel, tuple(arg_types))
        unit.drop_unused(entry.symbol)
        module.operation.verify()
        text = module.operation.get_asm(enable_debug_info=True)
    records = [record.as_dict() for record in unit.shared.records] if entry.raises else []
    writebacks = tuple(back.leaf for back in entry.writebacks)
    rules = unit.rules if unit.rules.functions else None
    return Lowered(text, entry.symbol, tuple(arg_types), types.strong(entry.result_type), records, writebacks, rules)


def _count(kernel: Kernel, arg_types: tuple[types.Type, ...]) -> None:
    from .. import errors

    if len(arg_types) != len(kernel.params):
        raise errors.ArgumentError(
            f"{kernel.name}() takes {len(kernel.params)} arguments, {len(arg_types)} given",
            kernel.loc,
            f"its parameters are {', '.join(kernel.params)}",
        )


__all__ = ["lower"]

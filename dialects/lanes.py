"""What a derivative of several lanes cannot do: complex numbers, of which MLIR has no vectors."""

from __future__ import annotations

from mlir.ir import ComplexType, MemRefType, Type

from .activity import Activity
from .builder import is_memref, walk
from .errors import refuse


def refuse_complex(activity: Activity) -> None:
    """Raise for the first op of the function through which a derivative would go as a complex number."""
    for op in walk(activity.function):
        for value in (*op.operands, *op.results):
            if _is_complex(value.type) and (activity.memory(value) if is_memref(value.type) else activity.value(value)):
                raise refuse(
                    op,
                    f"{op.name} on complex numbers in a derivative of several directions at once",
                    "take one direction a call (width 1)",
                )


def _is_complex(type_: Type) -> bool:
    return isinstance(MemRefType(type_).element_type if is_memref(type_) else type_, ComplexType)

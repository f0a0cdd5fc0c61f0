"""Functions of `math` on all elements of a vector at once, by the host's library of vector functions."""

from __future__ import annotations

from collections.abc import Callable

from mlir.ir import (
    Attribute,
    FunctionType,
    InsertionPoint,
    Location,
    Module,
    Operation,
    StringAttr,
    TypeAttr,
    UnitAttr,
    Value,
    VectorType,
)

from .. import vector_library
from ..expand import LIBM
from ..grid.emit import Emitter
from ..rewriting import functions, symbol_name
from ..vector_math import FLAGS


class VectorFunctions:
    """The library's functions as a module calls them; `has_feature` None: none are called."""

    def __init__(self, module: Module, has_feature: Callable[[str], bool] | None):
        self._module = module
        self._isas = vector_library.isas(has_feature) if has_feature else []
        self._declared = {symbol_name(op) for op in functions(module)}

    def call(self, e: Emitter, op: Operation, operands: list[Value], type_: VectorType) -> Value | None:
        """The call that computes the math operation `op` on vectors; None if there is none in the library."""
        name, element = LIBM.get(op.name), str(type_.element_type)
        if name is None or element not in ("f64", "f32"):
            return None
        for isa in self._isas:
            c_name = name + ("f" if element == "f32" else "")
            found = vector_library.vector_name(isa, c_name, element, len(operands))
            if found is not None and found[1] == type_.shape[0]:
                self._declare(found[0], type_, len(operands))
                return e.call(found[0], operands, [type_])[0]
        return None

    def _declare(self, name: str, type_: VectorType, arity: int) -> None:
        if name in self._declared:
            return
        self._declared.add(name)
        attributes = {
            "sym_name": StringAttr.get(name),
            "function_type": TypeAttr.get(FunctionType.get([type_] * arity, [type_])),
            "sym_visibility": StringAttr.get("private"),
            "llvm.readnone": UnitAttr.get(),
            "passthrough": Attribute.parse(f"[{', '.join(f'{chr(34)}{flag}{chr(34)}' for flag in FLAGS)}]"),
        }
        block = InsertionPoint(self._module.body)
        Operation.create("func.func", attributes=attributes, regions=1, loc=Location.unknown(), ip=block)

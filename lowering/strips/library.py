"""Functions of `math` on all elements of a vector at once, by the host's library of vector functions."""

from __future__ import annotations

from collections.abc import Callable

from mlir.ir import (
    Attribute,
    DenseI64ArrayAttr,
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
        name += "f" if element == "f32" else ""
        for isa in self._isas:
            found = vector_library.vector_name(isa, name, element, len(operands))
            if found is not None and type_.shape[0] % found[1] == 0:
                return self._parts(e, found[0], found[1], operands, type_)
        return None

    def _parts(self, e: Emitter, function: str, lanes: int, operands: list[Value], type_: VectorType) -> Value:
        """Calls of the function for so many lanes at a time."""
        part = VectorType.get([lanes], type_.element_type)
        self._declare(function, part, len(operands))
        if part == type_:
            return e.call(function, operands, [type_])[0]
        results = []
        for start in range(0, type_.shape[0], lanes):
            mask = {"mask": DenseI64ArrayAttr.get(list(range(start, start + lanes)))}
            given = [e.value("vector.shuffle", [operand, operand], part, mask) for operand in operands]
            results.append(e.call(function, given, [part])[0])
        while len(results) > 1:
            lanes = 2 * results[0].type.shape[0]
            twice = VectorType.get([lanes], type_.element_type)
            mask = {"mask": DenseI64ArrayAttr.get(list(range(lanes)))}
            pairs = zip(results[::2], results[1::2], strict=True)
            results = [e.value("vector.shuffle", [a, b], twice, mask) for a, b in pairs]
        return results[0]

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

"""Calls of C functions: arrays become pointers to their first element.

A function without a body and with the attribute `llvm.bareptr` is C's: it takes a pointer for each memref, whatever
its rank and layout, and numbers as they are. Upstream does so for memrefs of fixed size only.
"""

from __future__ import annotations

from mlir.ir import (
    AffineMap,
    FlatSymbolRefAttr,
    FunctionType,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Module,
    Operation,
    Type,
    TypeAttr,
    Value,
    WalkResult,
)

from .memory import element_bytes
from .rewriting import functions, symbol_name

ATTRIBUTE = "llvm.bareptr"


def pass_pointers(module: Module, text: str) -> None:
    """Rewrite the declarations and their calls. `text`, the module's own, tells quickly whether there are any."""
    if ATTRIBUTE not in text:
        return
    foreign = {}
    for op in functions(module):
        if ATTRIBUTE in op.attributes and not op.regions[0].blocks:
            foreign[symbol_name(op)] = op
    calls: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if op.name == "func.call" and FlatSymbolRefAttr(op.attributes["callee"]).value in foreign:
            calls.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in calls:
        for number, operand in enumerate(op.operands):
            if isinstance(operand.type, MemRefType):
                op.operands[number] = _pointer(op, operand)
    for op in foreign.values():
        type = TypeAttr(op.attributes["function_type"]).value
        op.attributes["function_type"] = TypeAttr.get(FunctionType.get([_word(t) for t in type.inputs], type.results))
        del op.attributes[ATTRIBUTE]
        if "arg_attrs" in op.attributes:
            del op.attributes["arg_attrs"]


def _word(type: Type) -> Type:
    return IntegerType.get_signless(64) if isinstance(type, MemRefType) else type


def _pointer(call: Operation, array: Value) -> Value:
    """The address of the array's first element, as an integer: C's calling conventions pass both alike."""
    ip, loc, index = InsertionPoint(call), call.location, IndexType.get()
    type = MemRefType(array.type)

    def emit(name: str, types: list[Type], *operands: Value, **attributes: IntegerAttr) -> Operation:
        return Operation.create(name, types, list(operands), attributes, loc=loc, ip=ip)

    address = emit("memref.extract_aligned_pointer_as_index", [index], array).results[0]
    if type.affine_map != AffineMap.get_identity(type.rank):
        base = MemRefType.get([], type.element_type)
        parts = emit("memref.extract_strided_metadata", [base, *[index] * (1 + 2 * type.rank)], array)
        width = IntegerAttr.get(index, element_bytes(type.element_type))
        size = emit("arith.constant", [index], value=width).results[0]
        offset = emit("arith.muli", [index], parts.results[1], size).results[0]
        address = emit("arith.addi", [index], address, offset).results[0]
    return emit("arith.index_cast", [_word(array.type)], address).results[0]

"""Stores booleans as bytes: memrefs of i1 become memrefs of i8, which is how they lie in memory anyway.

MLIR's conversion to LLVM does not take stores of less than a byte (it ends the process). Values stay i1; loads and
stores convert.
"""

from __future__ import annotations

import re

from mlir.ir import (
    FunctionType,
    InsertionPoint,
    IntegerType,
    MemRefType,
    Module,
    Operation,
    Type,
    TypeAttr,
    Value,
    WalkResult,
)

from .errors import LoweringError, position
from .rewriting import Builder

_MENTION = re.compile(r"memref<[^>]*i1\b")
# Attributes that hold the type of a function or of a global.
_TYPED = {"func.func": "function_type", "memref.global": "type"}


def _is_bits(type: Type) -> bool:
    return isinstance(type, MemRefType) and type.element_type == IntegerType.get_signless(1)


def _converted(type: Type) -> Type:
    """The type with bytes for bits."""
    if _is_bits(type):
        memref = MemRefType(type)
        return MemRefType.get(memref.shape, IntegerType.get_signless(8), memref.layout, memref.memory_space)
    if isinstance(type, FunctionType):
        return FunctionType.get([_converted(t) for t in type.inputs], [_converted(t) for t in type.results])
    return type


def _retype(value: Value) -> None:
    if _is_bits(value.type):
        value.set_type(_converted(value.type))


def _element(value: Value) -> Type:
    return MemRefType(value.type).element_type


def store_as_bytes(module: Module, text: str) -> None:
    """Convert all memrefs of i1. `text`, the module's own, tells quickly whether there are any."""
    if not _MENTION.search(text):
        return
    everything: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        everything.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in everything:
        if "atomic" in op.name and any(_is_bits(value.type) for value in op.operands):
            raise LoweringError(f"{op.name} on booleans", position(op.location), "store the numbers 0 and 1 as i8")
    for op in everything:
        for region in op.regions:
            for block in region:
                for argument in block.arguments:
                    _retype(argument)
        for result in op.results:
            _retype(result)
        if op.name in _TYPED:
            attribute = _TYPED[op.name]
            op.attributes[attribute] = TypeAttr.get(_converted(op.attributes[attribute].value))
    bit, byte = IntegerType.get_signless(1), IntegerType.get_signless(8)
    for op in everything:
        if op.name == "memref.store" and op.operands[0].type == bit and _element(op.operands[1]) == byte:
            op.operands[0] = Builder(op, {}, module.body).op("arith.extui", byte, op.operands[0])
        elif op.name == "memref.load" and op.results[0].type == bit and _element(op.operands[0]) == byte:
            builder = Builder(op, {}, module.body)
            loaded = Operation.create(
                "memref.load", [byte], list(op.operands), loc=op.location, ip=InsertionPoint(op)
            ).results[0]
            truth = builder.compare("ne", loaded, builder.constant(byte, 0))
            op.results[0].replace_all_uses_with(truth)
            op.erase()

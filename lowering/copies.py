"""Copies between arrays of which one is strided, as loops: upstream makes calls of a runtime library of them.

Copies between two contiguous arrays are left alone; those become one `memcpy`.
"""

from __future__ import annotations

from mlir.ir import (
    AffineMap,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    MemRefType,
    Module,
    Operation,
    Type,
    Value,
    WalkResult,
)


def copy_in_loops(module: Module, text: str) -> None:
    """Rewrite the strided copies. `text`, the module's own, tells quickly whether there are copies."""
    if "memref.copy" not in text:
        return
    found: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if op.name == "memref.copy" and not all(_contiguous(operand.type) for operand in op.operands):
            found.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in found:
        source, target = op.operands
        _loops(op, InsertionPoint(op), source, target, [])
        op.erase()


def _contiguous(type: Type) -> bool:
    memref = MemRefType(type)
    return memref.affine_map == AffineMap.get_identity(memref.rank)


def _loops(op: Operation, ip: InsertionPoint, source: Value, target: Value, at: list[Value]) -> None:
    """A loop over the next axis with the rest in it; one element where no axis is left."""
    loc, index = op.location, IndexType.get()

    def constant(value: int) -> Value:
        attributes = {"value": IntegerAttr.get(index, value)}
        return Operation.create("arith.constant", [index], [], attributes, loc=loc, ip=ip).results[0]

    if len(at) == MemRefType(source.type).rank:
        element = MemRefType(source.type).element_type
        value = Operation.create("memref.load", [element], [source, *at], loc=loc, ip=ip).results[0]
        Operation.create("memref.store", [], [value, target, *at], loc=loc, ip=ip)
        return
    extent = Operation.create("memref.dim", [index], [source, constant(len(at))], loc=loc, ip=ip).results[0]
    loop = Operation.create("scf.for", [], [constant(0), extent, constant(1)], regions=1, loc=loc, ip=ip)
    block = loop.regions[0].blocks.append(index, arg_locs=[loc])
    _loops(op, InsertionPoint(block), source, target, [*at, block.arguments[0]])
    Operation.create("scf.yield", [], [], loc=loc, ip=InsertionPoint(block))

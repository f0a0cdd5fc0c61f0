"""Whether an array that a function returns may be one that it was given, or a view of it."""

from __future__ import annotations

from mlir import ir

_ALLOCATIONS = frozenset(("memref.alloc", "memref.alloca"))


def belongs_to_caller(array: ir.Value, function_block: ir.Block) -> bool:
    """Whether an array may come from an argument of the function whose body is `function_block`. In doubt it may."""
    seen: set[ir.Value] = set()
    todo = [array]
    while todo:
        value = todo.pop()
        if value in seen:
            continue
        seen.add(value)
        owner = value.owner
        if isinstance(owner, ir.Block):
            if owner == function_block:
                return True
            todo += _flows_into(owner.owner)
        else:
            operation = owner.operation
            if operation.name in _ALLOCATIONS or operation.name == "func.call":
                continue  # what a callee returns is its own
            todo += _flows_into(operation)
    return False


def _flows_into(op: ir.OpView | ir.Operation) -> list[ir.Value]:
    """The arrays that an operation takes, and those that its regions yield."""
    operation = op.operation
    found = [v for v in operation.operands if isinstance(v.type, ir.MemRefType)]
    for region in operation.regions:
        for block in region.blocks:
            operations = list(block.operations)
            if operations:
                found += [v for v in operations[-1].operands if isinstance(v.type, ir.MemRefType)]
    return found

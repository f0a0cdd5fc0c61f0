"""Which loops are checkpointed.

A file says it by an attribute of the loop, `autodiff.checkpoint` (or `autodiff.checkpoint = 8 : i64`, the number of
snapshots). Passes that make loops anew may drop attributes, so `prepare` turns them first of all into an op at the
start of the loop's body, `autodiff.checkpoint %slots`, which nothing removes and which moves with the body. The
front-end emits the op itself, since its number may be computed.
"""

from __future__ import annotations

from mlir.ir import (
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Module,
    Operation,
    UnitAttr,
    Value,
)

from ..builder import Builder, home, operation, operations, walk
from ..errors import refuse

NAME = "autodiff.checkpoint"
_LOOPS = ("scf.for", "affine.for")


def attributes_to_marks(module: Module) -> None:
    """Put the op into each loop that has the attribute. Refuses the attribute where it means nothing."""
    for op in [op for op in walk(module.operation) if NAME in op.attributes]:
        attribute = op.attributes[NAME]
        if op.name not in _LOOPS:
            raise refuse(op, f"{op.name} cannot be checkpointed", f"give {NAME} to a loop: {' or '.join(_LOOPS)}")
        if isinstance(attribute, UnitAttr):
            slots = 0
        elif isinstance(attribute, IntegerAttr) and isinstance(attribute.type, (IntegerType, IndexType)):
            slots = attribute.value
            if slots < 1:
                raise refuse(op, f"a checkpointed loop with {slots} snapshots", "give it 1 or more")
        else:
            raise refuse(op, f"{NAME} is {attribute}: it must be an integer, or nothing")
        del op.attributes[NAME]
        with_loop = Builder(InsertionPoint(op), op.location)
        number = with_loop.index(slots)
        with with_loop.at(InsertionPoint.at_block_begin(op.regions[0].blocks[0])):
            with_loop.op(NAME, [number])


def mark_of(loop: Operation) -> Operation | None:
    """The op in the body of `loop` that asks for checkpoints."""
    if loop.name != "scf.for":
        return None
    return next((op for op in operations(loop.regions[0].blocks[0]) if op.name == NAME), None)


def slots_of(loop: Operation) -> Value:
    """How many snapshots a checkpointed loop is to take (0: as many as is sensible)."""
    mark = mark_of(loop)
    assert mark is not None
    slots = mark.operands[0]
    block = home(slots)
    while operation(block.owner).name != "func.func":
        if operation(block.owner) == loop:
            raise refuse(mark, "the number of snapshots is computed in the loop itself", "compute it before the loop")
        block = operation(block.owner).block
    return slots


def drop(around: Operation) -> None:
    """Take the marks out of a function, or a module, whose derivatives are made."""
    for op in [op for op in walk(around) if op.name == NAME]:
        op.erase()

"""What the state of a checkpointed loop is: with it, an iteration can be run again.

Takes a loop in normal form that carries no memrefs. Its state is what it carries, and the content of the memory from
outside that it writes. Memory from outside that it only reads, but that is written after it, is kept as well, once.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import BlockArgument, Operation, Value

from ..builder import captured, is_memref, operation, walk
from ..errors import refuse
from ..objects import VIEWS, Objects, written
from ..stability import Stability, inside
from ..sweep import Frame

_REMEDY = "give the loop arrays of its own, made before it, or leave out the checkpoints"


@dataclass(frozen=True)
class State:
    """`scalars` are the block arguments that carry numbers. `changing` and `kept` are memrefs from outside; `memrefs`
    are those used in the loop that are, or are views of, or choices among, one of these.
    """

    scalars: list[Value]
    changing: list[Value]
    kept: list[Value]
    memrefs: list[Value]

    @staticmethod
    def of(loop: Operation, objects: Objects, stability: Stability, frame: Frame) -> State:
        """The state of `loop`, whose both sweeps are in `frame`. Refuses a loop whose state is not known."""
        body = loop.regions[0].blocks[0]
        scalars = list(body.arguments)[1:]
        for argument, end in zip(scalars, operations_end(loop), strict=True):
            if is_memref(argument.type):
                raise refuse(_origin(end, loop), "a checkpointed loop that makes an array anew each time", _REMEDY)
        uses = [v for v in captured(loop) if is_memref(v.type)]
        roots = list(dict.fromkeys(root for v in uses for root in roots_of(v)))
        inner = [op for op in walk(loop) if op != loop]
        writers = {m: op for op in inner for memref in written(op) for m in objects.of(memref)}
        reached = {m for root in roots for m in objects.of(root)}
        for memory, writer in writers.items():
            if memory not in reached and not inside(memory, body):
                raise refuse(writer, "a checkpointed loop that writes memory that it reaches in no known way", _REMEDY)
        for op in inner:
            if op.name in ("autodiff.push", "autodiff.pop"):
                raise refuse(op, "a checkpointed loop around the tape of a derivative", _REMEDY)
        changing = [root for root in roots if objects.of(root) & writers.keys()]
        for root in changing:
            for other in roots:
                shared = objects.of(root) & objects.of(other) & writers.keys() if other != root else set()
                for memory in shared:
                    raise refuse(writers[memory], "a checkpointed loop that may know this memory by two names", _REMEDY)
        kept = [root for root in roots if root not in changing and not stability.holds(loop, root, frame)]
        mine = {*changing, *kept}
        return State(scalars, changing, kept, [v for v in uses if mine.intersection(roots_of(v))])


def roots_of(memref: Value) -> list[Value]:
    """What a memref is a view of, or a choice among views of."""
    found: list[Value] = []
    todo = [memref]
    while todo:
        value = todo.pop()
        op = None if isinstance(value, BlockArgument) else operation(value.owner)
        if op is not None and op.name in VIEWS:
            todo.append(op.operands[0])
        elif op is not None and op.name == "arith.select":
            todo += list(op.operands)[1:]
        else:
            found.append(value)
    return found


def operations_end(loop: Operation) -> list[Value]:
    """What an iteration of `loop` passes to the next."""
    block = loop.regions[0].blocks[0]
    return list(operation(list(block.operations)[-1]).operands)


def _origin(value: Value, loop: Operation) -> Operation:
    return loop if isinstance(value, BlockArgument) else operation(value.owner)

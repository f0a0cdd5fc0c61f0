"""Pass `autodiff-versions`: scratch memory that is filled several times is a memory for each time.

Takes a function in normal form, in which each iteration has its own scratch memory (`private`). Where ops of one block
fill such memory anew, reading nothing of it, what follows uses new memory. The content of each is then never
overwritten: the reverse sweep reads it where it is, and nothing of it is copied to the tape.
"""

from __future__ import annotations

from mlir.ir import InsertionPoint, Operation, Value

from .builder import Builder, ancestor_in, operation, operations, walk
from .copier import attributes_of
from .places import Place
from .private import covered, is_plain, reads_of, sizes_of, written_range

#: So many times as much memory it may be.
_MOST = 8


def split_versions(function: Operation) -> None:
    """Rewrite `function` in place."""
    for allocation in [op for op in walk(function) if op.name == "memref.alloc"]:
        _split(allocation)


def _split(allocation: Operation) -> None:
    memory, block = allocation.results[0], allocation.block
    steps: dict[Operation, list[Operation]] = {}
    for op in {operation(use.owner) for use in memory.uses}:
        at = ancestor_in(block, op)
        if at is None or not is_plain(op, memory):
            return
        steps.setdefault(at, []).append(op)
    order = [op for op in operations(block) if op in steps]
    starts = [start for start in _fills(order, steps, memory) if start][: _MOST - 1]
    for start, end in zip(starts, [*starts[1:], len(order)]):
        b = Builder(InsertionPoint(order[start]), allocation.location)
        made = b.op("memref.alloc", list(allocation.operands), [memory.type], attributes_of(allocation))
        for op in [op for step in order[start:end] for op in steps[step]]:
            for k, operand in enumerate(op.operands):
                if operand == memory:
                    op.operands[k] = made.results[0]


def _fills(order: list[Operation], steps: dict[Operation, list[Operation]], memory: Value) -> list[int]:
    """The places in `order` from which on the memory is filled before any of it is read."""
    sizes, found, start = sizes_of(memory), [], 0
    while start < len(order):
        ranges: list[tuple[Place, Place]] = []
        end = start
        while end < len(order) and not any(reads_of(op, memory) for op in steps[order[end]]):
            for op in steps[order[end]]:
                ranges += written_range(order[end], op, sizes)
            end += 1
            if covered(ranges, sizes):
                found.append(start)
                break
        start = max(end, start + 1)
    return found

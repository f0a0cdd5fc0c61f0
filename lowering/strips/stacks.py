"""Stacks of a loop's iteration: memory in a cell, where a larger piece takes the place of one that is full.

That is how derivatives keep what loops of unknown length compute. A strip has one piece of memory for all its lanes,
with as many rows as the lane with the largest piece would have, and it is made once for all strips. The counts are
ordinary private memory.

Takes a loop; finds each cell that is private memory of an iteration, and of which everything is understood:

- its memory is allocated, of a fixed extent, where the cell is, and freed there by hand;
- where a count is the extent of the memory, a *growth* puts memory of twice the extent in the cell, and copies;
- but for that, the memory is loaded from and stored to while it is in the cell.

So an element that is there for a lane is there for the strip: its memory is never smaller than that of the lane.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import BlockArgument, IntegerAttr, MemRefType, Operation, Value

from ..grid.emit import constant, home, operations, plain, walk

ACCESSES = ("memref.load", "memref.store")
_ALLOCATION, _EQ = "memref.alloc", 0
_GROWTH = ["arith.muli", _ALLOCATION, "scf.for", "memref.dealloc", "memref.store", "scf.yield"]


@dataclass(eq=False)
class Growth:
    """`branch` makes the stack's memory larger where it holds `count` elements, and is full."""

    branch: Operation
    count: Value
    full: Value
    before: Value


@dataclass(eq=False)
class Stack:
    """A cell, and the names that its memory has in the loop."""

    cell: Value
    rows: int = 0
    growths: dict[Operation, Growth] = field(default_factory=dict)
    memory: set[Value] = field(default_factory=set)
    #: What is done once for all strips, or as a part of a growth.
    apart: set[Operation] = field(default_factory=set)


class Stacks:
    """All stacks of a loop."""

    def __init__(self, loop: Operation):
        found = [_stack(op) for op in walk(loop) if op.name == _ALLOCATION and _is_cell(op.results[0])]
        self.all = [stack for stack in found if stack is not None]
        self.growths = {branch: growth for stack in self.all for branch, growth in stack.growths.items()}
        self.cells = {stack.cell: stack for stack in self.all}
        self.memory = {value: stack for stack in self.all for value in stack.memory}
        self._apart = {op for stack in self.all for op in stack.apart}

    def is_apart(self, op: Operation) -> bool:
        """Whether an operation is none of the strip's: all is done elsewhere."""
        return op in self._apart

    def is_access(self, op: Operation) -> bool:
        """Whether an operation loads or stores an element of a stack."""
        return any(value in self.memory and _is_access(op, value) for value in op.operands)

    def pops(self, loop: Operation) -> bool:
        """Whether a loop takes elements from a stack that was there before."""
        loads = [op for op in walk(loop) if op.name == "memref.load" and self.is_access(op) and op not in self._apart]
        return any(not _inside(plain(self.memory[op.operands[0]].cell.owner), loop) for op in loads)

    def concerns(self, op: Operation) -> bool:
        """Whether an operation has to do with a stack."""
        return op in self.growths or any(value in self.cells or value in self.memory for value in op.operands)


def _is_cell(value: Value) -> bool:
    type_ = MemRefType(value.type)
    inner = type_.element_type
    return type_.rank == 0 and isinstance(inner, MemRefType) and MemRefType(inner).rank == 1


def _stack(allocation: Operation) -> Stack | None:
    stack = Stack(allocation.results[0], apart={allocation})
    users = [plain(use.owner) for use in stack.cell.uses]
    loads = [op for op in users if op.name == "memref.load"]
    stores = [op for op in users if op.name == "memref.store" and op.operands[1] == stack.cell]
    if len(loads) + len(stores) < len(users):
        return None
    growths = [growth for op in stores if (growth := _growth(op)) is not None]
    starts = [op for op in stores if op.block == allocation.block]
    if len(starts) != 1 or len(growths) + 1 < len(stores) or not _begins(starts[0], stack):
        return None
    stack.growths = {growth.branch: growth for growth in growths}
    stack.memory = {op.results[0] for op in (*loads, *stack.growths)}
    if any(not starts[0].is_before_in_block(_around(op, allocation)) for op in (*loads, *stack.growths)):
        return None
    for growth in growths:
        if growth.before not in stack.memory:
            return None
        condition = plain(growth.full.owner)
        stack.apart |= {condition, *(plain(v.owner) for v in condition.operands if v != growth.count)}
        stack.apart |= {op for op in walk(growth.branch) if op != growth.branch}
    return stack if all(_is_used_well(value, stack) for value in stack.memory) else None


def _around(op: Operation, other: Operation) -> Operation:
    """The operation around `op` in the block of `other`."""
    while op.block != other.block:
        op = plain(op.parent)
    return op


def _begins(store: Operation, stack: Stack) -> bool:
    """Whether the cell gets memory of its own first."""
    memory = store.operands[0]
    chain = [store]
    while not isinstance(memory, BlockArgument) and len(list(memory.uses)) == 1:
        op = plain(memory.owner)
        if op.block != store.block:
            return False
        chain.append(op)
        if op.name == _ALLOCATION:
            type_ = MemRefType(memory.type)
            stack.rows = (constant(op.operands[0]) or 0) if len(op.operands) else type_.shape[0]
            stack.apart |= set(chain)
            return stack.rows > 0
        if op.name != "memref.cast":
            return False
        memory = op.operands[0]
    return False


def _growth(store: Operation) -> Growth | None:
    """The growth that ends with this store into the cell; None if it is something else."""
    branch = plain(store.parent)
    if branch.name != "scf.if" or len(branch.results) != 1 or isinstance(branch.operands[0], BlockArgument):
        return None
    full = plain(branch.operands[0].owner)
    if full.name != "arith.cmpi" or IntegerAttr(full.attributes["predicate"]).value != _EQ:
        return None
    grown, kept = (operations(region.blocks[0]) for region in branch.regions)
    count, extent = full.operands
    if len(kept) != 1 or not _is_once(full.results[0]) or isinstance(extent, BlockArgument):
        return None
    before, dim = kept[0].operands[0], plain(extent.owner)
    if dim.name != "memref.dim" or dim.operands[0] != before or constant(dim.operands[1]) != 0:
        return None
    if [op.name for op in grown] != _GROWTH:
        return None
    twice, allocation, copy, free, put, end = grown
    after = allocation.results[0]
    right = (
        twice.operands[0] == extent
        and constant(twice.operands[1]) == 2
        and allocation.operands[0] == twice.results[0]
        and _copies(copy, count, before, after)
        and free.operands[0] == before
        and put == store
        and put.operands[0] == after
        and end.operands[0] == after
        and all(plain(use.owner) == full or _inside(plain(use.owner), branch) for use in extent.uses)
    )
    return Growth(branch, count, full.results[0], before) if right else None


def _is_once(value: Value) -> bool:
    return len(list(value.uses)) == 1


def _inside(op: Operation, outer: Operation) -> bool:
    return any(inner == op for inner in walk(outer))


def _copies(loop: Operation, count: Value, before: Value, after: Value) -> bool:
    """Whether a loop copies so many elements."""
    body = loop.regions[0].blocks[0]
    names = [op.name for op in operations(body)]
    if names != ["memref.load", "memref.store", "scf.yield"] or len(loop.operands) != 3:
        return False
    load, store, _ = operations(body)
    lower, upper, step = loop.operands
    return (
        (constant(lower), constant(step)) == (0, 1)
        and upper == count
        and list(load.operands) == [before, body.arguments[0]]
        and list(store.operands) == [load.results[0], after, body.arguments[0]]
    )


def _is_used_well(memory: Value, stack: Stack) -> bool:
    """Whether elements of the memory are all that is used, while it is in the cell."""
    block = home(memory)
    users = [op for op in (plain(use.owner) for use in memory.uses) if op not in stack.apart]
    for op in users:
        if op.name == "memref.dealloc":
            if op.block != home(stack.cell) or "autodiff.free" not in op.attributes:
                return False
            stack.apart.add(op)
        elif op.block != block or not _is_access(op, memory):
            return False
    mine = plain(memory.owner)
    others = [op for branch in stack.growths if (op := _in_block(branch, block)) is not None and op != mine]
    later = [op for op in others if mine.is_before_in_block(op)]
    return not any(branch.is_before_in_block(op) for branch in later for op in users)


def _is_access(op: Operation, memory: Value) -> bool:
    """Whether an operation loads or stores an element of this memory."""
    return op.name in ACCESSES and op.operands[0 if op.name == "memref.load" else 1] == memory


def _in_block(op: Operation, block: object) -> Operation | None:
    """The operation of a block that is or holds `op`."""
    while op is not None and op.block != block:
        parent = op.parent
        if parent is None or plain(parent).name == "func.func":
            return None
        op = plain(parent)
    return op

"""Pass `autodiff-private`: scratch memory that every iteration of a loop fills anew belongs to the iteration.

Takes a function in normal form; leaves one in which such an allocation, made once outside the loop, is made in each
iteration instead (the lowering takes it out again). What an iteration does with memory of its own can be run again in
the reverse sweep, so nothing of it is taped; what it does with memory that outlives it would have to be.

An allocation is moved into a loop if all its loads are in that loop, and each iteration writes all of it before it
reads any: by stores at known places and loops of stores over ranges that together begin at 0 and end at the size.
"""

from __future__ import annotations

from mlir.ir import Block, InsertionPoint, MemRefType, Operation, ShapedType, Value

from .builder import Builder, ancestor_in, operation, operations, walk
from .copier import attributes_of
from .places import NONE, Place


def make_private(function: Operation) -> None:
    """Move allocations of `function` into the loops that they are scratch of, as deep as they go."""
    todo = [op for op in walk(function) if op.name == "memref.alloc"]
    while todo:
        moved = _move(todo.pop())
        if moved is not None:
            todo.append(moved)


def _move(allocation: Operation) -> Operation | None:
    """The allocation in the loop that takes the place of this one there, if there is such a loop."""
    memory = allocation.results[0]
    users = [operation(use.owner) for use in memory.uses]
    reads = [op for op in users if reads_of(op, memory)]
    if not reads or not all(is_plain(op, memory) for op in users):
        return None
    loop = _loop_of(allocation.block, reads)
    if loop is None:
        return None
    inside = [op for op in users if ancestor_in(loop.regions[0].blocks[0], op) is not None]
    block = _block_of(loop.regions[0].blocks[0], inside)
    if not _written_first(block, memory, set(inside)):
        return None
    b = Builder(InsertionPoint(operations(block)[0]), allocation.location)
    made = b.op("memref.alloc", list(allocation.operands), [memory.type], attributes_of(allocation))
    for op in inside:
        for i, operand in enumerate(op.operands):
            if operand == memory:
                op.operands[i] = made.results[0]
    return made


def is_plain(op: Operation, memory: Value) -> bool:
    """A use of the memory that reads or writes it and nothing else."""
    if op.name == "memref.store":
        return op.operands[0] != memory
    return op.name in ("memref.load", "memref.dim") or (op.name == "memref.copy" and op.operands[0] != op.operands[1])


def reads_of(op: Operation, memory: Value) -> bool:
    """Whether a plain use reads the memory."""
    return op.name == "memref.load" or (op.name == "memref.copy" and op.operands[0] == memory)


def _loop_of(block: Block, reads: list[Operation]) -> Operation | None:
    """The outermost loop below `block` that all reads are in, through branches that they all are in."""
    while True:
        above = {ancestor_in(block, op) for op in reads}
        (op, *others) = above
        if others or op is None or not op.regions:
            return None
        if op.name == "scf.for":
            return op
        if op.name != "scf.if":
            return None
        inner = [b for r in op.regions for b in r.blocks if all(ancestor_in(b, read) is not None for read in reads)]
        if not inner:
            return None
        block = inner[0]


def _block_of(block: Block, ops: list[Operation]) -> Block:
    """The block that all of the ops are in, below `block` and branches in it."""
    while True:
        above = {ancestor_in(block, op) for op in ops}
        if len(above) != 1:
            return block
        (op,) = above
        if op is None or op.name != "scf.if":
            return block
        inner = [b for r in op.regions for b in r.blocks if all(ancestor_in(b, o) is not None for o in ops)]
        if not inner:
            return block
        block = inner[0]


# what is written ----------------------------------------------------------------------------------------------------
def _written_first(block: Block, memory: Value, users: set[Operation]) -> bool:
    """Whether a run of `block` writes all of the memory before it reads any."""
    sizes = sizes_of(memory)
    ranges: list[tuple[Place, Place]] = []
    for op in operations(block):
        uses = [u for u in walk(op) if u in users and u.name != "memref.dim"]
        if not uses:
            continue
        if any(reads_of(u, memory) for u in uses):
            return False
        if op.name == "memref.copy":
            return True
        for store in uses:
            ranges += written_range(op, store, sizes)
        if covered(ranges, sizes):
            return True
    return False


def sizes_of(memory: Value) -> list[Place]:
    """The sizes of an allocation."""
    dynamic = iter(operation(memory.owner).operands)
    shape = MemRefType(memory.type).shape
    return [Place.of(next(dynamic)) if n == ShapedType.get_dynamic_size() else Place(NONE, n) for n in shape]


def written_range(op: Operation, store: Operation, sizes: list[Place]) -> list[tuple[Place, Place]]:
    """What of the first axis `store` writes, unconditionally and over the whole of the others, when `op` runs."""
    loops: dict[Value, Place] = {}
    current = store
    while current != op:
        parent = operation(current.block.owner)
        if parent.name != "scf.for":
            return []
        loops[parent.regions[0].blocks[0].arguments[0]] = Place.of(parent.operands[1])
        current = parent
    if store.name != "memref.store" or not sizes:
        return []
    first, *others = [Place.of(i) for i in list(store.operands)[2:]]
    for index, size in zip(others, sizes[1:], strict=True):
        trips = loops.pop(index.base, None) if index.base != NONE and index.offset == 0 else None
        if index.base == NONE and size == Place(NONE, 1) and index.offset == 0:
            continue
        if trips is None or not trips.reaches(size):
            return []
    trips = loops.pop(first.base, None) if first.base != NONE else None
    if loops:
        return []  # a loop around the store that may not run at all
    if trips is None:
        return [(first, first.after(1))]
    return [(Place(NONE, first.offset), trips.after(first.offset))]


def covered(ranges: list[tuple[Place, Place]], sizes: list[Place]) -> bool:
    """Whether the ranges, put together, begin at 0 and reach the size of the first axis."""
    if not sizes:
        return False
    reached = Place(NONE, 0)
    while not reached.reaches(sizes[0]):
        further = [end for start, end in ranges if reached.reaches(start) and not reached.reaches(end)]
        if not further:
            return False
        reached = further[0]
    return True

"""Whether the order in which a launch's blocks run can be seen in its results.

Blocks run in any order and at the same time, so an update that depends on the order would make results differ from run
to run: a sum of floats, an exchange, an old value that somebody reads. A launch with sums of floats on memory that
blocks share runs in chunks (`sums.py`, `chunks.py`) where that can be done; else, and with the other two, it runs its
blocks one after the other, in order, on one thread. Either way those atomics are plain loads and stores. So are all
those on shared memory, as a block runs on one thread. Sums of integers, largest and smallest values do not depend on
the order and run in parallel, by the processor's atomic operations.
"""

from __future__ import annotations

from mlir.ir import BlockArgument, IntegerAttr, MemRefType, Operation, Value

from .emit import plain, walk

#: arith's numbers for the kinds of memref.atomic_rmw, by which operation computes them ("" stores the value itself).
KINDS = (
    "addf", "addi", "andi", "", "maximumf", "maxnumf", "maxsi", "maxui", "minimumf", "minnumf", "minsi", "minui",
    "mulf", "muli", "ori", "xori",
)  # fmt: skip
_ORDERED = frozenset({"addf", "mulf", ""})
VIEWS = frozenset({
    "memref.subview", "memref.cast", "memref.reinterpret_cast", "memref.expand_shape", "memref.collapse_shape",
    "memref.reshape", "memref.transpose", "memref.view", "memref.memory_space_cast", "memref.assume_alignment",
})  # fmt: skip


def kind(atomic: Operation) -> str:
    """What a memref.atomic_rmw does."""
    return KINDS[IntegerAttr(atomic.attributes["kind"]).value]


def seen_order(region: Operation) -> list[Operation]:
    """The operations in `region` (a launch or a parallel loop) by which the order of its blocks can be seen."""
    found = []
    for op in walk(region):
        if "atomic" in op.name or op.name == "llvm.cmpxchg":
            memory = next((o for o in op.operands if isinstance(o.type, MemRefType)), None)
            if memory is not None and is_private(memory, region):
                continue
            used = any(list(r.uses) for r in op.results)
            if op.name != "memref.atomic_rmw" or used or kind(op) in _ORDERED:
                found.append(op)
    return found


def is_private(memref: Value, region: Operation) -> bool:
    """Whether it is memory of one block or thread: allocated inside the region, or given to blocks by the launch."""
    while not isinstance(memref, BlockArgument):
        op = plain(memref.owner)
        if op.name not in VIEWS:
            return op.name in ("memref.alloca", "memref.alloc") and any(inner == op for inner in walk(region))
        memref = op.operands[0]
    return plain(memref.owner.owner) == region

"""Pass `autodiff-forwarding`: what a derivative would have to remember for no reason.

Takes a function in normal form; leaves one in which
- a load of what the same block has just stored is the stored value: a value can be computed again, memory that is
  overwritten later would have to be taped;
- integer arithmetic stands before the branches that it stood in, if it can: a loop in a branch whose trip count is
  known outside has a tape of known size.
"""

from __future__ import annotations

from mlir.ir import Block, IndexType, IntegerType, Operation, Value

from .builder import home, operations, walk
from .launches import BARRIERS
from .objects import MemoryObject, Objects, written

#: Integer ops that may run also where their results are not needed.
_CHEAP = frozenset(
    {
        "arith.constant", "arith.addi", "arith.subi", "arith.muli", "arith.maxsi", "arith.minsi", "arith.maxui",
        "arith.minui", "arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui", "arith.trunci",
        "arith.cmpi", "arith.select", "arith.andi", "arith.ori", "arith.xori", "memref.dim",
    }
)  # fmt: skip

Key = tuple[Value, tuple[Value, ...]]


def forward_values(function: Operation) -> None:
    """Rewrite `function` in place."""
    _lift_integers(function)
    objects = Objects(function)
    blocks = [block for op in walk(function) for region in op.regions for block in region.blocks]
    for block in blocks:
        _forward_stores(block, objects)


def _lift_integers(function: Operation) -> None:
    """Innermost branches first, so that what leaves one may leave the next."""
    for choice in reversed([op for op in walk(function) if op.name == "scf.if"]):
        for region in choice.regions:
            for block in region.blocks:
                for op in operations(block)[:-1]:
                    if _is_cheap(op) and all(home(o) != block for o in op.operands):
                        op.move_before(choice)


def _is_cheap(op: Operation) -> bool:
    return op.name in _CHEAP and all(isinstance(r.type, (IndexType, IntegerType)) for r in op.results)


def _forward_stores(block: Block, objects: Objects) -> None:
    stored: dict[Key, Value] = {}

    def forget(memory: set[MemoryObject]) -> None:
        for key in [k for k in stored if not memory or not memory.isdisjoint(objects.of(k[0]))]:
            del stored[key]

    for op in operations(block):
        if op.name == "memref.store":
            value, memref, *indices = op.operands
            forget(objects.of(memref))
            stored[memref, tuple(indices)] = value
        elif op.name == "memref.load":
            memref, *indices = op.operands
            known = stored.get((memref, tuple(indices)))
            if known is not None:
                op.results[0].replace_all_uses_with(known)
                op.erase()
        elif op.regions or written(op):
            for inner in walk(op):
                if inner.name in BARRIERS:
                    stored.clear()
                for memref in written(inner):
                    forget(objects.of(memref))
        elif op.name in BARRIERS:
            stored.clear()

"""Pass `autodiff-forwarding`: what a derivative would have to remember for no reason.

Takes a function in normal form; leaves one in which
- a load of what the same block has just stored is the stored value: a value can be computed again, memory that is
  overwritten later would have to be taped;
- integer arithmetic stands before the branches that it stood in, if it can: a loop in a branch whose trip count is
  known outside has a tape of known size.
"""

from __future__ import annotations

from mlir.ir import Block, IndexType, IntegerType, Operation, Value

from .builder import home, operation, operations, walk
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
    inside = _Inside(function, objects)
    blocks = [block for op in walk(function) if len(op.regions) for region in op.regions for block in region.blocks]
    for block in blocks:
        _forward_stores(block, objects, inside)


class _Inside:
    """What the ops nested in an op do to memory: the objects that they write (None stands for any), and barriers."""

    def __init__(self, function: Operation, objects: Objects):
        self._writes: dict[Operation, set[MemoryObject | None]] = {}
        for op in reversed(walk(function)):
            found = self._writes.pop(op, set()) if not len(op.regions) else self._writes.get(op, set())
            for memref in written(op):
                found |= objects.of(memref) or {None}
            if op.name in BARRIERS:
                found.add(None)
            if found and op != function:
                self._writes.setdefault(operation(op.block.owner), set()).update(found)

    def writes(self, op: Operation) -> set[MemoryObject | None]:
        return self._writes.get(op, set())


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


def _forward_stores(block: Block, objects: Objects, inside: _Inside) -> None:
    stored: dict[Key, Value] = {}

    def forget(memory: set[MemoryObject | None]) -> None:
        for key in [k for k in stored if None in memory or not memory.isdisjoint(objects.of(k[0]))]:
            del stored[key]

    for op in operations(block):
        if op.name == "memref.store":
            value, memref, *indices = op.operands
            forget({*objects.of(memref)} or {None})
            stored[memref, tuple(indices)] = value
        elif op.name == "memref.load":
            memref, *indices = op.operands
            known = stored.get((memref, tuple(indices)))
            if known is not None:
                op.results[0].replace_all_uses_with(known)
                op.erase()
        elif op.name in BARRIERS:
            stored.clear()
        elif stored:
            forget(inside.writes(op))
            for memref in written(op):
                forget({*objects.of(memref)} or {None})

"""Pass on the normal form: who wins by atomic_max or atomic_min in the memory of a block says so behind the barrier.

    old = atomic_max(s, i, v)           old = atomic_max(s, i, v)
    syncthreads()                       if old < v: mine, raised = v, True
                                ->      syncthreads()
                                        if raised: raised = mine == s[i]
                                        syncthreads()
                                        if raised: s[i] = mine     # what it holds already
                                        raised = False
                                        syncthreads()

So the value that the cell has got is stored by the one thread that gave it, and stores have derivatives; the atomic
itself then passes none on (it is marked SETTLED). Just one update of a cell raised it to its last value, in whatever
order the threads came, so a replay, in which another of equal values may win, is right as well.

Left alone, and refused later where a derivative would pass, is an update whose value is used, whose cell changes in a
loop around it, that no barrier follows, or of an array that the launch changes by other atomics too.
"""

from __future__ import annotations

from mlir.ir import Block, InsertionPoint, IntegerType, MemRefType, Operation, UnitAttr

from .builder import Builder, ancestor_in, home, operation, operations, walk
from .extremes import SETTLED, equals, is_extreme, other_cell, raised_by, same_update
from .launches import BARRIER, DEVICE, LAUNCH, barrier, if_then, is_shared
from .objects import Objects, chain
from .stability import LOOPS


def settle_extremes(function: Operation) -> None:
    """Do so for all updates of a block's memory in a function in normal form."""
    regions = [op for op in walk(function) if op.name == LAUNCH]
    if DEVICE in function.attributes:
        regions.append(function)
    for region in regions:
        updates = [op for op in walk(region) if is_extreme(op) and is_shared(chain(op.operands[1])[0].type)]
        objects = Objects(function) if updates else None
        for op in updates:
            assert objects is not None
            behind = _meeting(op)
            if behind is not None and not list(op.results[0].uses) and not _mixed(op, objects):
                _settle(op, behind, region)


def _mixed(op: Operation, objects: Objects) -> bool:
    """Whether the cell that `op` changes is changed by atomics of another kind too."""
    writers = [w for memory in objects.of(op.operands[1]) for w in memory.writers if "atomic" in w.name]
    return any(not same_update(op, writer) and not other_cell(op, writer) for writer in writers)


def _meeting(op: Operation) -> Operation | None:
    """The barrier that follows an update in its block, or one around it. The update's cell must be the same in all
    turns of loops between, and its array be known behind.
    """
    here = op
    while True:
        block = here.block
        ops = operations(block)
        for inner in ops[ops.index(here) + 1 :]:
            if inner.name == BARRIER:
                return inner if _is_in(block, home(op.operands[1])) else None
            if any(o.name == BARRIER for o in walk(inner)):
                return None
        here = operation(block.owner)
        if here.name in ("func.func", LAUNCH):
            return None
        if here.name in LOOPS and any(_is_in(home(index), block) for index in list(op.operands)[2:]):
            return None


def _is_in(block: Block, outer: Block) -> bool:
    """Whether `block` is `outer`, or nested in it."""
    return block == outer or ancestor_in(outer, operation(block.owner)) is not None


def _settle(op: Operation, behind: Operation, region: Operation) -> None:
    value, memref, *at = op.operands
    top = Builder(InsertionPoint.at_block_begin(region.regions[0].blocks[0]), op.location)
    raised, mine, *places = (
        top.alloc(MemRefType.get([], t)) for t in (IntegerType.get_signless(1), value.type, *(i.type for i in at))
    )
    top.store(top.boolean(False), raised, [])
    top.store(top.zero(value.type), mine, [])
    for place in places:
        top.store(top.index(0), place, [])
    op.attributes[SETTLED] = UnitAttr.get()

    b = Builder(InsertionPoint.after(op), op.location)

    def remember() -> None:
        b.store(b.boolean(True), raised, [])
        for number, cell in zip((value, *at), (mine, *places), strict=True):
            b.store(number, cell, [])

    if_then(b, raised_by(b, op, value, op.results[0]), remember)
    b = Builder(InsertionPoint.after(behind), op.location)

    def compare() -> None:
        last, *where = (b.load(cell, []) for cell in (mine, *places))
        b.store(equals(b, last, b.load(memref, where)), raised, [])

    def tell() -> None:
        last, *where = (b.load(cell, []) for cell in (mine, *places))
        b.store(last, memref, where)

    if_then(b, b.load(raised, []), compare)
    barrier(b)
    if_then(b, b.load(raised, []), tell)
    b.store(b.boolean(False), raised, [])
    barrier(b)

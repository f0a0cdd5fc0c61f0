"""Whether a load can be done again in the reverse sweep: does its memory still hold the same value then?"""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING

from mlir.ir import Block, BlockArgument, Operation, Value

from .builder import ancestor_in, home, operation, operations, walk
from .objects import MemoryObject, Objects, chain, is_root

if TYPE_CHECKING:
    from .sweep import Frame

#: A launch is a loop over its threads.
LOOPS = frozenset({"scf.for", "scf.while", "gpu.launch"})


class Stability:
    """Answers for the loads of one function; remembers its answers."""

    def __init__(self, function: Operation, objects: Objects):
        self.function, self.objects = function, objects
        #: Memory that may change between the forward and the reverse sweep by other hands.
        self.volatile: set[MemoryObject] = set()
        self._entry = function.regions[0].blocks[0]
        self._known: dict[tuple[Operation, Block], bool] = {}
        self._position: dict[Operation, int] = {}  # in its block
        self._order: dict[Operation, int] = {}  # in the function
        self._paths: dict[Block, dict[Block, Operation | None]] = {}
        self._owners: dict[Block, Operation | None] = {}
        self._rank = {memory: k for k, memory in enumerate(objects.all)}

    def stable(self, load: Operation, frame: Frame) -> bool:
        """Whether `load`, run again anywhere in the reverse sweep of `frame`, gives what it gave in the forward
        sweep.
        """
        key = (load, frame.old)
        if key not in self._known:
            self._known[key] = self._stable(load, frame)
        return self._known[key]

    def available(self, memref: Value, frame: Frame) -> bool:
        """Whether the primal memref itself exists in the reverse sweep of `frame`."""
        if _is_given(memref, frame):
            return True
        root, _ = chain(memref)
        if not isinstance(root, BlockArgument) and operation(root.owner).name == "arith.select":
            return all(self.available(arm, frame) for arm in list(operation(root.owner).operands)[1:])
        if not is_root(root, self.function):
            return False
        block = home(root)
        if block == self._entry or operation(root.owner).name == "memref.get_global":
            return True
        scope: Frame | None = frame
        while scope is not None:
            if scope.old == block:
                return True
            scope = scope.outer_frame
        return False

    def holds(self, call: Operation, memref: Value, frame: Frame) -> bool:
        """Whether what `memref` points to in the reverse sweep of `frame` is what it did right after `call`."""
        return self.available(memref, frame) and self.overwriter(call, frame, memref) is None

    def _stable(self, load: Operation, frame: Frame) -> bool:
        return self.available(load.operands[0], frame) and self.overwriter(load, frame) is None

    def overwriter(self, load: Operation, frame: Frame, memref: Value | None = None) -> Operation | None:
        """An op that may overwrite what `load` (of available memory) read, before the reverse sweep of `frame`.

        With `memref` it is asked of a call, and of what the call left in that memory.
        """
        memref = load.operands[0] if memref is None else memref
        objects = self.objects.of(memref)
        if objects & self.volatile:
            return self.function  # its caller
        if objects and objects <= frame.private:
            return self._later_writer(objects, load, frame.old)
        if frame.outer_frame is not None and not all(inside(o, frame.old) for o in objects):
            if not self.available(memref, frame.outer_frame):
                return load
            return self.overwriter(load, frame.outer_frame, memref)
        root, _ = chain(memref)
        own = len(objects) == 1 and next(iter(objects)).allocation is not None
        limit = (
            home(root) if own and root in [o.value for o in objects] and not self.objects.travels(memref) else frame.old
        )
        return self._later_writer(objects, load, limit)

    def _later_writer(self, objects: set[MemoryObject], op: Operation, limit: Block) -> Operation | None:
        """A writer of one of `objects` that may run after `op` within one run of `limit`.

        What comes before `op` and all loops around it does not, in whatever branch: of that, a function with many loops
        has much.
        """
        if not self._order:
            self._order.update((inner, i) for i, inner in enumerate(walk(self.function)))
        start = self._order.get(self._outermost(op), 0)
        for memory in sorted(objects, key=self._rank.__getitem__):
            first = bisect_left(memory.writers, start, key=self._order.__getitem__)
            for writer in islice(memory.writers, first, None):
                if self._may_follow(op, writer, limit):
                    return writer
        return None

    def _outermost(self, op: Operation) -> Operation:
        """`op` or what is around it, of which only branches are around that."""
        around = [owner for owner in self._path(op.block).values() if owner is not None]
        return next((owner for owner in reversed(around) if owner.name != "scf.if"), op)

    def may_follow(self, op: Operation, write: Operation) -> bool:
        """Whether `write` may run after `op` within one run of the function."""
        return self._may_follow(op, write, self._entry)

    def runs_after(self, op: Operation, other: Operation, block: Block) -> bool:
        """Whether `other` may run after `op` within one run of `block`."""
        return self._may_follow(op, other, block)

    def _may_follow(self, load: Operation, write: Operation, limit: Block) -> bool:
        """Whether `write` may run after `load` within one run of the block `limit`."""
        above, around = self._path(load.block), self._path(write.block)
        common = next((block for block in around if block in above), None)
        if common is None:
            return True
        block: Block | None = common
        while block is not None and block != limit:
            owner = self._owner(block)
            if owner is not None and owner.name in LOOPS:
                return True
            block = owner.block if owner is not None else None
        if load == write:
            return False
        first, second = above[common] or load, around[common] or write
        return bool(first == second) or self._index(second) > self._index(first)

    def _owner(self, block: Block) -> Operation | None:
        """The op that a block stands in; None of the function's own."""
        if block not in self._owners:
            self._owners[block] = None if block == self._entry else operation(block.owner)
        return self._owners[block]

    def _path(self, block: Block) -> dict[Block, Operation | None]:
        """A block and those around it, from the inside out, each with the op in it that the block stands in."""
        known = self._paths.get(block)
        if known is None:
            known = {block: None}
            owner = self._owner(block)
            while owner is not None:
                known[owner.block] = owner
                owner = self._owner(owner.block)
            self._paths[block] = known
        return known

    def _index(self, op: Operation) -> int:
        if op not in self._position:
            for i, sibling in enumerate(operations(op.block)):
                self._position[sibling] = i
        return self._position[op]


def _is_given(memref: Value, frame: Frame) -> bool:
    """Whether the frame, or one around it, has memory of its own in the place of that of `memref`."""
    names = {memref, *(op.operands[0] for op in chain(memref)[1])}
    scope: Frame | None = frame
    while scope is not None:
        if names & scope.given:
            return True
        scope = scope.outer_frame
    return False


def inside(memory: MemoryObject, block: Block) -> bool:
    """Whether an object is allocated in `block` or in a block nested in it."""
    allocation = memory.allocation
    return allocation is not None and ancestor_in(block, allocation) is not None

"""Whether threads may add to one cell of a shadow at the same time, in the reverse of a launch.

The adjoint of a load adds to the shadow of what was read. That is a plain addition where
- the memory is the thread's own, or no threads are around;
- each thread has cells of its own: all loads of that memory in the launch have a group of indices in common that tells
  all threads apart. An index is a sum of products of numbers that are the same for all threads and of *digits*: a
  thread's or block's number, a loop's counter, or what a guard bounds (`if i < n`). Digits that do not run into each
  other (the next one's weight is at least the last one's range) tell threads apart, as those of a number do.
A cell that all threads read is summed over the thread, then the block, then the grid. All else is an atomic addition.
(Cells that are stored to belong to one thread between two barriers, or the kernel has a race.)
"""

from __future__ import annotations

from typing import NamedTuple

from mlir.ir import BlockArgument, Operation, Value

from .activity import Activity
from .affine import SAME_INDEX, Form, Forms
from .builder import operation, walk
from .launches import DEVICE, LAUNCH, around, is_shared
from .objects import MemoryObject


class How(NamedTuple):
    """How to add, and why: "own" (plainly), "one" (a sum over all threads), "atomic", or "shared" (atomically, in the
    memory of a block).
    """

    kind: str
    reason: str


class Sharing:
    """Answers for the loads of one function in normal form."""

    def __init__(self, activity: Activity):
        self.activity, self.device = activity, DEVICE in activity.function.attributes
        self.answers: dict[Operation, How] = {}
        self._forms: dict[Operation, Forms] = {}

    def how(self, op: Operation, memref: Value) -> How:
        """How to add to the shadow of what `op` reads of `memref`. (`answers` is about memory that threads share.)"""
        if around(op) is None and not self.device:
            return How("own", "no threads are around")
        if self.is_own(op, memref):
            return How("own", "the memory is the thread's own")
        if op not in self.answers:
            how = self._how(op, memref)
            shared = all(is_shared(o.value.type) for o in self.activity.objects.of(memref))
            self.answers[op] = How("shared", how.reason) if how.kind == "atomic" and shared else how
        return self.answers[op]

    def is_own(self, op: Operation, memref: Value) -> bool:
        """Whether what `op` does with a memref is out of reach of other threads."""
        if around(op) is None and not self.device:
            return True
        return all(_is_private(o) for o in self.activity.objects.of(memref))

    def _how(self, op: Operation, memref: Value) -> How:
        launch = around(op)
        objects = self.activity.objects.of(memref)
        if launch is None:
            return How("atomic", "threads that call this function may be at the same cells")
        if op.name != "memref.load" or len(objects) != 1:
            return How("atomic", "which cells it is about is not known")
        (memory,) = objects
        forms = self._forms.get(launch)
        if forms is None:
            forms = self._forms[launch] = Forms(launch)
        shared = is_shared(memory.value.type)
        if not shared and is_whole(memref, memory.value) and all(forms.same_for_all(i) for i in list(op.operands)[1:]):
            return How("one", "all threads read the same cell")
        sites = self._sites(launch, memory, forms)
        if sites is None:
            return How("atomic", "it is read through a view")
        if forms.own_cells(sites, shared):
            return How("own", "each thread has cells of its own")
        if len({str(cell) for _, cell in sites}) > 1:
            return How("atomic", "several loads of one thread may meet those of others")
        return How("atomic", "the index may be the same for several threads")

    def _sites(
        self, region: Operation, memory: MemoryObject, forms: Forms
    ) -> list[tuple[Operation, list[Form | None]]] | None:
        """The active loads of `memory` in the region, with its indices; None if not all can be compared."""
        found = []
        for op in walk(region):
            if op.name == "memref.copy" and memory in self.activity.objects.of(op.operands[0]):
                return None
            if op.name == "memref.load" and memory in self.activity.objects.of(op.operands[0]):
                if not self.activity.value(op.results[0]):
                    continue
                array, cell = forms.cell(op.operands[0], list(op.operands)[1:])
                if array != memory.value:
                    return None
                found.append((op, cell))
        return found


def _is_private(memory: MemoryObject) -> bool:
    """Whether each thread has its own instance: what is allocated in device code and is no block's memory."""
    allocation = memory.allocation
    if allocation is None or is_shared(memory.value.type):
        return False
    return around(allocation) is not None or not _on_host(allocation)


def _on_host(allocation: Operation) -> bool:
    """Whether an allocation outside of launches is the host's: whether its function has launches."""
    function = allocation
    while function.name != "func.func":
        function = operation(function.parent)
    return any(op.name == LAUNCH for op in walk(function))


def is_whole(memref: Value, memory: Value) -> bool:
    """Whether a memref is the whole of `memory`, by the same indices."""
    while not isinstance(memref, BlockArgument) and operation(memref.owner).name in SAME_INDEX:
        memref = operation(memref.owner).operands[0]
    return memref == memory

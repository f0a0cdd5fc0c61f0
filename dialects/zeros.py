"""Zeros in shadows of scratch memory that need not be written.

The shadow of an array that an iteration fills anew is zeroed, added to, and zeroed again by the adjoint of the store,
as any shadow is. Takes a function with settled reverse loops; in it, of memory of one axis that lives in one block,
- zeros that are written behind all that reads those cells are not written;
- where all of the memory is zero and a loop then adds to each cell once, it writes in place of adding, and only cells
  that it does not reach are made zero; so also where the loop just writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cmp_to_key
from itertools import pairwise

from mlir.ir import BlockArgument, InsertionPoint, MemRefType, Operation, ShapedType, Value

from .builder import Builder, ancestor_in, is_zero, operation, operations, walk
from .launches import LAUNCH
from .places import NONE, Place
from .reverse_loops import added_by


def drop_zeros(function: Operation) -> None:
    """Rewrite `function` in place."""
    for scratch in _scratch(function):
        scratch.settle()


def drop_unread(function: Operation) -> None:
    """Pass over the same memory: no store is left of what is not read again, whatever it is."""
    for scratch in _scratch(function):
        scratch.drop_unread()


def _scratch(function: Operation) -> list[_Scratch]:
    if any(op.name in (LAUNCH, "scf.parallel") for op in walk(function)):
        return []
    found = [op for op in walk(function) if op.name == "memref.alloc"]
    return [_Scratch(op) for op in found if MemRefType(op.results[0].type).rank == 1]


@dataclass(eq=False)
class _Step:
    """What one op of the block does to the memory. In a loop (`trips` is how often it runs) all accesses are at the
    counter and `offset`; outside of one, `offset` is the cell. `is_known` is False of anything else.
    """

    op: Operation
    loads: list[Operation]
    stores: list[Operation]
    trips: Value | None = None
    offset: int = 0
    is_known: bool = False

    @property
    def writes(self) -> bool:
        """Whether it reads cells, if anything, and then writes them."""
        if not self.is_known or len(self.stores) != 1:
            return False
        return all(load.is_before_in_block(self.stores[0]) for load in self.loads)

    @property
    def zeroes(self) -> bool:
        """Whether it reads cells, if anything, and leaves zero in them."""
        return self.writes and is_zero(self.stores[0].operands[0])

    def misses(self, other: _Step) -> bool:
        """Whether what `other` reads is none of the cells of this one."""
        if not other.loads:
            return True
        if not self.is_known or not other.is_known:
            return False
        if self.trips is None and other.trips is None:
            return self.offset != other.offset
        if self.trips is not None and other.trips is not None:
            return False
        cell, loop = (self, other) if self.trips is None else (other, self)
        return cell.offset < loop.offset


def _in_order(one: _Step, other: _Step) -> int:
    return -1 if one.op.is_before_in_block(other.op) else 1


class _Scratch:
    def __init__(self, allocation: Operation):
        self.allocation, self.memory, self.block = allocation, allocation.results[0], allocation.block

    def settle(self) -> None:
        steps = self._steps()
        if steps is None or not any(step.zeroes for step in steps):
            return
        for before, after in pairwise(steps):
            if before.zeroes and self._is_whole(before) and after.trips is not None:
                self._write_first(before, after)
        self._drop([step for step in steps if step.zeroes], steps)

    def drop_unread(self) -> None:
        steps = self._steps()
        if steps is not None:
            self._drop([step for step in steps if step.writes], steps)

    def _drop(self, written: list[_Step], steps: list[_Step]) -> None:
        """Erase the stores of steps whose cells are not read later."""
        for step in written:
            if all(step.misses(later) for later in steps[steps.index(step) + 1 :]):
                _erase(step)

    def _steps(self) -> list[_Step] | None:
        """What is done to the memory, in order; None if more is done than reading and writing in its block."""
        found: dict[Operation, _Step] = {}
        for op in [operation(use.owner) for use in self.memory.uses]:
            if op.name in ("memref.dim", "memref.dealloc"):
                continue
            at = ancestor_in(self.block, op)
            if at is None or op.name not in ("memref.load", "memref.store"):
                return None
            if op.name == "memref.store" and op.operands[0] == self.memory:
                return None
            step = found.setdefault(at, _Step(at, [], []))
            (step.loads if op.name == "memref.load" else step.stores).append(op)
        steps = sorted(found.values(), key=cmp_to_key(_in_order))
        for step in steps:
            self._look(step)
        return steps

    def _look(self, step: _Step) -> None:
        places = [Place.of_index(op.operands[1 if op.name == "memref.load" else 2]) for op in step.loads + step.stores]
        first = places[0]
        if first is None or any(p is None or p.base != first.base or p.offset != first.offset for p in places):
            return
        if step.op.name in ("memref.load", "memref.store"):
            step.is_known = first.base == NONE
        elif step.op.name == "scf.for" and first.base != NONE:
            body = step.op.regions[0].blocks[0]
            counter = first.base if isinstance(first.base, BlockArgument) else operation(first.base.owner).operands[1]
            inside = all(op.block == body for op in step.loads + step.stores)
            step.is_known = inside and counter == body.arguments[0]
            step.trips = step.op.operands[1]
        step.offset = first.offset

    def _size(self) -> Place:
        size = MemRefType(self.memory.type).shape[0]
        if size != ShapedType.get_dynamic_size():
            return Place(NONE, size)
        return Place.of(self.allocation.operands[0])

    def _is_whole(self, step: _Step) -> bool:
        """Whether the step leaves zero in all cells."""
        return step.trips is not None and step.offset == 0 and Place.of(step.trips).reaches(self._size())

    def _write_first(self, before: _Step, after: _Step) -> None:
        """Let `after`, if it adds to each of its cells once, write instead, and make zero what it does not reach. So
        also where it writes as it is.
        """
        if not after.is_known or after.trips is None or len(after.stores) != 1 or len(after.loads) > 1:
            return
        store = after.stores[0]
        if after.loads:
            load = after.loads.pop()
            added = added_by(load, store)
            if added is None:
                after.loads.append(load)
                return
            add = operation(store.operands[0].owner)
            store.operands[0] = added
            add.erase()
            load.erase()
        b = Builder(InsertionPoint.after(after.op), after.op.location)
        extent = b.dim(self.memory, 0)
        if after.offset:
            self._fill(b, b.index(0), b.integer("minsi", b.index(after.offset), extent))
        if not Place.of(after.trips).after(after.offset).reaches(self._size()):
            trips = b.integer("maxsi", after.trips, b.index(0))
            self._fill(b, b.integer("addi", trips, b.index(after.offset)), extent)
        _erase(before)

    def _fill(self, b: Builder, first: Value, end: Value) -> None:
        body = b.for_loop(first, end, b.index(1), [])
        with b.at(body):
            b.store(b.zero(MemRefType(self.memory.type).element_type), self.memory, [body.arguments[0]])
            b.op("scf.yield")


def _erase(step: _Step) -> None:
    """Erase what the step stores, and a loop that does nothing else."""
    step.stores.pop().erase()
    if step.trips is not None and not step.op.results and len(operations(step.op.regions[0].blocks[0])) == 1:
        step.op.erase()

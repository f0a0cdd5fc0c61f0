"""Shadows that take turns: the one that an iteration empties is the one that the next iteration fills.

Where a loop takes turns with two arrays (see rotation), each iteration of its reverse takes a range of cells from one
shadow and leaves zeros there, and adds to the other shadow, which the iteration before has emptied. So the cells of the
range need not be read to be added to, and the zeros need not be written. Only at first the other shadow may hold
something: that is kept aside, and added as soon as the sums are there. Behind the loop the last shadow is emptied as
before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlir.ir import BlockArgument, InsertionPoint, MemRefType, Operation, ShapedType, Value

from .accesses import Access
from .array_states import is_named
from .builder import Builder, ancestor_in, home, is_memref, is_zero, operation, walk
from .objects import Objects, reaches
from .places import NONE, Place, is_counter, known
from .rotation import even_number, other_choice

#: A loop has to run more often for what is done before and behind it to pay.
_FEW = 2


@dataclass
class Emptied:
    """The innermost loop `inner`, in the body of `loop`, leaves zeros by `store` in the cells of `taken` that are
    `offset` from its counter, and adds to `given`: of the same two arrays, which the parity of `number` chooses.
    """

    loop: Operation
    inner: Operation
    store: Operation
    offset: int
    taken: Value
    given: Value
    number: Value

    @staticmethod
    def of(inner: Operation, store: Access, given: Value, objects: Objects) -> Emptied | None:
        """If each iteration before has left zeros in the same cells of `given`, and nothing else is done to them in an
        iteration before `inner`, and behind it to those of the other.
        """
        loop, taken = operation(inner.block.owner), store.memref
        if loop.name != "scf.for" or MemRefType(taken.type).rank != 1 or not is_zero(store.op.operands[0]):
            return None
        number = _turns(loop, taken, given)
        trips = known(loop.operands[1])
        if number is None or (trips is not None and trips <= _FEW):
            return None
        if store.offset < 0 or not reaches(loop.block, home(inner.operands[1])):
            return None
        found = Emptied(loop, inner, store.op, store.offset, taken, given, number)
        return found if found._is_alone(objects) and found._in_order(store) else None

    @property
    def arrays(self) -> list[Value]:
        return list(operation(self.given.owner).operands)[1:]

    def _is_alone(self, objects: Objects) -> bool:
        """Whether the loop has to do with the two arrays only by loads and stores (and sizes) of these choices."""
        mine = [objects.of(array) for array in self.arrays]
        both = set().union(*mine)
        if len(both) != 2 or not all(is_named(array, objects.function) for array in self.arrays):
            return False
        if not all(reaches(self.loop.block, home(array)) for array in self.arrays):
            return False
        choices = [operation(choice.owner) for choice in (self.taken, self.given)]
        for op in walk(self.loop):
            for position, operand in enumerate(op.operands):
                if not is_memref(operand.type):
                    continue
                if not objects.is_known(operand):
                    return False
                if both.isdisjoint(objects.of(operand)) or op.name == "memref.dim" or op in choices:
                    continue
                if operand not in (self.taken, self.given):
                    return False
                if (op.name, position) not in (("memref.load", 0), ("memref.store", 1)):
                    return False
        return True

    def _in_order(self, store: Access) -> bool:
        body = self.inner.block
        for memref in (self.taken, self.given):
            for op in [operation(use.owner) for use in memref.uses]:
                if op.name == "memref.dim" or op == self.store:
                    continue
                at = ancestor_in(body, op)
                assert at is not None
                if at == self.inner:
                    if memref == self.taken and not self._is_taken(op, store):
                        return False
                elif at.is_before_in_block(self.inner) == (memref == self.given) and not self._misses(op):
                    return False
        return True

    def _is_taken(self, op: Operation, store: Access) -> bool:
        """Whether the inner loop just loads with `op` what it then makes zero."""
        if op.name != "memref.load" or op.block != store.op.block or not op.is_before_in_block(store.op):
            return False
        index, other = Place.of_index(op.operands[1]), Place.of_index(store.op.operands[2])
        return index is not None and index == other

    def _misses(self, op: Operation) -> bool:
        """Whether a load or store is of a cell before the range, or behind it. (One that counts from the end does so
        where the range is empty, if it is behind it otherwise.)
        """
        place = Place.of(op.operands[1 if op.name == "memref.load" else 2])
        if place.base == NONE and 0 <= place.offset < self.offset:
            return True
        return place.reaches(Place.of_trips(self.inner.operands[1]).after(self.offset))

    def settle(self) -> None:
        """Let nobody write the zeros. Whoever calls this lets `inner` not read the cells that they would be in."""
        b, loop = Builder(InsertionPoint(self.loop), self.loop.location), self.loop
        cells, zero = self.inner.operands[1], b.index(0)
        element = MemRefType(self.given.type).element_type
        runs = b.compare("sgt", loop.operands[1], zero)  # (else the cells may be beyond the end of the array)
        size = b.value("arith.select", [runs, b.integer("maxsi", cells, zero), zero], zero.type)
        aside = b.alloc(MemRefType.get([ShapedType.get_dynamic_size()], element), [size])
        first = self._choice(b, self.given, zero)
        self._each(b, size, lambda at, cell: b.store(b.load(first, [cell]), aside, [at]))
        counter, behind = self.inner.block.arguments[0], InsertionPoint.after(self.inner)
        with b.at(behind, self.inner.location), b.when(b.compare("eq", counter, zero)):
            self._each(b, cells, lambda at, cell: self._add(b, b.load(aside, [at]), cell))
        with b.at(InsertionPoint.after(loop)), b.when(runs):
            last = self._choice(b, self.taken, b.integer("subi", loop.operands[1], b.index(1)))
            self._each(b, cells, lambda at, cell: b.store(b.zero(element), last, [cell]))
        self.store.erase()

    def _choice(self, b: Builder, like: Value, iteration: Value) -> Value:
        """The array that is `like` in an iteration."""
        number = iteration
        if not isinstance(self.number, BlockArgument):
            number = b.integer("subi", operation(self.number.owner).operands[0], iteration)
        even = b.compare("eq", b.integer("remui", number, b.index(2)), b.index(0))
        first, second = list(operation(like.owner).operands)[1:]
        return b.value("arith.select", [even, first, second], first.type)

    def _add(self, b: Builder, value: Value, cell: Value) -> None:
        b.store(b.add(b.load(self.given, [cell]), value), self.given, [cell])

    def _each(self, b: Builder, size: Value, do: Callable[[Value, Value], None]) -> None:
        """`do` with each number below `size`, and the cell of the range."""
        body = b.for_loop(b.index(0), size, b.index(1), [])
        with b.at(body):
            do(body.arguments[0], b.integer("addi", body.arguments[0], b.index(self.offset)))
            b.op("scf.yield")


def _turns(loop: Operation, taken: Value, given: Value) -> Value | None:
    """The number of which each iteration chooses by the parity, if what one has as `taken` the next has as `given`."""
    body = loop.regions[0].blocks[0]
    if isinstance(taken, BlockArgument) or operation(taken.owner).name != "arith.select" or home(taken) != body:
        return None
    other = other_choice(operation(taken.owner))
    if other is None or other != given:
        return None
    number = even_number(operation(taken.owner).operands[0])
    if number is None or not is_counter(number):
        return None
    if isinstance(number, BlockArgument):
        return number if number == body.arguments[0] else None
    last, counter = operation(number.owner).operands
    return number if counter == body.arguments[0] and reaches(loop.block, home(last)) else None

"""What strips do to stacks: one piece of memory for all lanes, in which a row is an element of each.

Most often all lanes are at the same row: they push in lockstep, and pop so that all end together. That is asked at run
time, and then a row is loaded or stored at once; else each lane goes to its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlir.ir import Attribute, IndexType, IntegerType, MemRefType, Operation, ShapedType, Type, UnitAttr, Value

from .memory import array_and_indices
from .stacks import Growth, Stack

if TYPE_CHECKING:
    from .emit import Strip

_EQ, _SGE = 0, 5


class StackMemory:
    """The stacks of a strip."""

    def __init__(self, strip: Strip):
        self.strip = strip
        self._cells: dict[Value, Value] = {}

    # before and after all strips --------------------------------------------------------------------------------------
    def make(self, stack: Stack) -> None:
        e = self.strip.e
        memory = self._type(stack)
        cell = e.alloc_like(MemRefType.get([], memory))
        e.op("memref.store", [e.alloc_like(memory, [e.integer(stack.rows * self.strip.lanes)]), cell])
        self._cells[stack.cell] = cell

    def free(self, stack: Stack) -> None:
        e = self.strip.e
        memory = e.value("memref.load", [self._cells[stack.cell]], self._type(stack))
        e.op("memref.dealloc", [memory], [], {"autodiff.free": UnitAttr.get()})

    def _type(self, stack: Stack) -> MemRefType:
        return MemRefType.get([ShapedType.get_dynamic_size()], _kept(_element(stack)))

    # in a strip -------------------------------------------------------------------------------------------------------
    def operation(self, op: Operation) -> None:
        stacks = self.strip.shapes.stacks
        if op in stacks.growths:
            self.strip.bind(op.results[0], self._grow(stacks.memory[op.results[0]], stacks.growths[op]))
        elif stacks.is_access(op):
            self._access(op)
        else:
            stack = stacks.cells[op.operands[0]]
            self.strip.bind(op.results[0], self._memory(stack))

    def _memory(self, stack: Stack) -> Value:
        return self.strip.e.value("memref.load", [self._cells[stack.cell]], self._type(stack))

    def _grow(self, stack: Stack, growth: Growth) -> Value:
        """The memory, with room for another row in each lane."""
        e, memory = self.strip.e, self.strip.base(growth.before)
        top = self._top(self.strip.whole(growth.count))
        extent = e.value("memref.dim", [memory, e.integer(0)], IndexType.get())
        full = e.compare(_SGE, e.binary("muli", top, e.integer(self.strip.lanes)), extent)
        choice = e.op("scf.if", [full], [memory.type], None, 2)
        with e.at(choice.regions[0].blocks.append()):
            larger = e.alloc_like(memory.type, [e.binary("muli", extent, e.integer(2))])
            element = MemRefType(memory.type).element_type

            def copy(index: Value) -> None:
                e.op("memref.store", [e.value("memref.load", [memory, index], element), larger, index])

            e.loop(extent, copy)
            e.op("memref.dealloc", [memory], [], {"autodiff.free": UnitAttr.get()})
            e.op("memref.store", [larger, self._cells[stack.cell]])
            e.op("scf.yield", [larger])
        with e.at(choice.regions[1].blocks.append()):
            e.op("scf.yield", [memory])
        return choice.results[0]

    def _access(self, op: Operation) -> None:
        strip, e = self.strip, self.strip.e
        array, (index,) = array_and_indices(op)
        memory = strip.base(array)
        element = MemRefType(array.type).element_type
        kept = strip.wide(_kept(element))
        start, places, together = self._place(strip.whole(index))
        mask = strip.mask or strip.every_lane()
        if op.name == "memref.store":
            value = strip.whole(op.operands[0])
            if value.type != kept:
                value = e.value("arith.extui", [value], kept)
            e.branch(
                together,
                lambda: e.op("vector.maskedstore", [memory, start, mask, value]),
                lambda: e.op("vector.scatter", [memory, e.integer(0), places, mask, value]),
            )
            return
        found = self._either(
            together,
            lambda: e.value("vector.load", [memory, start], kept),
            lambda: e.value("vector.gather", [memory, e.integer(0), places, mask, strip.nothing(_kept(element))], kept),
            kept,
        )
        if element != _kept(element):
            found = e.value("arith.trunci", [found], strip.wide(element))
        strip.bind(op.results[0], found)

    def _place(self, rows: Value) -> tuple[Value, Value, Value]:
        """Where the highest row begins, where each lane has its element, and whether all lanes are in that row."""
        strip, e = self.strip, self.strip.e
        top = self._top(rows)
        highest = e.value("vector.broadcast", [top], rows.type)
        mine = rows if strip.mask is None else e.value("arith.select", [strip.mask, rows, highest], rows.type)
        together = strip.reduce("and", strip.compare(_EQ, mine, highest))
        lanes = self._constant(str(strip.lanes), IndexType.get())
        numbers = Attribute.parse(f"dense<[{', '.join(map(str, range(strip.lanes)))}]> : {rows.type}")
        first = e.value("arith.muli", [mine, lanes], rows.type)
        number = e.value("arith.constant", [], rows.type, {"value": numbers})
        places = e.value("arith.addi", [first, number], rows.type)
        return e.binary("muli", top, e.integer(strip.lanes)), places, together

    def _either(self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value], type_: Type) -> Value:
        e = self.strip.e
        choice = e.op("scf.if", [condition], [type_], None, 2)
        for region, side in zip(choice.regions, (yes, no), strict=True):
            with e.at(region.blocks.append()):
                e.op("scf.yield", [side()])
        return choice.results[0]

    def _top(self, rows: Value) -> Value:
        """The highest of the rows of lanes that are to do it."""
        strip = self.strip
        return strip.reduce("maxsi", strip.where_masked(rows, lambda: strip.nothing(IndexType.get())))

    def _constant(self, value: str, element: Type) -> Value:
        type_ = self.strip.wide(element)
        return self.strip.e.value("arith.constant", [], type_, {"value": Attribute.parse(f"dense<{value}> : {type_}")})


def _element(stack: Stack) -> Type:
    return MemRefType(MemRefType(stack.cell.type).element_type).element_type


def _kept(element: Type) -> Type:
    """As what an element is kept: bits are bytes."""
    bit = IntegerType.get_signless(1)
    return IntegerType.get_signless(8) if element == bit else element

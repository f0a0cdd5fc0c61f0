"""Who frees what is on the tape of split mode: the tape itself.

A buffer on the tape outlives the augmented primal that made it, and where loops carry buffers several names may point
to one. So neither half frees any: buffers that have one name are found through it, and all others are entered in a
list of blocks, which goes on the tape. That a pullback which ends early has freed half of them cannot happen, nor
that one is freed twice.
"""

from __future__ import annotations

from math import prod

from mlir.ir import (
    ComplexType,
    IndexType,
    InsertionPoint,
    MemRefType,
    Operation,
    Type,
    UnitAttr,
    Value,
    VectorType,
)

from .builder import Builder, is_memref, operation, walk
from .caches import cache_type
from .errors import refuse
from .objects import ALLOCATIONS, MemoryObject, Objects


class TapeMemory:
    """The memory of a combined function that is on the tape."""

    def __init__(self, function: Operation, forward: list[Operation]):
        self.function, self.objects = function, Objects(function)
        self._top = set(forward)
        self._forward = {inner for op in forward for inner in walk(op)}
        #: What a value of the tape may point to, and of that, what has one name.
        self.taped: set[MemoryObject] = set()
        self.named: set[MemoryObject] = set()

    def has_one_name(self, value: Value) -> bool:
        """Whether a value other than a number can cross as it is: a cache, or a buffer that nothing else points to."""
        if not is_memref(value.type):
            return not isinstance(value.type, VectorType)
        return operation(value.owner) in self._top and self._is_named(value)

    def _is_named(self, memref: Value) -> bool:
        return operation(memref.owner).name in ALLOCATIONS and not self.objects.travels(memref)

    def take(self, value: Value) -> None:
        """`value`, of the forward sweep, crosses, and what it may point to."""
        if not is_memref(value.type):
            self.taped |= self.objects.held(value)
        else:
            self.taped |= self.objects.of(value)
            if self.has_one_name(value):
                self.named |= self.objects.of(value)

    @property
    def keeps_arguments(self) -> bool:
        """Whether a value of the tape may point to an argument."""
        return any(memory.argument is not None for memory in self.taped)

    def manage(self, builder: Builder) -> Operation | None:
        """Enter the blocks in a list, and drop what frees them by hand. Returns the list, a cache that is new."""
        frees = [op for op in walk(self.function) if op.name == "memref.dealloc"]
        freed = [self.objects.of(op.operands[0]) for op in frees]
        size = -1
        while size != len(self.taped):  # what is freed under one name ends in one way
            size = len(self.taped)
            for found in freed:
                if found & self.taped:
                    self.taped |= found
        for op, found in zip(frees, freed, strict=True):
            if found & self.taped:
                op.erase()
        listed = []
        for memory in self.objects.all:  # in their order
            if memory not in self.taped or memory in self.named or memory.argument is not None or memory.is_global:
                continue
            allocation = memory.allocation
            if allocation is None or allocation not in self._forward:
                raise refuse(operation(memory.value.owner), _UNKNOWN, "use combined reverse mode")
            if isinstance(MemRefType(memory.value.type).element_type, (MemRefType, VectorType)):
                raise refuse(allocation, _ALIGNED, "use combined reverse mode, or memory of numbers")
            if "alignment" in allocation.attributes:
                del allocation.attributes["alignment"]  # the address in the list is the one that malloc gave
            listed.append(allocation)
        if not listed:
            return None
        start = InsertionPoint.at_block_begin(self.function.regions[0].blocks[0])
        with builder.at(start):
            made = builder.value("autodiff.init", [], cache_type(IndexType.get()))
        for allocation in listed:
            with builder.at(InsertionPoint.after(allocation), allocation.location):
                for word in _entry(builder, allocation):
                    builder.op("autodiff.push", [made, word])
        return operation(made.owner)

    def result(self, builder: Builder, old: Value, new: Value) -> Value:
        """What the augmented primal returns for its result `old`: a copy of what is on the tape."""
        taped = is_memref(old.type) and self.objects.of(old) & self.taped
        return builder.copy_of(new) if taped else new


def _entry(b: Builder, allocation: Operation) -> list[Value]:
    """What the list says of a block: its address and its bytes."""
    memref = allocation.results[0]
    type_ = MemRefType(memref.type)
    pointer = b.value(
        "memref.extract_aligned_pointer_as_index", [memref], IndexType.get(), {"autodiff.keep": UnitAttr.get()}
    )
    size = b.index(element_bytes(type_.element_type))
    for axis in range(type_.rank):
        size = b.integer("muli", size, b.dim(memref, axis))
    return [pointer, size]


def element_bytes(type_: Type) -> int:
    """Bytes that an element takes in memory."""
    if isinstance(type_, IndexType):
        return 8
    if isinstance(type_, ComplexType):
        return 2 * element_bytes(type_.element_type)
    if isinstance(type_, VectorType):
        return prod(type_.shape) * element_bytes(type_.element_type)
    if isinstance(type_, MemRefType):
        return 8 * (3 + 2 * type_.rank)
    return (int(type_.width) + 7) // 8


_ALIGNED = "split mode of a function that allocates memory of vectors as it goes is not supported"
_UNKNOWN = "split mode of a function that keeps memory which it did not allocate itself is not supported"

"""Pass `autodiff-tape`: the caches that are left become growing buffers.

Takes a function with autodiff.init, push and pop in it; leaves memref ops. A cache is a cell that holds its buffer
and a cell that counts what is in it. A push to a full buffer doubles it (amortised, a push costs one store); a pop
takes the last value.
"""

from __future__ import annotations

from collections.abc import Callable

from mlir.ir import (
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Location,
    MemRefType,
    Operation,
    ShapedType,
    Type,
    UnitAttr,
    Value,
)

from .builder import Builder, operation, terminator, walk
from .copier import add_block
from .findings import STACK

_FIRST_CAPACITY = 64
#: On a pop: it takes values in the order in which they were pushed (by threads of launches only, see launch_memory).
FIRST = "autodiff.first"


def cache_type(element: Type) -> Type:
    return Type.parse(f"!autodiff.cache<{element}>")


def pushed_type(init: Operation) -> Type:
    """The type of what the cache made by `init` holds."""
    for use in init.results[0].uses:
        owner = operation(use.owner)
        if owner.name == "autodiff.push":
            return owner.operands[1].type
        if owner.name == "autodiff.pop":
            return owner.results[0].type
    return IntegerType.get_signless(1)


def lower_caches(function: Operation, end: Callable[[Operation], Operation | None] | None = None) -> None:
    """Replace every cache op in `function`.

    `end` says before which op the cache made by an `autodiff.init` is freed, None: by somebody else. It ends with the
    block that it is made in if nothing is said.
    """
    for init in [op for op in walk(function) if op.name == "autodiff.init"]:
        lower_cache(init, end(init) if end is not None else terminator(init.block))


def lower_cache(init: Operation, last: Operation | None) -> list[Value]:
    """Replace the ops of one cache, which is freed before `last`. Returns its cells: of the buffer, of the count."""
    builder = Builder(InsertionPoint(init), init.location)
    cache = _Cache(builder, pushed_type(init))
    for user in [operation(use.owner) for use in init.results[0].uses]:
        with builder.at(InsertionPoint(user), user.location):
            if user.name == "autodiff.push":
                cache.push(user.operands[1])
            else:
                user.results[0].replace_all_uses_with(cache.pop())
        user.erase()
    if last is not None:
        with builder.at(InsertionPoint(last), init.location):
            cache.free()
    init.erase()
    return [cache.cell, cache.count]


class _Cache:
    """The cells of one cache, and the code of its ops."""

    def __init__(self, builder: Builder, element: Type):
        self.b = builder
        self.loc = Location.name(STACK, builder.loc)  # by which the memory is known later
        self.buffer_type = MemRefType.get([ShapedType.get_dynamic_size()], element)
        self.count = builder.alloc(MemRefType.get([], IndexType.get()))
        self.cell = builder.alloc(MemRefType.get([], self.buffer_type))
        builder.store(builder.index(0), self.count, [])
        builder.store(self._buffer(builder.index(_FIRST_CAPACITY)), self.cell, [])

    def _buffer(self, size: Value) -> Value:
        with self.b.at(self.b.ip, self.loc):
            return self.b.alloc(self.buffer_type, [size])

    def push(self, value: Value) -> None:
        b = self.b
        count, buffer = b.load(self.count, []), b.load(self.cell, [])
        capacity = b.value("memref.dim", [buffer, b.index(0)], IndexType.get())
        equal = {"predicate": IntegerAttr.get(IntegerType.get_signless(64), 0)}
        full = b.value("arith.cmpi", [count, capacity], IntegerType.get_signless(1), equal)
        grow = b.op("scf.if", [full], [self.buffer_type], regions=2)
        with b.at(add_block(grow.regions[0], [], b.loc)):
            larger = self._buffer(b.integer("muli", capacity, b.index(2)))
            body = b.for_loop(b.index(0), count, b.index(1), [])
            with b.at(body):
                i = body.arguments[0]
                b.store(b.load(buffer, [i]), larger, [i])
                b.op("scf.yield")
            with b.at(b.ip, self.loc):
                b.op("memref.dealloc", [buffer], [], {"autodiff.free": UnitAttr.get()})
            b.store(larger, self.cell, [])
            b.op("scf.yield", [larger])
        with b.at(add_block(grow.regions[1], [], b.loc)):
            b.op("scf.yield", [buffer])
        b.store(value, grow.results[0], [count])
        b.store(b.integer("addi", count, b.index(1)), self.count, [])

    def pop(self) -> Value:
        b = self.b
        count = b.integer("subi", b.load(self.count, []), b.index(1))
        b.store(count, self.count, [])
        return b.load(b.load(self.cell, []), [count])

    def free(self) -> None:
        b = self.b
        with b.at(b.ip, self.loc):
            b.op("memref.dealloc", [b.load(self.cell, [])], [], {"autodiff.free": UnitAttr.get()})

"""Launches with sums of floats, run in chunks so that results are the same whatever the number of threads.

A chunk is a range of blocks, run in order on one thread; how many there are depends on the launch alone. An array that
is summed into is treated in one of two ways:

direct    chunks add to it themselves. Those of even number run first, then those of odd number, then those that would
          still meet another at some cell (as where indices wrap around), one after the other.
private   each chunk adds to a copy of its own, which begins with zeros; the copies are added to the array in order.

Where neither does (copies would be large beside the work, windows overlap too much), all blocks run in order. The
functions that decide at run time are in `library/chunks.mlir`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from mlir.ir import FloatAttr, IndexType, InsertionPoint, IntegerType, MemRefType, Module, Operation, ShapedType, Value

from ..memory import element_bytes
from ..rewriting import functions, symbol_name
from .emit import Emitter, constant
from .parts import call, copies
from .pool import BLOCKS, WORTHWHILE
from .sums import Sum
from .windows import Host, Reach

_SIZE, _PHASES = "dsl.chunk_size", "dsl.phases"


class Launched(NamedTuple):
    """A launch that became function number `number`: the extents of its grid and blocks, how much a block does, what
    the function is handed, and the constants that are made again in functions.
    """

    launch: Operation
    number: int
    dims: list[Value]
    blocks: Value
    work: Value
    given: list[Value]
    fixed: list[Value]


def run_in_chunks(
    module: Module, e: Emitter, it: Launched, sums: list[Sum], reach: Reach, next_number: Callable[[], int]
) -> None:
    """Emit the host code that runs a launch's blocks, at `e`."""
    _link(module)
    run = _Chunks(module, e, it, next_number)
    copied = [s for s in sums if not s.windowed]
    direct = [s for s in sums if s.windowed]

    def in_order() -> None:
        call(module, e, it.number, [it.blocks, it.work, e.integer(1)], it.given)

    def all_copied() -> None:
        if all(s.private for s in sums):
            size = run.chunk_size(sums)
            e.branch(run.several(size), lambda: run.copied(size, sums), in_order)
        else:
            in_order()

    size = run.chunk_size(copied)
    if not direct:
        e.branch(run.several(size), lambda: run.copied(size, copied), in_order)
        return

    def by_windows() -> None:
        count = run.count(size)
        order, phases = run.phases(size, count, direct, reach)
        # More than a quarter one after the other would be no gain.
        few = e.compare(3, e.binary("muli", phases[2], e.integer(4)), count)
        e.branch(few, lambda: run.direct(size, order, phases, copied), all_copied)

    e.branch(run.several(size), by_windows, all_copied)


class _Chunks:
    def __init__(self, module: Module, e: Emitter, it: Launched, next_number: Callable[[], int]):
        self.module, self.e, self.it, self.next_number = module, e, it, next_number
        self.index = IndexType.get()

    def chunk_size(self, copied: list[Sum]) -> Value:
        """How many blocks a chunk has, if it has copies of these arrays."""
        e, dims = self.e, self.it.dims
        cells = e.integer(0)
        for s in copied:
            cells = e.binary("addi", cells, e.product([e.integer(1), *_sizes(e, s.array)]))
        one = e.integer(1)
        row = one if constant(dims[1]) == 1 and constant(dims[2]) == 1 else dims[0]
        slab = row if constant(dims[2]) == 1 else e.binary("muli", dims[0], dims[1])
        return e.call(_SIZE, [self.it.blocks, self.it.work, cells, row, slab], [self.index])[0]

    def several(self, size: Value) -> Value:
        return self.e.compare(2, size, self.it.blocks)

    def count(self, size: Value) -> Value:
        return self.e.value("arith.ceildivui", [self.it.blocks, size], self.index)

    def phases(self, size: Value, count: Value, direct: list[Sum], reach: Reach) -> tuple[Value, list[Value]]:
        """The order of chunks that add to these arrays themselves, and how many there are of each phase."""
        e = self.e
        axes = max(MemRefType(s.array.type).rank for s in direct)
        windows = e.alloc(self.index, [count, e.integer(len(direct)), e.integer(axes), e.integer(2)])
        order = e.alloc(self.index, [count])

        def fill(chunk: Value) -> None:
            first, end = self._range(e, chunk, size, self.it.blocks)
            last = e.binary("subi", end, e.integer(1))
            host = Host(e, reach, self.it.dims, {v: v for v in self.it.given}, first, last)
            for t, s in enumerate(direct):
                columns = list(zip(*(list(op.operands)[2:] for op in s.sites), strict=True))
                for k in range(axes):
                    ends = host.window(list(columns[k])) if k < len(columns) else (e.integer(0), e.integer(0))
                    for side, value in enumerate(ends):
                        e.op("memref.store", [value, windows, chunk, e.integer(t), e.integer(k), e.integer(side)])

        e.loop(count, fill)
        known = MemRefType.get([ShapedType.get_dynamic_size()] * 3 + [2], self.index)
        windows = e.value("memref.cast", [windows], known)
        return order, e.call(_PHASES, [windows, order], [self.index] * 3)

    def copied(self, size: Value, copied: list[Sum]) -> None:
        """All chunks at once, each with copies."""
        buffers = [self._buffer(s, size) for s in copied]
        run = self._function(copied, ordered=False)
        run(self.count(size), size, self.e.integer(0), [], buffers, 0)
        self._gather(copied, size, buffers)

    def direct(self, size: Value, order: Value, phases: list[Value], copied: list[Sum]) -> None:
        """Chunks in `order`, of which `phases` each may run at once, and the last ones may not."""
        e = self.e
        buffers = [self._buffer(s, size) for s in copied]
        run = self._function(copied, ordered=True)
        base = e.integer(0)
        for k, count in enumerate(phases):
            run(count, size, base, [order], buffers, int(k == 2))
            base = e.binary("addi", base, count)
        self._gather(copied, size, buffers)

    def _range(self, e: Emitter, chunk: Value, size: Value, blocks: Value) -> tuple[Value, Value]:
        first = e.binary("muli", chunk, size)
        return first, e.value("arith.minui", [e.binary("addi", first, size), blocks], self.index)

    # functions over chunks -----------------------------------------------------------------------------------------
    def _function(self, copied: list[Sum], ordered: bool) -> Callable[..., None]:
        """A function that runs chunks; returns what emits a call of the pool for it."""
        it, number = self.it, self.next_number()
        buffer = MemRefType.get([ShapedType.get_dynamic_size()], IntegerType.get_signless(8))
        order = [MemRefType.get([ShapedType.get_dynamic_size()], self.index)] if ordered else []
        types = [self.index] * 3 + order + [buffer] * len(copied) + [v.type for v in it.given]
        f = Emitter(InsertionPoint(self.module.body), it.launch.location)
        body = f.function(BLOCKS.format(number), [self.index, self.index, *types]).regions[0].blocks[0]
        with f.at(body):
            first, last, blocks, size, base, *rest = body.arguments
            chunks, rest = rest[: len(order)], rest[len(order) :]
            buffers, given = rest[: len(copied)], rest[len(copied) :]
            outer = dict(zip(it.given, given, strict=True)) | copies(f, it.fixed)

            def one(position: Value) -> None:
                at = f.binary("addi", position, base)
                chunk = f.value("memref.load", [chunks[0], at], self.index) if chunks else at
                own = dict(outer)
                for s, memory in zip(copied, buffers, strict=True):
                    own[s.array] = _copy_of(f, outer[s.array], memory, chunk)
                    _fill_zero(f, outer[s.array], memory, chunk)
                start, end = self._range(f, chunk, size, blocks)
                f.call(BLOCKS.format(it.number), [start, end, *[own[v] for v in it.given]])

            f.loop(last, one, first)
            f.op("func.return")

        def run(count: Value, size: Value, base: Value, order: list[Value], buffers: list[Value], alone: int) -> None:
            work = self.e.binary("muli", it.work, size)
            handed = [it.blocks, size, base, *order, *buffers, *it.given]
            call(self.module, self.e, number, [count, work, self.e.integer(alone)], handed)

        return run

    # copies --------------------------------------------------------------------------------------------------------
    def _buffer(self, s: Sum, size: Value) -> Value:
        """Room for the copies that chunks have of an array."""
        e = self.e
        return e.alloc(IntegerType.get_signless(8), [e.binary("muli", self.count(size), _bytes(e, s.array))])

    def _gather(self, copied: list[Sum], size: Value, buffers: list[Value]) -> None:
        """Add the copies to the arrays, in order."""
        e = self.e

        def one(chunk: Value) -> None:
            for s, memory in zip(copied, buffers, strict=True):
                own, element = _copy_of(e, s.array, memory, chunk), MemRefType(s.array.type).element_type

                def add(at: list[Value], array: Value = s.array, own: Value = own, element=element) -> None:  # type: ignore[no-untyped-def]
                    old, more = (e.value("memref.load", [m, *at], element) for m in (array, own))
                    e.op("memref.store", [e.value("arith.addf", [old, more], element), array, *at])

                _nest(e, _sizes(e, s.array), add)

        e.loop(self.count(size), one)


def _sizes(e: Emitter, array: Value) -> list[Value]:
    type_, index = MemRefType(array.type), IndexType.get()
    return [
        e.value("memref.dim", [array, e.integer(k)], index) if type_.is_dynamic_dim(k) else e.integer(type_.shape[k])
        for k in range(type_.rank)
    ]


def _bytes(e: Emitter, array: Value) -> Value:
    """What a copy takes: whole cache lines, so that threads do not write to the same."""
    size = e.integer(element_bytes(MemRefType(array.type).element_type))
    lines = e.value("arith.ceildivui", [e.product([size, *_sizes(e, array)]), e.integer(64)], size.type)
    return e.binary("muli", lines, e.integer(64))


def _copy_of(e: Emitter, array: Value, memory: Value, chunk: Value) -> Value:
    """A chunk's copy of an array: of the same type."""
    type_ = MemRefType(array.type)
    plain_type = MemRefType.get(type_.shape, type_.element_type)
    at = e.binary("muli", chunk, _bytes(e, array))
    sizes = [size for k, size in enumerate(_sizes(e, array)) if type_.is_dynamic_dim(k)]
    view = e.value("memref.view", [memory, at, *sizes], plain_type)
    return view if plain_type == type_ else e.value("memref.cast", [view], type_)


def _fill_zero(e: Emitter, array: Value, memory: Value, chunk: Value) -> None:
    own, element = _copy_of(e, array, memory, chunk), MemRefType(array.type).element_type
    zero = e.value("arith.constant", [], element, {"value": FloatAttr.get(element, 0.0)})
    _nest(e, _sizes(e, array), lambda at: e.op("memref.store", [zero, own, *at]))


def _nest(e: Emitter, sizes: list[Value], body: Callable[[list[Value]], object], at: tuple[Value, ...] = ()) -> None:
    """Loops over all cells of an array."""
    if not sizes:
        body(list(at))
    else:
        e.loop(sizes[0], lambda i: _nest(e, sizes[1:], body, (*at, i)))


def _link(module: Module) -> None:
    """Give the module the functions of the library, once."""
    if any(symbol_name(op) == _SIZE for op in functions(module)):
        return
    made = library()  # it lives as long as its operations are used
    for op in functions(made):
        InsertionPoint(module.body).insert(op.clone())


def library() -> Module:
    """The functions that decide, in the current context."""
    with open(os.path.join(os.path.dirname(__file__), "..", "library", "chunks.mlir"), encoding="utf-8") as file:
        return Module.parse(file.read().replace("$worthwhile", str(WORTHWHILE)))

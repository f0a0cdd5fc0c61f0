"""Where memory of threads is: the last step of `autodiff-tape` for launches.

Takes a function in which device code allocates as host code does, and tapes of a thread are allocations and caches in
the launch. Leaves launches without either: memory of a fixed, small size is the thread's own (memref.alloca), and all
else lies in buffers that the host allocates before the launch, with one place for each thread, neighbours beside each
other. How large they have to be is computed before the launch where that can be; where it depends on what threads
find (a `while`, the rows of a sparse matrix), a counting launch runs what decides on it and keeps the largest number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import (
    Attribute,
    Block,
    BlockArgument,
    DenseI32ArrayAttr,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Operation,
    ShapedType,
    UnitAttr,
    Value,
)

from .builder import Builder, home, operation, operations, walk
from .caches import FIRST, pushed_type
from .copier import Copier, attributes_of
from .cut import bytes_of
from .dead_code import remove_dead_code
from .errors import refuse
from .launches import LAUNCH, add_launch, around, extents, is_shared, number_in_grid, stands_in, thread_count
from .objects import Objects
from .plan import pure
from .silent import COUNTS, Silent, refuse_undecided

#: The bytes that an array of a thread may have to be its own.
LOCAL = 16384


@dataclass
class _Item:
    """Something to find room for: an allocation, or a cache. `sizes` are its extents before the launch."""

    op: Operation
    sizes: list[Value | None] = field(default_factory=list)
    #: The places of the counted ones among the counts.
    counts: list[int] = field(default_factory=list)

    @property
    def is_cache(self) -> bool:
        return self.op.name == "autodiff.init"


def place_memory(function: Operation) -> None:
    """Place the memory of all launches of `function`, in place."""
    launches = [op for op in walk(function) if op.name == LAUNCH]
    if not launches:
        return
    for launch in launches:
        placer = _Placer(function, launch)
        placer.place(_queues_filled_in(function, launch))
    if any(COUNTS in op.attributes for op in walk(function)):
        remove_dead_code(function)
        refuse_undecided(function)


def _queues_filled_in(function: Operation, launch: Operation) -> list[Operation]:
    """The caches of the host that the launch's threads push to."""
    inits = [op for op in walk(function) if op.name == "autodiff.init" and around(op) is None]
    return [
        op for op in inits for use in op.results[0].uses
        if operation(use.owner).name == "autodiff.push" and stands_in(operation(use.owner), launch)
    ]  # fmt: skip


class _Placer:
    def __init__(self, function: Operation, launch: Operation):
        self.function, self.launch = function, launch
        self.b = Builder(InsertionPoint(launch), launch.location)
        self.body = launch.regions[0].blocks[0]
        self.inside = {b for op in walk(launch) for r in op.regions for b in r.blocks}

    def place(self, queues: list[Operation]) -> None:
        """Place what is made in the launch, and the `queues` that it fills."""
        items = [_Item(op, [None]) for op in queues]
        for op in list(walk(self.launch)):
            if op.name == "memref.dealloc":
                op.erase()
            elif op.name == "memref.alloc":
                if self._is_local(op):
                    self._to_local(op)
                else:
                    items.append(_Item(op, self._extents(op)))
            elif op.name == "autodiff.init":
                items.append(_Item(op, [None]))
        if not items:
            return
        counts = 0
        for item in items:
            for size in item.sizes:
                if size is None:
                    item.counts.append(counts)
                    counts += 1
        found = self._counted(items, counts) if counts else []
        with self.b.at(InsertionPoint.at_block_begin(self.body)):
            number = number_in_grid(self.b, extents(self.launch))
        threads = thread_count(self.b, extents(self.launch))
        for item in items:
            numbers = iter(item.counts)
            sizes = [found[next(numbers)] if size is None else size for size in item.sizes]
            if item.is_cache:
                self._cache(item.op, sizes[0], threads, number)
            else:
                self._buffer(item.op, sizes, threads, number)

    # allocations ---------------------------------------------------------------------------------------------------
    def _is_local(self, op: Operation) -> bool:
        type_ = MemRefType(op.results[0].type)
        if is_shared(type_):
            return True
        if len(op.operands):
            return False
        total = bytes_of(type_.element_type)
        for extent in type_.shape:
            total *= extent
        return total <= LOCAL

    def _to_local(self, op: Operation) -> None:
        """The thread's own memory, or the block's: at the top, so that no loop makes it anew."""
        with self.b.at(InsertionPoint.at_block_begin(self.body), op.location):
            new = self.b.value("memref.alloca", [], op.results[0].type, attributes_of(op))
        op.results[0].replace_all_uses_with(new)
        op.erase()

    def _extents(self, op: Operation) -> list[Value | None]:
        dynamic = iter(op.operands)
        shape = MemRefType(op.results[0].type).shape
        unknown = ShapedType.get_dynamic_size()
        return [self._before(next(dynamic)) if n == unknown else self.b.index(n) for n in shape]

    def _before(self, value: Value) -> Value | None:
        """A number of the launch, computed before it; None if it depends on the thread or on what it finds."""
        copier = Copier(self.b)

        def again(v: Value) -> bool:
            if home(v) not in self.inside:
                copier.map[v] = v
            if v in copier.map:
                return True
            op = None if isinstance(v, BlockArgument) else operation(v.owner)
            if op is None or op.regions or op.name.startswith(("gpu.", "nvvm.")) or not pure(op):
                return False
            if not all(again(o) for o in op.operands):
                return False
            copier.operation(op)
            return True

        return copier.map[value] if again(value) else None

    def _buffer(self, op: Operation, sizes: list[Value], threads: Value, number: Value) -> None:
        """A buffer of the host in place of an allocation of each thread."""
        element = MemRefType(op.results[0].type).element_type
        dynamic = ShapedType.get_dynamic_size()
        buffer = self.b.alloc(MemRefType.get([dynamic] * (len(sizes) + 1), element), [*sizes, threads])
        extra = list(op.operands)
        shape = MemRefType(op.results[0].type).shape
        for use in [operation(use.owner) for use in op.results[0].uses]:
            with self.b.at(InsertionPoint(use), use.location):
                if use.name == "memref.load":
                    new = self.b.load(buffer, [*list(use.operands)[1:], number])
                    use.results[0].replace_all_uses_with(new)
                elif use.name == "memref.store" and use.operands[0] != op.results[0]:
                    self.b.store(use.operands[0], buffer, [*list(use.operands)[2:], number])
                elif use.name == "memref.dim":
                    axis = operation(use.operands[1].owner).attributes["value"].value
                    place = sum(1 for n in shape[:axis] if n == dynamic)
                    known = self.b.index(shape[axis]) if shape[axis] != dynamic else extra[place]
                    use.results[0].replace_all_uses_with(known)
                else:
                    raise refuse(
                        use, f"{use.name} of an array of a thread whose size is not fixed", "give it a fixed size"
                    )
            use.erase()
        op.erase()

    # caches --------------------------------------------------------------------------------------------------------
    def _cache(self, init: Operation, size: Value, threads: Value, number: Value) -> None:
        """A stack of each thread: its part of a buffer of the host's, and how much is on it. What a queue holds is read
        by another launch, from the first value on.
        """
        b = self.b
        dynamic = ShapedType.get_dynamic_size()
        buffer = b.alloc(MemRefType.get([dynamic, dynamic], pushed_type(init)), [size, threads])
        counts: dict[Operation | None, Value] = {}
        numbers = {self.launch: number}
        for use in [operation(use.owner) for use in init.results[0].uses]:
            launch = around(use)
            assert launch is not None
            if launch not in counts:
                top = InsertionPoint.at_block_begin(launch.regions[0].blocks[0])
                with b.at(top, init.location):
                    counts[launch] = b.value("memref.alloca", [], MemRefType.get([], IndexType.get()), _no_sizes())
                    if around(init) is None:
                        b.store(b.index(0), counts[launch], [])
                    if launch not in numbers:
                        numbers[launch] = number_in_grid(b, extents(launch))
            self._use(use, buffer, counts[launch], numbers[launch])
        if around(init) is not None:
            with b.at(InsertionPoint(init), init.location):
                for count in counts.values():
                    b.store(b.index(0), count, [])
        init.erase()

    def _use(self, use: Operation, buffer: Value, count: Value, number: Value) -> None:
        b = self.b
        with b.at(InsertionPoint(use), use.location):
            have = b.load(count, [])
            if use.name == "autodiff.push":
                b.store(use.operands[1], buffer, [have, number])
                b.store(b.integer("addi", have, b.index(1)), count, [])
            elif FIRST in use.attributes:
                b.store(b.integer("addi", have, b.index(1)), count, [])
                use.results[0].replace_all_uses_with(b.load(buffer, [have, number]))
            else:
                last = b.integer("subi", have, b.index(1))
                b.store(last, count, [])
                use.results[0].replace_all_uses_with(b.load(buffer, [last, number]))
        use.erase()

    # counting ------------------------------------------------------------------------------------------------------
    def _counted(self, items: list[_Item], counts: int) -> list[Value]:
        """The largest of each number that any thread comes to, by a launch before this one."""
        b = self.b
        word = IntegerType.get_signless(64)
        cells = b.alloc(MemRefType.get([counts], word))
        zero = b.value("arith.constant", [], word, {"value": IntegerAttr.get(word, 0)})
        for k in range(counts):
            b.store(zero, cells, [b.index(k)])
        counter = _Counter(b, Objects(self.function), self.launch, items, cells)
        counter.operation(self.launch)
        return [b.value("arith.index_cast", [b.load(cells, [b.index(k)])], IndexType.get()) for k in range(counts)]


def _no_sizes() -> dict[str, Attribute]:
    return {"operandSegmentSizes": DenseI32ArrayAttr.get([0, 0])}


class _Counter(Silent):
    """Copies a launch, without what it does to memory of others, with counting in place of `items`."""

    def __init__(self, builder: Builder, objects: Objects, launch: Operation, items: list[_Item], cells: Value):
        super().__init__(builder, objects, launch)
        self.cells = cells
        self.items = {item.op: item for item in items}
        #: The count of each cache.
        self.filled: dict[Value, tuple[Value, int]] = {}

    def value(self, old: Value) -> Value:
        return self.map.get(old, old)

    def copy_gpu_launch(self, op: Operation) -> None:
        """The body as far as there is something to count in it: what follows are adjoints."""
        new, block = add_launch(self.b, list(op.operands), op)
        new.attributes[COUNTS] = UnitAttr.get()
        ops = operations(op.regions[0].blocks[0])[:-1]
        last = max(k for k, inner in enumerate(ops) if any(self._counts(o) for o in walk(inner)))
        with self.b.at(block):
            for queue in [item.op for item in self.items.values() if item.is_cache and around(item.op) is None]:
                self._count(queue)
            for inner in ops[: last + 1]:
                self.operation(inner)
            self.b.op("gpu.terminator")

    def _counts(self, op: Operation) -> bool:
        """Whether there is something to count at `op`."""
        return (op in self.items and any(size is None for size in self.items[op].sizes)) or (
            op.name == "autodiff.push" and operation(op.operands[0].owner) in self.items
        )

    def copy_memref_alloc(self, op: Operation) -> None:
        self.copy(op)
        item = self.items.get(op)
        if item is not None:
            numbers = iter(item.counts)
            dynamic = iter(self.values(op.operands))
            unknown = ShapedType.get_dynamic_size()
            for extent, known in zip(MemRefType(op.results[0].type).shape, item.sizes, strict=True):
                if extent == unknown:
                    size = next(dynamic)
                    if known is None:
                        self._largest(size, next(numbers))

    def copy_autodiff_init(self, op: Operation) -> None:
        self._count(op)

    def _count(self, op: Operation) -> None:
        with self.b.at(InsertionPoint.at_block_begin(self._body())):
            count = self.b.value("memref.alloca", [], MemRefType.get([], IndexType.get()), _no_sizes())
        self.b.store(self.b.index(0), count, [])
        self.filled[op.results[0]] = count, self.items[op].counts[0]

    def copy_autodiff_push(self, op: Operation) -> None:
        if op.operands[0] not in self.filled:
            return
        count, number = self.filled[op.operands[0]]
        have = self.b.integer("addi", self.b.load(count, []), self.b.index(1))
        self.b.store(have, count, [])
        self._largest(have, number)

    def copy_autodiff_pop(self, op: Operation) -> None:
        """A stack is filled before it is emptied, and begins anew where it is made: only pushes count."""
        self.unknown(op)

    def _largest(self, size: Value, number: int) -> None:
        word = IntegerType.get_signless(64)
        size = self.b.value("arith.index_cast", [size], word)
        kind = {"kind": IntegerAttr.get(word, 6)}  # maxs
        self.b.op("memref.atomic_rmw", [size, self.cells, self.b.index(number)], [word], kind)

    def _body(self) -> Block:
        block = self.b.ip.block
        while operation(block.owner).name != LAUNCH:
            block = operation(block.owner).block
        return block

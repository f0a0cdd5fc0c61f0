"""A block of threads as loops: the code between two meetings becomes a loop over the threads.

Takes the plan of a launch (see `regions`); emits the code of one block. What a thread computes in one loop and reads in
another is kept in an array with a place for each thread, unless it is quickly computed again: numbers made of the
thread's own, and what is the same for all threads. A loop or branch in which threads meet is entered by all of them
together; its bounds or condition are those of the first thread, and with `check` a test makes sure that all agree
(always, where the lanes of a warp can be seen to differ, for they may agree all the same).
"""

from __future__ import annotations

from collections.abc import Callable

from mlir.ir import (
    BlockArgument,
    IndexType,
    InsertionPoint,
    IntegerType,
    MemRefType,
    Operation,
    Type,
    Value,
)

from ..abi import place
from ..errors import LoweringError, position
from ..memory import element_bytes
from . import coordinates
from .coordinates import OF_BLOCK, OF_THREAD, Block, Thread
from .emit import Emitter, Types, attributes_of, captured, operations, plain, walk
from .exchanges import EXCHANGE
from .order import VIEWS, is_private, kind
from .regions import BARRIERS, Body, Meeting, Nest, Regions, Run, Warps, is_argument_of

#: Operations that are rather done again than kept for each thread, and how many of them at most for one value.
_QUICK = frozenset({
    "addi", "subi", "muli", "andi", "ori", "xori", "shli", "shrsi", "shrui", "extsi", "extui", "trunci", "index_cast",
    "index_castui", "cmpi", "select", "constant", "maxsi", "minsi", "maxui", "minui",
})  # fmt: skip
_QUICK_LIMIT = 24
#: The name of the function that ends a call in which threads disagree.
DISAGREE = "dsl.disagree"


class Fission:
    """Emits one block's code; `outer` maps what the launch uses from outside, `entry` is where buffers are made, and
    `alone` are atomics at whose memory no other thread of the processor is at the same time.
    """

    def __init__(
        self, e: Emitter, regions: Regions, block: Block, outer: dict[Value, Value], alone: set[Operation], check: bool
    ):
        self.e, self.regions, self.block_, self.alone, self.check = e, regions, block, alone, check
        self.launch = regions.launch
        self.type = Types()
        #: Values that are the same for all threads that are in a loop together, at the place of emission.
        self.shared: dict[Value, Value] = dict(outer)
        #: The arrays of values that are kept for each thread.
        self.arrays: dict[Value, Value] = {}
        #: Buffers of bytes for the memory of each thread that is used in several loops.
        self.buffers: dict[Value, Value] = {}
        #: Before the loop over blocks, where buffers that are found to be needed later are made.
        self.entry: InsertionPoint = e.ip
        self.uses_disagree = False
        self._quick: dict[Value, int] = {}

    # memory --------------------------------------------------------------------------------------------------------
    def allocate(self) -> None:
        """Buffers for a whole range of blocks: shared memory, local memory, and the arrays."""
        arguments = list(self.launch.regions[0].blocks[0].arguments)
        for argument in arguments[12:]:  # memory that the launch itself declares
            if _is_shared(argument.type):
                self.shared[argument] = self.e.alloc_like(self.type(argument.type))
            else:
                self._local(argument, crossing=True)
        self._allocate(self.regions.body)

    def _allocate(self, body: Body) -> None:
        for item in body.items:
            if isinstance(item, Run):
                for op in item.ops:
                    self._allocate_for(op)
            elif isinstance(item, Warps):
                self._allocate(item.body)
            else:
                for result in item.op.results:
                    self._array(result)
            if isinstance(item, Nest):
                for inner in item.bodies:
                    self._allocate(inner)
                self._carried(item.op)

    def _carried(self, op: Operation) -> None:
        """A loop's results are where its last iteration left them."""
        blocks = [block for region in op.regions for block in region.blocks]
        if op.name == "scf.for":
            for argument, result in zip(list(blocks[0].arguments)[1:], op.results, strict=True):
                self.arrays[argument] = self.arrays[result]
        elif op.name == "scf.while":
            for argument in blocks[0].arguments:
                self._array(argument)
            condition = operations(blocks[0])[-1].operands[0]
            if self._cost(condition) > _QUICK_LIMIT:
                self._array(condition)
            for argument, result in zip(blocks[1].arguments, op.results, strict=True):
                self.arrays[argument] = self.arrays[result]

    def _allocate_for(self, op: Operation) -> None:
        if op.name == "memref.alloca":
            if _is_shared(op.results[0].type):
                self._fixed(op)
                self.shared[op.results[0]] = self.e.alloc_like(self.type(op.results[0].type))
            else:
                self._local(op.results[0], self.regions.crosses(op.results[0]))
            return
        for result in op.results:
            if self.regions.crosses(result) and self._cost(result) > _QUICK_LIMIT:
                self._array(result)
        for region in op.regions:
            for block in region.blocks:
                for inner in operations(block):
                    self._allocate_nested(inner)

    def _allocate_nested(self, op: Operation) -> None:
        if op.name == "memref.alloca":
            self._local(op.results[0], crossing=False)
        for region in op.regions:
            for block in region.blocks:
                for inner in operations(block):
                    self._allocate_nested(inner)

    def _fixed(self, op: Operation) -> None:
        if len(op.operands):
            raise LoweringError(
                "memory of a block or thread has an extent that is not fixed", position(op.location), "use a constant"
            )

    def _local(self, memref: Value, crossing: bool) -> None:
        """Memory of each thread: one buffer that all use in turn where it lives within one loop."""
        if not isinstance(memref, BlockArgument):
            self._fixed(plain(memref.owner))
        type_ = self.type(memref.type)
        if not crossing:
            self.shared[memref] = self.e.alloc_like(type_)
            return
        size = _bytes(type_)
        total = self.e.binary("muli", self.block_.threads, self.e.integer(size))
        self.buffers[memref] = self.e.alloc(IntegerType.get_signless(8), [total])

    def _array(self, value: Value) -> None:
        if value not in self.arrays:
            self.arrays[value] = self.e.alloc(self.type(value.type), [self.block_.threads])

    # values --------------------------------------------------------------------------------------------------------
    def _cost(self, value: Value) -> int:
        """How many operations it takes to compute a value again in any run; more than the limit if it cannot be."""
        known = self._quick.get(value)
        if known is None:
            known = self._quick[value] = self._count(value)
        return known

    def _count(self, value: Value) -> int:
        if value in self.shared or value in self.buffers:
            return 0
        if isinstance(value, BlockArgument):
            owner = plain(value.owner.owner)
            counts = is_argument_of(value, self.launch.regions[0].blocks[0]) or (
                owner.name == "scf.for" and value.arg_number == 0 and isinstance(self.regions.place.get(owner), Nest)
            )
            return 0 if counts else _QUICK_LIMIT + 1
        op = plain(value.owner)
        if op.name in OF_THREAD or op.name in OF_BLOCK:
            return 1
        if op not in self.regions.place:
            return _QUICK_LIMIT + 1  # nested in an operation of a run
        quick = op.name.startswith("arith.") and (
            op.name[6:] in _QUICK or not any(self._cost(o) > _QUICK_LIMIT or self._of_thread(o) for o in op.operands)
        )
        if not quick and op.name not in VIEWS and op.name not in ("memref.dim", "memref.get_global"):
            return _QUICK_LIMIT + 1
        total = 1 + sum(self._cost(operand) for operand in op.operands)
        return 1 if op.name in VIEWS and total <= _QUICK_LIMIT else total

    def _of_thread(self, value: Value) -> bool:
        """Whether a value that is quickly computed again differs between threads."""
        if value in self.shared:
            return False
        if value in self.buffers:
            return True
        if isinstance(value, BlockArgument):
            return 3 <= value.arg_number < 6 and is_argument_of(value, self.launch.regions[0].blocks[0])
        op = plain(value.owner)
        return op.name in OF_THREAD or any(self._of_thread(operand) for operand in op.operands)

    def _agreed(self, value: Value, warp: Value | None) -> Value:
        """A value that the threads in a loop together agree on, outside of the loops over them: the first one's."""
        if value in self.shared:
            return self.shared[value]
        array = self.arrays.get(value)
        if self._cost(value) <= _QUICK_LIMIT:
            if not self._of_thread(value):
                return _Thread(self, None, {}).lookup(value)
            with self.e.at(self.entry):
                array = self.e.alloc(self.type(value.type), [self.block_.threads])
            made = array
            self.threads(warp, lambda thread: self.store(made, thread, thread.lookup(value)))
        assert array is not None
        kept = array
        agreed = self.e.value("memref.load", [kept, self.first(warp)], kept.type.element_type)
        if self.check or value in self.regions.differing:
            self.uses_disagree = True
            self.threads(warp, lambda thread: self._test(kept, thread, agreed))
        return agreed

    # items ---------------------------------------------------------------------------------------------------------
    def run(self) -> None:
        self._body(self.regions.body, None)

    def _body(self, body: Body, warp: Value | None) -> None:
        for item in body.items:
            if isinstance(item, Run):
                self._run(item, warp)
            elif isinstance(item, Warps):
                self._warps(item)
            elif isinstance(item, Meeting):
                if item.op.name not in BARRIERS:
                    self._exchange(item.op, warp)
            else:
                self._nest(item, warp)

    def _warps(self, item: Warps) -> None:
        self.e.loop(coordinates.warps(self.e, self.block_), lambda warp: self._body(item.body, warp))

    def threads(self, warp: Value | None, body: Callable[[_Thread], None]) -> None:
        """A loop over the threads of the block, or of a warp."""

        def one(thread: Thread) -> None:
            body(_Thread(self, thread, {}))

        if warp is None:
            coordinates.all_threads(self.e, self.block_, one)
        else:
            coordinates.warp_threads(self.e, self.block_, warp, one)

    def first(self, warp: Value | None) -> Value:
        if warp is None:
            return self.e.integer(0)
        return self.e.value("arith.muli", [warp, self.e.integer(coordinates.WARP)], warp.type)

    def _run(self, run: Run, warp: Value | None) -> None:
        def one(thread: _Thread) -> None:
            for op in run.ops:
                thread.top(op)
            if run.end is not None:
                self._end(run.end, thread)

        if run.ops or (run.end is not None and len(run.end.operands)):
            self.threads(warp, one)

    def _end(self, end: Operation, thread: _Thread) -> None:
        """Hand on what a nest's block yields: all is read before anything is written."""
        owner = plain(end.block.owner)
        values = list(end.operands)
        if end.name == "scf.condition":
            targets = list(owner.results)
            values = values[1:]
        elif owner.name == "scf.while":
            targets = list(owner.regions[0].blocks[0].arguments)
        else:
            targets = list(owner.results)
        found = [thread.lookup(value) for value in values]
        for target, value in zip(targets, found, strict=True):
            self.store(self.arrays[target], thread, value)

    def store(self, array: Value, thread: _Thread, value: Value) -> None:
        self.e.op("memref.store", [value, array, thread.number])

    # meetings in loops and branches --------------------------------------------------------------------------------
    def _nest(self, nest: Nest, warp: Value | None) -> None:
        op = nest.op
        with self.e.at(self.e.ip, op.location):
            {"scf.for": self._for, "scf.while": self._while, "scf.if": self._if}[op.name](nest, warp)

    def _test(self, array: Value, thread: _Thread, agreed: Value) -> None:
        own = self.e.value("memref.load", [array, thread.number], agreed.type)
        self._guard(self.e.compare(1, own, agreed), lambda: self.e.call(DISAGREE, [self._place()]))

    def _place(self) -> Value:
        """Where in the user's source emission is, 0 where that is not known."""
        found = position(self.e.loc)
        return self.e.integer(place(*found[:2]) if found else 0, IntegerType.get_signless(32))

    def _guard(self, condition: Value, body: Callable[[], object]) -> None:
        test = self.e.op("scf.if", [condition], regions=2)
        with self.e.at(test.regions[0].blocks.append()):
            body()
            self.e.op("scf.yield")

    def _fill(self, values: list[Value], targets: list[Value], warp: Value | None) -> None:
        """Each thread hands `values` on to what `targets` keep for it."""

        def one(thread: _Thread) -> None:
            found = [thread.lookup(value) for value in values]
            for target, value in zip(targets, found, strict=True):
                self.store(self.arrays[target], thread, value)

        if values:
            self.threads(warp, one)

    def _for(self, nest: Nest, warp: Value | None) -> None:
        op, block = nest.op, nest.op.regions[0].blocks[0]
        bounds = [self._agreed(value, warp) for value in list(op.operands)[:3]]
        self._fill(list(op.operands)[3:], list(op.results), warp)
        keep = {n: a for n, a in attributes_of(op).items() if n == "unsignedCmp"}
        new = self.e.op("scf.for", bounds, [], keep, regions=1)
        inner = new.regions[0].blocks.append(bounds[0].type, arg_locs=[self.e.loc])
        with self.e.at(inner):
            self.shared[block.arguments[0]] = inner.arguments[0]
            self._body(nest.bodies[0], warp)
            self.e.op("scf.yield")

    def _while(self, nest: Nest, warp: Value | None) -> None:
        op = nest.op
        before = op.regions[0].blocks[0]
        condition = operations(before)[-1].operands[0]
        self._fill(list(op.operands), list(before.arguments), warp)
        new = self.e.op("scf.while", [], [], regions=2)
        with self.e.at(new.regions[0].blocks.append()):
            self._body(nest.bodies[0], warp)
            self.e.op("scf.condition", [self._agreed(condition, warp)])
        with self.e.at(new.regions[1].blocks.append()):
            self._body(nest.bodies[1], warp)
            self.e.op("scf.yield")

    def _if(self, nest: Nest, warp: Value | None) -> None:
        op = nest.op
        new = self.e.op("scf.if", [self._agreed(op.operands[0], warp)], [], regions=2)
        blocks = [(k, block) for k, region in enumerate(op.regions) for block in region.blocks]
        for (k, _), body in zip(blocks, nest.bodies, strict=True):
            with self.e.at(new.regions[k].blocks.append()):
                self._body(body, warp)
                self.e.op("scf.yield")

    # exchanges within a warp ---------------------------------------------------------------------------------------
    def _exchange(self, op: Operation, warp: Value | None) -> None:
        """All threads of the warp hand in a value; then each takes what it gets."""
        if op.name not in EXCHANGE:
            return  # a meeting of the warp with nothing exchanged
        with self.e.at(self.e.ip, op.location):
            given = op.operands[EXCHANGE[op.name].given]
            with self.e.at(self.entry):
                pool = self.e.alloc(self.type(given.type), [self.e.integer(coordinates.WARP)])
            start = self.first(warp)
            last = self.e.value(
                "arith.minui",
                [
                    self.e.integer(coordinates.WARP),
                    self.e.value("arith.subi", [self.block_.threads, start], start.type),
                ],
                start.type,
            )

            def lane(thread: _Thread) -> Value:
                return self.e.value("arith.subi", [thread.number, start], start.type)

            def give(thread: _Thread) -> None:
                self.e.op("memref.store", [thread.lookup(given), pool, lane(thread)])

            def take(thread: _Thread) -> None:
                found = EXCHANGE[op.name].take(self.e, op, pool, lane(thread), last, thread.lookup)
                for result, value in zip(op.results, found, strict=True):
                    self.store(self.arrays[result], thread, value)

            self.threads(warp, give)
            self.threads(warp, take)


class _Thread:
    """Emits what one thread does in one loop; `thread` is None for what all threads have in common."""

    def __init__(self, fission: Fission, thread: Thread | None, known: dict[Value, Value]):
        self.f, self.e, self.thread, self.map = fission, fission.e, thread, known

    @property
    def number(self) -> Value:
        assert self.thread is not None
        return self.thread.number

    def lookup(self, value: Value) -> Value:
        """A value of the program at the current place."""
        known = self.map.get(value)
        if known is None:
            known = self.f.shared.get(value)
        if known is None:
            known = self.map[value] = self._find(value)
        return known

    def _find(self, value: Value) -> Value:
        if value in self.f.buffers:
            return self._own(value)
        if value in self.f.arrays:
            array = self.f.arrays[value]
            return self.e.value("memref.load", [array, self.number], array.type.element_type)
        if isinstance(value, BlockArgument):
            return self._coordinate(value.arg_number)
        op = plain(value.owner)
        with self.e.at(self.e.ip, op.location):
            self.operation(op)
        return self.map[value]

    def _own(self, memref: Value) -> Value:
        """This thread's part of a buffer that all have."""
        type_ = self.f.type(memref.type)
        at = self.e.value("arith.muli", [self.number, self.e.integer(_bytes(type_))], IndexType.get())
        return self.e.value("memref.view", [self.f.buffers[memref], at], type_)

    def _coordinate(self, number: int) -> Value:
        block = self.f.block_
        if 3 <= number < 6:
            assert self.thread is not None
            return self.thread.ids[number - 3]
        return [*block.ids, *[None] * 3, *block.grid, *block.extents][number]  # type: ignore[return-value]

    # operations ----------------------------------------------------------------------------------------------------
    def top(self, op: Operation) -> None:
        """An operation that the plan names; what it and anything in it reads is made available before it."""
        for value in (*op.operands, *captured(op)):
            self.lookup(value)
        with self.e.at(self.e.ip, op.location):
            if not all(result in self.map for result in op.results) or not len(op.results):
                self.operation(op)
            for result in op.results:
                if result in self.f.arrays:
                    self.f.store(self.f.arrays[result], self, self.map[result])

    def operation(self, op: Operation) -> None:
        name = op.name
        if name == "memref.alloca":
            if op.results[0] not in self.f.shared and op.results[0] not in self.map:
                self.map[op.results[0]] = self._own(op.results[0])
        elif name in OF_THREAD:
            assert self.thread is not None
            self.map[op.results[0]] = self.thread.value(self.e, op, self.f.block_)
        elif name in OF_BLOCK:
            self.map[op.results[0]] = self.f.block_.value(self.e, op)
        elif name == "memref.memory_space_cast" and self.f.type(op.results[0].type) == self.lookup(op.operands[0]).type:
            self.map[op.results[0]] = self.lookup(op.operands[0])
        elif name == "memref.atomic_rmw":
            self._atomic(op)
        else:
            self._copy(op)

    def _copy(self, op: Operation) -> None:
        new = self.e.op(
            op.name,
            [self.lookup(v) for v in op.operands],
            [self.f.type(r.type) for r in op.results],
            attributes_of(op),
            len(op.regions),
        )
        self.map.update(zip(op.results, new.results, strict=True))
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            for old in old_region.blocks:
                types = [self.f.type(a.type) for a in old.arguments]
                block = new_region.blocks.append(*types, arg_locs=[a.location for a in old.arguments])
                self.map.update(zip(old.arguments, block.arguments, strict=True))
                with self.e.at(block):
                    for inner in operations(old):
                        with self.e.at(self.e.ip, inner.location):
                            self.operation(inner)

    def _atomic(self, op: Operation) -> None:
        """Plain operations where no other thread of the processor can be at the same memory."""
        value, memref, *indices = (self.lookup(v) for v in op.operands)
        if op not in self.f.alone and not is_private(op.operands[1], self.f.launch):
            self._copy(op)
            return
        old = self.e.value("memref.load", [memref, *indices], value.type)
        name = kind(op)
        new = self.e.value(f"arith.{name}", [old, value], value.type) if name else value
        self.e.op("memref.store", [new, memref, *indices])
        self.map[op.results[0]] = old


def lift_shared(launch: Operation) -> None:
    """Put the memory of blocks at the top of a launch: what is made in a loop or branch is one, as on a device."""
    block = launch.regions[0].blocks[0]
    first = operations(block)[0]
    for op in list(walk(launch)):
        if op.name == "memref.alloca" and _is_shared(op.results[0].type) and not len(op.operands) and op.block != block:
            op.move_before(first)


def _is_shared(type_: Type) -> bool:
    """Whether a memref is of the memory that a block's threads share."""
    space = str(MemRefType(type_).memory_space)
    return space == "#gpu.address_space<workgroup>" or space.split(" ")[0] == "3"


def _bytes(type_: Type) -> int:
    memref = MemRefType(type_)
    total = element_bytes(memref.element_type)
    for extent in memref.shape:
        total *= extent
    return (total + 15) // 16 * 16

"""The body of a loop for a strip of its iterations: what varies between them becomes vectors with a lane for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mlir.ir import (
    Attribute,
    Block,
    DenseI64ArrayAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Operation,
    ShapedType,
    Type,
    Value,
    VectorType,
)

from ..additions import Addition
from ..grid.calls import Copier
from ..grid.emit import Emitter, attributes_of, captured, operations
from .library import VectorFunctions
from .lockstep import Lockstep
from .memory import ALLOCATIONS, Memory, array_and_indices
from .packs import Pack
from .shapes import Shapes
from .stack_memory import StackMemory

ANY_ORDER = "#arith.fastmath<reassoc,nsz>"
_DYNAMIC = ShapedType.get_dynamic_size()


class Strip:
    """Emits at `e`. `scalar` holds what is the same in all lanes, and lane 0 of what grows steadily; `vector` has the
    vectors.
    """

    def __init__(self, e: Emitter, lanes: int, shapes: Shapes, memory: Memory, functions: VectorFunctions):
        self.e, self.lanes, self.shapes, self.memory, self.functions = e, lanes, shapes, memory, functions
        #: By the loads that find their elements there: memory with rows that are brought together for the strip.
        self.packed: dict[Operation, Value] = {}
        #: Which lanes are to do it, where some are done with a loop that others go on with.
        self.mask: Value | None = None
        self.lockstep, self.stacks = Lockstep(self), StackMemory(self)
        self.scalar: dict[Value, Value] = {}
        self.vector: dict[Value, Value] = {}

    # values -----------------------------------------------------------------------------------------------------------
    def base(self, value: Value) -> Value:
        """The value in lane 0 of what does not vary."""
        return self.scalar.get(value, value)

    def whole(self, value: Value) -> Value:
        """The vector of the value in all lanes."""
        step = self.shapes.step(value)
        if step is None:
            return self.vector[value]
        type_ = self.wide(value.type)
        start = self.e.value("vector.broadcast", [self.base(value)], type_)
        if step == 0:
            return start
        steps = Attribute.parse(f"dense<[{', '.join(str(k * step) for k in range(self.lanes))}]> : {type_}")
        return self.e.value("arith.addi", [start, self.e.value("arith.constant", [], type_, {"value": steps})], type_)

    def lane(self, value: Value, number: int) -> Value:
        """The value in one lane."""
        step = self.shapes.step(value)
        if step is None:
            return self.extract(self.vector[value], number)
        base = self.base(value)
        return base if step * number == 0 else self.e.binary("addi", base, self.e.integer(step * number, base.type))

    def bind(self, old: Value, new: Value) -> None:
        (self.vector if self.shapes.step(old) is None else self.scalar)[old] = new

    def wide(self, type_: Type) -> VectorType:
        return VectorType.get([self.lanes], type_)

    def given(self, value: Value, like: Value) -> Value:
        """`value` as a vector or not, as `like` is one or not."""
        return self.whole(value) if self.shapes.step(like) is None else self.base(value)

    # operations -------------------------------------------------------------------------------------------------------
    def block(self, block: Block) -> None:
        """All but the last operation."""
        self.operations(operations(block)[:-1])

    def operations(self, ops: Sequence[Operation]) -> None:
        for op in ops:
            if not self.shapes.skipped(op):
                with self.e.at(self.e.ip, op.location):
                    self._operation(op)

    def _operation(self, op: Operation) -> None:
        name = op.name
        if op in self.shapes.serial:
            self.take(op, self._one_by_one(op))
        elif self.shapes.stacks.concerns(op):
            self.stacks.operation(op)
        elif name == "scf.for" and not self.shapes.uniform([op.operands[1]]):
            self.lockstep.so_often(op)
        elif name == "scf.for":
            self._for(op)
        elif name == "scf.if":
            self._if(op)
        elif name == "scf.while":
            self.lockstep.until_done(op)
        elif name == "memref.load":
            self.bind(op.results[0], self._load(op))
        elif name == "memref.store":
            self._store(op)
        elif name in ALLOCATIONS:
            pass
        elif all(self.shapes.step(result) is not None for result in op.results):
            types = [result.type for result in op.results]
            self.take(op, self.e.op(name, self._bases(op.operands), types, attributes_of(op)).results)
        elif name == "func.call":
            self.take(op, [self._call(op)])
        else:
            self._elementwise(op)

    def take(self, op: Operation, values: Sequence[Value]) -> None:
        self.bind_all(list(op.results), values)

    def _bases(self, values: Sequence[Value]) -> list[Value]:
        return [self.base(value) for value in values]

    def _elementwise(self, op: Operation) -> None:
        choice = op.name == "arith.select" and self.shapes.step(op.operands[0]) == 0
        operands = [self.base(v) if choice and k == 0 else self.whole(v) for k, v in enumerate(op.operands)]
        types = [self.wide(result.type) for result in op.results]
        called = self.functions.call(self.e, op, operands, types[0])
        self.take(op, [called] if called else self.e.op(op.name, operands, types, attributes_of(op)).results)

    def _call(self, op: Operation) -> Value:
        results = []
        for number in range(self.lanes):
            operands = [self.lane(v, number) for v in op.operands]
            results.append(self.e.value(op.name, operands, op.results[0].type, attributes_of(op)))
        return self.gather(results)

    def gather(self, elements: list[Value]) -> Value:
        return self.e.value("vector.from_elements", elements, self.wide(elements[0].type))

    def extract(self, vector: Value, number: int) -> Value:
        at = {"static_position": DenseI64ArrayAttr.get([number])}
        return self.e.value("vector.extract", [vector], VectorType(vector.type).element_type, at)

    def reduce(self, kind: str, vector: Value, start: Value | None = None, order: str | None = None) -> Value:
        """All lanes (and `start`) combined; `order` gives the freedom that floating-point sums have."""
        attributes = {"kind": Attribute.parse(f"#vector.kind<{kind}>")}
        if order:
            attributes["fastmath"] = Attribute.parse(order)
        operands = [vector] if start is None else [vector, start]
        return self.e.value("vector.reduction", operands, VectorType(vector.type).element_type, attributes)

    def compare(self, predicate: int, a: Value, b: Value) -> Value:
        """Integers of all lanes, compared by MLIR's number of the predicate."""
        code = IntegerAttr.get(IntegerType.get_signless(64), predicate)
        return self.e.value("arith.cmpi", [a, b], self.wide(IntegerType.get_signless(1)), {"predicate": code})

    # memory -----------------------------------------------------------------------------------------------------------
    def allocate(self, op: Operation, small: Value | None) -> None:
        """Private memory, once for all strips; of no extent where it is not `small`, and there are none."""
        array = op.results[0]
        type_ = MemRefType(array.type)
        extents = list(op.operands)
        if extents and small is not None:
            none = self.e.integer(0)
            extents = [self.e.value("arith.select", [small, extent, none], extent.type) for extent in extents]
        if array in self.shapes.wide:
            type_ = MemRefType.get([*type_.shape, self.lanes], type_.element_type)
        self.bind(array, self.e.alloc_like(type_, extents))

    def _load(self, op: Operation) -> Value:
        array, indices = array_and_indices(op)
        memory, type_ = self.base(array), op.results[0].type
        if array in self.shapes.wide:
            if self.shapes.uniform(indices):
                return self.e.value("vector.load", [memory, *self._row(indices)], self.wide(type_))
            return self.gather([self.load_one(memory, self._cell(indices, k), type_) for k in range(self.lanes)])
        if self.shapes.uniform(indices):
            return self.load_one(memory, self._bases(indices), type_)
        if op in self.packed:
            at = [self.base(indices[-1]), self.e.integer(0)]
            return self.e.value("vector.load", [self.packed[op], *at], self.wide(type_))
        if direction := self.shapes.contiguous(array, indices):
            return self._turned(self._read(memory, self._first(indices, direction), direction, type_), direction)
        if self.mask is not None:
            return self.lockstep.load(memory, indices, type_, self.mask)
        return self.gather([self.load_one(memory, self.places(indices, k), type_) for k in range(self.lanes)])

    def _store(self, op: Operation) -> None:
        array, indices = array_and_indices(op)
        memory, value = self.base(array), op.operands[0]
        if op in self.memory.additions:
            self._add(self.memory.additions[op])
        elif array in self.shapes.wide:
            if self.shapes.uniform(indices):
                row, whole = self._row(indices), self.whole(value)
                whole = self.where_masked(whole, lambda: self.e.value("vector.load", [memory, *row], whole.type))
                self.e.op("vector.store", [whole, memory, *row])
            else:
                for k in range(self.lanes):
                    self.e.op("memref.store", [self.lane(value, k), memory, *self._cell(indices, k)])
        elif array in self.memory.private:
            self.e.op("memref.store", [self.base(value), memory, *self._bases(indices)])
        elif direction := self.shapes.contiguous(array, indices):
            row = self._turned(self.whole(value), direction)
            self._write(row, memory, self._first(indices, direction), direction)
        else:
            for k in range(self.lanes):
                self.e.op("memref.store", [self.lane(value, k), memory, *self.places(indices, k)])

    def room(self, pack: Pack, length: Value, small: Value | None) -> Value:
        """Memory for rows that are brought together."""
        assert small is not None
        extent = self.e.value("arith.select", [small, length, self.e.integer(0)], length.type)
        element = MemRefType(pack.array.type).element_type
        return self.e.alloc_like(MemRefType.get([_DYNAMIC, self.lanes], element), [extent])

    def pack(self, pack: Pack, memory: Value, counter: Value) -> None:
        """Bring the rows of a strip together in `memory`."""
        e, array, extents = self.e, pack.array, MemRefType(pack.array.type)
        element = extents.element_type
        rows = [self.computed(pack, counter, number) for number in range(self.lanes)]
        length = e.value("memref.dim", [array, e.integer(extents.rank - 1)], IndexType.get())

        def column(index: Value) -> None:
            elements = [self.load_one(array, [*row, index], element) for row in rows]
            e.op("vector.store", [self.gather(elements), memory, index, e.integer(0)])

        e.loop(length, column)

    def computed(self, pack: Pack, counter: Value, number: int) -> list[Value]:
        """The row of a lane, of a strip that begins at `counter`."""
        return [self._sum(place, self.e.binary("addi", counter, self.e.integer(number))) for place in pack.places]

    def _sum(self, parts: dict[object, int], counter: Value) -> Value:
        """A sum of multiples of the strip loop's counter and of values from before it."""
        total = self.e.integer(parts.get("", 0))
        for part, factor in parts.items():
            if isinstance(part, Value):
                number = counter if self.shapes.step(part) == 1 else part
                if number.type != total.type:
                    number = self.e.value("arith.index_cast", [number], total.type)
                total = self.e.binary("addi", total, self.e.binary("muli", number, self.e.integer(factor)))
        return total

    def load_one(self, memory: Value, at: list[Value], type_: Type) -> Value:
        return self.e.value("memref.load", [memory, *at], type_)

    def _read(self, memory: Value, at: list[Value], direction: int, type_: Type) -> Value:
        """Elements in a row, of the lanes that are to read them."""
        wide = self.wide(type_)
        if self.mask is None:
            return self.e.value("vector.load", [memory, *at], wide)
        mask = self._turned(self.mask, direction)
        return self.e.value("vector.maskedload", [memory, *at, mask, self.nothing(type_)], wide)

    def _write(self, row: Value, memory: Value, at: list[Value], direction: int) -> None:
        if self.mask is None:
            self.e.op("vector.store", [row, memory, *at])
        else:
            self.e.op("vector.maskedstore", [memory, *at, self._turned(self.mask, direction), row])

    def places(self, indices: list[Value], number: int) -> list[Value]:
        return [self.lane(index, number) for index in indices]

    def _cell(self, indices: list[Value], number: int) -> list[Value]:
        """Of wide memory: the lane's own element."""
        return [*self.places(indices, number), self.e.integer(number)]

    def _row(self, indices: list[Value]) -> list[Value]:
        """Of wide memory: where the lanes of an element begin."""
        return [*self._bases(indices), self.e.integer(0)]

    def _first(self, indices: list[Value], direction: int) -> list[Value]:
        """The first of contiguous elements."""
        *others, last = self._bases(indices)
        return [*others, last if direction > 0 else self.e.binary("subi", last, self.e.integer(self.lanes - 1))]

    def _turned(self, vector: Value, direction: int) -> Value:
        if direction > 0:
            return vector
        mask = {"mask": DenseI64ArrayAttr.get(list(range(self.lanes))[::-1])}
        return self.e.value("vector.shuffle", [vector, vector], vector.type, mask)

    def _add(self, addition: Addition) -> None:
        """An element plus the terms of all lanes that mean it."""
        array, indices = array_and_indices(addition.store)
        memory, type_ = self.base(array), addition.store.operands[0].type
        (first, value), *others = addition.steps
        total = self.whole(value)
        for step, term in others:
            total = self.e.value(step.name, [total, self.whole(term)], total.type, attributes_of(step))
        if self.shapes.uniform(indices):
            at = self._bases(indices)
            order = ANY_ORDER if first.name == "arith.addf" else None
            old, term = self.load_one(memory, at, type_), self.reduce("add", total, order=order)
            new = self.e.value(first.name, [old, term], type_, attributes_of(first))
            self.e.op("memref.store", [new, memory, *at])
        elif direction := self.shapes.contiguous(array, indices):
            at = self._first(indices, direction)
            old = self._read(memory, at, direction, type_)
            new = self.e.value(first.name, [old, self._turned(total, direction)], total.type, attributes_of(first))
            self._write(new, memory, at, direction)
        else:
            for k in range(self.lanes):
                at = self.places(indices, k)
                old = self.load_one(memory, at, type_)
                new = self.e.value(first.name, [old, self.extract(total, k)], type_, attributes_of(first))
                self.e.op("memref.store", [new, memory, *at])

    # structure --------------------------------------------------------------------------------------------------------
    def _for(self, op: Operation) -> None:
        body = op.regions[0].blocks[0]
        counter, *carried = body.arguments
        starts = [self.given(v, like) for v, like in zip(list(op.operands)[3:], carried, strict=True)]
        operands = [*self._bases(list(op.operands)[:3]), *starts]
        types = [start.type for start in starts]
        new = self.e.op("scf.for", operands, types, attributes_of(op), 1)
        block = new.regions[0].blocks.append(counter.type, *types, arg_locs=[op.location] * (1 + len(types)))
        self.bind_all(list(body.arguments), list(block.arguments))
        with self.e.at(block):
            self.block(body)
            ends = operations(body)[-1].operands
            self.e.op("scf.yield", [self.given(v, like) for v, like in zip(ends, carried, strict=True)])
        self.take(op, list(new.results))

    @contextmanager
    def only(self, lanes: Value) -> Iterator[None]:
        saved, self.mask = self.mask, lanes
        try:
            yield
        finally:
            self.mask = saved

    def where_masked(self, value: Value, otherwise: Callable[[], Value]) -> Value:
        """The vector in lanes that are to do what is done, something else in the others."""
        if self.mask is None:
            return value
        return self.e.value("arith.select", [self.mask, value, otherwise()], value.type)

    def bind_all(self, olds: Sequence[Value], news: Sequence[Value]) -> None:
        for old, new in zip(olds, news, strict=True):
            self.bind(old, new)

    def _if(self, op: Operation) -> None:
        condition = op.operands[0]
        if self.shapes.step(condition) == 0:
            types = [self.wide(r.type) if self.shapes.step(r) is None else r.type for r in op.results]
            new = self.e.op("scf.if", [self.base(condition)], types, attributes_of(op), 2)
            for old_region, region in zip(op.regions, new.regions, strict=True):
                for block in old_region.blocks:
                    self.side(block, region.blocks.append(), op)
            self.take(op, list(new.results))
        elif self.shapes.selects(op):
            self._both(op)
        elif self.mask is not None:
            self.lockstep.sides(op, self.mask)
        else:
            self.take(op, self._where_they_agree(op))

    def side(self, block: Block, into: Block, op: Operation) -> None:
        with self.e.at(into):
            self.block(block)
            ends = operations(block)[-1].operands
            self.e.op("scf.yield", [self.given(v, like) for v, like in zip(ends, op.results, strict=True)])

    def _both(self, op: Operation) -> None:
        ends = []
        for region in op.regions:
            for block in region.blocks:
                self.block(block)
                ends.append([self.whole(v) for v in operations(block)[-1].operands])
        chosen = self.whole(op.operands[0])
        for result, yes, no in zip(op.results, *ends, strict=True) if op.results else ():
            self.bind(result, self.e.value("arith.select", [chosen, yes, no], yes.type))

    def every_lane(self) -> Value:
        type_ = self.wide(IntegerType.get_signless(1))
        return self.e.value("arith.constant", [], type_, {"value": Attribute.parse(f"dense<true> : {type_}")})

    def _where_they_agree(self, op: Operation) -> list[Value]:
        """A side of a branch for all lanes, if all go there; else each lane by itself."""
        chosen = self.whole(op.operands[0])
        types = [self.wide(result.type) for result in op.results]
        yes, no = (list(region.blocks) for region in op.regions)
        first = self.e.op("scf.if", [self.reduce("and", chosen)], types, None, 2)
        self.side(yes[0], first.regions[0].blocks.append(), op)
        with self.e.at(first.regions[1].blocks.append()):
            second = self.e.op("scf.if", [self.reduce("or", chosen)], types, None, 2)
            with self.e.at(second.regions[0].blocks.append()):
                self.e.op("scf.yield", self._one_by_one(op))
            otherwise = second.regions[1].blocks.append()
            if no:
                self.side(no[0], otherwise, op)
            else:
                with self.e.at(otherwise):
                    self.e.op("scf.yield")
            self.e.op("scf.yield", list(second.results))
        return list(first.results)

    def _one_by_one(self, op: Operation) -> list[Value]:
        """An operation with regions done for each lane in turn."""
        index = IndexType.get()
        used = dict.fromkeys([*op.operands, *captured(op)])
        starts = [self.nothing(result.type) for result in op.results]
        types = [start.type for start in starts]
        ends = [self.e.integer(k) for k in (0, self.lanes, 1)]
        loop = self.e.op("scf.for", [*ends, *starts], types, None, 1)
        block = loop.regions[0].blocks.append(index, *types, arg_locs=[op.location] * (1 + len(types)))
        with self.e.at(block):
            lane, *found = block.arguments
            copier = _OneLane(self, lane)
            copier.map.update((value, self._one(value, lane)) for value in used)
            copier.operation(op)
            at = {"static_position": DenseI64ArrayAttr.get([_DYNAMIC])}
            made = [
                self.e.value("vector.insert", [copier.map[result], vector, lane], vector.type, at)
                for result, vector in zip(op.results, found, strict=True)
            ]
            self.e.op("scf.yield", made)
        return list(loop.results)

    def nothing(self, type_: Type) -> Value:
        zero = "false" if type_ == IntegerType.get_signless(1) else "0.0" if str(type_)[0] == "f" else "0"
        wide = self.wide(type_)
        return self.e.value("arith.constant", [], wide, {"value": Attribute.parse(f"dense<{zero}> : {wide}")})

    def _one(self, value: Value, lane: Value) -> Value:
        """The value in the lane of this number, known at run time."""
        step = self.shapes.step(value)
        if step is None:
            at = {"static_position": DenseI64ArrayAttr.get([_DYNAMIC])}
            return self.e.value("vector.extract", [self.vector[value], lane], value.type, at)
        base = self.base(value)
        if step == 0:
            return base
        number = lane if base.type == lane.type else self.e.value("arith.index_cast", [lane], base.type)
        return self.e.binary("addi", base, self.e.binary("muli", number, self.e.integer(step, base.type)))


class _OneLane(Copier):
    """Copies operations for one lane: they find their elements of wide memory there."""

    def __init__(self, strip: Strip, lane: Value):
        super().__init__(strip.e)
        self._wide = set(strip.shapes.wide)
        self._lane = lane

    def operation(self, op: Operation) -> None:
        if op.name in ALLOCATIONS:
            self._wide.discard(op.results[0])
        if op.name not in ("memref.load", "memref.store") or array_and_indices(op)[0] not in self._wide:
            super().operation(op)
            return
        operands = [self.map.get(v, v) for v in op.operands]
        new = self.e.op(op.name, [*operands, self._lane], [r.type for r in op.results], attributes_of(op))
        self.map.update(zip(op.results, new.results, strict=True))

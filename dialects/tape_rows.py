"""Memory that each iteration of a loop writes anew: its states are written straight into the tape.

Takes a function whose derivative has been made and cleaned. Where iteration t puts on the tape what an array holds,
as row t, and then overwrites it, the array's states are the rows: what is read before the iteration overwrites it is
read in row t, what is written is written to row t + 1, and no state is copied. So also where a loop takes turns with
two arrays (see rotation): one of them is row t, the other row t + 1.

The cells that an iteration may leave out are known: one of its stores, in a nest of loops that always run, covers a
range on each axis, and what is outside of it is copied from the row in which the array was before. A row is as long as
the array where the tape had rows of about that length; else it stays as it is, if the loop goes nowhere beyond.

Behind the loop the arrays get what they hold then, if anybody may look.
"""

from __future__ import annotations

from collections.abc import Callable

from mlir.ir import BlockArgument, InsertionPoint, MemRefType, Operation, ShapedType, Value

from .array_states import States, size_of
from .builder import Builder, home, operation, walk
from .copier import attributes_of
from .launches import LAUNCH
from .objects import Objects
from .tape import TAPED
from .tape_window import keep_window


def write_in_tape(function: Operation) -> None:
    """Rewrite `function` in place."""
    ops = walk(function)
    if any(op.name in (LAUNCH, "scf.parallel") for op in ops):
        return
    objects: Objects | None = None
    for tape in [op for op in ops if op.name == "memref.alloc" and TAPED in op.attributes]:
        objects = objects or Objects(function)
        states = States.of(tape, function, objects)
        if states is not None:
            rows = _Rows(states)
            rows.settle()
            keep_window(operation(rows.rows.owner), states.loop, Objects(function))
            objects = None  # the memory is another


class _Rows:
    """A tape made anew, whose rows are the `states`."""

    def __init__(self, states: States):
        self.states, self.turn = states, states.turn
        self.b = Builder(InsertionPoint(states.tape), states.tape.location)
        self.rows = self._allocate()

    def settle(self) -> None:
        b, states, condition = self.b, self.states, self.turn.condition
        later = any(states.is_read_later(array) for array in self.turn.arrays)
        states.tape.results[0].replace_all_uses_with(self.rows)
        with b.at(InsertionPoint(states.loop), states.loop.location):
            first = self.turn.arrays[0]
            zero = b.index(0)
            self._copy(first, lambda at: self._put(b.load(first, at), zero, at))
        start = InsertionPoint.at_block_begin(states.body)
        if condition is not None:
            start = InsertionPoint.after(operation(condition.owner))
        with b.at(start, states.loop.location):
            following = b.integer("addi", states.counter, b.index(1))
            self._carry_over(following)
        self._redirect(following)
        if later:
            with b.at(InsertionPoint.after(states.loop), states.loop.location):
                self._give_back()
        states.tape.erase()

    def _allocate(self) -> Value:
        """The tape with one more row, and with rows as long as the longest of the arrays where they are whole."""
        b, states = self.b, self.states
        outer = len(states.outer)
        sizes = [_more(b, states.old_size(axis), int(axis == outer)) for axis in range(outer + 1)]
        for k in range(states.rank):
            if not states.is_whole[k]:
                sizes.append(_more(b, states.old_size(outer + 1 + k), states.shift[k]))
                continue
            found = [size_of(array, k) for array in self.turn.arrays]
            numbers = {size for size in found if isinstance(size, int)}
            if len(numbers) == 1 and all(isinstance(size, int) for size in found):
                sizes.append(numbers.pop())
                continue
            lengths = [
                size if isinstance(size, Value) else b.dim(array, k) if size is None else b.index(size)
                for array, size in zip(self.turn.arrays, found, strict=True)
            ]
            sizes.append(lengths[0] if len(lengths) == 1 else b.integer("maxsi", *lengths))
        shape = [size if isinstance(size, int) else ShapedType.get_dynamic_size() for size in sizes]
        type_ = MemRefType.get(shape, MemRefType(states.tape.results[0].type).element_type)
        attributes = {k: v for k, v in attributes_of(states.tape).items() if k != "operandSegmentSizes"}
        return b.alloc(type_, [size for size in sizes if not isinstance(size, int)], attributes)

    def _put(self, value: Value, row: Value, at: list[Value]) -> None:
        self.b.store(value, self.rows, [*self.states.outer, row, *at])

    def _get(self, row: Value, at: list[Value]) -> Value:
        return self.b.load(self.rows, [*self.states.outer, row, *at])

    def _length(self, array: Value, k: int) -> Value:
        """How much of axis `k` of an array is in a row."""
        length = self.b.dim(array, k)
        if self.states.is_whole[k]:
            return length
        return self.b.integer("minsi", length, self.b.dim(self.rows, len(self.states.outer) + 1 + k))

    def _copy(
        self, like: Value, copy: Callable[[list[Value]], None], hole: list[tuple[Value, Value]] | None = None
    ) -> None:
        """`copy` each cell of an array like `like` that is in a row, but for those in `hole`, a range on each axis."""
        b = self.b

        def nest(at: list[Value], hole: list[tuple[Value, Value]] | None) -> None:
            k = len(at)
            if k == self.states.rank:
                copy(at)
                return
            zero, size = b.index(0), self._length(like, k)
            if hole is None:
                loop(zero, size, at, None)
                return
            first, end = hole[k]
            if not self.states.starts_whole(k):
                loop(zero, first, at, None)
            if not self.states.ends_whole(k):
                loop(end, size, at, None)
            if k + 1 < self.states.rank:
                loop(first, end, at, hole)

        def loop(first: Value, end: Value, at: list[Value], hole: list[tuple[Value, Value]] | None) -> None:
            body = b.for_loop(first, end, b.index(1), [])
            with b.at(body):
                nest([*at, body.arguments[0]], hole)
                b.op("scf.yield")

        nest([], hole)

    def _carry_over(self, following: Value) -> None:
        """What the iteration may leave out gets into the next row: it is in this one, or, of two arrays, in the one
        before; at first, in the array itself.
        """
        b, states, new, condition = self.b, self.states, self.turn.new, self.turn.condition
        if states.leaves_nothing():
            return
        if condition is None:
            row = states.counter
            self._copy(new, lambda at: self._put(self._get(row, at), following, at), self._hole(new))
            return
        first, second = self.turn.arrays  # (a choice of our own, since the other may come later)
        new = b.value("arith.select", [condition, second, first], new.type)
        hole = self._hole(new)
        with b.when(b.compare("sgt", states.counter, b.index(0))):
            before = b.integer("subi", states.counter, b.index(1))
            self._copy(new, lambda at: self._put(self._get(before, at), following, at), hole)
        with b.when(b.compare("eq", states.counter, b.index(0))):
            self._copy(new, lambda at: self._put(b.load(new, at), following, at), hole)

    def _hole(self, new: Value) -> list[tuple[Value, Value]]:
        """The range on each axis that each iteration writes, within the array."""
        b, cover = self.b, self.states.cover
        assert cover is not None
        hole: list[tuple[Value, Value]] = []
        for k, (offset, trips) in enumerate(cover.spans):
            size = self._length(new, k)
            first = b.integer("minsi", b.index(offset), size)
            end = b.integer("minsi", b.integer("addi", self._early(trips), b.index(offset)), size)
            hole.append((first, b.integer("maxsi", first, end)))
        return hole

    def _early(self, value: Value) -> Value:
        """A value of the iteration that can be computed at its start, computed there."""
        if isinstance(value, BlockArgument) or home(value) != self.states.body:
            return value
        op = operation(value.owner)
        return self.b.value(op.name, [self._early(v) for v in op.operands], value.type, attributes_of(op))

    def _redirect(self, following: Value) -> None:
        """Let the loop read and write rows, and all that reads the tape read these."""
        b, states = self.b, self.states
        for recording in states.recordings:
            recording.store.erase()
        for op, is_next in states.accesses.items():
            row = following if is_next else states.counter
            with b.at(InsertionPoint(op), op.location):
                if op.name == "memref.store":
                    self._put(op.operands[0], row, list(op.operands)[2:])
                elif len(list(op.results[0].uses)):
                    op.results[0].replace_all_uses_with(self._get(row, list(op.operands)[1:]))
            op.erase()
        for read in states.reads:
            at = list(read.operands)[1:]
            with b.at(InsertionPoint(read), read.location):
                for k, steps in enumerate([states.ahead, *states.shift], len(states.outer)):
                    at[k] = b.integer("addi", at[k], b.index(steps)) if steps else at[k]
                read.results[0].replace_all_uses_with(b.load(self.rows, at))
            read.erase()

    def _give_back(self) -> None:
        """Let the arrays have what they hold behind the loop: the last row, and, of two, the one before."""
        b = self.b
        trips = b.integer("maxsi", self.states.loop.operands[1], b.index(0))
        if self.turn.condition is None:
            self._take_row(trips, self.turn.arrays[0])
            return
        first, second = self.turn.arrays
        even = b.compare("eq", b.integer("remui", trips, b.index(2)), b.index(0))
        last = b.value("arith.select", [even, first, second], first.type)
        other = b.value("arith.select", [even, second, first], first.type)
        self._take_row(trips, last)
        with b.when(b.compare("sgt", trips, b.index(0))):
            self._take_row(b.integer("subi", trips, b.index(1)), other)

    def _take_row(self, row: Value, array: Value) -> None:
        self._copy(array, lambda at: self.b.store(self._get(row, at), array, at))


def _more(b: Builder, size: Value | int, steps: int) -> Value | int:
    if isinstance(size, int):
        return size + steps
    return b.integer("addi", size, b.index(steps)) if steps else size

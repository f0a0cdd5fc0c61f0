"""Memory that each iteration of a loop writes anew: its states are written straight into the tape.

Takes a function whose derivative has been made and cleaned. Where iteration t puts on the tape what an array holds,
as row t, and then overwrites it, the array's states are the rows: what is read before the iteration overwrites it is
read in row t, what is written is written to row t + 1, and no state is copied. So also where a loop takes turns with
two arrays (see rotation): one of them is row t, the other row t + 1.

The cells that an iteration may leave out are known: one of its stores, in a nest of loops that always run, covers a
range on each axis, and what is outside of it is copied from the row in which the array was before. So a row is as long
as the array, which is done only where the tape had rows of about that length.

Behind the loop the arrays get what they hold then, if anybody may look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlir.ir import (
    Block,
    BlockArgument,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Operation,
    ShapedType,
    Value,
)

from .builder import Builder, ancestor_in, home, is_memref, operation, operations, walk
from .copier import add_block, attributes_of
from .launches import LAUNCH
from .objects import Objects, reaches
from .places import NONE, Place, is_counter, known
from .tape import EXACT, TAPED

#: A loop has to run more often for a copy before it and one behind it to cost less than one in each iteration.
_FEW = 3
#: By so many elements an array may be longer than a row was.
_NEAR = 8
_EQ, _SGT = 0, 4


def write_in_tape(function: Operation) -> None:
    """Rewrite `function` in place."""
    ops = walk(function)
    if any(op.name in (LAUNCH, "scf.parallel") for op in ops):
        return
    for tape in [op for op in ops if op.name == "memref.alloc" and TAPED in op.attributes]:
        rows = _Rows.of(tape, function)
        if rows is not None:
            rows.settle()


@dataclass
class _Recording:
    """What a `store` puts on the tape at iteration `counter` (behind `outer` indices): what `load` found, whose
    indices are those of the cell on the tape and `shift`.
    """

    store: Operation
    load: Operation
    outer: list[Value]
    counter: Value
    shift: list[int]

    @staticmethod
    def of(store: Operation) -> _Recording | None:
        value = store.operands[0]
        if isinstance(value, BlockArgument) or operation(value.owner).name != "memref.load":
            return None
        load = operation(value.owner)
        found, at = list(load.operands)[1:], list(store.operands)[2:]
        rows = len(at) - len(found) - 1
        if not found or rows < 0 or not isinstance(at[rows], BlockArgument) or not is_counter(at[rows]):
            return None
        shift = [_ahead(index, cell) for index, cell in zip(found, at[rows + 1 :], strict=True)]
        if any(steps is None for steps in shift):
            return None
        return _Recording(store, load, at[:rows], at[rows], [steps or 0 for steps in shift])

    def like(self, other: _Recording) -> bool:
        return self.load.operands[0] == other.load.operands[0] and (self.outer, self.counter, self.shift) == (
            other.outer, other.counter, other.shift
        )  # fmt: skip


def _ahead(index: Value, cell: Value) -> int | None:
    """By how much `index` is more than `cell`; None if that is not known, or less."""
    if index == cell:
        return 0
    a, b = Place.of_index(index), Place.of_index(cell)
    if a is None or b is None or a.base != b.base or a.offset < b.offset:
        return None
    return a.offset - b.offset


@dataclass
class _Turn:
    """The arrays whose states are the rows: at each iteration `old` holds row t, and `new` is what is written. They are
    the same one, or of two the one that the iteration's number chooses by `condition` and the other.
    """

    arrays: list[Value]
    old: Value
    new: Value
    condition: Value | None = None

    @staticmethod
    def of(memref: Value, body: Block) -> _Turn | None:
        if reaches(operation(body.owner).block, home(memref)):
            return _Turn([memref], memref, memref)
        choice = None if isinstance(memref, BlockArgument) else operation(memref.owner)
        if choice is None or choice.name != "arith.select":
            return None
        condition, first, second = choice.operands
        if home(condition) != body or not _is_even(condition, body.arguments[0]):
            return None
        for use in condition.uses:
            other = operation(use.owner)
            if other.name == "arith.select" and list(other.operands) == [condition, second, first]:
                return _Turn([first, second], memref, other.results[0], condition)
        return None


def _is_early(value: Value, body: Block) -> bool:
    """Whether a value is there before the iteration with this body does anything, or can be computed then."""
    if isinstance(value, BlockArgument) or home(value) != body:
        return reaches(body, home(value))
    op = operation(value.owner)
    exact = op.name in EXACT or (op.name == "arith.remui" and bool(known(op.operands[1])))
    return exact and all(_is_early(operand, body) for operand in op.operands)


def _is_even(condition: Value, counter: Value) -> bool:
    """Whether it is counter mod 2 == 0."""
    compare = None if isinstance(condition, BlockArgument) else operation(condition.owner)
    if compare is None or compare.name != "arith.cmpi" or known(compare.operands[1]) != 0:
        return False
    rest = compare.operands[0]
    if IntegerAttr(compare.attributes["predicate"]).value != _EQ or isinstance(rest, BlockArgument):
        return False
    phase = operation(rest.owner)
    return phase.name == "arith.remui" and phase.operands[0] == counter and known(phase.operands[1]) == 2


@dataclass
class _Cover:
    """A store that each iteration runs for each cell of a range: on each axis, the first and how many."""

    store: Operation
    at: Operation
    spans: list[tuple[int, Value]]

    @staticmethod
    def of(store: Operation, body: Block) -> _Cover | None:
        trips: dict[Value, Value] = {}
        block, at = store.block, store
        while block != body:
            at = operation(block.owner)
            if at.name != "scf.for" or not is_counter(block.arguments[0]):
                return None
            if not _is_early(at.operands[1], body):
                return None
            trips[block.arguments[0]] = at.operands[1]
            block = at.block
        spans: list[tuple[int, Value]] = []
        for index in list(store.operands)[2:]:
            place = Place.of_index(index)
            if place is None or place.offset < 0 or place.base == NONE or place.base not in trips:
                return None
            spans.append((place.offset, trips.pop(place.base)))
        return _Cover(store, at, spans) if not trips else None


class _Rows:
    """One tape, and the memory whose states are its rows."""

    def __init__(self, tape: Operation, recordings: list[_Recording], reads: list[Operation], turn: _Turn):
        self.tape, self.recordings, self.reads, self.turn = tape, recordings, reads, turn
        first = recordings[0]
        self.outer, self.counter, self.shift = first.outer, first.counter, first.shift
        self.body: Block = first.counter.owner
        self.loop = operation(self.body.owner)
        self.rank = len(first.shift)
        #: The accesses of the memory in the loop, and whether they are of the next row.
        self.accesses: dict[Operation, bool] = {}
        self.cover: _Cover | None = None
        #: By how many rows what was on the tape is ahead of the iteration.
        self.ahead = 0

    @staticmethod
    def of(tape: Operation, function: Operation) -> _Rows | None:
        """The rows of a tape whose recordings are of that kind."""
        users = [operation(use.owner) for use in tape.results[0].uses]
        stores = [op for op in users if op.name == "memref.store"]
        reads = [op for op in users if op.name == "memref.load"]
        if not stores or any(op.name not in ("memref.load", "memref.store", "memref.dealloc") for op in users):
            return None
        recordings = [made for store in stores if (made := _Recording.of(store)) is not None]
        if len(recordings) < len(stores) or not all(r.like(recordings[0]) for r in recordings):
            return None
        turn = _Turn.of(recordings[0].load.operands[0], recordings[0].counter.owner)
        if turn is None or not all(_is_whole(array, function) for array in turn.arrays):
            return None
        rows = _Rows(tape, recordings, reads, turn)
        return rows if rows._is_sized() and rows._is_alone(Objects(function)) and rows._understands() else None

    # whether -------------------------------------------------------------------------------------------------------
    def _is_sized(self) -> bool:
        """Whether rows as long as the arrays can be made where the tape is, and are not much longer than the old ones;
        and whether the loop is not known to be too short.
        """
        trips = known(self.loop.operands[1])
        if trips is not None and trips <= _FEW:
            return False
        if not all(reaches(self.loop.block, home(index)) for index in self.outer):
            return False
        for array in self.turn.arrays:
            for k in range(self.rank):
                size = _size(array, k)
                if isinstance(size, Value) and not _stands_before(size, self.tape):
                    return False
                length = _length(array, k)
                if any(
                    row.base != length.base or abs(row.offset - length.offset) > _NEAR
                    for row in _largest(_place(self._old_size(len(self.outer) + 1 + k)))
                ):
                    return False
        return True

    def _old_size(self, axis: int) -> Value | int:
        """The size of an axis of the old tape."""
        size = _size(self.tape.results[0], axis)
        assert size is not None
        return size

    def _is_alone(self, objects: Objects) -> bool:
        """Whether the loop has to do with the arrays only by loads and stores (and sizes) of `old` and `new`. Collects
        these.
        """
        mine = set().union(*(objects.of(array) for array in self.turn.arrays))
        if sum(len(objects.of(array)) for array in self.turn.arrays) != len(mine) or len(mine) != len(self.turn.arrays):
            return False
        both = (self.turn.old, self.turn.new)
        for op in walk(self.loop):
            for position, operand in enumerate(op.operands):
                if not is_memref(operand.type):
                    continue
                found = objects.of(operand)
                if not found or any(o.argument is None and o.allocation is None for o in found):
                    return False
                if mine.isdisjoint(found) or op.name == "memref.dim" or any(r in both for r in op.results):
                    continue
                if operand not in both or (op.name, position) not in (("memref.load", 0), ("memref.store", 1)):
                    return False
                self.accesses[op] = False
        return True

    def _understands(self) -> bool:
        """Whether it is known of each access which state it has to do with. Notes which."""
        stores = [op for op in self.accesses if op.name == "memref.store"]
        if any(op.operands[1] != self.turn.new for op in stores):
            return False
        for store in stores:
            self.cover = _Cover.of(store, self.body)
            if self.cover is not None:
                break
        if self.cover is None:
            return False
        starts = [at for store in stores if (at := ancestor_in(self.body, store)) is not None]
        first = next(op for op in operations(self.body) if op in starts)
        for op in self.accesses:
            if op.name == "memref.store":
                self.accesses[op] = True
            elif op.operands[0] == self.turn.new:
                next_row = self._reads_next(op, first, starts.count(self.cover.at) > 1)
                if next_row is None or (not next_row and self.turn.condition is not None):
                    return False
                self.accesses[op] = next_row
        recorded = {self.accesses[r.load] for r in self.recordings}
        self.ahead = int(True in recorded)
        return len(recorded) == 1 and (not self.ahead or all(self._is_last(r.load, starts) for r in self.recordings))

    def _is_last(self, load: Operation, starts: list[Operation]) -> bool:
        """Whether nothing is written after a load of what this iteration has written; `starts` are the ops that write,
        one for each store.
        """
        assert self.cover is not None
        at = ancestor_in(self.body, load)
        others = [op for op in starts if op != at]
        assert at is not None
        return len(starts) - len(others) <= (at == self.cover.at) and all(op.is_before_in_block(at) for op in others)

    def _reads_next(self, load: Operation, first: Operation, several: bool) -> bool | None:
        """Whether a load reads what this iteration has written, False: what it found; None if that is not known.
        `first` is the op of the body that first writes; `several` is whether the one that covers writes elsewhere too.
        """
        assert self.cover is not None
        at, cover = ancestor_in(self.body, load), self.cover.at
        assert at is not None
        if at != first and at.is_before_in_block(first):
            return False
        if at != cover:
            return True if cover.is_before_in_block(at) else None
        here = ancestor_in(self.cover.store.block, load)
        if here is None or any(
            _ahead(a, b) != 0 for a, b in zip(list(load.operands)[1:], list(self.cover.store.operands)[2:], strict=True)
        ):
            return None
        if self.cover.store.is_before_in_block(here):
            return True
        return None if several or first != cover else False

    # how -----------------------------------------------------------------------------------------------------------
    def settle(self) -> None:
        later = any(self._is_read_later(array) for array in self.turn.arrays)
        b = Builder(InsertionPoint(self.tape), self.tape.location)
        rows = self._allocate(b)
        self.tape.results[0].replace_all_uses_with(rows)
        with b.at(InsertionPoint(self.loop), self.loop.location):
            self._begin(b, rows)
        condition = self.turn.condition
        start = InsertionPoint.at_block_begin(self.body)
        with b.at(start if condition is None else InsertionPoint.after(operation(condition.owner)), self.loop.location):
            following = b.integer("addi", self.counter, b.index(1))
            self._carry_over(b, rows, following)
        self._redirect(b, rows, following)
        if later:
            with b.at(InsertionPoint.after(self.loop), self.loop.location):
                self._give_back(b, rows)
        self.tape.erase()

    def _is_read_later(self, array: Value) -> bool:
        """Whether anybody may look at the array behind the loop."""
        if isinstance(array, BlockArgument):
            return True
        here = ancestor_in(home(array), self.loop)
        assert here is not None
        for op in [operation(use.owner) for use in array.uses]:
            if op.name in ("memref.dim", "memref.store", "memref.dealloc") or ancestor_in(self.body, op) is not None:
                continue
            at = ancestor_in(home(array), op)
            if at is None or at == here or not at.is_before_in_block(here):
                return True
        return False

    def _allocate(self, b: Builder) -> Value:
        """The tape with one more row, and with rows as long as the longest of the arrays."""
        outer = len(self.outer)
        sizes = [self._old_size(axis) for axis in range(outer + 1)]
        rows = sizes[outer]
        sizes[outer] = rows + 1 if isinstance(rows, int) else b.integer("addi", rows, b.index(1))
        for k in range(self.rank):
            found = [_size(array, k) for array in self.turn.arrays]
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
        type_ = MemRefType.get(shape, MemRefType(self.tape.results[0].type).element_type)
        attributes = {k: v for k, v in attributes_of(self.tape).items() if k != "operandSegmentSizes"}
        return b.alloc(type_, [size for size in sizes if not isinstance(size, int)], attributes)

    def _copy(
        self,
        b: Builder,
        like: Value,
        copy: Callable[[list[Value]], None],
        hole: list[tuple[Value, Value]] | None = None,
    ) -> None:
        """`copy` each cell of an array of the size of `like`, but for those in `hole`, a range on each axis."""

        def nest(at: list[Value], hole: list[tuple[Value, Value]] | None) -> None:
            k = len(at)
            if k == self.rank:
                copy(at)
                return
            zero, size = b.index(0), b.dim(like, k)
            if hole is None:
                loop(zero, size, at, None)
                return
            first, end = hole[k]
            if not self._starts_whole(k):
                loop(zero, first, at, None)
            if not self._ends_whole(k):
                loop(end, size, at, None)
            if k + 1 < self.rank:
                loop(first, end, at, hole)

        def loop(first: Value, end: Value, at: list[Value], hole: list[tuple[Value, Value]] | None) -> None:
            body = b.for_loop(first, end, b.index(1), [])
            with b.at(body):
                nest([*at, body.arguments[0]], hole)
                b.op("scf.yield")

        nest([], hole)

    def _begin(self, b: Builder, rows: Value) -> None:
        """Row 0 is what the array that is read first holds before the loop."""
        first, zero = self.turn.arrays[0], b.index(0)
        self._copy(b, first, lambda at: b.store(b.load(first, at), rows, [*self.outer, zero, *at]))

    def _carry_over(self, b: Builder, rows: Value, following: Value) -> None:
        """What the iteration may leave out gets into the next row: it is in this one, or, of two arrays, in the one
        before; at first, in the array itself.
        """
        if all(self._starts_whole(k) and self._ends_whole(k) for k in range(self.rank)):
            return
        new = self.turn.new
        if self.turn.condition is not None:  # (a choice of our own, since the other may come later)
            first, second = self.turn.arrays
            new = b.value("arith.select", [self.turn.condition, second, first], new.type)
        hole = self._hole(b, new)

        def from_row(row: Value) -> None:
            self._copy(b, new, lambda at: put(b.load(rows, [*self.outer, row, *at]), at), hole)

        def put(value: Value, at: list[Value]) -> None:
            b.store(value, rows, [*self.outer, following, *at])

        if self.turn.condition is None:
            from_row(self.counter)
            return
        with _when(b, _compare(b, _SGT, self.counter, b.index(0))):
            from_row(b.integer("subi", self.counter, b.index(1)))
        with _when(b, _compare(b, _EQ, self.counter, b.index(0))):
            self._copy(b, new, lambda at: put(b.load(new, at), at), hole)

    def _hole(self, b: Builder, new: Value) -> list[tuple[Value, Value]]:
        """The range on each axis that each iteration writes, within the array."""
        assert self.cover is not None
        hole: list[tuple[Value, Value]] = []
        for k, (offset, trips) in enumerate(self.cover.spans):
            size = b.dim(new, k)
            first = b.integer("minsi", b.index(offset), size)
            end = b.integer("minsi", b.integer("addi", self._early(b, trips), b.index(offset)), size)
            hole.append((first, b.integer("maxsi", first, end)))
        return hole

    def _starts_whole(self, k: int) -> bool:
        """Whether what each iteration writes starts with the first cell of axis `k`."""
        return self.cover is not None and self.cover.spans[k][0] == 0

    def _ends_whole(self, k: int) -> bool:
        """Whether it goes up to the last one, or beyond."""
        assert self.cover is not None
        offset, trips = self.cover.spans[k]
        return all(_place(trips).after(offset).reaches(_length(array, k)) for array in self.turn.arrays)

    def _early(self, b: Builder, value: Value) -> Value:
        """A value of the iteration (see _is_early), computed at its start."""
        if isinstance(value, BlockArgument) or home(value) != self.body:
            return value
        op = operation(value.owner)
        return b.value(op.name, [self._early(b, v) for v in op.operands], value.type, attributes_of(op))

    def _redirect(self, b: Builder, rows: Value, following: Value) -> None:
        """Let the loop read and write rows, and all that reads the tape read these."""
        for recording in self.recordings:
            recording.store.erase()
        for op, is_next in self.accesses.items():
            row = following if is_next else self.counter
            with b.at(InsertionPoint(op), op.location):
                if op.name == "memref.store":
                    b.store(op.operands[0], rows, [*self.outer, row, *list(op.operands)[2:]])
                elif len(list(op.results[0].uses)):
                    found = b.load(rows, [*self.outer, row, *list(op.operands)[1:]])
                    op.results[0].replace_all_uses_with(found)
            op.erase()
        for read in self.reads:
            at = list(read.operands)[1:]
            with b.at(InsertionPoint(read), read.location):
                for k, steps in enumerate([self.ahead, *self.shift], len(self.outer)):
                    at[k] = b.integer("addi", at[k], b.index(steps)) if steps else at[k]
                read.results[0].replace_all_uses_with(b.load(rows, at))
            read.erase()

    def _give_back(self, b: Builder, rows: Value) -> None:
        """Let the arrays have what they hold behind the loop: the last row, and, of two, the one before."""
        trips = b.integer("maxsi", self.loop.operands[1], b.index(0))
        if self.turn.condition is None:
            array = self.turn.arrays[0]
            self._copy(b, array, lambda at: b.store(b.load(rows, [*self.outer, trips, *at]), array, at))
            return
        first, second = self.turn.arrays
        even = _compare(b, _EQ, b.integer("remui", trips, b.index(2)), b.index(0))
        last = b.value("arith.select", [even, first, second], first.type)
        other = b.value("arith.select", [even, second, first], first.type)
        self._copy(b, last, lambda at: b.store(b.load(rows, [*self.outer, trips, *at]), last, at))
        with _when(b, _compare(b, _SGT, trips, b.index(0))):
            before = b.integer("subi", trips, b.index(1))
            self._copy(b, other, lambda at: b.store(b.load(rows, [*self.outer, before, *at]), other, at))


def _compare(b: Builder, predicate: int, one: Value, other: Value) -> Value:
    code = {"predicate": IntegerAttr.get(IntegerType.get_signless(64), predicate)}
    return b.value("arith.cmpi", [one, other], IntegerType.get_signless(1), code)


@contextmanager
def _when(b: Builder, condition: Value) -> Iterator[None]:
    """What is built within runs only on a condition."""
    choice = b.op("scf.if", [condition], regions=2)
    with b.at(add_block(choice.regions[0], [], b.loc)):
        yield
        b.op("scf.yield")


def _is_whole(array: Value, function: Operation) -> bool:
    """Whether it is an argument of the function, or an allocation."""
    if isinstance(array, BlockArgument):
        return home(array) == function.regions[0].blocks[0]
    return operation(array.owner).name == "memref.alloc"


def _largest(size: Place) -> list[Place]:
    """The numbers of which a size is the largest."""
    op = (
        operation(size.base.owner)
        if isinstance(size.base, Value) and not isinstance(size.base, BlockArgument)
        else None
    )
    if op is None or op.name != "arith.maxsi":
        return [size]
    return [found.after(size.offset) for arm in op.operands for found in _largest(_place(arm))]


def _place(number: Value | int) -> Place:
    """A number as one that can be compared, a length of an array among them."""
    if isinstance(number, int):
        return Place(NONE, number)
    place = Place.of(number)
    if isinstance(place.base, Value) and not isinstance(place.base, BlockArgument):
        dim = operation(place.base.owner)
        if dim.name == "memref.dim" and (axis := known(dim.operands[1])) is not None:
            return _length(dim.operands[0], axis).after(place.offset)
    return place


def _length(array: Value, axis: int) -> Place:
    """How long an axis of an array is."""
    size = _size(array, axis)
    return Place((array, axis), 0) if size is None else _place(size)


def _size(array: Value, axis: int) -> Value | int | None:
    """How long an axis is, as a constant or what the array was allocated with; None where it has to be asked."""
    type_ = MemRefType(array.type)
    if not type_.is_dynamic_dim(axis):
        return int(type_.shape[axis])
    allocation = None if isinstance(array, BlockArgument) else operation(array.owner)
    if allocation is None or allocation.name != "memref.alloc":
        return None
    return allocation.operands[sum(type_.is_dynamic_dim(k) for k in range(axis))]


def _stands_before(value: Value, op: Operation) -> bool:
    """Whether a value is there where `op` stands."""
    at = ancestor_in(home(value), op)
    return at is not None and (isinstance(value, BlockArgument) or operation(value.owner).is_before_in_block(at))

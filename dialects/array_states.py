"""Arrays whose states a loop keeps on a tape, iteration by iteration, and then writes anew: see tape_rows, which lets
the rows of the tape be these states.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import Block, BlockArgument, MemRefType, Operation, Value

from .builder import ancestor_in, home, is_memref, operation, operations, walk
from .objects import Objects, reaches
from .places import NONE, Place, is_counter, known
from .private import covered
from .rotation import even_number, other_choice
from .tape import EXACT

#: A loop has to run more often for a copy before it and one behind it to cost less than one in each iteration.
_FEW = 3
#: By so many elements an array may be longer than a row was.
_NEAR = 8


@dataclass
class Recording:
    """What a `store` puts on the tape at iteration `counter` (behind `outer` indices): what `load` found, whose
    indices are those of the cell on the tape and `shift`.
    """

    store: Operation
    load: Operation
    outer: list[Value]
    counter: Value
    shift: list[int]

    @staticmethod
    def of(store: Operation) -> Recording | None:
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
        return Recording(store, load, at[:rows], at[rows], [steps or 0 for steps in shift])

    def like(self, other: Recording) -> bool:
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
class Turn:
    """The arrays whose states are the rows: at each iteration `old` holds row t, and `new` is what is written. They are
    the same one, or of two the one that the iteration's number chooses by `condition` and the other.
    """

    arrays: list[Value]
    old: Value
    new: Value
    condition: Value | None = None

    @staticmethod
    def of(memref: Value, body: Block) -> Turn | None:
        if reaches(operation(body.owner).block, home(memref)):
            return Turn([memref], memref, memref)
        choice = None if isinstance(memref, BlockArgument) else operation(memref.owner)
        if choice is None or choice.name != "arith.select":
            return None
        condition, first, second = choice.operands
        number = even_number(condition)
        if home(condition) != body or number is None or number != body.arguments[0]:
            return None
        other = other_choice(choice)
        return None if other is None else Turn([first, second], memref, other, condition)


def _is_early(value: Value, body: Block) -> bool:
    """Whether a value is there before the iteration with this body does anything, or can be computed then."""
    if isinstance(value, BlockArgument) or home(value) != body:
        return reaches(body, home(value))
    op = operation(value.owner)
    exact = op.name in EXACT or (op.name == "arith.remui" and bool(known(op.operands[1])))
    return exact and all(_is_early(operand, body) for operand in op.operands)


@dataclass
class Cover:
    """A store that each iteration runs for each cell of a range: on each axis, the first and how many."""

    store: Operation
    at: Operation
    spans: list[tuple[int, Value]]

    @staticmethod
    def of(store: Operation, body: Block) -> Cover | None:
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
        return Cover(store, at, spans) if not trips else None


class States:
    """The states of the arrays of a `turn`, of which `loop` has kept some on `tape` by `recordings`."""

    def __init__(self, tape: Operation, recordings: list[Recording], reads: list[Operation], turn: Turn):
        self.tape, self.recordings, self.reads, self.turn = tape, recordings, reads, turn
        first = recordings[0]
        self.outer, self.counter, self.shift = first.outer, first.counter, first.shift
        self.body: Block = first.counter.owner
        self.loop = operation(self.body.owner)
        self.rank = len(first.shift)
        #: The accesses of the memory in the loop, and whether they are of the next row.
        self.accesses: dict[Operation, bool] = {}
        self.cover: Cover | None = None
        #: By how many rows what was on the tape is ahead of the iteration.
        self.ahead = 0
        #: On which axes a row is as long as the array; on others it is as long as on the tape.
        self.is_whole: list[bool] = []

    @staticmethod
    def of(tape: Operation, function: Operation, objects: Objects) -> States | None:
        """Those that the tape has, if all that is done with it and with the arrays is known."""
        users = [operation(use.owner) for use in tape.results[0].uses]
        stores = [op for op in users if op.name == "memref.store"]
        reads = [op for op in users if op.name == "memref.load"]
        if not stores or any(op.name not in ("memref.load", "memref.store", "memref.dealloc") for op in users):
            return None
        recordings = [made for store in stores if (made := Recording.of(store)) is not None]
        if len(recordings) < len(stores) or not all(r.like(recordings[0]) for r in recordings):
            return None
        turn = Turn.of(recordings[0].load.operands[0], recordings[0].counter.owner)
        if turn is None or not all(is_named(array, function) for array in turn.arrays):
            return None
        states = States(tape, recordings, reads, turn)
        if not states._pays() or not states._is_alone(objects) or not states._is_sized():
            return None
        return states if states._understands() else None

    # sizes ---------------------------------------------------------------------------------------------------------
    def _pays(self) -> bool:
        """Whether the loop is not known to be too short (and the tape is indexed by what is there before it)."""
        trips = known(self.loop.operands[1])
        enough = trips is None or trips > _FEW
        return enough and all(reaches(self.loop.block, home(index)) for index in self.outer)

    def _is_sized(self) -> bool:
        """Whether rows can be made where the tape is that all accesses are within, and that are not much longer than
        the old ones.
        """
        recorded = [r.load for r in self.recordings]  # (they are within what was on the tape)
        others = [op for op in self.accesses if op not in recorded]
        for k in range(self.rank):
            rows = self.old_rows(k)
            whole = all(self._can_be_whole(array, k, rows) for array in self.turn.arrays)
            if not whole and not all(_is_within(self._index(op, k), rows) for op in others):
                return False
            self.is_whole.append(whole)
        return True

    def _can_be_whole(self, array: Value, k: int, rows: list[Place]) -> bool:
        size, length = size_of(array, k), length_of(array, k)
        if isinstance(size, Value) and not _stands_before(size, self.tape):
            return False
        return all(row.base == length.base and abs(row.offset - length.offset) <= _NEAR for row in rows)

    @staticmethod
    def _index(access: Operation, k: int) -> Value:
        return access.operands[k + (1 if access.name == "memref.load" else 2)]

    def old_size(self, axis: int) -> Value | int:
        """The size of an axis of the old tape."""
        size = size_of(self.tape.results[0], axis)
        assert size is not None
        return size

    def old_rows(self, k: int) -> list[Place]:
        """The numbers of which the largest is how far the old rows went on axis `k` of the array."""
        return [size.after(self.shift[k]) for size in largest(place_of(self.old_size(len(self.outer) + 1 + k)))]

    # what the rows have to do with -----------------------------------------------------------------------------------
    def starts_whole(self, k: int) -> bool:
        """Whether what each iteration writes starts with the first cell of axis `k`."""
        assert self.cover is not None
        return self.cover.spans[k][0] == 0

    def ends_whole(self, k: int) -> bool:
        """Whether it goes up to the last one of a row, or beyond."""
        assert self.cover is not None
        offset, trips = self.cover.spans[k]
        ends = [length_of(array, k) for array in self.turn.arrays] if self.is_whole[k] else self.old_rows(k)
        return all(place_of(trips).after(offset).reaches(end) for end in ends)

    def leaves_nothing(self) -> bool:
        """Whether each iteration writes all of a row."""
        if all(self.starts_whole(k) and self.ends_whole(k) for k in range(self.rank)):
            return True
        if self.rank > 1 or not self.is_whole[0]:
            return False
        stores = [op for op in self.accesses if op.name == "memref.store" and op.block == self.body]
        loads = [op for op, is_next in self.accesses.items() if is_next and op.name == "memref.load"]
        reads = [ancestor_in(self.body, op) for op in loads]
        # (What may be read before it is written is what the iteration before has left.)
        first = [op for op in stores if not any(read is not None and read.is_before_in_block(op) for read in reads)]
        cells = [place_of(op.operands[2]) for op in first]
        assert self.cover is not None
        offset, trips = self.cover.spans[0]
        ranges = [(Place(NONE, offset), place_of(trips).after(offset)), *((cell, cell.after(1)) for cell in cells)]
        return all(covered(ranges, [length_of(array, 0)]) for array in self.turn.arrays)

    def is_read_later(self, array: Value) -> bool:
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
                if not objects.is_known(operand):
                    return False
                if mine.isdisjoint(objects.of(operand)) or op.name == "memref.dim":
                    continue
                if any(r in both for r in op.results):
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
            self.cover = Cover.of(store, self.body)
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


def is_named(array: Value, function: Operation) -> bool:
    """Whether it is an argument of the function, or an allocation."""
    if isinstance(array, BlockArgument):
        return home(array) == function.regions[0].blocks[0]
    return operation(array.owner).name == "memref.alloc"


def _is_within(index: Value, rows: list[Place]) -> bool:
    """Whether an index is less than the largest of `rows`."""
    place = Place.of_index(index)
    if place is None:
        return False
    if place.base == NONE:
        end = place.after(1)
    elif isinstance(place.base, BlockArgument):
        end = place_of(operation(place.base.owner.owner).operands[1]).after(place.offset)
    else:
        return False
    return any(row.reaches(end) for row in rows)


def largest(size: Place) -> list[Place]:
    """The numbers of which a size is the largest."""
    op = (
        operation(size.base.owner)
        if isinstance(size.base, Value) and not isinstance(size.base, BlockArgument)
        else None
    )
    if op is None or op.name != "arith.maxsi":
        return [size]
    return [found.after(size.offset) for arm in op.operands for found in largest(place_of(arm))]


def place_of(number: Value | int) -> Place:
    """A number as one that can be compared, a length of an array among them."""
    if isinstance(number, int):
        return Place(NONE, number)
    place = Place.of(number)
    if isinstance(place.base, Value) and not isinstance(place.base, BlockArgument):
        dim = operation(place.base.owner)
        if dim.name == "memref.dim" and (axis := known(dim.operands[1])) is not None:
            return length_of(dim.operands[0], axis).after(place.offset)
    return place


def length_of(array: Value, axis: int) -> Place:
    """How long an axis of an array is."""
    size = size_of(array, axis)
    return Place((array, axis), 0) if size is None else place_of(size)


def size_of(array: Value, axis: int) -> Value | int | None:
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

"""Tapes of cheap states: most rows are computed again, a window of the tape at a time.

Takes a tape whose rows are an array's states (see tape_rows), each written by one iteration from the row before, or the
two before. Where such an iteration costs less than its row takes to get to memory and back, only each so many rows are
kept, as many as make the window between them fit in a near cache; the rows of a window are overwritten by those of the
next one. The reverse loop, when it comes down to the last row of a window, runs the iterations that write it again.

How long a window is turns out when the code runs: a tape that is small, and rows that are too long for a window of a
few, are kept as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import BlockArgument, InsertionPoint, IntegerAttr, MemRefType, Operation, ShapedType, Value

from .builder import Builder, ancestor_in, home, operation, operations, walk
from .copier import Within, attributes_of
from .objects import Objects
from .places import NONE, Place, known
from .plan import pure

#: So many bytes the rows may have that are computed again: what a near cache holds besides what an iteration works on.
_NEAR = 3 << 18
#: A tape of so many bytes is no trouble.
_SMALL = 1 << 22
#: To compute fewer rows again saves too little.
_LEAST = 3
#: A tape of so few rows is small, or its rows are too long.
_SHORT = 16
#: More operations than these on numbers take longer than memory does.
_CHEAP = 24
_BYTES = {"f64": 8, "f32": 4}
_EQ = 0
_DEAR = frozenset({"arith.divf", "arith.remf", "func.call"})


def keep_window(rows: Operation, loop: Operation, objects: Objects) -> None:
    """Let the tape `rows`, which `loop` writes, be a window, if it pays. `objects` knows the function as it is."""
    found = _Window.of(rows, loop, objects)
    if found is not None:
        found.settle()


@dataclass
class _Window:
    """The tape `rows`; the `loop` that writes row t + 1 in iteration t, from so many rows up to t as are `kept`; and
    the loop `back` that reads row `row`, which goes down to 0 or 1.
    """

    rows: Operation
    loop: Operation
    back: Operation
    row: Value
    kept: int

    @staticmethod
    def of(rows: Operation, loop: Operation, objects: Objects) -> _Window | None:
        type_, body = MemRefType(rows.results[0].type), loop.regions[0].blocks[0]
        if type_.rank < 2 or str(type_.element_type) not in _BYTES or loop.results:
            return None
        if not type_.is_dynamic_dim(0) and type_.shape[0] <= _SHORT:
            return None
        offsets: set[int] = set()
        around: list[Operation] = []
        for op in [operation(use.owner) for use in rows.results[0].uses]:
            if op.name in ("memref.dim", "memref.dealloc"):
                continue
            if op.name not in ("memref.load", "memref.store"):
                return None
            if ancestor_in(body, op) is None:
                around.append(op)
                continue
            place = Place.of_index(_row(op))
            if place is None or place.base != body.arguments[0] or (op.name == "memref.store" and place.offset != 1):
                return None
            offsets.add(place.offset)
        found = _row_back(loop, around)
        if found is None or min(offsets) < -1 or max(offsets) > 1:
            return None
        window = _Window(rows, loop, *found, 2 if -1 in offsets else 1)
        return window if window._can_run_again(objects) else None

    def _can_run_again(self, objects: Objects) -> bool:
        """Whether an iteration costs little for each cell, and writes the same row when it is run again."""
        cost, todo = 0, operations(self.loop.regions[0].blocks[0])
        while todo:
            op = todo.pop()
            if self._is_first_only(op) or op.name == "scf.yield":
                continue
            if op.name in ("scf.for", "scf.if"):
                blocks = [block for region in op.regions for block in region.blocks]
                if op.name == "scf.for" and (op.results or not all(self._goes_along(op, inner) for inner in walk(op))):
                    return False
                todo += [inner for block in blocks for inner in operations(block)]
            elif op.name == "memref.load":
                if op.operands[0] != self.rows.results[0] and not self._is_steady(op.operands[0], objects):
                    return False
            elif op.name == "memref.store":
                if op.operands[1] != self.rows.results[0]:
                    return False
            elif not pure(op) or op.name in _DEAR or op.name.startswith(("math.", "complex.")):
                return False
            else:
                cost += any(str(result.type) in _BYTES for result in op.results)
        return cost <= _CHEAP

    @staticmethod
    def _goes_along(loop: Operation, op: Operation) -> bool:
        """Whether, if `op` of the loop is a store, each iteration stores another cell."""
        if op.name != "memref.store":
            return True
        counter = loop.regions[0].blocks[0].arguments[0]
        places = [(index, Place.of_index(index)) for index in list(op.operands)[2:]]
        return any(index == counter or (place is not None and place.base == counter) for index, place in places)

    def _is_steady(self, memref: Value, objects: Objects) -> bool:
        """Whether nobody writes the memory once the loop has begun."""
        if not objects.is_known(memref):
            return False
        for writer in {writer for o in objects.of(memref) for writer in o.writers}:
            at = ancestor_in(self.loop.block, writer)
            if at is None or not at.is_before_in_block(self.loop):
                return False
        return True

    def _is_first_only(self, op: Operation) -> bool:
        """Whether an op does something in the first iteration only: where two rows are kept, that is not run again."""
        if op.name != "scf.if" or self.kept < 2 or op.results or isinstance(op.operands[0], BlockArgument):
            return False
        if any(len(operations(block)) > 1 for block in op.regions[1].blocks):
            return False
        compare = operation(op.operands[0].owner)
        if compare.name != "arith.cmpi" or IntegerAttr(compare.attributes["predicate"]).value != _EQ:
            return False
        counter, number = compare.operands
        return counter == self.loop.regions[0].blocks[0].arguments[0] and known(number) == 0

    def settle(self) -> None:
        """Number the rows anew, and let the loop back run iterations again."""
        b = Builder(InsertionPoint(self.rows), self.rows.location)
        length, kept = self._allocate(b)
        placed: dict[Value, Value] = {}
        for op in [operation(use.owner) for use in self.rows.results[0].uses]:
            if op.name not in ("memref.load", "memref.store"):
                continue
            row = _row(op)
            if row not in placed:
                with b.at(self._behind(row), op.location):
                    placed[row] = _place(b, row, length, kept)
            op.operands[1 if op.name == "memref.load" else 2] = placed[row]
        with b.at(self._behind(placed[self.row]), self.loop.location):
            self._run_again(b, length)

    def _behind(self, row: Value) -> InsertionPoint:
        """Where first there are both a row's number and the tape."""
        at = ancestor_in(home(row), self.rows)
        if at is not None and (isinstance(row, BlockArgument) or operation(row.owner).is_before_in_block(at)):
            return InsertionPoint.after(self.rows)
        if isinstance(row, BlockArgument):
            return InsertionPoint.at_block_begin(row.owner)
        return InsertionPoint.after(operation(row.owner))

    def _allocate(self, b: Builder) -> tuple[Value, Value]:
        """The tape anew: how many rows a window has, and how many of these are kept. If all rows are to stay, a window
        has more than there are, and none is told from the others.
        """
        old, open_ = MemRefType(self.rows.results[0].type), ShapedType.get_dynamic_size()
        dynamic = iter(self.rows.operands)
        count, *sizes = (next(dynamic) if n == open_ else b.index(n) for n in old.shape)
        row, kept = b.index(_BYTES[str(old.element_type)]), b.index(self.kept)
        for size in sizes:
            row = b.integer("muli", row, size)
        row = b.integer("maxui", row, b.index(1))
        again, small = (b.integer("divui", b.index(size), row) for size in (_NEAR, _SMALL))
        length = b.integer("addi", again, kept)
        windows = b.integer("addi", b.integer("divui", count, length), b.index(1))
        total = b.integer("addi", again, b.integer("muli", windows, kept))
        pays = b.integer("andi", b.compare("sgt", again, b.index(_LEAST - 1)), b.compare("sgt", count, small))
        length, kept, total = (
            b.value("arith.select", [pays, value, other], count.type)
            for value, other in ((length, b.integer("addi", count, b.index(1))), (kept, b.index(0)), (total, count))
        )
        attributes = {k: v for k, v in attributes_of(self.rows).items() if k != "operandSegmentSizes"}
        given = [size for size, n in zip(sizes, list(old.shape)[1:], strict=True) if n == open_]
        type_ = MemRefType.get([open_, *list(old.shape)[1:]], old.element_type)
        made = operation(b.alloc(type_, [total, *given], attributes).owner)
        for op in [operation(use.owner) for use in self.rows.results[0].uses]:
            for k, operand in enumerate(op.operands):
                if operand == self.rows.results[0]:
                    op.operands[k] = made.results[0]
        self.rows.erase()
        self.rows = made
        return length, kept

    def _run_again(self, b: Builder, length: Value) -> None:
        """Before the last row of a window is read: the iterations that write those of its rows that are not kept."""
        one, zero = b.index(1), b.index(0)
        last = b.integer("subi", length, one)
        with b.when(b.compare("eq", b.integer("remui", self.row, length), last)):
            first = b.integer("subi", self.row, b.integer("subi", last, b.index(self.kept - 1)))
            body = b.for_loop(zero, b.integer("subi", length, b.index(self.kept)), one, [])
            with b.at(body):
                again = _Again(b, self)
                again.map[self.loop.regions[0].blocks[0].arguments[0]] = b.integer("addi", first, body.arguments[0])
                again.block(self.loop.regions[0].blocks[0])
                b.op("scf.yield")


class _Again(Within):
    """An iteration of the loop that writes rows, but for what is done in the first one only."""

    def __init__(self, builder: Builder, window: _Window):
        super().__init__(builder)
        self.window = window

    def copy_scf_if(self, op: Operation) -> None:
        if not self.window._is_first_only(op):
            self.copy(op)


def _row(access: Operation) -> Value:
    return access.operands[1 if access.name == "memref.load" else 2]


def _place(b: Builder, row: Value, length: Value, kept: Value) -> Value:
    """Where a row is: those that are kept are behind all others."""
    at, window = b.integer("remui", row, length), b.integer("divui", row, length)
    near = b.integer("subi", at, kept)
    far = b.integer("addi", b.integer("subi", length, kept), b.integer("addi", b.integer("muli", window, kept), at))
    return b.value("arith.select", [b.compare("sgt", kept, at), far, near], row.type)


def _row_back(loop: Operation, around: list[Operation]) -> tuple[Operation, Value] | None:
    """The loop that reads the rows last to first, and which it reads, if it does so behind `loop`, and all else that is
    done `around` these two is to write row 0 before, and between to read the last row, or the one before that.
    """
    back: Operation | None = None
    rows: set[Value] = set()
    between: list[Operation] = []
    for op in around:
        at = ancestor_in(loop.block, op)
        if at is None:
            return None
        if at.is_before_in_block(loop):
            if op.name == "memref.load" or Place.of(_row(op)) != Place(NONE, 0):
                return None
        elif op.name == "memref.store":
            return None
        elif _is_last(_row(op), loop):
            between.append(at)
        elif at.name == "scf.for" and (back is None or at == back):
            back = at
            rows.add(_row(op))
        else:
            return None
    if back is None or len(rows) != 1 or not all(at.is_before_in_block(back) for at in between):
        return None
    (row,), body = rows, back.regions[0].blocks[0]
    place = Place.of_index(row)
    if place is None or isinstance(place.base, BlockArgument) or home(row) != body or place.offset not in (0, 1):
        return None
    down = operation(place.base.owner)
    if down.operands[1] != body.arguments[0] or Place.of_trips(back.operands[1]) != Place.of_trips(loop.operands[1]):
        return None
    return back, row


def _is_last(row: Value, loop: Operation) -> bool:
    last, place = Place.of(loop.operands[1]), Place.of(row)
    return place.base == last.base and place.offset - last.offset in (0, -1)

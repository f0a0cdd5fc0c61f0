"""Innermost loops of reverse sweeps, in the form in which LLVM makes vectors of them.

Takes functions whose derivatives have been made and cleaned; leaves them with
- plain indices, where an index cannot be negative and so does not count from the end;
- loops that count down counting up instead, where their iterations have nothing to do with each other;
- sums into neighbouring cells in registers: what a stencil reads at i - 1, i and i + 1 its reverse adds to three cells,
  and the next iteration adds to two of these again. The loop carries the sums of the cells that it is not done with:
  each cell is read once and written once, and no iteration waits for memory that the one before has written. Cells that
  are known to be zero are not read (see emptied).

Sums of a cell that an iteration adds to several times may be added up in another order than the loop that counted down
would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce

from mlir.ir import BlockArgument, IndexType, InsertionPoint, IntegerType, MemRefType, Operation, Value

from .accesses import Access
from .builder import Builder, home, is_memref, operation, operations, walk
from .copier import Copier, Within, add_block
from .emptied import Emptied
from .launches import LAUNCH
from .objects import Objects, surely_apart
from .order import adds_up_to, is_ordered
from .places import Place, is_counter, wraps
from .plan import pure

#: So many cells a loop may carry the sums of.
_MOST = 6
_PARALLEL = frozenset({LAUNCH, "scf.parallel", "scf.forall"})


def settle_reverse_loops(function: Operation, registers: bool = True) -> None:
    """Rewrite `function` in place; without `registers` its indices only, so that loops carry nothing new."""
    _plain_indices(function)
    if not registers:
        return
    loops = [op for op in walk(function) if op.name == "scf.for" and is_innermost(op) and not run_by_several(op)]
    found = [(loop, back) for loop in loops if (back := _counted_down(loop)) is not None]
    if not found:
        return
    objects = Objects(function)
    for loop, back in found:
        _Loop(loop, back, objects).settle()


def _plain_indices(function: Operation) -> None:
    for op in [op for op in walk(function) if op.name == "arith.select"]:
        if wraps(op):
            place = Place.of_index(op.operands[2])
            if place is not None and place.offset >= 0:
                op.results[0].replace_all_uses_with(op.operands[2])
                op.erase()


def is_innermost(loop: Operation) -> bool:
    """Whether nothing in the loop's body has regions."""
    return not any(op.regions for op in operations(loop.regions[0].blocks[0]))


def run_by_several(op: Operation) -> bool:
    """Whether `op` is run by several threads at once."""
    while op.name != "func.func":
        op = operation(op.block.owner)
        if op.name in _PARALLEL:
            return True
    return False


def _counted_down(loop: Operation) -> Operation | None:
    """The op that makes the loop's counter count down, which is all that uses it."""
    users = {operation(use.owner) for use in loop.regions[0].blocks[0].arguments[0].uses}
    if len(users) != 1:
        return None
    (user,) = users
    return user if user.name == "arith.subi" and is_counter(user.results[0]) else None


@dataclass
class _Sums:
    """The updates of one row of cells: (what is added, how far from the counter), in the order of the program."""

    first: Access
    updates: list[tuple[Value, int]] = field(default_factory=list)
    ops: set[Operation] = field(default_factory=set)
    #: If it is known which of the cells are zero before.
    emptied: Emptied | None = None

    @property
    def pays(self) -> bool:
        """Whether there are cells to carry, or such as need not be read."""
        low, high = self.span
        return high - low <= _MOST and (low < high or self.emptied is not None)

    @property
    def span(self) -> tuple[int, int]:
        offsets = [offset for _, offset in self.updates]
        return min(offsets), max(offsets)


class _Loop:
    def __init__(self, loop: Operation, back: Operation, objects: Objects):
        self.loop, self.back, self.objects = loop, back, objects
        self.body = loop.regions[0].blocks[0]
        self.accesses: list[Access] = []

    def settle(self) -> None:
        if not self._collect():
            return
        rows: dict[tuple[object, ...], list[Access]] = {}
        for access in self.accesses:
            rows.setdefault(access.line, []).append(access)
        found = [s for row in rows.values() if (s := self._sums(row)) is not None]
        for s in found:
            s.emptied = self._emptied(s)
        sums = [s for s in found if s.pays]
        for s in sums:
            self._leave_zeros(s)
        rest = [a for a in self.accesses if not any(a.op in s.ops for s in sums)]
        upwards = self._sums_only() and all(self._free(a, b) for a in rest for b in rest)
        if upwards:
            self.back.results[0].replace_all_uses_with(self.body.arguments[0])
            self.back.erase()
        self._order()
        if sums:
            self._carry(sums, upwards)

    def _sums_only(self) -> bool:
        """Whether what the loop carries are sums that may be added up in any order."""
        if not self.loop.results:
            return True
        carried, ends = list(self.body.arguments)[1:], operations(self.body)[-1].operands
        return not is_ordered(self.loop) and all(map(adds_up_to, carried, ends))

    def _order(self) -> None:
        """Loads first and stores last, as far as they do not see each other: what LLVM takes over from one iteration to
        the next is then there before it is used, and nothing stands between.
        """
        for k, access in reversed(list(enumerate(self.accesses))):
            if access.op.name == "memref.store" and all(self._apart(access, a) for a in self.accesses[k + 1 :]):
                access.op.move_before(operations(self.body)[-1])
        found = {access.op: access for access in self.accesses}
        stores: list[Access] = []
        late: list[Operation] = []
        for op in operations(self.body)[:-1]:
            here = found.get(op)
            if here is not None and op.name == "memref.store":
                stores.append(here)
            waits = any(not isinstance(o, BlockArgument) and operation(o.owner) in late for o in op.operands)
            early = here is None and all(isinstance(r.type, (IndexType, IntegerType)) for r in op.results)
            if here is not None and op.name == "memref.load":
                early = all(self._apart(here, store) for store in stores)
            if waits or not early:
                late.append(op)
            elif late:
                op.move_before(late[0])

    def _collect(self) -> bool:
        """All accesses; False if the loop does anything else to memory."""
        for op in operations(self.body)[:-1]:
            if op.name in ("memref.load", "memref.store"):
                access = Access.of(op, self.back.results[0])
                if access is None:
                    return False
                self.accesses.append(access)
            elif not pure(op) or any(is_memref(r.type) for r in op.results):
                return False
        return True

    def _sums(self, row: list[Access]) -> _Sums | None:
        """The row's accesses as sums into several cells, if that is all that the loop does to this memory."""
        if len(row) % 2:
            return None
        found = _Sums(row[0])
        for load, store in zip(row[::2], row[1::2]):
            same = load.op.name == "memref.load" and store.op.name == "memref.store" and load.offset == store.offset
            added = added_by(load.op, store.op) if same else None
            if added is None:
                return None
            found.updates.append((added, load.offset))
            found.ops |= {load.op, operation(store.op.operands[0].owner), store.op}
        others = (a for a in self.accesses if a.op not in found.ops)
        return found if all(self._apart(row[0], other) for other in others) else None

    def _emptied(self, sums: _Sums) -> Emptied | None:
        low, high = sums.span
        for access in self.accesses:
            if access.op.name == "memref.store" and low <= access.offset <= high:
                found = Emptied.of(self.loop, access, sums.first.memref, self.objects)
                if found is not None:
                    return found
        return None

    def _leave_zeros(self, sums: _Sums) -> None:
        if sums.emptied is not None:
            self.accesses = [a for a in self.accesses if a.op != sums.emptied.store]
            sums.emptied.settle()

    def _apart(self, one: Access, other: Access) -> bool:
        if one.memref == other.memref:
            return one.apart(other)
        return surely_apart(one.memref, other.memref, self.body, self.objects)

    def _free(self, one: Access, other: Access) -> bool:
        """Whether no iteration's `one` has to do with another iteration's `other`."""
        if one.op.name == "memref.load" and other.op.name == "memref.load":
            return True
        return (one.line == other.line and one.offset == other.offset) or self._apart(one, other)

    # sums in registers ---------------------------------------------------------------------------------------------
    def _carry(self, sums: list[_Sums], upwards: bool) -> None:
        """Rebuild the loop with what is not done with carried."""
        rebuild_where_it_runs(self.loop, lambda b, inits: self._carrying(b, sums, inits, upwards))

    def _carrying(self, b: Builder, sums: list[_Sums], inits: list[Value], upwards: bool) -> list[Value]:
        trips, zero, one = self.loop.operands[1], b.index(0), b.index(1)
        pipes = [_Pipe(s, 1 if upwards else -1) for s in sums]
        first = zero if upwards else b.integer("subi", trips, one)
        begun = [p.begin(b, first, k) for p in pipes for k in p.pending]
        body = b.for_loop(zero, trips, one, [*inits, *begun])
        arguments = list(body.arguments)
        copier = Within(b)
        copier.map.update(zip(self.body.arguments, arguments))
        left = {op for s in sums for op in s.ops}
        with b.at(body):
            ops = operations(self.body)
            for op in ops[:-1]:
                if op not in left:
                    copier.operation(op)
            counter = arguments[0] if upwards else copier.value(self.back.results[0])
            ends, at = copier.values(ops[-1].operands), 1 + len(inits)
            for p in pipes:
                ends += p.step(b, counter, copier, arguments[at : at + len(p.pending)])
                at += len(p.pending)
            b.op("scf.yield", ends)
        results = list(operation(body.owner).results)
        behind, at = (trips if upwards else b.integer("subi", zero, one)), len(inits)
        for p in pipes:
            for k in p.pending:
                p.end(b, behind, k, results[at])
                at += 1
        return results[: len(inits)]


class _Pipe:
    """The cells of one row that the loop is not done with: number k is k cells ahead of the counter, `sign` being the
    direction in which that goes.
    """

    def __init__(self, sums: _Sums, sign: int):
        self.sums, self.sign, self.memref = sums, sign, sums.first.memref
        ahead = [sign * offset for _, offset in sums.updates]
        self.low, self.high = min(ahead), max(ahead)
        self.pending = range(self.low, self.high)
        #: From here on, and up to as far behind the loop, cells are zero before; None if that is not known.
        self.zeros = None if sums.emptied is None else sign * sums.emptied.offset

    def at(self, b: Builder, counter: Value, k: int) -> list[Value]:
        index = b.integer("addi", counter, b.index(self.sign * k)) if k else counter
        indices = list(self.sums.first.fixed)
        indices.insert(self.sums.first.axis, index)
        return indices

    def begin(self, b: Builder, first: Value, k: int) -> Value:
        """The sum of cell k before the first iteration."""
        if self.zeros is not None and k < self.zeros:
            return b.load(self.memref, self.at(b, first, k))
        return b.zero(MemRefType(self.memref.type).element_type)

    def end(self, b: Builder, behind: Value, k: int, found: Value) -> None:
        """Add to cell k, behind the last iteration, its sum, or store that if the cell is in it already."""
        at = self.at(b, behind, k)
        if self.zeros is None or k >= self.zeros:
            found = b.add(b.load(self.memref, at), found)
        b.store(found, self.memref, at)

    def step(self, b: Builder, counter: Value, copier: Copier, carried: list[Value]) -> list[Value]:
        """One iteration: adds to the sums, and lets the last cell go. The cell that is new comes first, so that what is
        carried is used only after what takes its place is there. The one that goes is loaded only then: a loop that
        loads other cells of a row than it stores LLVM makes no vectors of if it has to do with other rows too.
        """
        cells = dict(zip(self.pending, carried, strict=True))
        for k in range(self.high, self.low - 1, -1):
            parts = [copier.value(added) for added, offset in self.sums.updates if self.sign * offset == k]
            if k < self.high:
                parts.insert(0, cells[k])
            if k == self.low and self.zeros is None:
                parts.insert(0, b.load(self.memref, self.at(b, counter, k)))
            cells[k] = reduce(b.add, parts)
        b.store(cells[self.low], self.memref, self.at(b, counter, self.low))
        return [cells[k + 1] for k in self.pending]


def rebuild_where_it_runs(loop: Operation, build: Callable[[Builder, list[Value]], list[Value]]) -> None:
    """Put another loop in the place of one, where that has an iteration: `build` makes it of what the
    first iteration gets, and gives its results.
    """
    b = Builder(InsertionPoint(loop), loop.location)
    lower, upper, _, *inits = loop.operands
    choice = b.op("scf.if", [b.compare("sgt", upper, lower)], [r.type for r in loop.results], regions=2)
    with b.at(add_block(choice.regions[0], [], b.loc)):
        b.op("scf.yield", build(b, inits))
    with b.at(add_block(choice.regions[1], [], b.loc)):
        b.op("scf.yield", inits)
    for old, new in zip(loop.results, choice.results, strict=True):
        old.replace_all_uses_with(new)
    loop.erase()


def added_by(load: Operation, store: Operation) -> Value | None:
    """What `store` adds to what `load` of the same cell found there; None if it does something else."""
    value, found = store.operands[0], load.results[0]
    if isinstance(value, BlockArgument) or home(value) != load.block or store.block != load.block:
        return None
    add = operation(value.owner)
    if add.name not in ("arith.addf", "complex.add") or len(list(found.uses)) != 1 or len(list(value.uses)) != 1:
        return None
    if found not in list(add.operands):
        return None
    return add.operands[1] if add.operands[0] == found else add.operands[0]

"""Neighbouring loops of derivatives that run over the same memory become one loop.

Takes a function whose reverse loops are settled. Of two innermost loops, one behind the other, the second often reads
just what the first has written: the adjoint of y[i] = f(k[i]) writes the cotangent of k, and that of k[i + 1] = g(x[i])
reads it. In one loop, the first so many iterations ahead that a value is there when it is read, the value need not be
loaded; and if it is in scratch memory that nothing else reads, it need not be stored (`zeros.drop_unread`).

Two loops are fused if what the second reads of the first is written in the same iteration of the fused loop; if all
else that one writes and the other accesses keeps its order, and lets iterations become vectors; and if their trip
counts differ by just the distance, so that nothing is left over at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import Block, InsertionPoint, Operation, Value

from .accesses import Access
from .builder import Builder, captured, is_memref, operation, operations, walk
from .copier import Copier
from .launches import LAUNCH
from .objects import Objects
from .places import Place, known
from .plan import pure
from .reverse_loops import is_innermost

#: So many loads and stores a fused loop may have: each takes a register for its address.
_MOST = 16


def fuse_loops(function: Operation) -> bool:
    """Rewrite `function` in place; whether there was anything to do."""
    if any(op.name in (LAUNCH, "scf.parallel") for op in walk(function)):
        return False
    objects = Objects(function)
    blocks = [block for op in walk(function) if len(op.regions) for region in op.regions for block in region.blocks]
    found = [_fuse_in(block, objects) for block in reversed(blocks)]  # (inner ones first: their loops may go)
    return any(found)


def _fuse_in(block: Block, objects: Objects) -> bool:
    done = False
    first: _Loop | None = None
    between: list[Operation] = []
    for op in operations(block):
        if op.name == "memref.alloc" or (pure(op) and not op.regions):
            between.append(op)
            continue
        second = _Loop.of(op)
        if first is not None and second is not None and (ahead := _distance(first, second, objects)) is not None:
            for moved in between:
                moved.move_before(first.op)
            second, done = _fuse(first, second, ahead), True
            _stores_last(second, objects)
        first, between = second, []
    return done


@dataclass
class _Loop:
    """An innermost loop from 0 by 1 that carries nothing, and its loads and stores in order."""

    op: Operation
    accesses: list[Access]

    @staticmethod
    def of(op: Operation) -> _Loop | None:
        if op.name != "scf.for" or op.results or len(op.attributes) or not is_innermost(op):
            return None
        if known(op.operands[0]) != 0 or known(op.operands[2]) != 1:
            return None
        body, accesses = op.regions[0].blocks[0], []
        for inner in operations(body)[:-1]:
            if inner.name in ("memref.load", "memref.store"):
                access = Access.of(inner, body.arguments[0])
                if access is None:
                    return None
                accesses.append(access)
            elif not pure(inner) or any(is_memref(result.type) for result in inner.results):
                return None
        return _Loop(op, accesses)

    @property
    def trips(self) -> Place:
        return Place.of_trips(self.op.operands[1])


def _distance(first: _Loop, second: _Loop, objects: Objects) -> int | None:
    """By how many iterations the first loop has to be ahead of the second one, if they can be fused."""
    if len(first.accesses) + len(second.accesses) > _MOST:
        return None
    read: set[int] = set()
    kept: set[int] = set()
    written: set[int] = set()
    for a in first.accesses:
        for b in second.accesses:
            if a.is_load and b.is_load:
                continue
            if _apart(a, b, objects):
                continue
            if a.line != b.line:
                return None
            kind = read if b.is_load else kept if a.is_load else written
            kind.add(b.offset - a.offset)
    if len(read) != 1:
        return None
    (ahead,) = read
    counts = first.trips, second.trips
    if counts[0] != counts[1].after(ahead) or written - read or any(other > ahead for other in kept):
        return None
    return ahead


def _apart(a: Access, b: Access, objects: Objects) -> bool:
    """Whether two accesses, each in its loop, never meet in one cell."""
    if a.memref == b.memref:
        return a.apart(b)
    mine, yours = objects.of(a.memref), objects.of(b.memref)
    return bool(mine and yours) and mine.isdisjoint(yours)


def _fuse(first: _Loop, second: _Loop, ahead: int) -> _Loop:
    """One loop in place of both; what the one that is ahead does alone comes before."""
    b = Builder(InsertionPoint(second.op), second.op.location)
    zero, one, distance = b.index(0), b.index(1), b.index(abs(ahead))
    early, late = (first, second) if ahead > 0 else (second, first)
    if ahead:
        alone = b.integer("minsi", early.op.operands[1], distance)
        body = b.for_loop(zero, alone, one, [])
        with b.at(body):
            _copy(early, body.arguments[0], b)
            b.op("scf.yield")
    body = b.for_loop(zero, late.op.operands[1], one, [])
    with b.at(body):
        counter = body.arguments[0]
        further = b.integer("addi", counter, distance) if ahead else counter
        for loop in (first, second):
            _copy(loop, further if loop is early else counter, b)
        b.op("scf.yield")
    first.op.erase()
    second.op.erase()
    fused = _Loop.of(operation(body.owner))
    assert fused is not None
    _forward(fused, len(first.accesses))
    return fused


def _copy(loop: _Loop, counter: Value, b: Builder) -> None:
    copier = Copier(b)
    copier.map.update((value, value) for value in captured(loop.op))
    body = loop.op.regions[0].blocks[0]
    copier.map[body.arguments[0]] = counter
    copier.block(body)


def _forward(fused: _Loop, first: int) -> None:
    """What the first part, of so many accesses, stores need not be loaded by the second."""
    before, after = fused.accesses[:first], fused.accesses[first:]
    overwritten = {access.line for access in after if not access.is_load}
    stored = {(a.line, a.offset): a.op.operands[0] for a in before if not a.is_load}
    left: list[Access] = []
    for access in after:
        value = stored.get((access.line, access.offset)) if access.is_load and access.line not in overwritten else None
        if value is None:
            left.append(access)
        else:
            access.op.results[0].replace_all_uses_with(value)
            access.op.erase()
    fused.accesses = before + left


def _stores_last(fused: _Loop, objects: Objects) -> None:
    """What LLVM takes over from one iteration to the next has to be there before anything is stored."""
    end = operations(fused.op.regions[0].blocks[0])[-1]
    for k, access in reversed(list(enumerate(fused.accesses))):
        if not access.is_load and all(_apart(access, later, objects) for later in fused.accesses[k + 1 :]):
            access.op.move_before(end)

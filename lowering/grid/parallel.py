"""Pass: an outermost `scf.parallel` becomes a function over ranges of its iterations, run by the pool.

Reductions are made in chunks of which there are always the same, whatever the number of threads, and the chunks'
results are put together in order: a sum of floats is the same on every run.
"""

from __future__ import annotations

from mlir.ir import IndexType, InsertionPoint, Module, Operation, Value

from .calls import Copier
from .emit import Emitter, captured, operations
from .order import seen_order
from .parts import Part, call, copies, distinct, outside
from .pool import BLOCKS
from .work import of_iteration

#: Into how many pieces a loop with reductions is cut, at most.
CHUNKS = 256


def lower_parallel(module: Module, loop: Operation, number: int) -> Part:
    """Lower one loop in place."""

    block = loop.regions[0].blocks[0]
    rank = len(block.arguments)
    bounds, inits = list(loop.operands)[: 3 * rank], list(loop.operands)[3 * rank :]
    given, fixed = outside([*bounds, *inits, *captured(loop)])
    e = Emitter(InsertionPoint(loop), loop.location)
    index = IndexType.get()
    trips = [_trips(e, bounds[k], bounds[rank + k], bounds[2 * rank + k]) for k in range(rank)]
    total = e.product(trips)
    pieces = size = total
    if inits:
        size = e.value("arith.ceildivui", [total, e.integer(CHUNKS)], index)
        size = e.value("arith.maxui", [size, e.integer(1)], index)
        pieces = e.value("arith.ceildivui", [total, size], index)
    partial = [e.alloc(init.type, [pieces]) for init in inits]
    handed = [*given, *trips, total, size, *partial]
    work = of_iteration(e, loop)
    if inits:
        work = e.value("arith.muli", [work, size], index)
    ordered = e.integer(int(bool(seen_order(loop))))

    f = Emitter(InsertionPoint(module.body), loop.location)
    function = f.function(BLOCKS.format(number), [index, index, *[v.type for v in handed]])
    body = function.regions[0].blocks[0]
    with f.at(body):
        first, last, *arguments = body.arguments
        outer = dict(zip(given, arguments, strict=False)) | copies(f, fixed)
        mine = arguments[len(given) :]
        iteration = _Iteration(f, loop, outer, mine[:rank])
        if inits:
            f.loop(last, lambda piece: iteration.piece(piece, mine[rank], mine[rank + 1], mine[rank + 2 :]), first)
        else:
            f.loop(last, iteration.run, first)
        f.op("func.return")
    call(module, e, number, [pieces, work, ordered], handed)
    if inits:
        _gather(e, loop, pieces, partial, inits)
    part = distinct(BLOCKS.format(number), handed, 2)
    loop.erase()
    return part


def _trips(e: Emitter, lower: Value, upper: Value, step: Value) -> Value:
    span = e.value("arith.subi", [upper, lower], lower.type)
    trips = e.value("arith.ceildivsi", [span, step], lower.type)
    return e.value("arith.maxsi", [trips, e.integer(0)], lower.type)


class _Iteration:
    """Emits iterations of the loop by their number."""

    def __init__(self, e: Emitter, loop: Operation, outer: dict[Value, Value], trips: list[Value]):
        self.e, self.loop, self.outer, self.trips = e, loop, outer, trips
        self.block = loop.regions[0].blocks[0]
        self.end = operations(self.block)[-1]

    def run(self, number: Value) -> tuple[Copier, list[Value]]:
        """One iteration; returns what it gives to the reductions, and how its values are called."""
        e, rank = self.e, len(self.trips)
        copy = Copier(e)
        copy.map = dict(self.outer)
        bounds = [self.outer[v] for v in list(self.loop.operands)[: 3 * rank]]
        for k in reversed(range(rank)):  # the last axis counts fastest
            at = number if k == 0 else e.value("arith.remui", [number, self.trips[k]], number.type)
            if k:
                number = e.value("arith.divui", [number, self.trips[k]], number.type)
            at = e.value("arith.muli", [at, bounds[2 * rank + k]], at.type)
            copy.map[self.block.arguments[k]] = e.value("arith.addi", [bounds[k], at], at.type)
        for op in operations(self.block)[:-1]:
            copy.operation(op)
        return copy, [copy.map.get(v, v) for v in self.end.operands]

    def piece(self, piece: Value, total: Value, size: Value, partial: list[Value]) -> None:
        """The iterations of one piece: its reductions begin with what the first iteration gives."""
        e = self.e
        begin = e.value("arith.muli", [piece, size], total.type)
        end = e.value("arith.minui", [e.value("arith.addi", [begin, size], total.type), total], total.type)
        _, start = self.run(begin)
        second = e.value("arith.addi", [begin, e.integer(1)], total.type)
        loop = e.op("scf.for", [second, end, e.integer(1), *start], [v.type for v in start], regions=1)
        body = loop.regions[0].blocks.append(total.type, *[v.type for v in start], arg_locs=[e.loc] * (1 + len(start)))
        with e.at(body):
            copy, found = self.run(body.arguments[0])
            carried = list(body.arguments)[1:]
            e.op("scf.yield", [_combine(copy, self.end, i, a, b) for i, (a, b) in enumerate(zip(carried, found))])
        for value, memory in zip(loop.results, partial, strict=True):
            e.op("memref.store", [value, memory, piece])


def _combine(copy: Copier, end: Operation, i: int, a: Value, b: Value) -> Value:
    """Reduction number `i` of the loop that `end` ends, of two values."""
    block = end.regions[i].blocks[0]
    copy.map.update(zip(block.arguments, (a, b), strict=True))
    ops = operations(block)
    for op in ops[:-1]:
        copy.operation(op)
    return copy.map.get(ops[-1].operands[0], ops[-1].operands[0])


def _gather(e: Emitter, loop: Operation, pieces: Value, partial: list[Value], inits: list[Value]) -> None:
    """The pieces' values put together in order, in place of the loop's results."""
    types = [v.type for v in inits]
    end = operations(loop.regions[0].blocks[0])[-1]
    gather = e.op("scf.for", [e.integer(0), pieces, e.integer(1), *inits], types, regions=1)
    body = gather.regions[0].blocks.append(IndexType.get(), *types, arg_locs=[e.loc] * (1 + len(types)))
    with e.at(body):
        found = []
        for i, (memory, carried) in enumerate(zip(partial, list(body.arguments)[1:], strict=True)):
            value = e.value("memref.load", [memory, body.arguments[0]], carried.type)
            found.append(_combine(Copier(e), end, i, carried, value))
        e.op("scf.yield", found)
    for old, new in zip(loop.results, gather.results, strict=True):
        old.replace_all_uses_with(new)

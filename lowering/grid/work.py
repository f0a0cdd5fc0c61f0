"""About how many operations a thread of a launch, or an iteration of a parallel loop, does.

The host computes it, to see whether the work is worth several threads. A loop counts as many times as it may run, where
that is known before; else ten times.
"""

from __future__ import annotations

from collections.abc import Callable

from mlir.ir import IndexType, Operation, Value

from .emit import Emitter, constant, home, operations, walk
from .windows import Host, Reach

#: Trips of a loop of which nothing is known, and the most that are counted: products of them stay small.
_UNKNOWN, _MOST = 10, 2**20
_LIMIT = 2**40

#: Says how often a loop runs at most, by a value of the host; None where that is not known.
Trips = Callable[[Operation], Value | None]


def work(e: Emitter, region: Operation, trips: Trips) -> Value:
    """The number of operations in `region`, at `e`."""
    total, count = None, 0
    for inner in region.regions:
        for block in inner.blocks:
            for op in operations(block):
                count += 1
                if not len(op.regions):
                    continue
                part = work(e, op, trips)
                if op.name in ("scf.for", "scf.while", "scf.parallel"):
                    times = trips(op)
                    part = _limited(e, e.binary("muli", part, e.integer(_UNKNOWN) if times is None else times))
                number = constant(part)
                if number is not None:
                    count += number
                else:
                    total = part if total is None else e.binary("addi", total, part)
    return e.integer(count) if total is None else e.binary("addi", total, e.integer(count))


def _limited(e: Emitter, part: Value) -> Value:
    number = constant(part)
    if number is not None:
        return e.integer(min(number, _LIMIT))
    return e.value("arith.minui", [part, e.integer(_LIMIT)], part.type)


def of_launch(e: Emitter, launch: Operation, reach: Reach, dims: list[Value], given: list[Value]) -> Value:
    """What a thread of a launch does: bounds of loops are taken from all that its blocks may have."""
    if not any(op.name == "scf.for" for op in walk(launch)):
        return work(e, launch, lambda loop: None)
    last = e.binary("subi", e.product(dims[:3]), e.integer(1))
    host = Host(e, reach, dims, {v: v for v in given}, e.integer(0), last)

    def trips(loop: Operation) -> Value | None:
        if loop.name != "scf.for" or not all(map(reach.known, list(loop.operands)[:2])):
            return None
        lower, upper = (host.of(bound) for bound in list(loop.operands)[:2])
        found = _steps(e, lower.least, upper.most, loop)
        return host.select(host.valid, found, e.integer(_UNKNOWN)) if constant(found) is None else found

    return work(e, launch, trips)


def of_iteration(e: Emitter, loop: Operation) -> Value:
    """What an iteration of a parallel loop does: bounds of loops in it are known if they are from outside."""
    inside = {block for op in walk(loop) if len(op.regions) for region in op.regions for block in region.blocks}

    def trips(inner: Operation) -> Value | None:
        if inner.name != "scf.for":
            return None
        lower, upper = list(inner.operands)[:2]
        if any(home(bound) in inside and constant(bound) is None for bound in (lower, upper)):
            return None
        return _steps(e, _here(e, lower), _here(e, upper), inner)

    return work(e, loop, trips)


def _here(e: Emitter, bound: Value) -> Value:
    """A bound as an index of the host's."""
    number = constant(bound)
    if number is not None:
        return e.integer(number)
    return bound if bound.type == IndexType.get() else e.value("arith.index_cast", [bound], IndexType.get())


def _steps(e: Emitter, lower: Value, upper: Value, loop: Operation) -> Value:
    """How often a loop between these bounds runs, at least once and at most `_MOST` times."""
    step = constant(loop.operands[2])
    ends = constant(lower), constant(upper)
    if ends[0] is not None and ends[1] is not None:
        return e.integer(min(max(-(-(ends[1] - ends[0]) // max(step or 1, 1)), 1), _MOST))
    span = e.binary("subi", upper, lower) if ends[0] != 0 else upper
    if step is not None and step > 1:
        span = e.value("arith.ceildivsi", [span, e.integer(step)], span.type)
    least = e.value("arith.maxsi", [span, e.integer(1)], span.type)
    return e.value("arith.minsi", [least, e.integer(_MOST)], span.type)

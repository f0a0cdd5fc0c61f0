"""Pass: loops of host code over arrays on the device become launches.

In the order of what is tried:
- a nest of loops becomes a launch with a thread for each combination of the counters whose iterations can be done at
  once (`nests`); the other loops are run by each thread. Sums, products, smallest or largest values that it carries
  become a launch in which each thread takes a part of the iterations, and one of a single thread that puts the parts
  together. A body that does several things is cut into launches where that sets more counters free;
- where no counter is free, additions to elements become atomic ones, which may be done in any order (`sums`);
- any other loop becomes a launch of a single thread, in the order of the host code.

So filling and copying arrays, array expressions and reductions run on the device, those of derivatives included; the
host reads what it goes on with. A loop in which something is launched, called or allocated stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from mlir.ir import BlockArgument, FlatSymbolRefAttr, IndexType, MemRefType, Module, Operation, Value
from mlir.passmanager import PassManager

from ..grid.emit import captured, plain, walk
from .arrays import LOOPS, Arrays, launchable
from .nests import Axis, Carried, Nest
from .sums import additions, make_atomic
from .threads import Threads, emitter, reduce, run_by_one


def prepare(module: Module) -> None:
    """Bring host code into the form that `spread` looks at: calls inlined, views as indices of what they are of."""
    text = str(module)
    passes = ["inline"]
    if "linalg." in text:
        passes.append("convert-linalg-to-loops")
    if any(view in text for view in ("memref.subview", "memref.expand_shape", "memref.collapse_shape")):
        passes.append("fold-memref-alias-ops")
    passes += ["lower-affine", "canonicalize", "cse", "loop-invariant-code-motion"]
    PassManager.parse(f"builtin.module({','.join(passes)})").run(module.operation)


def spread(arrays: Arrays, distinct: bool) -> bool:
    """Turn loops into launches; whether there were any, so that the classes of `arrays` are to be found anew.
    `distinct`: arrays do not overlap.
    """
    for op in arrays.outside_launches():
        if op.name == "memref.copy" and arrays.on_device(op.operands[0]) != arrays.on_device(op.operands[1]):
            arrays.device |= {arrays.root(v) for v in op.operands}
    for op in list(arrays.outside_launches()):
        if op.name == "memref.copy" and any(map(arrays.on_device, op.operands)):
            _copy(op)
            return True
        if op.name == "func.call" and any(map(arrays.on_device, op.operands)) and _product(op, arrays):
            return True
    for form in (_at_once, _in_order):
        turns: dict[Operation, Callable[[], None] | None] = {}
        for op in arrays.touches():
            for loop in _around(op):
                if loop not in turns:
                    turns[loop] = form(loop, arrays, distinct)
                if turns[loop] is not None:
                    break
        chosen = [turn for turn in turns.values() if turn is not None]
        for turn in chosen:
            turn()
        if chosen:
            return True
    return False


def _around(op: Operation) -> list[Operation]:
    """The loops around an operation, the outermost first."""
    found: list[Operation] = []
    parent = plain(op.parent)
    while parent.name != "func.func":
        if parent.name in LOOPS:
            found.append(parent)
        parent = plain(parent.parent)
    return found[::-1]


def _reaches_the_host(loop: Operation, arrays: Arrays) -> bool:
    """Whether a loop takes arrays that stay on the host, the error cell apart."""
    taken = [value for value in captured(loop) if isinstance(value.type, MemRefType)]
    return not all(arrays.on_device(value) or arrays.is_cell(value) for value in taken)


# --- at once


class _Piece(NamedTuple):
    """Something that is done in all iterations of a nest: by the threads of one launch, or, where values are carried,
    by those of a reduction.
    """

    body: list[Operation]
    axes: list[Axis]
    carried: list[Carried]


def _at_once(loop: Operation, arrays: Arrays, distinct: bool) -> Callable[[], None] | None:
    nest = Nest(loop, arrays, distinct)
    if not nest.is_sound or _reaches_the_host(loop, arrays):
        return None
    pieces = _pieces(nest)
    if pieces is None or not any(p.carried or any(axis.apart is not None for axis in p.axes) for p in pieces):
        return _adding(nest)

    def turn() -> None:
        e = emitter(loop)
        for piece in pieces:
            if piece.carried:
                reduce(e, piece.axes, piece.body, piece.carried)
            else:
                Threads(e, piece.axes).launch(piece.body)
        loop.erase()

    return turn


def _adding(nest: Nest) -> Callable[[], None] | None:
    """With atomic additions to the arrays that the nest does nothing else to, if it can be done at once then."""
    loop, arrays, distinct = nest.loop, nest.arrays, nest.distinct
    added = {} if nest.carried else additions(loop, arrays, distinct)
    summed = {op for found in added.values() for one in found for op in (one.load, one.store)}
    accesses = [access for access in nest.accesses(nest.body) if access.op not in summed]
    alone = distinct or len({arrays.root(access.array) for access in nest.accesses(nest.body)}) == 1
    axes = nest.told_apart(accesses)
    if not added or not alone or not any(axis.apart is not None for axis in axes):
        return None

    def turn() -> None:
        for addition in (one for found in added.values() for one in found):
            make_atomic(addition)
        Threads(emitter(loop), axes).launch(nest.operations())
        loop.erase()

    return turn


def _pieces(nest: Nest) -> list[_Piece] | None:
    """What is done in a nest, cut into pieces that can be done one after the other; None: it cannot be cut as it has to
    be.
    """
    whole = _Piece(nest.body, nest.axes(nest.body), nest.carried)
    written = nest.written(list(nest.accesses(nest.body)))
    must = bool(nest.carried and written)
    if not must and (nest.carried or all(axis.apart == frozenset() for axis in whole.axes)):
        return [whole]
    fallback = None if must else [whole]
    if any(op.regions for op in nest.body):
        return fallback
    parts: list[_Part] = [
        _Part(_slice(nest.body, [a.op for a in group if a.writes]), root, []) for root, group in written.items()
    ]
    if nest.carried:
        wanted = [plain(one.value.owner) for one in nest.carried if not isinstance(one.value, BlockArgument)]
        parts.append(_Part(_slice(nest.body, wanted), None, nest.carried))
    order = _order(nest, parts)
    if order is None:
        return fallback
    cut = [_Piece(part.body, nest.axes(part.body), part.carried) for part in order]
    free = [axis.counter for axis in whole.axes if axis.apart is not None]
    gained = any(axis.apart is not None and axis.counter not in free for piece in cut for axis in piece.axes)
    return cut if must or gained else fallback


class _Part(NamedTuple):
    """A part of a body: what it does to the arrays of one class, or what is carried."""

    body: list[Operation]
    writes: Value | None
    carried: list[Carried]


def _slice(body: list[Operation], ends: list[Operation]) -> list[Operation]:
    """These operations and what of the body they need, in order."""
    wanted = set(ends)
    for op in reversed(body):
        if op in wanted:
            wanted |= {plain(v.owner) for v in op.operands if not isinstance(v, BlockArgument)}
    return [op for op in body if op in wanted]


def _order(nest: Nest, parts: list[_Part]) -> list[_Part] | None:
    """An order in which parts can be done each for all iterations; None: there is none.

    What one part reads and another writes must be touched in one iteration only: then the one that comes first in the
    body can come first altogether.
    """
    place = {op: number for number, op in enumerate(nest.body)}
    written = nest.written(list(nest.accesses(nest.body)))
    before: list[set[int]] = [set() for _ in parts]
    for one, part in enumerate(parts):
        for other, writer in enumerate(parts):
            if other == one or writer.writes is None:
                continue
            group = written[writer.writes]
            reads = [place[a.op] for a in group if a.op in part.body and not a.writes]
            stores = [place[a.op] for a in group if a.writes]
            if not reads:
                continue
            if any(axis.apart != frozenset() for axis in nest.axes([a.op for a in group])):
                return None
            if max(reads) < min(stores):
                before[other].add(one)
            elif min(reads) > max(stores):
                before[one].add(other)
            else:
                return None
    order: list[int] = []
    while len(order) < len(parts):
        ready = [n for n in range(len(parts)) if n not in order and before[n] <= set(order)]
        if not ready:
            return None
        order.append(ready[0])
    return [parts[n] for n in order]


# --- in order


def _in_order(loop: Operation, arrays: Arrays, distinct: bool) -> Callable[[], None] | None:
    inside = [op for op in walk(loop) if op != loop]
    if not all(map(launchable, inside)) or any(isinstance(r.type, MemRefType) for r in loop.results):
        return None
    if _reaches_the_host(loop, arrays):
        return None
    return partial(run_by_one, loop)


# --- copies and products


def _copy(op: Operation) -> None:
    """A copy as a loop over the elements."""
    source, target = op.operands
    e = emitter(op)
    type_ = MemRefType(source.type)
    sizes = [e.value("memref.dim", [source, e.integer(axis)], IndexType.get()) for axis in range(type_.rank)]

    def level(places: list[Value]) -> None:
        if len(places) == type_.rank:
            value = e.value("memref.load", [source, *places], type_.element_type)
            e.op("memref.store", [value, target, *places])
        else:
            e.loop(sizes[len(places)], lambda place: level([*places, place]))

    level([])
    op.erase()


def _product(call: Operation, arrays: Arrays) -> bool:
    """A product of matrices (see `lowering.linear_algebra`) as loops; whether the call is one."""
    if not FlatSymbolRefAttr(call.attributes["callee"]).value.startswith("dsl.blas.gemm."):
        return False
    c, a, b, sign = call.operands
    e = emitter(call)
    element = MemRefType(c.type).element_type
    index = IndexType.get()
    rows, columns, inner = (
        e.value("memref.dim", [array, e.integer(axis)], index) for array, axis in ((c, 0), (c, 1), (a, 1))
    )
    factor = e.value("arith.sitofp", [sign], element)

    def cell(i: Value, j: Value) -> None:
        old = e.value("memref.load", [c, i, j], element)

        def add(k: Value, total: Value) -> Value:
            left, right = e.value("memref.load", [a, i, k], element), e.value("memref.load", [b, k, j], element)
            term = e.value("arith.mulf", [e.value("arith.mulf", [left, right], element), factor], element)
            return e.value("arith.addf", [total, term], element)

        e.op("memref.store", [e.fold(inner, old, add), c, i, j])

    e.loop(rows, lambda i: e.loop(columns, lambda j: cell(i, j)))
    call.erase()
    return True

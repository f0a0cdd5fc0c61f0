"""Rows of an array that the iterations of a strip read again and again, each its own: brought together once.

Where an inner loop goes through row i of an array, and another loop is around it, the elements of a strip's rows are
put side by side at the strip's beginning: then each is one vector load. Whole rows are read, so the rows must be there,
which is asked before the strip.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import BlockArgument, IntegerType, MemRefType, Operation, Value

from ..grid.emit import Emitter, constant, home, plain, walk
from .memory import Steady, array_and_indices
from .shapes import Shapes

_ULT = 6


@dataclass(eq=False)
class Pack:
    """Rows of an array, by all indices but the last: each a sum of multiples of the strip loop's counter and of values
    from before it; and the loads that find their elements here.
    """

    array: Value
    places: list[dict[object, int]]
    loads: list[Operation] = field(default_factory=list)


def packs(loop: Operation, shapes: Shapes) -> list[Pack]:
    """What is worth bringing together for strips of `loop`."""
    found: dict[object, Pack] = {}
    ops = walk(loop)
    blocks = {block for op in ops if len(op.regions) for region in op.regions for block in region.blocks}
    stored = {op.operands[1] for op in ops if op.name == "memref.store"}
    apart = {inner for op in shapes.serial for inner in walk(op)}
    steady = Steady(loop)
    for op in ops:
        if op.name != "memref.load" or op in apart or op.operands[0] in stored or home(op.operands[0]) in blocks:
            continue
        array, indices = array_and_indices(op)
        if op.results[0].type == IntegerType.get_signless(1) or shapes.uniform(indices):
            continue
        if len(indices) < 2 or not shapes.uniform(indices[-1:]) or not _goes_through_rows(op, array, indices[-1], loop):
            continue
        places = [steady.sum(index) for index in indices[:-1]]
        known = [place for place in places if place is not None]
        if len(known) == len(places):
            key = (array, *(frozenset(place.items()) for place in known))
            found.setdefault(key, Pack(array, known)).loads.append(op)
    return list(found.values())


def _goes_through_rows(load: Operation, array: Value, index: Value, strips: Operation) -> bool:
    """Whether a loop, that is itself repeated in an iteration, reads the whole of a row."""
    loop = plain(load.parent)
    while loop != strips:
        if loop.name == "scf.for" and _is_extent(loop.operands[1], array):
            lower, _, step = list(loop.operands)[:3]
            steady = Steady(loop)
            if constant(lower) == 0 and constant(step) == 1:
                if (steady.sum(index) or {}).get(steady.counter) in (1, -1):
                    return _is_repeated(loop, strips)
        loop = plain(loop.parent)
    return False


def _is_repeated(loop: Operation, strips: Operation) -> bool:
    loop = plain(loop.parent)
    while loop != strips:
        if loop.name in ("scf.for", "scf.while"):
            return True
        loop = plain(loop.parent)
    return False


def _is_extent(value: Value, array: Value) -> bool:
    """Whether a number is the last extent of an array."""
    type_ = MemRefType(array.type)
    number = constant(value)
    if number is not None:
        return bool(number == type_.shape[-1])
    while not isinstance(value, BlockArgument):
        op = plain(value.owner)
        if op.name == "memref.dim":
            return op.operands[0] == array and constant(op.operands[1]) == type_.rank - 1
        if op.name != "arith.maxsi" or constant(op.operands[1]) != 0:
            return False
        value = op.operands[0]
    return False


def are_there(e: Emitter, pack: Pack, firsts: list[Value], lasts: list[Value]) -> Value:
    """Whether the rows of a strip are rows of the array: `firsts` and `lasts` are the indices in its first and last
    lane.
    """
    found: Value | None = None
    for axis, ends in enumerate(zip(firsts, lasts, strict=True)):
        extent = e.value("memref.dim", [pack.array, e.integer(axis)], ends[0].type)
        for index in dict.fromkeys(ends):
            inside = e.compare(_ULT, index, extent)
            found = inside if found is None else e.binary("andi", found, inside)
    assert found is not None
    return found

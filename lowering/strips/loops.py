"""One loop in strips: what it carries, its memory, and the iterations that make up no strip.

Leaves, in the place of the loop,

    for (every strip) { if (it is whole, and private memory is small) { the strip } else { the loop, for this strip } }
"""

from __future__ import annotations

from typing import NamedTuple

from mlir.ir import F32Type, F64Type, IndexType, InsertionPoint, Operation, Value

from ..grid.emit import Emitter, attributes_of, constant, operations, plain, walk
from .emit import ANY_ORDER, Strip
from .library import VectorFunctions
from .memory import ALLOCATIONS, is_free, understand
from .shapes import SMALL, Shapes, Unfit, is_element
from .worth import pays

# What combines the values that a loop carries, and how the lanes of a vector are combined by it.
_KINDS = {"arith.addf": "add", "arith.addi": "add", "arith.maximumf": "maximumf", "arith.minimumf": "minimumf"}
_SGE, _ULE = 5, 7


class Carried(NamedTuple):
    """What a loop carries, if it only combines it with a value of each iteration."""

    combining: Operation
    value: Value
    order: str | None  # of a sum: what freedom it has


def in_strips(loop: Operation, bits: int, distinct: bool, any_order: bool, library: VectorFunctions) -> bool:
    """Run `loop` in strips, if that can be done and is worth it; whether it was done."""
    lower, _, step, *starts = loop.operands
    if constant(step) != 1 or lower.type != IndexType.get() or "unsignedCmp" in loop.attributes:
        return False
    carried = [one for number in range(len(starts)) if (one := _carried(loop, number, any_order)) is not None]
    memory = understand(loop, distinct, any_order) if len(carried) == len(starts) else None
    width = _bits(loop)
    if memory is None or not width:
        return False
    try:
        shapes = Shapes(loop, memory, [one.combining for one in carried])
    except Unfit:
        return False
    lanes = bits // width
    if not pays(loop, shapes, memory, lanes, any_order):
        return False
    e = Emitter(InsertionPoint(loop), loop.location)
    _emit(loop, carried, Strip(e, lanes, shapes, memory, library))
    return True


def _emit(loop: Operation, carried: list[Carried], strip: Strip) -> None:
    e, body = strip.e, loop.regions[0].blocks[0]
    lower, upper, _, *starts = loop.operands
    lanes, types = e.integer(strip.lanes), [start.type for start in starts]
    private = [op for op in walk(loop) if op.name in ALLOCATIONS and op.results[0] not in strip.shapes.inside_serial]
    small = _small(e, private)
    for op in private:
        strip.allocate(op, small)
    new = e.op("scf.for", [lower, upper, lanes, *starts], types, attributes_of(loop), 1)
    for old, result in zip(loop.results, new.results, strict=True):
        old.replace_all_uses_with(result)
    block = new.regions[0].blocks.append(lower.type, *types, arg_locs=[loop.location] * (1 + len(types)))
    first, *found = block.arguments
    with e.at(block):
        left = e.binary("subi", upper, first)
        whole = e.compare(_SGE, left, lanes)
        choice = e.op("scf.if", [whole if small is None else e.binary("andi", whole, small)], types, None, 2)
        e.op("scf.yield", list(choice.results))
    with e.at(choice.regions[0].blocks.append()):
        strip.bind(body.arguments[0], first)
        strip.block(body)
        kinds = [(_KINDS[one.combining.name], strip.whole(one.value), one.order) for one in carried]
        ends = [strip.reduce(kind, value, old, order) for (kind, value, order), old in zip(kinds, found, strict=True)]
        e.op("scf.yield", ends)
    with e.at(choice.regions[1].blocks.append()):
        end = e.binary("addi", first, e.binary("minsi", left, lanes))
        for number, value in enumerate([first, end]):
            loop.operands[number] = value
        for number, value in enumerate(found):
            loop.operands[3 + number] = value
        loop.move_before(e.op("scf.yield", list(loop.results)))


def _bits(loop: Operation) -> int:
    """Of the widest floating-point number that the loop computes with; 0 if there is none."""
    types = {result.type for op in walk(loop) for result in op.results}
    return 64 if F64Type.get() in types else 32 if F32Type.get() in types else 0


def _small(e: Emitter, private: list[Operation]) -> Value | None:
    """Whether each piece of private memory is small; None if it is known to be."""
    small: Value | None = None
    most = e.integer(SMALL)
    for extents in {tuple(op.operands): None for op in private if len(op.operands)}:
        size = e.product(extents)
        for number in dict.fromkeys([*extents, size]):
            fits = e.compare(_ULE, number, most)
            small = fits if small is None else e.binary("andi", small, fits)
    return small


def _carried(loop: Operation, number: int, any_order: bool) -> Carried | None:
    body = loop.regions[0].blocks[0]
    argument = body.arguments[1 + number]
    if not is_element(argument.type) or len(list(argument.uses)) != 1:
        return None
    (use,) = argument.uses
    op = plain(use.owner)
    if op.name not in _KINDS or op.block != body or len(list(op.results[0].uses)) != 1:
        return None
    if operations(body)[-1].operands[number] != op.results[0]:
        return None
    value = op.operands[1 - use.operand_number]
    return Carried(op, value, ANY_ORDER if op.name == "arith.addf" and is_free(op, any_order) else None)


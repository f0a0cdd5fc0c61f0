"""One loop in strips: what it carries, its memory, and the iterations that make up no strip.

Leaves, in the place of the loop,

    for (every strip) { if (it is whole, and as assumed) { the strip } else { the loop, for this strip } }
"""

from __future__ import annotations

from typing import NamedTuple

from mlir.ir import F32Type, F64Type, IndexType, InsertionPoint, Operation, Value

from ..grid.emit import Emitter, attributes_of, constant, operations, plain, walk
from ..seldom import mark
from .assume import Form, without_errors
from .emit import ANY_ORDER, Strip
from .library import VectorFunctions
from .memory import ALLOCATIONS, Memory, is_free, understand
from .packs import Pack, are_there, packs
from .shapes import SMALL, Shapes, Unfit, is_element
from .stacks import Stacks
from .worth import known_trips, pays

# What combines the values that a loop carries, and how the lanes of a vector are combined by it.
_KINDS = {"arith.addf": "add", "arith.addi": "add", "arith.maximumf": "maximumf", "arith.minimumf": "minimumf"}
_EQ, _SGE, _ULE = 0, 5, 7


class Carried(NamedTuple):
    """What a loop carries, if it only combines it with a value of each iteration."""

    combining: Operation
    value: Value
    order: str | None  # of a sum: what freedom it has


class Machine(NamedTuple):
    """The bits of a vector register, how many of them the values of a strip take, and the library of functions. More
    registers take more code, but what is the same for all lanes is done less often, and so are sums across lanes.
    """

    bits: int
    registers: int
    library: VectorFunctions


class Plan(NamedTuple):
    """How a loop is done in strips; what it carries, by the place, but for flags."""

    form: Form
    asked: list[list[Operation]]
    carried: dict[int, Carried]
    shapes: Shapes
    memory: Memory
    packs: list[Pack]
    lanes: int


def in_strips(loop: Operation, machine: Machine, distinct: bool, any_order: bool) -> bool:
    """Run `loop` in strips, if that can be done and is worth it; whether it was done."""
    lower, _, step, *_ = loop.operands
    if constant(step) != 1 or lower.type != IndexType.get() or "unsignedCmp" in loop.attributes:
        return False
    shortened = without_errors(loop)
    for form in (shortened, Form(loop)) if shortened else (Form(loop),):
        plan = _plan(form, machine, distinct, any_order)
        if plan is not None:
            e = Emitter(InsertionPoint(loop), loop.location)
            _emit(loop, plan, Strip(e, plan.lanes, plan.shapes, plan.memory, machine.library))
            break
    if shortened:
        shortened.loop.erase()
    return plan is not None


def _plan(form: Form, machine: Machine, distinct: bool, any_order: bool) -> Plan | None:
    stacks = Stacks(form.loop)
    asked, memory, width = form.asked(), understand(form.loop, stacks, distinct, any_order), _bits(form.loop)
    if asked is None or memory is None or not width:
        return None
    places = [place for place in range(len(form.loop.results)) if place not in form.flags]
    carried = {place: one for place in places if (one := _carried(form.loop, place, any_order)) is not None}
    if len(carried) < len(places):
        return None
    try:
        shapes = Shapes(form.loop, memory, stacks, [one.combining for one in carried.values()])
    except Unfit:
        return None
    lanes = machine.bits // width
    packed = packs(form.loop, shapes)
    if not pays(form.loop, shapes, memory, packed, lanes, any_order):
        return None
    trips = known_trips(form.loop)
    registers = next((k for k in (machine.registers, 1) if trips is None or trips >= k * lanes), 0)
    if not registers:
        return None
    return Plan(form, asked, carried, shapes, memory, packed, registers * lanes)


def _emit(loop: Operation, plan: Plan, strip: Strip) -> None:
    e, body = strip.e, plan.form.loop.regions[0].blocks[0]
    lower, upper, _, *starts = loop.operands
    lanes, types = e.integer(strip.lanes), [start.type for start in starts]
    private = [op for op in walk(plan.form.loop) if op.name in ALLOCATIONS]
    private = [op for op in private if op.results[0] in plan.memory.private - strip.shapes.inside_serial]
    lengths = [e.value("memref.dim", [pack.array, e.integer(len(pack.places))], lower.type) for pack in plan.packs]
    small = _small(e, [tuple(op.operands) for op in private if len(op.operands)] + [(length,) for length in lengths])
    for op in private:
        strip.allocate(op, small)
    for stack in strip.shapes.stacks.all:
        strip.stacks.make(stack)
    brought = [strip.room(pack, length, small) for pack, length in zip(plan.packs, lengths, strict=True)]
    new = e.op("scf.for", [lower, upper, lanes, *starts], types, attributes_of(loop), 1)
    for old, result in zip(loop.results, new.results, strict=True):
        old.replace_all_uses_with(result)
    for stack in strip.shapes.stacks.all:
        strip.stacks.free(stack)
    block = new.regions[0].blocks.append(lower.type, *types, arg_locs=[loop.location] * (1 + len(types)))
    first, *found = block.arguments
    strip.bind(body.arguments[0], first)
    with e.at(block):
        left = e.binary("subi", upper, first)
        fit = e.compare(_SGE, left, lanes)
        if small is not None:
            fit = e.binary("andi", fit, small)
        for pack in plan.packs:
            ends = [strip.computed(pack, first, number) for number in (0, strip.lanes - 1)]
            fit = e.binary("andi", fit, are_there(e, pack, *ends))
        for place in plan.form.flags:
            fit = e.binary("andi", fit, e.compare(_EQ, found[place], e.integer(0, found[place].type)))
        for (condition, expected), needed in zip(plan.form.conditions, plan.asked, strict=True):
            fit = _ask(strip, fit, condition, expected, needed)
        choice = e.op("scf.if", [fit], types, None, 2)
        e.op("scf.yield", list(choice.results))
    with e.at(choice.regions[0].blocks.append()):
        for pack, memory in zip(plan.packs, brought, strict=True):
            strip.pack(pack, memory, first)
            strip.packed.update(dict.fromkeys(pack.loads, memory))
        strip.block(body)
        ends = list(found)
        for place, one in plan.carried.items():
            ends[place] = strip.reduce(_KINDS[one.combining.name], strip.whole(one.value), found[place], one.order)
        e.op("scf.yield", ends)
    with e.at(choice.regions[1].blocks.append()):
        end = e.binary("addi", first, e.binary("minsi", left, lanes))
        for number, value in enumerate([first, end]):
            loop.operands[number] = value
        for number, value in enumerate(found):
            loop.operands[3 + number] = value
        loop.move_before(e.op("scf.yield", list(loop.results)))
        mark(loop)


def _ask(strip: Strip, fit: Value, condition: Value, expected: bool, needed: list[Operation]) -> Value:
    """Whether it is `fit`, and the condition is what is expected in all lanes; asked only where it is fit."""
    e = strip.e
    choice = e.op("scf.if", [fit], [fit.type], None, 2)
    with e.at(choice.regions[0].blocks.append()):
        strip.operations(needed)
        if strip.shapes.step(condition) == 0:
            answer = strip.base(condition)
        else:
            answer = strip.reduce("and" if expected else "or", strip.whole(condition))
        e.op("scf.yield", [answer if expected else e.binary("xori", answer, e.integer(1, fit.type))])
    with e.at(choice.regions[1].blocks.append()):
        e.op("scf.yield", [fit])
    return choice.results[0]


def _bits(loop: Operation) -> int:
    """Of the widest floating-point number that the loop computes with; 0 if there is none."""
    types = {result.type for op in walk(loop) for result in op.results}
    return 64 if F64Type.get() in types else 32 if F32Type.get() in types else 0


def _small(e: Emitter, pieces: list[tuple[Value, ...]]) -> Value | None:
    """Whether each piece of memory, of these extents, is small; None if there are none."""
    small: Value | None = None
    most = e.integer(SMALL)
    for extents in dict.fromkeys(pieces):
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

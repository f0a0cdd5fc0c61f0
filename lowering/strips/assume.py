"""What a strip assumes of its iterations, and what is asked before it: that no error is to be told, in the main.

A loop that may end early carries a flag, and asks it, and what the error cell holds, before it goes on. Where nothing
of that kind happens in any iteration of a strip, the loop does less, and can do it side by side. Takes a loop; makes a
copy of it without

- sides of branches that are short where the other one has loops, or that store one element of an array outside;
- flags that it carries: they are false.

All conditions of that must be known from what the loop does not write, so that a strip can ask them before anything
else. A condition that compares floats, with no element stored, is no matter of errors: that branch stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import BlockArgument, BoolAttr, InsertionPoint, IntegerType, Operation, Region, Value

from ..grid.emit import Emitter, constant, home, operations, plain, walk
from .memory import array_and_indices

_SHORT = 8
_LOOPS = ("scf.for", "scf.while")
_PURE = ("arith.", "math.", "memref.dim")


@dataclass
class Form:
    """A loop as strips do it: conditions of its body with what they must be in each iteration, in the order in which
    they can be asked, and the places of the flags among what it carries, which must be false before.
    """

    loop: Operation
    conditions: list[tuple[Value, bool]] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)

    def asked(self) -> list[list[Operation]] | None:
        """For each condition the operations that it is computed by; None if it depends on what the loop does."""
        body = self.loop.regions[0].blocks[0]
        written = {op.operands[1] for op in walk(self.loop) if op.name == "memref.store"}
        found = []
        for value, _ in self.conditions:
            wanted: set[Operation] = set()
            waiting = [value]
            while waiting:
                value = waiting.pop()
                if isinstance(value, BlockArgument) and value.owner == body and value.arg_number > 0:
                    return None
                if home(value) != body or isinstance(value, BlockArgument):
                    continue
                op = plain(value.owner)
                reads = op.name == "memref.load" and op.operands[0] not in written and home(op.operands[0]) != body
                if op.regions or not (reads or op.name.startswith(_PURE)):
                    return None
                wanted.add(op)
                waiting += list(op.operands)
            found.append([op for op in operations(body) if op in wanted])
        return found


def without_errors(loop: Operation) -> Form | None:
    """A copy of `loop`, before it, that does without them; None if there is nothing to assume."""
    body = loop.regions[0].blocks[0]
    if not any(op.name == "scf.if" for op in operations(body)):
        return None
    form = Form(plain(loop.clone(InsertionPoint(loop))))
    body = form.loop.regions[0].blocks[0]
    bit = IntegerType.get_signless(1)
    false = Emitter(InsertionPoint(form.loop), loop.location).integer(0, bit)
    for place, argument in enumerate(list(body.arguments)[1:]):
        if argument.type == bit:
            form.flags.append(place)
            argument.replace_all_uses_with(false)
    while any(_simplify(op, form) for op in operations(body) if op.name == "scf.if"):
        pass
    ends = operations(body)[-1].operands
    form.conditions += [(ends[place], False) for place in form.flags if _known(ends[place]) is not False]
    if form.conditions:
        return form
    form.loop.erase()
    return None


def _simplify(op: Operation, form: Form) -> bool:
    """Put the side that is taken in the place of a branch, if there is one that is taken in the main."""
    condition = op.operands[0]
    taken = _known(condition)
    if taken is None:
        taken = _in_the_main(op)
        if taken is None:
            return False
        form.conditions.append((condition, taken))
    blocks = list(op.regions[0 if taken else 1].blocks)
    if blocks:
        *inner, end = operations(blocks[0])
        for one in inner:
            one.move_before(op)
        for result, value in zip(op.results, end.operands, strict=True):
            result.replace_all_uses_with(value)
    op.erase()
    return True


def _in_the_main(op: Operation) -> bool | None:
    """What the condition is if there is no error; None if nothing tells."""
    sides = [_inside(region) for region in op.regions]
    for side, other in ((0, 1), (1, 0)):
        if len(sides[side]) > _SHORT or any(inner.regions for inner in sides[side]):
            continue
        tells, loops = any(map(_tells, sides[side])), any(inner.name in _LOOPS for inner in sides[other])
        if (loops and (tells or not _compares_floats(op.operands[0]))) or (tells and not sides[other]):
            return other == 0
    return None


def _inside(region: Region) -> list[Operation]:
    return [inner for block in region.blocks for op in operations(block)[:-1] for inner in walk(op)]


def _compares_floats(condition: Value) -> bool:
    return not isinstance(condition, BlockArgument) and plain(condition.owner).name == "arith.cmpf"


def _tells(op: Operation) -> bool:
    """Whether an operation stores one element, as an error is told."""
    return op.name == "memref.store" and all(constant(index) is not None for index in array_and_indices(op)[1])


def _known(condition: Value) -> bool | None:
    """What a condition is, where an arith.constant says so."""
    if isinstance(condition, BlockArgument) or plain(condition.owner).name != "arith.constant":
        return None
    return bool(BoolAttr(plain(condition.owner).attributes["value"]).value)

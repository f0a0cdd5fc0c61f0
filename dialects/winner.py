"""Pass `autodiff-winner`: loops that keep the best of what they see.

Takes a function in normal form. In `best = a if better else best`, carried by a loop, only the last iteration that took
its `a` has a share in the derivative of the loop's result. Leaves a loop that also carries which iteration that was,
and behind it the same `a` once more, computed for that iteration alone (or the initial value, if there was none):

    %best, %last = scf.for %i ... iter_args(%b = %init, %l = -1) { ...  yield (%c ? %a : %b), (%c ? %i : %l) }
    %again = scf.if %last >= 0 { a at %last } else { %init }
    %result = autodiff.through %best, %again

The result has the loop's value and the derivative of what was computed again, so the derivative does not go through the
loop: the reverse of a nearest neighbour looks at one neighbour, and nothing is taped for the others.

`a` must follow from what is there behind the loop: by pure ops and loads, of memory that the loop does not write, from
the iteration's number and values from outside. `best` itself may be used in comparisons only.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import (
    Block,
    BlockArgument,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Operation,
    Type,
    Value,
)

from .builder import Builder, ancestor_in, captured, is_differentiable, operation, operations, walk
from .copier import Within, add_block, attributes_of
from .launches import EXCHANGES
from .objects import Objects
from .plan import pure

_STRUCTURE = frozenset({"scf.for", "scf.while", "scf.if", "scf.yield", "scf.condition"})
#: Ops that give the larger or smaller of two, and the predicates of arith.cmpf by which their rules (rules/arith.py)
#: give the whole cotangent to the first operand and to the second.
_EXTREMES = {"arith.maximumf": (10, 4), "arith.minimumf": (12, 2)}  # uge, olt; ule, ogt
_SGE = 5


def keep_winners(function: Operation) -> None:
    """Rewrite the loops of `function`, innermost first."""
    loops = [op for op in walk(function) if op.name == "scf.for" and len(op.results)]
    for loop in reversed(loops):
        found = _winners(loop)
        if found:
            objects = Objects(function)
            found = [w for w in found if w.find_slice(loop, objects)]
        if found:
            _rewrite(loop, found)


@dataclass
class _Winner:
    """The value number `position` that a loop carries, and `op`, which takes `taken` for it or keeps it."""

    position: int
    op: Operation
    taken: Value
    #: For select and scf.if: whether `taken` is taken where the condition is true.
    if_true: bool = True
    slice: list[Operation] | None = None

    def find_slice(self, loop: Operation, objects: Objects) -> bool:
        """Whether `taken` can be computed behind the loop; `slice` are then the ops that do it, in order."""
        body = loop.regions[0].blocks[0]
        blocks = [body] + [b for r in self.op.regions for b in r.blocks]
        wanted: set[Operation] = set()
        todo = [self.taken]
        while todo:
            value = todo.pop()
            if isinstance(value, BlockArgument):
                if value.owner == body and value.arg_number > 0:
                    return False
                continue
            op = operation(value.owner)
            if op in wanted or op.block not in blocks:
                continue
            if not all(_repeatable(inner, loop, objects) for inner in walk(op)):
                return False
            wanted.add(op)
            todo += [*op.operands, *captured(op)] if op.regions else list(op.operands)
        self.slice = [op for block in blocks for op in operations(block) if op in wanted]
        return True


def _winners(loop: Operation) -> list[_Winner]:
    """What `loop` carries and only ever takes or keeps."""
    body = loop.regions[0].blocks[0]
    found = []
    for position, end in enumerate(operations(body)[-1].operands):
        kept = body.arguments[position + 1]
        if not is_differentiable(kept.type) or isinstance(end, BlockArgument) or operation(end.owner).block != body:
            continue
        winner = _choice(position, operation(end.owner), end, kept)
        if winner is not None and _no_derivative_within(kept, end):
            found.append(winner)
    return found


def _choice(position: int, op: Operation, result: Value, kept: Value) -> _Winner | None:
    """`op` as a choice between the `kept` value and another one."""
    if op.name in _EXTREMES:
        first, second = op.operands
        if (first == kept) == (second == kept):
            return None
        return _Winner(position, op, second if first == kept else first)
    if op.name == "arith.select" and isinstance(op.operands[0].type, IntegerType):
        arms = list(op.operands)[1:]
    elif op.name == "scf.if":
        number = list(op.results).index(result)
        arms = [operations(region.blocks[0])[-1].operands[number] for region in op.regions]
    else:
        return None
    if (arms[0] == kept) == (arms[1] == kept):
        return None
    return _Winner(position, op, arms[1] if arms[0] == kept else arms[0], if_true=arms[1] == kept)


def _no_derivative_within(kept: Value, end: Value) -> bool:
    """Whether the loop uses the kept value for nothing but the choice, and the choice's result `end` for nothing but
    the next iteration's; except in comparisons, through which no derivative passes.
    """
    choice = operation(end.owner)
    last = operations(choice.block)[-1]
    for use in end.uses:
        user = operation(use.owner)
        if user.name != "arith.cmpf" and (user != last or use.operand_number != kept.arg_number - 1):
            return False
    for use in kept.uses:
        user = operation(use.owner)
        if user == choice or user.name == "arith.cmpf":
            continue
        inside = user.name == "scf.yield" and operation(user.block.owner) == choice
        if not inside or choice.results[use.operand_number] != end:
            return False
    return True


def _repeatable(op: Operation, loop: Operation, objects: Objects) -> bool:
    if op.name == "memref.load":
        memory = objects.of(op.operands[0])
        body = loop.regions[0].blocks[0]
        return bool(memory) and all(ancestor_in(body, w) is None for o in memory for w in o.writers)
    # (What threads of a grid exchange, they exchange in the same iteration.)
    return op.name in _STRUCTURE or (pure(op) and op.name not in EXCHANGES)


def _rewrite(loop: Operation, winners: list[_Winner]) -> None:
    b = Builder(InsertionPoint(loop), loop.location)
    index = IndexType.get()
    none = b.index(-1)
    operands, old = list(loop.operands), loop.regions[0].blocks[0]
    inits = operands[3:]
    types = [v.type for v in inits] + [index] * len(winners)
    new = b.op("scf.for", [*operands, *[none] * len(winners)], types, attributes_of(loop), regions=1)
    body = add_block(new.regions[0], [index, *types], b.loc)
    copier = Within(b)
    copier.map.update(zip(old.arguments, list(body.arguments)[: len(old.arguments)], strict=True))
    with b.at(body):
        copier.block(old)
        ends = copier.values(operations(old)[-1].operands)
        lasts = list(body.arguments)[len(old.arguments) :]
        ends += [_last(b, copier, w, last, body.arguments[0]) for w, last in zip(winners, lasts, strict=True)]
        b.op("scf.yield", ends)
    made = list(new.results)[: len(inits)]
    for winner, last in zip(winners, list(new.results)[len(inits) :], strict=True):
        b.loc = winner.op.location
        again = _again(b, winner, old, last, inits[winner.position])
        made[winner.position] = b.value("autodiff.through", [made[winner.position], again], again.type)
    for before, after in zip(loop.results, made, strict=True):
        before.replace_all_uses_with(after)
    loop.erase()


def _last(b: Builder, copier: Within, winner: _Winner, last: Value, counter: Value) -> Value:
    """Which iteration is the last to have been taken, after this one."""
    op = winner.op
    if op.name in _EXTREMES:
        predicate = _EXTREMES[op.name][0 if winner.taken == op.operands[0] else 1]
        condition = b.value("arith.cmpf", copier.values(op.operands), _bool(), {"predicate": _i64(predicate)})
        arms = [counter, last]
    else:
        condition = copier.value(op.operands[0])
        arms = [counter, last] if winner.if_true else [last, counter]
    return b.value("arith.select", [condition, *arms], IndexType.get())


def _again(b: Builder, winner: _Winner, body: Block, last: Value, init: Value) -> Value:
    """What iteration `last` took, or the initial value."""
    happened = b.value("arith.cmpi", [last, b.index(0)], _bool(), {"predicate": _i64(_SGE)})
    choice = b.op("scf.if", [happened], [init.type], regions=2)
    with b.at(add_block(choice.regions[0], [], b.loc)):
        copier = Within(b)
        copier.map[body.arguments[0]] = last
        for op in winner.slice or []:
            copier.operation(op)
        b.op("scf.yield", [copier.value(winner.taken)])
    with b.at(add_block(choice.regions[1], [], b.loc)):
        b.op("scf.yield", [init])
    return choice.results[0]


def _bool() -> Type:
    return IntegerType.get_signless(1)


def _i64(value: int) -> IntegerAttr:
    return IntegerAttr.get(IntegerType.get_signless(64), value)

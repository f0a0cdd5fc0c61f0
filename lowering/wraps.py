"""Indices that count from the end where they are negative: the question is put once, before an innermost loop.

The front-end writes `x[k]` as `x[k < 0 ? k + n : k]`. Where the sign of k is not known, every access of a loop asks
again, and memory that is read in a row does not look like it: no vectors. Where k grows or falls steadily with the
loop's counter, its least value is known before the loop. Leaves

    scf.if (every such least value >= 0) { the loop, with plain k } else { the loop as it was }

Takes scf.for loops after canonicalisation.
"""

from __future__ import annotations

from mlir.ir import (
    Block,
    BlockArgument,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Module,
    Operation,
    Type,
    Value,
    WalkResult,
)

# What is written twice must not be much.
_MOST = 300
_NESTED = ("scf.for", "scf.while", "scf.parallel", "gpu.")
_CASTS = ("arith.index_cast", "arith.extsi")
_SLT, _SGE = 2, 5


def settle_wraps(module: Module) -> None:
    """Rewrite the innermost loops of `module` in place."""
    loops: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if op.name == "scf.for":
            loops.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    for loop in loops:
        inside = _inside(loop)
        if len(inside) <= _MOST and not any(op.name.startswith(_NESTED) for op in inside):
            _settle(loop, inside)


def _inside(loop: Operation) -> list[Operation]:
    found: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        found.append(op)
        return WalkResult.ADVANCE

    loop.walk(visit)
    return [op for op in found if op != loop]


def _settle(loop: Operation, inside: list[Operation]) -> None:
    within = set(inside)
    counter = loop.regions[0].blocks[0].arguments[0]
    wraps: dict[int, Value] = {}
    steps: dict[int, int] = {}
    for position, op in enumerate(inside):
        index = _wrapped(op)
        if index is None or (step := _step(index, counter, within)) is None:
            continue
        wraps[position], steps[position] = index, step
    if not wraps:
        return
    ip, loc = InsertionPoint(loop), loop.location
    guard: Value | None = None
    for position, index in wraps.items():
        least = _At(loop, within, ip, first=steps[position] >= 0).value(index)
        zero = _constant(least.type, 0, ip, loc)
        positive = _op("arith.cmpi", [least, zero], IntegerType.get_signless(1), ip, loc, predicate=_i64(_SGE))
        guard = positive if guard is None else _op("arith.andi", [guard, positive], positive.type, ip, loc)
    assert guard is not None
    choice = Operation.create("scf.if", [r.type for r in loop.results], [guard], regions=2, loc=loc, ip=ip)
    for number, region in enumerate(choice.regions):
        block: Block = region.blocks.append()
        copy = loop.clone(InsertionPoint(block))
        copy = getattr(copy, "operation", copy)
        Operation.create("scf.yield", [], list(copy.results), loc=loc, ip=InsertionPoint(block))
        if number == 0:
            copied = _inside(copy)
            for position in wraps:
                plain = _wrapped(copied[position])
                assert plain is not None
                copied[position].results[0].replace_all_uses_with(plain)
    for old, new in zip(loop.results, choice.results, strict=True):
        old.replace_all_uses_with(new)
    loop.erase()


def _wrapped(op: Operation) -> Value | None:
    """k, of an op that is k < 0 ? k + n : k."""
    if op.name != "arith.select" or not isinstance(op.results[0].type, (IndexType, IntegerType)):
        return None
    condition, wrapped, plain = op.operands
    compare, add = _owner(condition), _owner(wrapped)
    if compare is None or compare.name != "arith.cmpi" or IntegerAttr(compare.attributes["predicate"]).value != _SLT:
        return None
    if add is None or add.name != "arith.addi" or plain not in list(add.operands):
        return None
    return plain if compare.operands[0] == plain and _known(compare.operands[1]) == 0 else None


def _step(value: Value, counter: Value, within: set[Operation]) -> int | None:
    """By how much the value grows when the counter grows by 1; None where it does not do so steadily."""
    if value == counter:
        return 1
    op = _owner(value)
    if op is None:
        return 0 if not _is_carried(value, counter) else None
    if op not in within:
        return 0
    parts = [_step(o, counter, within) for o in op.operands]
    if any(p is None for p in parts):
        return None
    if op.name in _CASTS:
        return parts[0]
    if op.name == "arith.constant":
        return 0
    if op.name == "arith.addi":
        return parts[0] + parts[1]  # type: ignore[operator]
    if op.name == "arith.subi":
        return parts[0] - parts[1]  # type: ignore[operator]
    if op.name == "arith.muli":
        for factor, other in ((0, 1), (1, 0)):
            known = _known(op.operands[factor])
            if known is not None:
                return known * parts[other]  # type: ignore[operator]
    return None


def _is_carried(argument: Value, counter: Value) -> bool:
    """Whether a block argument is one of those that the loop itself carries."""
    return BlockArgument(argument).owner == BlockArgument(counter).owner


class _At:
    """Computes values of a loop's body before the loop, for its first or its last iteration (or one behind it)."""

    def __init__(self, loop: Operation, within: set[Operation], ip: InsertionPoint, first: bool):
        self.within, self.ip, self.loc = within, ip, loop.location
        lower, upper = list(loop.operands)[:2]
        counter = loop.regions[0].blocks[0].arguments[0]
        one = _constant(upper.type, 1, ip, self.loc)
        self.made = {counter: lower if first else _op("arith.subi", [upper, one], upper.type, ip, self.loc)}

    def value(self, old: Value) -> Value:
        op = _owner(old)
        if old not in self.made:
            if op is None or op not in self.within:
                return old
            operands = [self.value(o) for o in op.operands]
            attributes = {name: op.attributes[name] for name in op.attributes}
            self.made[old] = _op(op.name, operands, old.type, self.ip, self.loc, **attributes)
        return self.made[old]


def _owner(value: Value) -> Operation | None:
    """The op that makes the value; None of a block's argument."""
    if isinstance(value, BlockArgument) or isinstance(value.owner, Block):
        return None
    return getattr(value.owner, "operation", value.owner)  # type: ignore[no-any-return]


def _known(value: Value) -> int | None:
    op = _owner(value)
    return IntegerAttr(op.attributes["value"]).value if op is not None and op.name == "arith.constant" else None


def _i64(value: int) -> IntegerAttr:
    return IntegerAttr.get(IntegerType.get_signless(64), value)


def _constant(type: Type, value: int, ip: InsertionPoint, loc: object) -> Value:
    return _op("arith.constant", [], type, ip, loc, value=IntegerAttr.get(type, value))


def _op(name: str, operands: list[Value], type: Type, ip: InsertionPoint, loc: object, **attributes: object) -> Value:
    made = Operation.create(name, [type], operands, attributes=attributes, loc=loc, ip=ip)  # type: ignore[arg-type]
    return made.results[0]

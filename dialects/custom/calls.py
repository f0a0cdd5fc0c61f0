"""What calls of rules of all kinds share: activities, the order of arguments, lanes."""

from __future__ import annotations

from collections.abc import Sequence

from mlir.ir import FlatSymbolRefAttr, Operation, Type, Value

from ..activity import Activity
from ..builder import Builder, is_memref, operation
from ..errors import refuse
from ..tangents import Shadow, Tangents
from .marks import writes
from .resolve import Config, Rule


def config(
    call: Operation,
    activity: Activity,
    scalar: str,
    width: int,
    strong_zero: bool,
    overwritten: Sequence[bool],
    unread_return: Operation | None,
) -> Config:
    """What a rule for `call` is wanted for. `scalar` is the word for a scalar that moves; `unread_return` the
    function's return, where the values returned are of no interest.
    """

    _refuse_same(call)

    def kind(value: Value) -> str:
        if is_memref(value.type):
            return "duplicated" if activity.memory(value) else "const"
        return scalar if activity.value(value) else "const"

    users = [operation(use.owner) for r in call.results for use in r.uses]
    needed = any(unread_return is None or user != unread_return for user in users)
    needed = needed or any(is_memref(r.type) for r in call.results)  # at least its extents
    return Config(
        tuple(map(kind, call.operands)),
        tuple(map(kind, call.results)),
        width,
        needed,
        tuple(overwritten),
        strong_zero,
    )


def _refuse_same(call: Operation) -> None:
    """What a rule does to memory that it is given under two names, and that it writes, is anybody's guess."""
    for written in writes(call):
        if sum(operand == written for operand in call.operands) > 1:
            raise refuse(
                call,
                f"a call of {call.attributes['callee']}, which has rules, gets an array twice, and may write to it",
                "pass a copy of it",
            )


def emit(b: Builder, rule: Rule, arguments: Sequence[Value], strong_zero: bool) -> Operation:
    """The call of a rule."""
    extra = [b.boolean(strong_zero)] if rule.strong_zero else []
    callee = {"callee": FlatSymbolRefAttr.get(rule.name)}
    return b.op("func.call", [*arguments, *extra], rule.results(), callee)


def shadows(b: Builder, shadow: Shadow | None, primal: Value, width: int) -> Shadow:
    """The shadow, or for memory that has none zeroed memory to be thrown away."""
    return tuple(b.zeros_like(primal) for _ in range(width)) if shadow is None else shadow


def of_lane(values: Shadow, rule: Rule, lane: int) -> list[Value]:
    """What a rule gets of the shadows, one a direction: all, or that of one lane."""
    return list(values) if rule.width == len(values) else [values[lane]]


def scalar_of_lane(tangents: Tangents, tangent: Value, rule: Rule, lane: int, primal: Type) -> Value:
    return tangent if rule.width == tangents.width else tangents.lane(tangent, lane, primal)


def joined(tangents: Tangents, parts: Sequence[Value], rule: Rule) -> Value:
    """One tangent of the results of a rule's calls, one for each lane (or for all of them)."""
    return parts[0] if rule.width == tangents.width else tangents.join(parts)

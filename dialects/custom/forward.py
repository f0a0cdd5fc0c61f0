"""Forward mode through a call of a function with a forward rule: the rule is called in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlir.ir import Operation, Value

from ..builder import is_memref
from .calls import config, emit, joined, of_lane, scalar_of_lane, shadows
from .marks import writes
from .resolve import Rule

if TYPE_CHECKING:
    from ..forward import Forward


def call_forward_rule(forward: Forward, call: Operation) -> None:
    """Emit the rule of an active call, once for each direction unless it takes them all."""
    b, activity, width = forward.b, forward.activity, forward.width
    nothing = [False] * len(call.operands)
    wanted = config(call, activity, "duplicated", width, forward.strong_zero, nothing, forward.unread_return)
    rule = forward.custom.find(call, "forward", activity, wanted)
    if rule is None:
        raise forward.custom.missing(call, "forward")
    forward.custom.check(call, "forward", rule)
    lanes = 1 if rule.width == width else width
    written = [forward.value(m) for m in writes(call)] if lanes > 1 else []
    before = [b.copy_of(m) for m in written]
    made: list[list[Value]] = []
    for lane in range(lanes):
        if lane:
            for saved, memref in zip(before, written, strict=True):
                b.op("memref.copy", [saved, memref])
        made.append(list(emit(b, rule, _arguments(forward, call, rule, lane), forward.strong_zero).results))
    _results(forward, call, rule, made)


def _arguments(forward: Forward, call: Operation, rule: Rule, lane: int) -> list[Value]:
    found: list[Value] = []
    for old, kind in zip(call.operands, rule.activity, strict=True):
        primal = forward.value(old)
        found.append(primal)
        if kind == "const":
            continue
        if is_memref(old.type):
            shadow = forward.shadow(old) if forward.activity.memory(old) else None
            found += of_lane(shadows(forward.b, shadow, primal, forward.width), rule, lane)
        else:
            found.append(scalar_of_lane(forward.tangents, forward.tangent_or_zero(old), rule, lane, old.type))
    return found


def _results(forward: Forward, call: Operation, rule: Rule, made: list[list[Value]]) -> None:
    """The primal results are those of the first call; the tangents are gathered from all."""
    count = len(call.results)
    forward.map.update(zip(call.results, made[0][:count], strict=True))
    at = count
    for old, kind in zip(call.results, rule.returns, strict=True):
        if kind == "const":
            continue
        size = rule.width if is_memref(old.type) else 1
        parts = [value for of_lane in made for value in of_lane[at : at + size]]
        at += size
        if is_memref(old.type):
            if forward.activity.memory(old):
                forward.shadows[old] = tuple(parts)
        elif forward.activity.value(old):
            forward.tangent[old] = joined(forward.tangents, parts, rule)

"""Reverse mode through a call of a function with rules: the augmented primal in the forward sweep, the reverse rule in
the reverse sweep, and between them the tape that the first leaves to the second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlir.ir import InsertionPoint, Operation, Type, UnitAttr, Value

from ..builder import is_memref
from ..tangents import Shadow
from .calls import config, emit, joined, of_lane, scalar_of_lane, shadows
from .marks import uses_shadows, writes
from .resolve import Rule, Rules
from .shared import for_threads

if TYPE_CHECKING:
    from ..recompute import ReverseScope
    from ..reverse import Reverse
    from ..sweep import Sweep


@dataclass
class Plan:
    """How one call is carried out. `tapes` and `copies` are values of the forward sweep: the tape of each call of the
    augmented primal, and memory as the call left it, where that is overwritten later.
    """

    augment: Rule | None
    reverse: Rule
    #: How often the augmented primal is called.
    calls: int
    #: The (last) call that the forward sweep makes.
    after: Operation = field(init=False)
    tapes: list[list[Value]] = field(default_factory=list)
    copies: dict[Value, Value] = field(default_factory=dict)


class CustomCalls:
    """The calls of one reverse derivative that rules carry out."""

    def __init__(self, reverse: Reverse, rules: Rules, unread_return: Operation | None):
        self.reverse, self.rules, self.unread_return = reverse, rules, unread_return
        #: By call, and by the sweep that makes it: a replay makes it again.
        self.plans: dict[tuple[Operation, Sweep], Plan] = {}

    # the forward sweep ---------------------------------------------------------------------------------------------
    def forward(self, sweep: Sweep, call: Operation) -> None:
        """Emit the augmented primal of an active call."""
        b = sweep.b
        plan = self.plans[call, sweep] = self._plan(call, sweep)
        rule = plan.augment
        if rule is None:
            plan.after = sweep.copy_plain(call)
            plan.tapes = [[]]
            return
        written = [sweep.value(m) for m in writes(call)] if plan.calls > 1 else []
        before = [b.copy_of(m) for m in written]
        made: list[list[Value]] = []
        for lane in range(plan.calls):
            if lane:
                for saved, memref in zip(before, written, strict=True):
                    b.op("memref.copy", [saved, memref])
            plan.after = emit(b, rule, self._forward_arguments(sweep, call, rule, lane), self.reverse.strong_zero)
            made.append(self._owned(sweep, call, rule, list(plan.after.results)))
        count = len(call.results)
        sweep.map.update(zip(call.results, made[0][:count], strict=True))
        at = count
        for old, kind in zip(call.results, rule.returns, strict=True):
            if kind != "const" and is_memref(old.type):
                if self.reverse.activity.memory(old):
                    sweep.shadows[old] = tuple(v for values in made for v in values[at : at + rule.width])
                at += rule.width
        plan.tapes = [values[at:] for values in made]

    def _plan(self, call: Operation, sweep: Sweep) -> Plan:
        reverse, width = self.reverse, self.reverse.width
        stability, activity = reverse.stability, reverse.activity
        changed = [is_memref(o.type) and not stability.holds(call, o, sweep.frame) for o in call.operands]
        wanted = config(call, activity, "active", width, reverse.strong_zero, changed, self.unread_return)
        augment = self.rules.find(call, "augment", activity, wanted)
        back = self.rules.find(call, "reverse", activity, wanted)
        if back is None:
            raise self.rules.missing(call, "reverse")
        if augment is None and any(is_memref(r.type) and activity.memory(r) for r in call.results):
            raise self.rules.missing(call, "augment")
        if augment is None:
            self.rules.check(call, "reverse", back)
            return Plan(augment, for_threads(self.rules, reverse.sharing, call, back), 1)
        self.rules.check(call, "augment", augment)
        moving = [r for r, kind in zip(call.results, augment.returns, strict=True) if kind != "const"]
        given = len(call.results) + augment.width * sum(is_memref(r.type) for r in moving)
        self.rules.check(call, "reverse", back, augment.results()[given:])
        shadowed = uses_shadows(call) or any(is_memref(r.type) for r in moving)
        augment, back = (for_threads(self.rules, reverse.sharing, call, rule) for rule in (augment, back))
        return Plan(augment, back, width if shadowed and augment.width != width else 1)

    def _forward_arguments(self, sweep: Sweep, call: Operation, rule: Rule, lane: int) -> list[Value]:
        found: list[Value] = []
        for old, kind in zip(call.operands, rule.activity, strict=True):
            primal = sweep.value(old)
            found.append(primal)
            if kind != "duplicated":
                continue
            if not uses_shadows(call):
                found += [primal] * rule.width  # not looked at: the shadow of local memory is made later
                continue
            shadow = sweep.shadow(old) if self.reverse.activity.memory(old) else None
            found += of_lane(shadows(sweep.b, shadow, primal, sweep.width), rule, lane)
        return found

    def _owned(self, sweep: Sweep, call: Operation, rule: Rule, values: list[Value]) -> list[Value]:
        """What one call gave; where shadows and tape have to go on the tape around, in memory that can be freed by
        hand.
        """
        if call.block == sweep.frame.old:
            return values
        count = len(call.results)
        return [
            sweep.b.copy_of(v) if i >= count and is_memref(v.type) and not rule.gives_own_memory(i) else v
            for i, v in enumerate(values)
        ]

    # the reverse sweep ---------------------------------------------------------------------------------------------
    def reverse_call(self, call: Operation, scope: ReverseScope) -> None:
        """Emit the reverse rule of an active call."""
        reverse, activity = self.reverse, self.reverse.activity
        plan = self.plans[call, scope.frame.sweep]
        cotangents = [None if is_memref(r.type) else reverse.take(r) for r in call.results]
        memory = [*writes(call), *(r for r in call.results if is_memref(r.type))]
        if all(c is None for c in cotangents) and not any(activity.memory(m) for m in memory):
            return
        b, rule, width = reverse.b, plan.reverse, reverse.width
        given = _Given(self, call, plan, scope)
        arguments = [given.argument(old, kind) for old, kind in zip(call.operands, rule.activity, strict=True)]
        results = [
            given.result(old, c)
            for old, c, kind in zip(call.results, cotangents, rule.returns, strict=True)
            if kind != "const"
        ]
        tapes = [given.tape(k) for k in range(plan.calls)]
        lanes = 1 if rule.width == width else width
        made: list[list[Value]] = []
        for lane in range(lanes):
            of_all = [v for part in (*arguments, *results) for v in part.of(rule, lane, reverse)]
            tape = tapes[lane if plan.calls > 1 else 0]
            made.append(list(emit(b, rule, [*of_all, *tape], reverse.strong_zero).results))
        active = [old for old, kind in zip(call.operands, rule.activity, strict=True) if kind == "active"]
        for i, old in enumerate(active):
            reverse.add(old, joined(reverse.tangents, [values[i] for values in made], rule))
        if call.block != scope.frame.old:  # shadows of results, on the tape around: they end with their memory
            shadows_ = [s for r in call.results if activity.memory(r) for s in reverse.shadow(r, scope)]
            given.to_free.update(dict.fromkeys(shadows_))
        for memref in given.to_free:
            b.op("memref.dealloc", [memref], [], {"autodiff.free": UnitAttr.get()})


@dataclass
class _Part:
    """What the reverse rule gets for one argument or result: primal values, then shadows or a scalar's cotangent."""

    primal: list[Value]
    shadow: Shadow = ()
    cotangent: Value | None = None
    type: Type | None = None  # of what has the cotangent

    def of(self, rule: Rule, lane: int, reverse: Reverse) -> list[Value]:
        beside = of_lane(self.shadow, rule, lane) if self.shadow else []
        if self.cotangent is not None and self.type is not None:
            beside = [scalar_of_lane(reverse.tangents, self.cotangent, rule, lane, self.type)]
        return [*self.primal, *beside]


class _Given:
    """Makes what one call of a reverse rule is given available in the reverse sweep, in the order of its arguments."""

    def __init__(self, calls: CustomCalls, call: Operation, plan: Plan, scope: ReverseScope):
        self.reverse, self.call, self.plan, self.scope = calls.reverse, call, plan, scope
        self.rule = plan.reverse
        self.position = 0
        self.to_free: dict[Value, None] = {}

    def argument(self, old: Value, kind: str) -> _Part:
        if is_memref(old.type):
            return self._memory(old, kind != "const")
        unread = self._next_unused()
        return _Part([self.reverse.b.value("ub.poison", [], old.type) if unread else self._lookup(old)])

    def result(self, old: Value, cotangent: Value | None) -> _Part:
        if is_memref(old.type):
            return self._memory(old, True)
        self.position += 1
        zero = self.reverse.tangents.zero(old.type) if cotangent is None else cotangent
        return _Part([], cotangent=zero, type=old.type)

    def tape(self, k: int) -> list[Value]:
        return [self._taped(("tape", k, i), v, "tape") for i, v in enumerate(self.plan.tapes[k])]

    def _next_unused(self) -> bool:
        self.position += 1
        return self.rule.unused(self.position - 1)

    def _lookup(self, old: Value) -> Value:
        return self.reverse.lookup(old, self.scope)

    def _memory(self, old: Value, has_shadow: bool) -> _Part:
        b, width = self.reverse.b, self.reverse.width
        primal = self._primal(old, self.position)
        self.position += 1
        if not has_shadow:
            return _Part([primal])
        needed = any(not self.rule.unused(self.position + k) for k in range(self.rule.width))
        self.position += self.rule.width
        if not needed:
            return _Part([primal], (primal,) * width)
        shadow = self.reverse.shadow(old, self.scope) if self.reverse.activity.memory(old) else None
        return _Part([primal], shadows(b, shadow, primal, width))

    def _primal(self, old: Value, position: int) -> Value:
        """The memref with what it held when the call had returned; of the same extents, if that is all that is
        asked for. An error cell is the caller's own: a copy of it would swallow the rule's errors.
        """
        stability, frame = self.reverse.stability, self.scope.frame
        content = not (self.rule.only_extents(position) or self._is_error_cell(old))
        if stability.available(old, frame) and (not content or stability.holds(self.call, old, frame)):
            return self._lookup(old)
        return self._taped(("copy", old), self._copy(old), "copy")

    def _is_error_cell(self, old: Value) -> bool:
        return old == self.call.operands[-1] and str(old.type) == "memref<1xi64>"

    def _copy(self, old: Value) -> Value:
        """A copy that the forward sweep makes, once."""
        made = self.plan.copies.get(old)
        if made is None:
            b = self.reverse.b
            with b.at(InsertionPoint.after(self.plan.after), self.call.location):
                made = self.plan.copies[old] = b.copy_of(self.scope.frame.sweep.value(old))
        return made

    def _taped(self, key: object, value: Value, kind: str) -> Value:
        got = self.scope.beside(self.reverse, (self.call, key), self.call, value, kind)
        if is_memref(value.type) and self.call.block != self.scope.frame.old:
            self.to_free.setdefault(got)
        return got

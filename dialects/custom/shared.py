"""Rules that threads call: what they add to a shadow that other threads add to, too, is added atomically.

A rule is written for one caller, and adds plainly. For a call that several threads make, with a shadow that is not
the thread's own, a copy of the rule's function is made in which each addition to a cell (it is loaded, summed, stored
again) is one atomic addition. (`unshared` makes these plain again where the launch tells the threads' cells apart.)

What else a rule does with such a shadow is refused, but where the function itself writes to the array: a cell whose
cotangent the rule takes is one that the function overwrote, so it belongs to one thread, as it did in the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlir.ir import (
    BlockArgument,
    FlatSymbolRefAttr,
    InsertionPoint,
    IntegerAttr,
    MemRefType,
    Operation,
    StringAttr,
    Value,
)

from ..builder import Builder, is_float, is_memref, operation, operations, walk
from ..copier import inline_calls
from ..errors import refuse
from ..launch_reverse import atomic_add
from ..objects import VIEWS, MemoryObject, Objects
from ..request import Request
from .marks import OF_RULES, functions, is_custom, writes

if TYPE_CHECKING:
    from ..sharing import Sharing
    from .resolve import Rule, Rules

#: What a rule may also do where the function writes to the array.
_PLAIN = frozenset({"memref.load", "memref.store", "memref.copy"})
#: Ops that only pass a memref on, or ask for its extents.
_PASSING = VIEWS | {"memref.dim", "memref.rank", "memref.dealloc", "arith.select", "scf.yield", "scf.condition"}
_HINT = "add to it by `+=` of elements or dsl.atomic_add, or give the function a copy in a dsl.local_array"


@dataclass(frozen=True)
class _Target:
    """A shadow among the rule's arguments that threads share."""

    position: int
    #: Whether the function writes the array.
    written: bool


def for_threads(rules: Rules, sharing: Sharing, call: Operation, rule: Rule) -> Rule:
    """The rule for `call`, which is carried out by `rule`, with additions to shadows that are shared made atomic."""
    targets = _targets(sharing, call, rule)
    if not targets:
        return rule
    name = ".".join([rule.name, *(f"{t.position}w" if t.written else f"{t.position}" for t in targets), "shared"])
    if name not in rules.known:
        rules.known[name] = _copy(rules, call, rule, name, targets)
    return replace(rule, name=name, function=rules.known[name])


def _targets(sharing: Sharing, call: Operation, rule: Rule) -> list[_Target]:
    found, position = [], 0
    for value, kind in zip(call.operands, rule.activity, strict=True):
        position += 1
        if kind != "duplicated":
            continue
        count = rule.width if is_memref(value.type) else 1
        if is_memref(value.type) and sharing.activity.memory(value) and not sharing.is_own(call, value):
            found += [_Target(position + k, value in writes(call)) for k in range(count)]
        position += count
    return found


def _copy(rules: Rules, call: Operation, rule: Rule, name: str, targets: Sequence[_Target]) -> Operation:
    if len(list(rule.function.regions[0].blocks)) != 1:
        raise refuse(call, f"@{rule.name}, a rule without a body, would add to a shadow that threads share", _HINT)
    with InsertionPoint(rules.module.body):
        made = operation(rule.function.clone())
    made.attributes["sym_name"] = StringAttr.get(name)
    for attribute in OF_RULES:
        if attribute in made.attributes:
            del made.attributes[attribute]
    known = functions(rules.module)
    inline_calls(made, {n: op for n, op in known.items() if not is_custom(op)})
    objects = Objects(made)
    for target in targets:
        argument = made.regions[0].blocks[0].arguments[target.position]
        for memory in objects.of(argument):
            _Uses(made, known, objects, memory).settle(target.written)
    return made


class _Uses:
    """What a function does with one of its arguments."""

    def __init__(self, function: Operation, known: dict[str, Operation], objects: Objects, memory: MemoryObject):
        self.known, self.objects, self.memory = known, objects, memory
        self.ops = [op for op in walk(function) if self._touches(op)]

    def _touches(self, op: Operation) -> bool:
        if op.name in _PASSING or op.name.startswith("scf."):
            return False
        return any(is_memref(o.type) and self.memory in self.objects.of(o) for o in op.operands)

    def settle(self, written: bool) -> None:
        """Make additions atomic; refuse what threads may not do with a shadow that they share."""
        left = [op for op in self.ops if not (_is_atomic_addition(op) or self._is_for_a_derivative(op))]
        for store in [op for op in left if op.name == "memref.store"]:
            found = self._addition(store)
            if found is not None:
                load, terms = found
                left = [op for op in left if op not in (load, store)]
                _make_atomic(store, load, terms)
        for op in left:
            if not (written and op.name in _PLAIN):
                raise refuse(op, "a rule does more than add to the shadow of an array that threads share", _HINT)

    def _addition(self, store: Operation) -> tuple[Operation, list[Operation]] | None:
        """If all that `store` does is to add to its cell: the load of it, and the sums, last first."""
        value, memref, *at = store.operands
        paths: list[tuple[Value, list[Operation]]] = [(value, [])]
        while paths:
            value, sums = paths.pop()
            if isinstance(value, BlockArgument) or len(list(value.uses)) != 1:
                continue
            op = operation(value.owner)
            if op.name == "arith.addf":
                paths += [(o, [*sums, op]) for o in op.operands]
            elif op.name == "arith.subf":
                paths.append((op.operands[0], [*sums, op]))
            elif op.name == "memref.load" and list(op.operands) == [memref, *at] and self._undisturbed(op, store):
                return op, sums
        return None

    def _undisturbed(self, load: Operation, store: Operation) -> bool:
        """Whether nothing else is done with the array in between."""
        if load.block != store.block:
            return False
        ops = operations(store.block)
        between = ops[ops.index(load) + 1 : ops.index(store)]
        return not any(self._touches(op) for outer in between for op in walk(outer))

    def _is_for_a_derivative(self, op: Operation) -> bool:
        """Whether the array is the shadow of a reverse derivative that is asked for here, which threads run, too."""
        if op.name != "func.call":
            return False
        callee = self.known.get(FlatSymbolRefAttr(op.attributes["callee"]).value)
        request = None if callee is None else Request.of(callee)
        if request is None or request.mode != "reverse":
            return False
        places: list[bool] = []
        for kind in request.activity:
            places += [False, *[True] * (request.width if kind.startswith("duplicated") else 0)]
        places += [False] * (len(op.operands) - len(places))
        return all(
            is_shadow
            for o, is_shadow in zip(op.operands, places, strict=True)
            if is_memref(o.type) and self.memory in self.objects.of(o)
        )


def _is_atomic_addition(op: Operation) -> bool:
    return op.name == "memref.atomic_rmw" and IntegerAttr(op.attributes["kind"]).value == 0


def _make_atomic(store: Operation, load: Operation, sums: Sequence[Operation]) -> None:
    """One atomic addition in place of a load, sums and a store."""
    _, memref, *at = store.operands
    element = MemRefType(memref.type).element_type
    if not is_float(element):
        raise refuse(store, f"threads may add to the same cell of an array of {element}", _HINT)
    b = Builder(InsertionPoint(store), store.location)
    total, before = None, load.results[0]
    for op in reversed(sums):
        term = next(o for o in op.operands if o != before)
        if op.name == "arith.subf":
            term = b.value("arith.negf", [term], term.type)
        total = term if total is None else b.value("arith.addf", [total, term], term.type)
        before = op.results[0]
    atomic_add(b, total, memref, at)
    store.erase()
    for op in sums:
        op.erase()
    load.erase()

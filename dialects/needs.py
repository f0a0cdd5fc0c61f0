"""Which primal values the reverse sweep reads: what each op's adjoint needs, as its rule declares."""

from __future__ import annotations

from collections.abc import Iterable

from mlir.ir import Operation, Value

from . import rules
from .activity import STOPS, Activity
from .builder import captured, is_memref, operations
from .checkpoint.marks import mark_of
from .extremes import SETTLED, is_extreme
from .launches import LAUNCH
from .objects import ALLOCATIONS, VIEWS


def needs(op: Operation, activity: Activity) -> Iterable[Value]:
    """The primal values that the adjoint of `op` itself (not of ops nested in it) reads."""
    name = op.name
    if name in STOPS:
        return []
    if name == LAUNCH:
        return list(op.operands) if activity.region(op) else []
    if name == "gpu.shuffle":
        return list(op.operands)[1:] if activity.value(op.results[0]) else []
    if SETTLED in op.attributes:
        return []
    if name == "memref.atomic_rmw" and is_extreme(op):
        return [op.operands[0], op.results[0], *list(op.operands)[2:]] if activity.memory(op.operands[1]) else []
    if name in ("memref.load", "memref.store", "memref.atomic_rmw"):
        memref = op.operands[0 if name == "memref.load" else 1]
        return list(op.operands)[1 if name == "memref.load" else 2 :] if activity.memory(memref) else []
    if name in VIEWS or name in ALLOCATIONS:
        return [o for o in op.operands if not is_memref(o.type)] if activity.memory(op.results[0]) else []
    if name == "scf.for":
        return [op.operands[1]] if activity.region(op) else []
    if name == "scf.if":
        return [op.operands[0]] if activity.region(op) else []
    if name == "arith.select":
        moving = activity.value(op.results[0]) or activity.memory(op.results[0])
        return [op.operands[0]] if moving else []
    if name.startswith(("scf.", "autodiff.", "func.return")):
        return []
    if activity.by_rule(op):
        return [o for o in op.operands if not is_memref(o.type)]
    if not any(activity.value(r) for r in op.results):
        return []
    rule = rules.lookup(op)
    if rule is None:
        return []
    found: dict[Value, None] = {}
    for i, result in enumerate(op.results):
        if activity.value(result):
            for j, operand in enumerate(op.operands):
                if activity.value(operand):
                    for kind, k in sorted(rule.needs(i, j)):
                        found.setdefault(op.operands[k] if kind == "x" else op.results[k])
    return list(found)


def needed_within(op: Operation, activity: Activity) -> set[Value]:
    """All primal values that adjoints of ops nested in `op` read. A checkpointed loop is run again as a whole."""
    found: set[Value] = set()
    todo = [inner for region in op.regions for block in region.blocks for inner in operations(block)]
    while todo:
        inner = todo.pop()
        if mark_of(inner) is not None and activity.region(inner):
            found.update(v for v in (*inner.operands, *captured(inner)) if not is_memref(v.type))
            continue
        found.update(needs(inner, activity))
        if len(inner.regions):
            todo += [other for region in inner.regions for block in region.blocks for other in operations(block)]
    return found

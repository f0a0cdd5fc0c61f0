"""What the derivative passes do not know must not touch a derivative: it is refused, never passed over.

Takes the activity of a function in normal form. An op outside the tables of rules is harmless as long as no active
value goes through it (then its rule is asked for, and there is none), but one that takes a memref could read or write
active memory, and one with regions could hide uses of active values.
"""

from __future__ import annotations

from mlir.ir import MemRefType, Operation, UnrankedMemRefType

from . import rules
from .activity import Activity
from .bits import refuse_bits
from .builder import captured, is_differentiable, is_memref, walk
from .custom.marks import KNOWN as KNOWN_EFFECTS
from .custom.marks import calls_inactive, is_ruled, writes
from .errors import refuse
from .objects import ALLOCATIONS, VIEWS

#: Ops on memrefs that the passes know.
KNOWN = VIEWS | ALLOCATIONS | {
    "memref.load", "memref.store", "memref.copy", "memref.dealloc", "memref.dim", "memref.get_global", "memref.rank",
    "memref.atomic_rmw", "arith.select", "autodiff.init", "autodiff.push", "autodiff.pop", "autodiff.stop",
    "gpu.launch", "gpu.terminator", "gpu.barrier", "gpu.shuffle", "nvvm.bar.warp.sync", "autodiff.checkpoint",
    "ub.poison", "func.return", "func.func", "scf.for", "scf.while", "scf.if", "scf.yield", "scf.condition",
}  # fmt: skip


def refuse_unknown(activity: Activity) -> None:
    """Raise for an op of the function that could carry a derivative in a way that the passes do not follow."""
    refuse_bits(activity)
    for op in walk(activity.function):
        types = [v.type for v in (*op.operands, *op.results)]
        if any(isinstance(t, UnrankedMemRefType) for t in types):
            raise refuse(op, f"{op.name} with a memref of unknown rank", "use memrefs of known rank")
        if any(is_memref(t) and is_memref(MemRefType(t).element_type) for t in types):
            raise refuse(op, f"{op.name} with memrefs kept in memory", "keep the data itself in one memref")
        if calls_inactive(op):
            _refuse_inactive_writes(op, activity)
            continue
        if is_ruled(op) or op.name in KNOWN or rules.lookup(op) is not None or rules.inactive(op):
            continue
        if op.regions and any(
            activity.varied(v) if is_differentiable(v.type) else is_memref(v.type) and activity.memory(v)
            for v in captured(op)
        ):
            raise refuse(op, f"{op.name} has no derivative, and active values are used in it", _lower(op))
        if any(is_memref(v.type) and activity.memory(v) for v in (*op.operands, *op.results)):
            what = op.name if op.name != "func.call" else f"the call of {op.attributes['callee']}"
            raise refuse(op, f"{what} takes memory that holds active data, and has no derivative rule", _lower(op))


def _refuse_inactive_writes(call: Operation, activity: Activity) -> None:
    """A function without derivative may not overwrite what has one: which elements lose theirs is not known."""
    if any(activity.memory(m) for m in writes(call)):
        may = "writes" if KNOWN_EFFECTS in call.attributes else "may write"
        raise refuse(
            call,
            f"{call.attributes['callee']} is inactive, but {may} memory that holds active data",
            "let it write to memory of its own, or declare by autodiff.writes what it writes",
        )


def _lower(op: Operation) -> str:
    if op.name in ("func.call", "func.call_indirect"):
        return "call a function that has a body in this module, or make its arguments Const"
    return "lower it first to scf, memref, arith and math, or make its input Const"

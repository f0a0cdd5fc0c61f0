"""One place to ask for the rule of an op.

Takes an op (or, for `inactive`, also its name); leaves its rule, or None where no table has one, which the engine turns
into an error that names the op and the user's line. An op that is in none of the tables is unknown, never inactive.
"""

from __future__ import annotations

from typing import TypeAlias

from mlir import ir

from dialects.launches import EXTENTS, PLACES
from dialects.rules import arith, complex, libm, math, structured
from dialects.rules.rule import Rule

AnyOp: TypeAlias = ir.OpView | ir.Operation

RULES: dict[str, Rule] = {**arith.RULES, **math.RULES, **complex.RULES}
REFUSED: dict[str, str] = {**arith.REFUSED, **complex.REFUSED}
INACTIVE = arith.INACTIVE | math.INACTIVE | complex.INACTIVE | structured.INACTIVE | {"ub.poison"}
INACTIVE |= PLACES | EXTENTS | {"gpu.barrier", "nvvm.vote.sync", "nvvm.bar.warp.sync"}
_INACTIVE_DIALECTS = ("index.",)
#: On calls of functions with rules of their own, which go before C's (see dialects/custom).
_OWN_RULES = "autodiff.ruled"


def lookup(op: AnyOp) -> Rule | None:
    """The rule of an op; of a func.call, the rule of the C function or helper that it calls. None: there is none."""
    operation = op.operation
    name = operation.name
    if name == "func.call":
        callee = None if _OWN_RULES in operation.attributes else libm.external_callee(operation)
        return None if callee is None else libm.rule(callee)
    return RULES.get(name) or structured.rule(operation)


def inactive(op: AnyOp | str) -> bool:
    """Whether no derivative flows through the op: its results have derivative zero wherever they have one.

    By name, or by the op itself, which also knows calls of C functions such as floor.
    """
    if isinstance(op, str):
        return op in INACTIVE or op.startswith(_INACTIVE_DIALECTS)
    operation = op.operation
    if operation.name == "func.call":
        if _OWN_RULES in operation.attributes:
            return False
        callee = libm.external_callee(operation)
        return callee is not None and libm.plain(callee) in libm.INACTIVE
    return inactive(operation.name)


def refused(op_name: str) -> str | None:
    """Why an op has no rule on purpose, and what to do instead; None where there is nothing to say."""
    return REFUSED.get(op_name)

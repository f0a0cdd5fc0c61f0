"""Rules of the arith dialect, and of every comparison, integer op and constant in it: nothing flows through those.

`remainder_quotient` is shared with C's fmod. Notes say what holds at kinks; all of them are in docs/rules.md.
"""

from __future__ import annotations

from dialects.rules.expr import Expr, compare, either, fn, is_nan, r0, select, x0, x1
from dialects.rules.rule import Rule, row

# Not trunc(x0 / x1): that division may round up to the next integer where the remainder belongs to the one below.
# For infinite x1 this is 0 / x1, which is right as well.
remainder_quotient: Expr = fn("roundeven", (x0 - r0) / x1)

_first_is_max = compare("uge", x0, x1)
_first_is_min = compare("ule", x0, x1)
_first_is_maxnum = either(compare("oge", x0, x1), is_nan(x1))
_first_is_minnum = either(compare("ole", x0, x1), is_nan(x1))
_TIE = "a tie goes to the first operand, all of it"
_NAN = "; nothing goes to a NaN passed over"

RULES: dict[str, Rule] = {
    "arith.addf": row(1, 1),
    "arith.subf": row(1, -1),
    "arith.mulf": row(x1, x0),
    "arith.divf": row(1 / x1, -(r0 / x1)),
    "arith.negf": row(-1),
    "arith.remf": row(1, -remainder_quotient, note="the jumps of the quotient count as steps without slope"),
    "arith.maximumf": row(select(_first_is_max, 1, 0), select(_first_is_max, 0, 1), note=_TIE),
    "arith.minimumf": row(select(_first_is_min, 1, 0), select(_first_is_min, 0, 1), note=_TIE),
    "arith.maxnumf": row(
        select(_first_is_maxnum, 1, 0),
        select(_first_is_maxnum, 0, 1),
        note=_TIE + _NAN,
    ),
    "arith.minnumf": row(
        select(_first_is_minnum, 1, 0),
        select(_first_is_minnum, 0, 1),
        note=_TIE + _NAN,
    ),
    "arith.select": row(None, select(x0, 1, 0), select(x0, 0, 1), note="the operand not taken gets 0"),
    "arith.extf": row(1, note="the tangent or cotangent is converted along"),
    "arith.truncf": row(1, note="the tangent or cotangent is converted along"),
}

_INACTIVE = """
    constant cmpf cmpi fptosi fptoui sitofp uitofp index_cast index_castui addi addui_extended andi ceildivsi ceildivui
    divsi divui extsi extui floordivsi maxsi maxui minsi minui muli mulsi_extended mului_extended ori remsi remui shli
    shrsi shrui subi trunci xori
"""
INACTIVE = frozenset(f"arith.{name}" for name in _INACTIVE.split())

REFUSED = {
    "arith.bitcast": "the bits of a float have no derivative; say that none is wanted with ignore_derivatives",
    "arith.scaling_extf": "scaled small floats have no derivative rule; convert with arith.extf and multiply",
    "arith.scaling_truncf": "scaled small floats have no derivative rule; divide and convert with arith.truncf",
}

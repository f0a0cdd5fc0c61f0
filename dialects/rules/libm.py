"""Rules of C's math functions, by the name of the function that is called.

A call counts as one of them only if the symbol is declared and not defined in the module and takes and gives the float
type that C's function has: a user's own `hypot` is differentiated like any other function. A name with an f at its end
is the f32 twin. Functions that the math dialect has too are looked up there.
"""

from __future__ import annotations

from mlir import ir

from dialects.rules import special
from dialects.rules.arith import RULES as ARITH
from dialects.rules.arith import remainder_quotient
from dialects.rules.expr import call, compare, instead, is_zero, r0, select, x0, x1
from dialects.rules.math import RULES as MATH
from dialects.rules.rule import Rule, row

_digamma = call(special.name(0), x0)
_at_origin = is_zero(r0)
_length = instead(_at_origin, 1, r0)
_differs = compare("ogt", x0, x1)

RULES: dict[str, Rule] = {
    "lgamma": row(_digamma, note="digamma"),
    "tgamma": row(r0 * _digamma, note="gamma times digamma"),
    "hypot": row(select(_at_origin, 0, x0 / _length), select(_at_origin, 0, x1 / _length), note="0 at (0, 0)"),
    "fmod": ARITH["arith.remf"],
    "remainder": row(1, -remainder_quotient, note="the jumps of the quotient count as steps without slope"),
    "fmax": ARITH["arith.maxnumf"],
    "fmin": ARITH["arith.minnumf"],
    "fdim": row(select(_differs, 1, 0), select(_differs, -1, 0), note="0 where the operands are equal"),
    "nextafter": row(1, None, note="one unit in the last place is no slope"),
    "fabs": MATH["math.absf"],
    "pow": MATH["math.powf"],
}
_SHARED = """
    acos acosh asin asinh atan atan2 atanh cbrt copysign cos cosh erf erfc exp exp2 expm1 fma log log10 log1p log2 sin
    sinh sqrt tan tanh
"""
RULES.update({name: MATH[f"math.{name}"] for name in _SHARED.split()})
_INACTIVE = "ceil floor nearbyint rint round roundeven trunc logb"
INACTIVE = frozenset(_INACTIVE.split())


def plain(callee: str) -> str:
    """The name without the f of the f32 twin."""
    known = RULES.keys() | INACTIVE
    return callee[:-1] if callee not in known and callee.endswith("f") and callee[:-1] in known else callee


def rule(callee: str) -> Rule | None:
    """The rule of a C function or of a helper of ours; None for any other name."""
    order = special.order(callee)
    if order is not None and order < special.MAX_ORDER:
        return row(call(special.name(order + 1), x0))
    return RULES.get(plain(callee))


def external_callee(call: ir.Operation) -> str | None:
    """The callee of a func.call if it is a C function or one of our helpers; None if it is the user's own."""
    callee = ir.FlatSymbolRefAttr(call.attributes["callee"]).value
    if special.order(callee) is not None:
        return callee
    if plain(callee) not in RULES and plain(callee) not in INACTIVE:
        return None
    expected = ir.F32Type.get() if plain(callee) != callee else ir.F64Type.get()
    if any(value.type != expected for value in [*call.operands, *call.results]):
        return None
    return callee if _is_declaration(call, callee) else None


def _is_declaration(call: ir.Operation, callee: str) -> bool:
    block = special.symbol_table(call).regions[0].blocks[0]
    for op in block:
        if "sym_name" in op.attributes and ir.StringAttr(op.attributes["sym_name"]).value == callee:
            return len(op.regions) == 1 and len(op.regions[0].blocks) == 0
    return False

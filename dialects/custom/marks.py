"""Which calls the derivative passes treat by rules of the called function, written on the calls themselves.

`protect` keeps such functions from being inlined; `effects.mark_calls` writes on each call what the analyses need to
know of the function; `release` takes all of it away once the derivatives are made.
"""

from __future__ import annotations

from mlir.ir import ArrayAttr, DenseI64ArrayAttr, FlatSymbolRefAttr, Module, Operation, StringAttr, UnitAttr, Value

from ..builder import operation, walk
from ..errors import refuse

#: The attributes of functions that name rules, by the part that a rule plays.
RULES = {
    "forward": "autodiff.forward_rule",
    "augment": "autodiff.augment_rule",
    "reverse": "autodiff.reverse_rule",
}
INACTIVE = "autodiff.inactive"
#: Unit attributes of calls: the function has rules; it is inactive; its writes are known and not only assumed.
RULED, CALLS_INACTIVE, KNOWN = "autodiff.ruled", "autodiff.calls_inactive", "autodiff.known_effects"
#: Of calls: the forward sweep's rule looks at shadows. Also of functions, whose rule is made on demand.
SHADOWS = "autodiff.early_shadows"
#: Of calls: of a function of numbers, which does nothing but compute and so may be called again.
REPEATABLE = "autodiff.repeatable"
#: Of calls: of a function that besides only reads and writes arrays that it is given.
REPEATABLE_WITH_ARRAYS = "autodiff.repeatable_with_arrays"
#: Of functions and of calls: the numbers of arguments.
READS, WRITES = "autodiff.reads", "autodiff.writes"
_OF_CALLS = (RULED, CALLS_INACTIVE, KNOWN, SHADOWS, REPEATABLE, REPEATABLE_WITH_ARRAYS, READS, WRITES)
#: What a rule says about itself.
OF_RULES = ("autodiff.activity", "autodiff.returns", "autodiff.width", "autodiff.strong_zero")
_MARK = "no_inline"


def is_custom(function: Operation) -> bool:
    """Whether a func.func has rules of its own, or is inactive."""
    return INACTIVE in function.attributes or any(name in function.attributes for name in RULES.values())


def is_ruled(call: Operation) -> bool:
    """Whether a (marked) call is one of a function with rules."""
    return call.name == "func.call" and RULED in call.attributes


def calls_inactive(call: Operation) -> bool:
    """Whether a (marked) call is one of an inactive function."""
    return call.name == "func.call" and CALLS_INACTIVE in call.attributes


def is_repeatable(call: Operation) -> bool:
    """Whether a marked call may be made again without being noticed."""
    return call.name == "func.call" and REPEATABLE in call.attributes


def is_repeatable_with(call: Operation) -> bool:
    """Whether a marked call may be made again where the arrays that it takes hold what they did, and where what it
    writes is written again anyway.
    """
    return call.name == "func.call" and REPEATABLE_WITH_ARRAYS in call.attributes


def has_effects(call: Operation) -> bool:
    """Whether it is written on a call what it reads and writes."""
    return call.name == "func.call" and WRITES in call.attributes


def uses_shadows(call: Operation) -> bool:
    """Whether the augmented primal of a marked call looks at the shadows of its arguments."""
    return SHADOWS in call.attributes


def reads(call: Operation) -> list[Value]:
    """The memrefs that a marked call reads."""
    return [call.operands[i] for i in DenseI64ArrayAttr(call.attributes[READS])]


def writes(call: Operation) -> list[Value]:
    """The memrefs that a marked call writes."""
    return [call.operands[i] for i in DenseI64ArrayAttr(call.attributes[WRITES])]


def rule_names(function: Operation) -> list[str]:
    """The functions that a function names as its rules."""
    found: list[str] = []
    for name in RULES.values():
        if name in function.attributes:
            found += named(function, name) or []
    return found


def named(function: Operation, attribute: str) -> list[str] | None:
    """The functions that the attribute names; None where it asks for a rule to be made on demand."""
    given = function.attributes[attribute]
    if isinstance(given, UnitAttr):
        return None
    names = list(ArrayAttr(given)) if isinstance(given, ArrayAttr) else [given]
    if not names or not all(isinstance(name, FlatSymbolRefAttr) for name in names):
        raise refuse(function, f"{attribute} is {given}", "name a function, @g, or several, [@g1, @g2]")
    return [FlatSymbolRefAttr(name).value for name in names]


def functions(module: Module) -> dict[str, Operation]:
    """All functions by name."""
    found = (op for op in map(operation, module.body.operations) if op.name == "func.func")
    return {StringAttr(op.attributes["sym_name"]).value: op for op in found}


def protect(module: Module) -> None:
    """Keep the functions with rules out of upstream's inliner."""
    for op in functions(module).values():
        if is_custom(op):
            op.attributes[_MARK] = UnitAttr.get()


def release(module: Module) -> None:
    """Take away all that is written about rules: what is left are ordinary functions and calls."""
    known = functions(module)
    for op in known.values():
        if not is_custom(op):
            continue
        for rule in rule_names(op):
            if rule in known:
                _drop(known[rule], OF_RULES)
        _drop(op, (*RULES.values(), INACTIVE, SHADOWS, READS, WRITES, _MARK))
    for function in known.values():
        for op in walk(function):
            if op.name == "func.call":
                _drop(op, _OF_CALLS)


def _drop(op: Operation, names: tuple[str, ...]) -> None:
    for name in names:
        if name in op.attributes:
            del op.attributes[name]

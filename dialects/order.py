"""The order in which cotangents are added up.

Each use of a value adds to its cotangent. The program says nothing about the order of that sum, so these additions
(`Builder.add`) let LLVM choose one, and with it vector code; which it takes is settled when the code is compiled, so
results are the same from run to run. The sums of the program itself stay in its order. Where the module is marked
`autodiff.ordered`, cotangents too are added one after the other, against the order of the program.

The tangent of such a sum, in a derivative of a derivative, is added up as freely as the sum itself.
"""

from __future__ import annotations

from mlir.ir import Attribute, BlockArgument, Module, Operation, Value

from .builder import ANY_ORDER, operation, walk

#: An attribute of a module.
ORDERED = "autodiff.ordered"
ADDITIONS = frozenset({"arith.addf", "complex.add"})
_FLAGS = "fastmath"


def follow_order(addition: Operation, tangents: Operation) -> None:
    """Let the addition of the tangents of what `addition` adds be as free as it is."""
    if tangents.name in ADDITIONS and _is_free(addition):
        tangents.attributes[_FLAGS] = addition.attributes[_FLAGS]


def keep_order(module: Module) -> None:
    """Take the freedom from all additions of a module that is marked so."""
    if ORDERED not in module.operation.attributes:
        return
    none = Attribute.parse("#arith.fastmath<none>", module.context)
    for op in walk(module.operation):
        if op.name in ADDITIONS and _is_free(op):
            op.attributes[_FLAGS] = none  # (deleting it would end the process)


def is_ordered(op: Operation) -> bool:
    """Whether `op` is in a module whose cotangents are added in order."""
    while op.name != "builtin.module":
        op = operation(op.parent)
    return ORDERED in op.attributes


def adds_up_to(start: Value, total: Value) -> bool:
    """Whether `total` is `start` and more, added up in any order, with nothing else made of what is on the way."""
    if len(list(total.uses)) != 1:
        return False
    if total == start:
        return True
    if isinstance(total, BlockArgument):
        return False
    addition = operation(total.owner)
    return addition.name in ADDITIONS and _is_free(addition) and any(adds_up_to(start, o) for o in addition.operands)


def _is_free(addition: Operation) -> bool:
    return _FLAGS in addition.attributes and str(addition.attributes[_FLAGS]) == ANY_ORDER

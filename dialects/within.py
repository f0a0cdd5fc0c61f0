"""`autodiff.within`: whether the code that it stands in is part of a derivative."""

from __future__ import annotations

from mlir.ir import InsertionPoint, IntegerAttr, IntegerType, Operation

from .builder import walk


def settle(function: Operation, inside: bool) -> bool:
    """Replace each `autodiff.within` in a function by the answer; whether there was one."""
    asked = [op for op in walk(function) if op.name == "autodiff.within"]
    for op in asked:
        truth = IntegerType.get_signless(1)
        with InsertionPoint(op), op.location:
            constant = Operation.create(
                "arith.constant", [truth], attributes={"value": IntegerAttr.get(truth, -1 if inside else 0)}
            )
        op.results[0].replace_all_uses_with(constant.result)
        op.erase()
    return bool(asked)

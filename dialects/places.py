"""Numbers that are another number plus a constant: by these, sizes, trip counts and indices are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlir.ir import BlockArgument, IntegerAttr, Operation, Value

from .builder import operation

_ADD = {"arith.addi": 1, "arith.subi": -1}
_SLT = 2
#: (A value cannot be compared with None.)
NONE = ""
CASTS = frozenset({"arith.index_cast", "arith.index_castui", "arith.extsi"})


@dataclass(frozen=True)
class Place:
    """A number `base + offset`; the base of a known one is NONE."""

    base: Any
    offset: int

    @staticmethod
    def of(value: Value) -> Place:
        offset = 0
        while not isinstance(value, BlockArgument):
            op = operation(value.owner)
            if op.name == "arith.constant":
                return Place(NONE, offset + IntegerAttr(op.attributes["value"]).value)
            if op.name in CASTS:
                value = op.operands[0]
            elif op.name == "arith.maxsi" and known(op.operands[1]) == 0:
                value = op.operands[0]  # of a size or a trip count: what is below 0 is none
            elif op.name in _ADD and (number := known(op.operands[1])) is not None:
                offset += _ADD[op.name] * number
                value = op.operands[0]
            elif op.name == "arith.addi" and (number := known(op.operands[0])) is not None:
                offset += number
                value = op.operands[1]
            elif op.name == "arith.select" and wraps(op):
                value = op.operands[2]  # an index that counts from the end if it is negative: it then adds nothing here
            else:
                break
        return Place(value, offset)

    @staticmethod
    def of_index(value: Value) -> Place | None:
        """What an index is exactly, if it is a constant, or a loop's counter (or that counted down) and a constant."""
        if is_counter(value):
            return Place(value, 0)
        if isinstance(value, BlockArgument):
            return None
        op = operation(value.owner)
        if op.name == "arith.constant":
            return Place(NONE, number) if (number := known(value)) is not None else None
        if op.name in CASTS:
            return Place.of_index(op.operands[0])
        if op.name in _ADD and (number := known(op.operands[1])) is not None:
            inner = Place.of_index(op.operands[0])
            return None if inner is None else inner.after(_ADD[op.name] * number)
        if op.name == "arith.addi" and (number := known(op.operands[0])) is not None:
            inner = Place.of_index(op.operands[1])
            return None if inner is None else inner.after(number)
        if op.name == "arith.select" and wraps(op):
            inner = Place.of_index(op.operands[2])
            return inner if inner is not None and inner.offset >= 0 else None
        return None

    @staticmethod
    def of_trips(value: Value) -> Place:
        """How often a loop up to `value` runs, if that is not negative."""
        offset = 0
        while not isinstance(value, BlockArgument):
            op = operation(value.owner)
            if op.name == "arith.constant":
                return Place(NONE, offset + (known(value) or 0))
            if op.name == "arith.maxsi" and known(op.operands[1]) == 0 and (not offset or _is_size(op.operands[0])):
                value = op.operands[0]
            elif op.name in _ADD and (number := known(op.operands[1])) is not None:
                offset += _ADD[op.name] * number
                value = op.operands[0]
            elif op.name in CASTS and "i32" not in str(op.operands[0].type):
                value = op.operands[0]
            else:
                break
        return Place(value, offset)

    def after(self, steps: int) -> Place:
        return Place(self.base, self.offset + steps)

    def reaches(self, other: Place) -> bool:
        return self.base == other.base and self.offset >= other.offset


def wraps(select: Operation) -> bool:
    """Whether it is k < 0 ? k + n : k."""
    condition, wrapped, plain = select.operands
    if isinstance(condition, BlockArgument) or isinstance(wrapped, BlockArgument):
        return False
    compare, add = operation(condition.owner), operation(wrapped.owner)
    return (
        compare.name == "arith.cmpi"
        and IntegerAttr(compare.attributes["predicate"]).value == _SLT
        and compare.operands[0] == plain
        and known(compare.operands[1]) == 0
        and add.name == "arith.addi"
        and plain in list(add.operands)
    )


def _is_size(value: Value) -> bool:
    return not isinstance(value, BlockArgument) and operation(value.owner).name == "memref.dim"


def is_counter(value: Value) -> bool:
    """Whether a value is the number of a loop's iteration, or how many are to come: it is never negative, and the loop,
    which goes from 0 by 1, leaves none out up to its end.
    """
    if isinstance(value, BlockArgument):
        loop = operation(value.owner.owner)
        if loop.name != "scf.for" or value.arg_number != 0:
            return False
        return known(loop.operands[0]) == 0 and known(loop.operands[2]) == 1
    op = operation(value.owner)
    if op.name != "arith.subi" or not isinstance(op.operands[1], BlockArgument) or not is_counter(op.operands[1]):
        return False
    last, counter = op.operands
    loop = operation(counter.owner.owner)
    upper = known(loop.operands[1])
    if upper is not None:
        return known(last) == upper - 1
    before = None if isinstance(last, BlockArgument) else operation(last.owner)
    if before is None or before.name not in _ADD or before.operands[0] != loop.operands[1]:
        return False
    step = known(before.operands[1])
    return step is not None and _ADD[before.name] * step == -1


def known(value: Value) -> int | None:
    """The integer that a value is, where an arith.constant says so."""
    if isinstance(value, BlockArgument) or operation(value.owner).name != "arith.constant":
        return None
    attribute = operation(value.owner).attributes["value"]
    return IntegerAttr(attribute).value if isinstance(attribute, IntegerAttr) else None

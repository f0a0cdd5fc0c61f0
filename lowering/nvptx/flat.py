"""Indices that several counters of a nest make up, `a[i * m + j]`: whether other counters surely give other elements.

They do if the counters are the digits of a number: each one's step is larger than all that the smaller ones add up to.
And an index that may count from the end must not, as two numbers would be one element. How large the numbers are is
known at run time: the host computes both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

from mlir.ir import BlockArgument, IndexType, IntegerAttr, Operation, Value

from ..grid.calls import Copier
from ..grid.emit import Emitter, constant, plain

_SLT, _SGT, _SGE = 2, 4, 5
_MOST = 4  # counters of an index: it is computed for each combination of their ends


class Digit(NamedTuple):
    """A counter that an index is made of: the loop's bounds, and by what it is multiplied."""

    counter: Value
    lower: Value
    upper: Value
    factors: tuple[Value, ...]


class Flat(NamedTuple):
    """The condition that an index is another one for other counters. `digits`: the one with the largest steps first;
    `wraps`: negative numbers count from the end.
    """

    index: Value
    digits: tuple[Digit, ...]
    wraps: bool
    is_invariant: Callable[[Value], bool]

    def holds(self, e: Emitter) -> Value:
        """Whether it is so, as a truth value of the host's."""
        index = IndexType.get()
        span, zero, one = e.integer(0), e.integer(0), e.integer(1)
        found: Value | None = None

        def also(condition: Value) -> None:
            nonlocal found
            found = condition if found is None else e.value("arith.andi", [found, condition], condition.type)

        for digit in reversed(self.digits):
            step = e.product([one, *(_index(e, factor) for factor in digit.factors)])
            step = e.value("arith.maxsi", [step, e.value("arith.subi", [zero, step], index)], index)
            also(e.compare(_SGT, step, span))
            room = e.value("arith.subi", [_index(e, digit.upper), _index(e, digit.lower)], index)
            last = e.value("arith.maxsi", [e.value("arith.subi", [room, one], index), zero], index)
            span = e.value("arith.addi", [span, e.value("arith.muli", [step, last], index)], index)
        for ends in product((False, True), repeat=len(self.digits) if self.wraps else 0):
            copier = Copier(e)
            for digit, upper in zip(self.digits, ends, strict=True):
                copier.map[digit.counter] = self._end(e, digit, upper)
            also(e.compare(_SGE, _index(e, self._at(copier, self.index)), zero))
        assert found is not None
        return found

    def _end(self, e: Emitter, digit: Digit, upper: bool) -> Value:
        if not upper:
            return digit.lower
        type_ = digit.upper.type
        return e.value("arith.subi", [digit.upper, e.integer(1, type_)], type_)

    def _at(self, copier: Copier, value: Value) -> Value:
        """A value where the counters are what `copier` says."""
        if value not in copier.map and not self.is_invariant(value):
            op = plain(value.owner)
            for operand in op.operands:
                self._at(copier, operand)
            copier.operation(op)
        return copier.map.get(value, value)


def flat(
    index: Value, digits: list[Digit], counter: Value, wraps: bool, is_invariant: Callable[[Value], bool]
) -> Flat | None:
    """The condition for an index in which `counter` is one of the digits; they are given from the outermost loop in."""
    if len(digits) > _MOST or all(digit.counter != counter for digit in digits):
        return None
    if any(constant(factor) == 0 for digit in digits for factor in digit.factors):
        return None
    return Flat(index, tuple(sorted(digits, key=lambda digit: not digit.factors)), wraps, is_invariant)


def unwrapped(index: Value) -> Value | None:
    """What an index that counts from the end if it is negative is made of."""
    if isinstance(index, BlockArgument) or plain(index.owner).name != "arith.select":
        return None
    condition, other, value = plain(index.owner).operands
    test, more = (None if isinstance(v, BlockArgument) else plain(v.owner) for v in (condition, other))
    if test is None or more is None or more.name != "arith.addi" or value not in list(more.operands):
        return None
    return value if _is_negative(test, value) else None


def _is_negative(test: Operation, value: Value) -> bool:
    return (
        test.name == "arith.cmpi"
        and IntegerAttr(test.attributes["predicate"]).value == _SLT
        and test.operands[0] == value
        and constant(test.operands[1]) == 0
    )


def _index(e: Emitter, value: Value) -> Value:
    index = IndexType.get()
    return value if value.type == index else e.value("arith.index_cast", [value], index)

"""Which iterations of a nest of loops can be done at once: an analysis, of host code over arrays on the device.

Of each counter of a nest it is asked whether iterations that differ in it surely touch other elements of each array
that is written. They do if one index of all accesses is that counter, times a number that does not change in the nest,
plus such a number. Where the number is not known to be other than 0 (the stride of an axis that may be broadcast), the
answer holds on that condition, which is tested at run time; so does that for an index that several counters make up
(see `flat`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mlir.ir import Block, BlockArgument, Operation, Value

from ..grid.emit import constant, home, operations, plain, walk
from .arrays import ELEMENTS, Arrays, launchable
from .flat import Digit, Flat, flat, unwrapped
from .swaps import classes

Condition = frozenset[Value | Flat] | None
"""What must not be 0, or must hold; None: it holds in no case."""


class Axis(NamedTuple):
    """One loop of a nest."""

    counter: Value
    lower: Value
    upper: Value
    step: Value
    apart: Condition  # whether iterations that differ in it can be done at once


class Access(NamedTuple):
    """A load or store of an element."""

    op: Operation
    array: Value
    indices: list[Value]
    writes: bool


class Carried(NamedTuple):
    """A value that a nest carries: it is `combining` of what was carried and of a new value in each iteration."""

    initial: Value
    combining: Operation
    value: Value
    result: Value


class Nest:
    """Loops, each of which does nothing but pure operations, and loads of what does not change, beside the next; `body`
    is what is done in an iteration, apart from combining the values that are carried. `is_sound` says whether it is a
    nest that threads can do, as far as the operations say.
    """

    def __init__(self, loop: Operation, arrays: Arrays, distinct: bool) -> None:
        self.loop, self.arrays, self.distinct = loop, arrays, distinct
        reduces = loop.name == "scf.parallel" and len(loop.results) > 0
        self.is_sound = (
            loop.name in ("scf.for", "scf.parallel")
            and not reduces
            and all(launchable(op) for op in walk(loop) if op != loop)
        )
        if not self.is_sound:
            return
        self.loops = list(self._nested())
        self._blocks = {block for op in walk(loop) for region in op.regions for block in region.blocks}
        self._counters = {_block(outer).arguments[0] for outer in self.loops}
        carried = [_carried(loop, self.loops[-1], number) for number in range(len(loop.results))]
        self.carried = [one for one in carried if one is not None]
        self.is_sound = len(self.carried) == len(carried) and len(_block(loop).arguments) == 1 + len(carried)
        self.body = self.operations()

    def _nested(self) -> Iterator[Operation]:
        """The loops from the outermost in."""
        loop = self.loop
        written = {self.arrays.root(op.operands[1]) for op in walk(loop) if op.name == "memref.store"}
        blocks = {_block(loop)}
        yield loop
        while True:
            *before, end = operations(_block(loop))
            inner = before.pop() if before else end
            if inner.name != "scf.for" or not _hands_on(loop, inner, end):
                return
            for op in before:
                kept = op.name == "memref.load" and self.arrays.root(op.operands[0]) not in written
                if not kept and not _is_pure(op):
                    return
            if any(home(value) in blocks for value in list(inner.operands)[:3]):
                return
            yield inner
            loop = inner
            blocks.add(_block(loop))

    def operations(self) -> list[Operation]:
        """What is done in an iteration, as the nest stands now."""
        aside = [*self.loops, *(one.combining for one in self.carried)]
        return [op for outer in self.loops for op in operations(_block(outer))[:-1] if op not in aside]

    def axes(self, body: list[Operation]) -> list[Axis]:
        """The loops from the outermost in, with what is known of them for the operations of `body`."""
        return self.told_apart(list(self.accesses(body)))

    def told_apart(self, accesses: list[Access]) -> list[Axis]:
        """The loops from the outermost in, with what is known of them for these accesses."""
        made = []
        for loop in self.loops:
            counter = _block(loop).arguments[0]
            apart = frozenset() if loop.name == "scf.parallel" else self._apart(counter, accesses)
            lower, upper, step = list(loop.operands)[:3]
            made.append(Axis(counter, lower, upper, step, apart))
        return made

    def accesses(self, body: list[Operation]) -> Iterator[Access]:
        for op in (inner for outer in body for inner in walk(outer)):
            if op.name in ELEMENTS:
                writes = op.name == "memref.store"
                array, *indices = list(op.operands)[1 if writes else 0 :]
                yield Access(op, array, indices, writes)

    def written(self, accesses: list[Access]) -> dict[Value, list[Access]]:
        """The accesses to each class of arrays that is written."""
        found: dict[Value, list[Access]] = {}
        of = classes([access.array for access in accesses], self.arrays, self.distinct)
        for access in accesses:
            found.setdefault(of[access.array], []).append(access)
        return {root: group for root, group in found.items() if any(access.writes for access in group)}

    def _apart(self, counter: Value, accesses: list[Access]) -> Condition:
        found: frozenset[Value | Flat] = frozenset()
        written = self.written(accesses)
        if written and not self.distinct and len({self.arrays.root(access.array) for access in accesses}) > 1:
            return None
        for root, group in written.items():
            apart = None if self.arrays.is_cell(root) else self._told_apart(counter, group)
            if apart is None:
                return None
            found |= apart
        return found

    def _told_apart(self, counter: Value, group: list[Access]) -> Condition:
        """Whether the elements of one array that are touched are others for each value of the counter."""
        first = group[0]
        if not self._is_invariant(first.array) or any(access.array != first.array for access in group):
            return None
        answers = [
            self._strides(index, counter)
            for axis, index in enumerate(first.indices)
            if all(access.indices[axis] == index for access in group)
        ]
        known = [answer for answer in answers if answer is not None]
        return min(known, key=len) if known else None

    def _strides(self, index: Value, counter: Value) -> Condition:
        """What must hold for an index to be another for each value of the counter, whatever the other counters."""
        inner = unwrapped(index)
        parts = self._linear(index if inner is None else inner)
        if parts is None or counter not in parts:
            return None
        if inner is not None or len(parts) > 1:
            digits = [
                Digit(own, loop.operands[0], loop.operands[1], tuple(parts[own]))
                for loop in self.loops
                if (own := _block(loop).arguments[0]) in parts
            ]
            made = flat(index if inner is None else inner, digits, counter, inner is not None, self._is_invariant)
            return None if made is None else frozenset([made])
        factors = parts[counter]
        if any(constant(factor) == 0 for factor in factors):
            return None
        return frozenset(factor for factor in factors if constant(factor) is None)

    def _linear(self, value: Value) -> dict[Value, list[Value]] | None:
        """The counters that a number is a sum of, each with its factors, beside what does not change; None: it is no
        such sum.
        """
        if value in self._counters:
            return {value: []}
        if self._is_invariant(value) or constant(value) is not None:
            return {}
        if isinstance(value, BlockArgument):
            return None
        op = plain(value.owner)
        if op.name == "arith.index_cast":
            return self._linear(op.operands[0])
        if op.name not in ("arith.addi", "arith.subi", "arith.muli"):
            return None
        a, b = map(self._linear, op.operands)
        if a is None or b is None:
            return None
        if op.name != "arith.muli":
            return None if a.keys() & b.keys() else {**a, **b}
        if a and b:
            return None
        sums, factor = (a, op.operands[1]) if a else (b, op.operands[0])
        if not self._is_invariant(factor) and constant(factor) is None:
            return None
        return {counter: [*factors, factor] for counter, factors in sums.items()}

    def _is_invariant(self, value: Value) -> bool:
        return home(value) not in self._blocks


def _block(loop: Operation) -> Block:
    return loop.regions[0].blocks[0]


def _hands_on(loop: Operation, inner: Operation, end: Operation) -> bool:
    """Whether what a loop carries is what the loop in it carries."""
    given, results = list(_block(loop).arguments)[1:], list(inner.results)
    if given != list(inner.operands)[3:] or results != list(end.operands):
        return False
    return all(_used_once(value) for value in given + results)


def _used_once(value: Value) -> bool:
    return len(list(value.uses)) == 1


COMBINING = frozenset((
    "arith.addf", "arith.mulf", "arith.addi", "arith.muli", "arith.maximumf", "arith.maxnumf", "arith.minimumf",
    "arith.minnumf", "complex.add",
))  # fmt: skip


def _carried(loop: Operation, innermost: Operation, number: int) -> Carried | None:
    """What the nest carries in this place, if it does nothing but combine it."""
    body = _block(innermost)
    argument = body.arguments[1 + number]
    if not _used_once(argument):
        return None
    (use,) = argument.uses
    op = plain(use.owner)
    if op.name not in COMBINING or op.block != body or not _used_once(op.results[0]):
        return None
    if operations(body)[-1].operands[number] != op.results[0]:
        return None
    value = op.operands[1 - use.operand_number]
    return Carried(loop.operands[3 + number], op, value, loop.results[number])


def _is_pure(op: Operation) -> bool:
    return not op.regions and op.name.startswith(("arith.", "math.", "complex.", "memref.dim"))

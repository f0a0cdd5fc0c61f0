"""Arrays that a loop passes around, as `u, v = v, u` does, are told by the number of the iteration.

In the normal form such a loop carries no array: at iteration t the array in position j is the one that was in position
σᵗ(j) at the start, and a choice among those by t modulo the length of the cycle is an ordinary op, which the reverse
sweep can run again. What a loop carries it would have to tape, shadows with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir.ir import Block, BlockArgument, IntegerAttr, IntegerType, Operation, Value

from .builder import Builder, is_memref, operation, operations
from .places import known

#: Longer cycles are left alone: they would make long chains of choices.
_LONGEST = 4
_EQ = 0


def cycles(body: Block) -> dict[int, list[int]]:
    """For each position of a memref that the loop with this body passes on in a cycle: the positions whose arrays are
    in it at iterations 0, 1, ... until it starts again.
    """
    carried = list(body.arguments)[1:]
    comes_from: dict[int, int] = {}
    for j, end in enumerate(operations(body)[-1].operands):
        if is_memref(end.type) and isinstance(end, BlockArgument) and end.owner == body and end.arg_number > 0:
            comes_from[j] = end.arg_number - 1
    found: dict[int, list[int]] = {}
    for j in comes_from:
        cycle = [j]
        while comes_from.get(cycle[-1], j) != j and len(cycle) <= _LONGEST:
            cycle.append(comes_from[cycle[-1]])
        if comes_from.get(cycle[-1]) == j and all(carried[i].type == carried[j].type for i in cycle):
            found[j] = cycle
    return found


class Rotation:
    """The arrays of one loop's cycles at an iteration, of which `initial(j)` are the first ones."""

    def __init__(self, b: Builder, found: dict[int, list[int]], initial: Callable[[int], Value]):
        self.b, self.found, self.initial = b, found, initial

    def at(self, iteration: Value) -> dict[int, Value]:
        """By position; the choice is made at the builder's place."""
        b, phases = self.b, {}
        made: dict[int, Value] = {}
        for j, cycle in self.found.items():
            if len(cycle) not in phases:
                phases[len(cycle)] = self._phases(iteration, len(cycle))
            chosen = self.initial(cycle[-1])
            for i, here in zip(cycle[-2::-1], phases[len(cycle)][::-1], strict=True):
                chosen = b.value("arith.select", [here, self.initial(i), chosen], chosen.type)
            made[j] = chosen
        return made

    def _phases(self, iteration: Value, length: int) -> Sequence[Value]:
        """Whether it is the first, second, ... of a cycle; not asked of the last."""
        if length == 1:
            return []
        b = self.b
        phase = b.integer("remui", iteration, b.index(length))
        equal = {"predicate": IntegerAttr.get(IntegerType.get_signless(64), 0)}
        truth = IntegerType.get_signless(1)
        return [b.value("arith.cmpi", [phase, b.index(k)], truth, equal) for k in range(length - 1)]


def even_number(condition: Value) -> Value | None:
    """The number of which a condition says whether it is even; of two arrays, each is chosen by that."""
    compare = None if isinstance(condition, BlockArgument) else operation(condition.owner)
    if compare is None or compare.name != "arith.cmpi" or known(compare.operands[1]) != 0:
        return None
    rest = compare.operands[0]
    if IntegerAttr(compare.attributes["predicate"]).value != _EQ or isinstance(rest, BlockArgument):
        return None
    phase = operation(rest.owner)
    return phase.operands[0] if phase.name == "arith.remui" and known(phase.operands[1]) == 2 else None


def other_choice(choice: Operation) -> Value | None:
    """What an op that chooses one of two arrays leaves, where that is chosen too."""
    condition, first, second = choice.operands
    for use in condition.uses:
        other = operation(use.owner)
        if other.name == "arith.select" and list(other.operands) == [condition, second, first]:
            return other.results[0]
    return None

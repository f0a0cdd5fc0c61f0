"""Cells of memory that an innermost loop adds to in each iteration, in registers while it runs.

Takes functions whose derivatives have been made and cleaned. A cell whose indices do not change in the loop, and to
which nothing is done but to add to it, becomes a number that the loop carries: it is loaded before the first iteration
and stored behind the last one, and not touched if there is none. So LLVM sees a sum where it saw that each iteration
waits for what the one before has stored. All else that the loop does to memory must be known to leave the cell alone:
it is done to other memory, or to cells of which an index is another one in each iteration. Of pairs,

    for i in range(n):
        for j in range(i):      # cell i stays, and no j is i

the reverse adds to cell i and to cell j of one array. The order of the additions stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import BlockArgument, Operation, Value

from .affine import Form, Product, add, multiply
from .builder import Builder, home, operation, operations, walk
from .copier import Within
from .objects import Objects, surely_apart
from .places import CASTS, known
from .plan import pure
from .reverse_loops import added_by, is_innermost, rebuild_where_it_runs, run_by_several

Indices = tuple[frozenset[tuple[Product, int]], ...]


def keep_staying_cells(function: Operation) -> None:
    """Rewrite the innermost loops of `function` in place."""
    loops = [op for op in walk(function) if op.name == "scf.for" and is_innermost(op) and not run_by_several(op)]
    if not loops:
        return
    objects = Objects(function)
    for loop in loops:
        _Loop(loop, objects).settle()


@dataclass
class _Access:
    op: Operation
    memref: Value
    indices: list[Value]
    forms: list[Form] = field(default_factory=list)

    @property
    def is_load(self) -> bool:
        return self.op.name == "memref.load"


class _Loop:
    def __init__(self, loop: Operation, objects: Objects):
        self.loop, self.objects = loop, objects
        self.body = loop.regions[0].blocks[0]
        self.lower, self.upper, step = list(loop.operands)[:3]
        self.unit = known(step) == 1
        #: What is known to be the same wherever an iteration runs.
        self.same: dict[Value, Form] = {}

    def settle(self) -> None:
        accesses = self._accesses() if self.unit else None
        if not accesses:
            return
        self._assume_iterations()
        for access in accesses:
            access.forms = [self._form(index) for index in access.indices]
        cells: dict[tuple[Value, Indices], list[_Access]] = {}
        for access in accesses:
            if all(home(value) != self.body for value in (access.memref, *access.indices)):
                key = access.memref, tuple(frozenset(form.items()) for form in access.forms)
                cells.setdefault(key, []).append(access)
        kept = [cell for cell in cells.values() if _is_sum(cell) and all(self._leaves(a, cell) for a in accesses)]
        if kept:
            rebuild_where_it_runs(self.loop, lambda b, inits: self._carrying(b, kept, inits))

    def _accesses(self) -> list[_Access] | None:
        """All accesses; None if the loop does anything else to memory."""
        found = []
        for op in operations(self.body)[:-1]:
            if op.name in ("memref.load", "memref.store"):
                memref, *indices = list(op.operands)[0 if op.name == "memref.load" else 1 :]
                found.append(_Access(op, memref, indices))
            elif not pure(op):
                return None
        return found

    # what an index is ---------------------------------------------------------------------------------------------
    def _assume_iterations(self) -> None:
        """Where a loop up to max(n, 0) has an iteration, that is n."""
        trips = add(self._form(self.upper), self._form(self.lower), -1)
        constant = trips.pop((), 0)
        if len(trips) != 1 or constant > 0:
            return
        ((product, coefficient),) = trips.items()
        if coefficient != 1 or len(product) != 1:
            return
        value = product[0][1]
        if isinstance(value, Value) and not isinstance(value, BlockArgument):
            op = operation(value.owner)
            if op.name == "arith.maxsi" and known(op.operands[1]) == 0:
                self.same[value] = self._form(op.operands[0])

    def _form(self, value: Value) -> Form:
        """An index as a sum of multiples of other numbers."""
        number = known(value)
        if number is not None:
            return {(): number} if number else {}
        if value in self.same:
            return self.same[value]
        if not isinstance(value, BlockArgument):
            op = operation(value.owner)
            if op.name in CASTS:
                return self._form(op.operands[0])
            if op.name in ("arith.addi", "arith.subi"):
                one, other = map(self._form, op.operands)
                return add(one, other, -1 if op.name == "arith.subi" else 1)
            if op.name == "arith.muli" and any(known(o) is not None for o in op.operands):
                one, other = map(self._form, op.operands)
                return multiply(one, other)
        return {(("same", value),): 1}

    def _leaves(self, access: _Access, cell: list[_Access]) -> bool:
        """Whether an access is one of the cell's, or known never to be to the cell."""
        if any(access.op == own.op for own in cell):
            return True
        first = cell[0]
        if access.memref != first.memref:
            return surely_apart(access.memref, first.memref, self.body, self.objects)
        return any(self._differs(add(a, b, -1)) for a, b in zip(access.forms, first.forms, strict=True))

    def _differs(self, difference: Form) -> bool:
        """Whether the difference of two indices, of which one stays, is in no iteration 0."""
        counter = (("same", self.body.arguments[0]),)
        slope = difference.get(counter, 0)
        ends = [self._form(self.lower), add(self._form(self.upper), {(): 1}, -1)]
        if slope < 0:
            ends.reverse()
        rest = {p: c for p, c in difference.items() if p != counter}
        least, most = (add(rest, multiply({(): slope}, end)) if slope else rest for end in ends)
        return (least.keys() == {()} and least[()] > 0) or (most.keys() == {()} and most[()] < 0)

    # the loop -----------------------------------------------------------------------------------------------------
    def _carrying(self, b: Builder, cells: list[list[_Access]], inits: list[Value]) -> list[Value]:
        begun = [b.load(cell[0].memref, cell[0].indices) for cell in cells]
        body = b.for_loop(self.lower, self.upper, self.loop.operands[2], [*inits, *begun])
        number = {access.op: k for k, cell in enumerate(cells) for access in cell}
        sums = list(body.arguments)[1 + len(inits) :]
        copier = Within(b)
        copier.map.update(zip(self.body.arguments, body.arguments))
        with b.at(body):
            ops = operations(self.body)
            for op in ops[:-1]:
                k = number.get(op)
                if k is None:
                    copier.operation(op)
                elif op.name == "memref.load":
                    copier.map[op.results[0]] = sums[k]
                else:
                    sums[k] = copier.value(op.operands[0])
            b.op("scf.yield", [*copier.values(ops[-1].operands), *sums])
        results = list(operation(body.owner).results)
        for cell, found in zip(cells, results[len(inits) :], strict=True):
            b.store(found, cell[0].memref, cell[0].indices)
        return results[: len(inits)]


def _is_sum(cell: list[_Access]) -> bool:
    """Whether a cell's accesses are additions to it, one after the other."""
    pairs = list(zip(cell[::2], cell[1::2]))
    return len(cell) % 2 == 0 and all(
        load.is_load and not store.is_load and added_by(load.op, store.op) is not None for load, store in pairs
    )

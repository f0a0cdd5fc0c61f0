"""What of a loop's body is the same in all iterations of a strip, what grows steadily from one to the next, and what
does neither.

The *step* of a value is by how much it grows from one iteration of the strip to the next: 0 for what is the same in
all, a whole number for an integer that grows steadily, None for the rest. Private memory is *wide* if iterations may
have different values in it. Both are found together, from the assumption that all is the same until something shows
that it is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import TypeAlias

from mlir.ir import (
    Block,
    F32Type,
    F64Type,
    FlatSymbolRefAttr,
    IndexType,
    IntegerType,
    MemRefType,
    Operation,
    Type,
    Value,
)

from ..grid.emit import constant, home, operations, plain, walk
from ..vector_math import signature
from .memory import ALLOCATIONS, CASTS, Memory, array_and_indices, is_long
from .stacks import Stacks

Step: TypeAlias = "int | None"
# No larger step is kept, so that lanes are numbered without an overflow.
_LARGE = 1 << 32
# Integer divisions, and what is lowered to them: by zero they end the process.
_TRAPS = ("arith.divsi", "arith.divui", "arith.rems", "arith.remu", "arith.floordiv", "arith.ceildiv", "math.ipowi")
#: Elements of a piece of private memory: there are as many pieces as lanes, and they should stay in the cache.
SMALL = 1 << 12
# Operations of a branch whose both sides are computed for all iterations.
_FEW = 12


class Unfit(Exception):
    """The loop has something that is not done in strips."""


class Shapes:
    """The steps of all values in the loop's body. Raises Unfit."""

    def __init__(self, loop: Operation, memory: Memory, stacks: Stacks, combining: Iterable[Operation]):
        self.memory, self.stacks, self._loop = memory, stacks, loop
        self.wide: set[Value] = set()
        #: Operations with regions that each iteration of a strip runs by itself, one after the other.
        self.serial: set[Operation] = set()
        #: Memory that they allocate.
        self.inside_serial: set[Value] = set()
        #: Branches, in loops in lockstep, of which each side is done in the lanes that go there.
        self.masked: set[Operation] = set()
        self._skipped = memory.folded | set(combining)
        self._step: dict[Value, Step] = {loop.regions[0].blocks[0].arguments[0]: 1}
        self._blocks = {
            block for op in walk(loop) if len(op.regions) for region in op.regions for block in region.blocks
        }
        self._changed = True
        while self._changed:
            self._changed = False
            self._block(loop.regions[0].blocks[0], [])
        for value, step in self._step.items():
            if step is None and not is_element(value.type):
                raise Unfit(f"{value.type}")
        for array in self.wide:
            element = MemRefType(array.type).element_type
            if not is_element(element) or element == IntegerType.get_signless(1):
                raise Unfit(f"private memory of {element}")

    def step(self, value: Value) -> Step:
        return self._step.get(value, 0)

    def uniform(self, values: Iterable[Value]) -> bool:
        return all(self.step(value) == 0 for value in values)

    def skipped(self, op: Operation) -> bool:
        """Whether an operation is done together with another one: an addition's, or what the loop carries."""
        return op in self._skipped or self.stacks.is_apart(op)

    def contiguous(self, array: Value, indices: list[Value]) -> int:
        """1 or -1 where the elements of a strip lie side by side, forwards or backwards; else 0."""
        if not indices or not self.uniform(indices[:-1]):
            return 0
        type_ = MemRefType(array.type)
        step = self.step(indices[-1])
        whole = type_.element_type != IntegerType.get_signless(1) and type_.get_strides_and_offset()[0][-1] == 1
        return step if whole and step in (1, -1) else 0

    # finding them -----------------------------------------------------------------------------------------------------
    def _set(self, value: Value, step: Step) -> None:
        if value not in self._step:
            self._step[value] = step
            self._changed = True
        elif self._step[value] is not None and self._step[value] != step:
            self._step[value] = None
            self._changed = True

    def _join(self, value: Value, *others: Value) -> None:
        """The step of a value that is one of the others, whichever, but the same one in all iterations."""
        known = [self._step[o] if home(o) in self._blocks else 0 for o in others if self._is_known(o)]
        if known:
            self._set(value, known[0] if all(step == known[0] for step in known) else None)

    def _is_known(self, value: Value) -> bool:
        return value in self._step or home(value) not in self._blocks

    def _block(self, block: Block, branches: list[Operation]) -> None:
        """`branches`: those around, that iterations of a strip may take differently."""
        for op in operations(block)[:-1]:
            if not self.skipped(op):
                self._operation(op, branches)

    def _operation(self, op: Operation, branches: list[Operation]) -> None:
        name = op.name
        if self.stacks.concerns(op):
            self._stack(op, branches)
        elif name == "scf.for":
            self._for(op, branches)
        elif name == "scf.if":
            self._if(op, branches)
        elif name == "scf.while" and self.in_lockstep(op):
            self._while(op, branches)
        elif name == "scf.while":
            self._serial(op)
        elif name == "memref.load":
            array, indices = array_and_indices(op)
            self._set(op.results[0], 0 if array not in self.wide and self.uniform(indices) else None)
        elif name == "memref.store":
            self._store(op, branches)
        elif name in ALLOCATIONS:
            if any(home(extent) in self._blocks for extent in op.operands) or not _is_small(op.results[0].type):
                raise Unfit(f"{name} of an extent that is not known before the loop, or large")
            self._set(op.results[0], 0)
        elif name == "memref.dim":
            if not self.uniform(op.operands):
                raise Unfit(f"{name} of an axis that varies")
            self._set(op.results[0], 0)
        elif name.startswith(("arith.", "math.")) or (name == "func.call" and _is_pure_call(op)):
            for result in op.results:
                self._set(result, self._combined(op))
        else:
            raise Unfit(name)

    def _combined(self, op: Operation) -> Step:
        step = self._grown(op)
        return step if step is None or abs(step) < _LARGE else None

    def _grown(self, op: Operation) -> Step:
        steps = [self.step(operand) for operand in op.operands]
        if all(step == 0 for step in steps):
            return 0
        if None in steps or len(op.results) != 1 or not all(map(_is_long_integer, (*op.operands, *op.results))):
            return None
        name = op.name
        if name in ("arith.addi", "arith.subi"):
            return steps[0] + (steps[1] if name == "arith.addi" else -steps[1])  # type: ignore[operator]
        if name == "arith.muli":
            for factor, other in ((0, 1), (1, 0)):
                number = constant(op.operands[factor])
                if number is not None:
                    return number * steps[other]  # type: ignore[operator]
        if name in CASTS:
            return steps[0]
        return None

    def _store(self, op: Operation, branches: list[Operation]) -> None:
        array, indices = array_and_indices(op)
        if array not in self.memory.private or array in self.wide:
            return
        apart = any(not _is_inside(plain(array.owner), branch) for branch in branches)
        if apart or not self.uniform([op.operands[0], *indices]):
            self.wide.add(array)
            self._changed = True

    def _stack(self, op: Operation, branches: list[Operation]) -> None:
        if branches and branches[0].name == "scf.if":
            raise Unfit("a stack in a branch that iterations may take differently")
        for result in op.results:
            self._set(result, None if self.stacks.is_access(op) else 0)

    def _for(self, op: Operation, branches: list[Operation]) -> None:
        if not self.uniform(list(op.operands)[:3]):
            if self.counts(op) and self.in_lockstep(op):
                self._each_so_often(op, branches)
            else:
                self._serial(op)
            return
        body = op.regions[0].blocks[0]
        counter, *carried = body.arguments
        self._set(counter, 0)
        ends = list(operations(body)[-1].operands)
        for argument, start, end in zip(carried, list(op.operands)[3:], ends, strict=True):
            self._join(argument, start, end)
        self._block(body, branches)
        for result, argument, end in zip(op.results, carried, ends, strict=True):
            self._join(argument, argument, end)
            self._join(result, argument)

    def _if(self, op: Operation, branches: list[Operation]) -> None:
        blocks = [block for region in op.regions for block in region.blocks]
        same = self.step(op.operands[0]) == 0
        for block in blocks:
            self._block(block, branches if same else [*branches, op])
        for number, result in enumerate(op.results):
            if same:
                self._join(result, *(operations(block)[-1].operands[number] for block in blocks))
            else:
                self._set(result, None)
        if not same and any(branch.name != "scf.if" for branch in branches):
            self.masked.add(op)

    def _while(self, op: Operation, branches: list[Operation]) -> None:
        before, after = (region.blocks[0] for region in op.regions)
        for value in (*before.arguments, *after.arguments, *op.results):
            self._set(value, None)
        for block in (before, after):
            self._block(block, [*branches, op])

    def _each_so_often(self, op: Operation, branches: list[Operation]) -> None:
        """A loop with a number of iterations for each lane."""
        body = op.regions[0].blocks[0]
        for value in (*body.arguments, *op.results):
            self._set(value, None)
        self._block(body, [*branches, op])

    def counts(self, op: Operation) -> bool:
        """Whether a loop goes from 0 by 1."""
        lower, _, step = list(op.operands)[:3]
        return (constant(lower), constant(step)) == (0, 1) and "unsignedCmp" not in op.attributes

    def in_lockstep(self, op: Operation) -> bool:
        """Whether all lanes may go on with a loop until the last of them is done: what a lane computes then is dropped,
        and must do no harm. (What comes before the condition of a while loop does not know yet which lanes go on.)
        """
        blocks = [block for region in op.regions for block in region.blocks]
        return all(self._does_no_harm(i, block == blocks[-1]) for block in blocks for i in operations(block))

    def _does_no_harm(self, op: Operation, masked: bool) -> bool:
        if self.skipped(op):
            return True
        if self.stacks.concerns(op):
            return masked
        if op.name in ("scf.for", "scf.while"):
            even = op.name == "scf.while" or self.counts(op) or self.uniform(list(op.operands)[:3])
            return masked and even and self.in_lockstep(op)
        if op.name in ALLOCATIONS:
            return not op.operands and _is_small(op.results[0].type)
        if op.name in ("memref.load", "memref.store"):
            array, indices = array_and_indices(op)
            if array in self.memory.private and array not in self.inside_serial:
                return (masked or op.name == "memref.load") and self.uniform(indices)
            return op.name == "memref.load" or (masked and bool(self.contiguous(array, indices)))
        if op.name == "scf.if":
            sides = [i for region in op.regions for block in region.blocks for i in operations(block)]
            return self.selects(op) or all(self._does_no_harm(i, masked) for i in sides)
        return not _traps(op) and (
            op.name.startswith(("arith.", "math."))
            or op.name in ("scf.condition", "scf.yield")
            or (op.name == "func.call" and _is_pure_call(op))
        )

    def _serial(self, op: Operation) -> None:
        if op not in self.serial:
            self.serial.add(op)
            self._changed = True
        for inner in walk(op):
            if inner.name in ALLOCATIONS:
                self.inside_serial.add(inner.results[0])
            elif self.stacks.concerns(inner):
                raise Unfit("a stack of what iterations do one after the other")
            elif inner.name == "memref.store":
                array = inner.operands[1]
                if array in self.memory.private and array not in self.wide and not _is_inside(plain(array.owner), op):
                    self.wide.add(array)
                    self._changed = True
            elif not _is_known(inner):
                raise Unfit(inner.name)
        for result in op.results:
            self._set(result, None)

    def selects(self, op: Operation) -> bool:
        """Whether both sides of a branch are computed, and one is chosen."""
        inner = [inner for inner in walk(op) if inner != op and inner.name != "scf.yield"]
        return len(inner) <= _FEW and all(
            i.name.startswith(("arith.", "math.", "scf.if")) and not _traps(i) for i in inner
        )


def _traps(op: Operation) -> bool:
    """Whether an operation ends the process for some operands that it may get."""
    if not op.name.startswith(_TRAPS):
        return False
    return op.name == "math.ipowi" or constant(op.operands[1]) in (None, 0, -1)


def _is_long_integer(value: Value) -> bool:
    return isinstance(value.type, (IndexType, IntegerType)) and is_long(value)


def _is_small(type_: Type) -> bool:
    """Whether the extents of private memory that are fixed are small."""
    return prod(extent for extent in MemRefType(type_).shape if extent >= 0) <= SMALL


def is_element(type_: Type) -> bool:
    """Whether vectors of such elements are computed with."""
    return isinstance(type_, (F32Type, F64Type, IndexType, IntegerType))


def _is_pure_call(op: Operation) -> bool:
    """A call of one of the C library's functions."""
    return signature(FlatSymbolRefAttr(op.attributes["callee"]).value) is not None


def _is_known(op: Operation) -> bool:
    if op.name == "func.call":
        return _is_pure_call(op)
    return op.name.startswith(("arith.", "math.", "scf.", "complex.", "memref."))


def _is_inside(op: Operation, outer: Operation) -> bool:
    return any(inner == op for inner in walk(outer))

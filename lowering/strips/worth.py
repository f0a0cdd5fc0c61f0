"""Whether strips pay: an estimate of what a strip of iterations costs, one by one and side by side.

One by one, LLVM vectorises the innermost loops that go through memory in a row, and adds up in order what has to be.
Costs are in instructions, roughly; trip counts that are not known are taken to be small.
"""

from __future__ import annotations

from mlir.ir import Block, BlockArgument, FloatType, Operation, Value, VectorType

from ..expand import LIBM
from ..grid.emit import constant, operations, plain, walk
from .memory import ALLOCATIONS, Memory, Steady, array_and_indices, is_free
from .packs import Pack
from .shapes import Shapes
from .stacks import Stacks

# Strips must be this much better: they take code.
_MARGIN = 1.25
_TRIPS = 16
# In lockstep, all lanes take as long as the slowest one.
_SLOWEST = 1.5
_CALL, _DIVISION, _WAIT = 12.0, 4.0, 3.0
# To ask at which rows of a stack the lanes are.
_STACK = 3.0
_DIVISIONS = ("arith.div", "arith.rem", "math.sqrt", "math.rsqrt")


def pays(loop: Operation, shapes: Shapes, memory: Memory, packed: list[Pack], lanes: int, any_order: bool) -> bool:
    """Whether to run `loop` in strips of so many iterations."""
    body = loop.regions[0].blocks[0]
    apart = lanes * _Apart(lanes, any_order, shapes.stacks).block(body)
    beside = _Beside(shapes, memory, packed, lanes, _Apart(lanes, any_order, shapes.stacks))
    return _MARGIN * beside.block(body) < apart


class _Apart:
    """The cost of one iteration."""

    def __init__(self, lanes: int, any_order: bool, stacks: Stacks):
        self._lanes, self._any_order, self._stacks = lanes, any_order, stacks

    def block(self, block: Block, inner: Steady | None = None, gain: float = 1) -> float:
        """`inner`: of the innermost loop that this is in, if it is vectorised, with what it gains by that."""
        return sum(self.operation(op, inner, gain) for op in operations(block)[:-1])

    def operation(self, op: Operation, inner: Steady | None = None, gain: float = 1) -> float:
        if op in self._stacks.growths:
            return 1
        if op.name == "scf.for":
            body = op.regions[0].blocks[0]
            vectorised = not _has_loops(op) and self._is_vectorised(op)
            gain = self._gain(op) if vectorised else 1
            return _trips(op) * (self._waits(op) + self.block(body, Steady(op) if vectorised else None, gain))
        if op.regions:
            sides = [self.block(block, inner, gain) for region in op.regions for block in region.blocks]
            return _TRIPS * sum(sides) if op.name == "scf.while" else max(sides, default=0)
        if inner is not None and op.name in ("memref.load", "memref.store"):
            _, indices = array_and_indices(op)
            steps = [_step(index, inner) for index in indices]
            if any(steps[:-1]) or (steps and steps[-1] not in (0, 1, -1)):
                return 2.0
        return _instructions(op) / gain

    def _gain(self, loop: Operation) -> float:
        """How much faster a vectorised loop is: whole vectors of its iterations have to come together."""
        trips = known_trips(loop)
        if trips is None:
            return self._lanes**0.5
        return 1.0 if trips < self._lanes else 0.7 * self._lanes if trips >= 8 * self._lanes else self._lanes**0.5

    def _is_vectorised(self, loop: Operation) -> bool:
        if any(op.name in ("func.call", *ALLOCATIONS) for op in walk(loop)):
            return False
        body = loop.regions[0].blocks[0]
        return all(self._combines(argument, body) for argument in list(body.arguments)[1:])

    def _combines(self, argument: Value, body: Block) -> bool:
        """Whether a value that a loop carries is a sum or the like."""
        uses = list(argument.uses)
        names = ("arith.addf", "arith.addi", "arith.mulf", "arith.maximumf", "arith.minimumf")
        return len(uses) == 1 and plain(uses[0].owner).block == body and plain(uses[0].owner).name in names

    def _waits(self, loop: Operation) -> float:
        """For additions in order, each of which needs the one before."""
        if _has_loops(loop):
            return 0
        found = 0.0
        for argument in list(loop.regions[0].blocks[0].arguments)[1:]:
            for use in argument.uses:
                op = plain(use.owner)
                if op.name == "arith.addf" and not is_free(op, self._any_order):
                    found = _WAIT
        return found


class _Beside:
    """The cost of a strip."""

    def __init__(self, shapes: Shapes, memory: Memory, packed: list[Pack], lanes: int, apart: _Apart):
        self._shapes, self._memory, self._lanes, self._apart = shapes, memory, lanes, apart
        self._packed = {load for pack in packed for load in pack.loads}

    def block(self, block: Block) -> float:
        return sum(self._operation(op) for op in operations(block)[:-1] if not self._shapes.skipped(op))

    def _operation(self, op: Operation) -> float:
        if op in self._shapes.serial:
            return self._one_by_one(op)
        if self._shapes.stacks.concerns(op):
            return _STACK
        if op.name == "scf.for":
            slowest = 1 if self._shapes.uniform([op.operands[1]]) else _SLOWEST
            return slowest * _trips(op) * self.block(op.regions[0].blocks[0])
        if op.name == "scf.while":
            return _SLOWEST * _TRIPS * sum(self.block(region.blocks[0]) + 2 for region in op.regions)
        if op.name == "scf.if":
            sides = [self.block(block) for region in op.regions for block in region.blocks]
            if self._shapes.step(op.operands[0]) == 0:
                return max(sides)
            if self._shapes.selects(op):
                return sum(sides) + len(op.results)
            if op in self._shapes.masked:
                return sum(sides) + 4
            return self._one_by_one(op) if _compares_floats(op.operands[0]) else max(sides) + 4
        if op.name in ("memref.load", "memref.store"):
            return self._access(op)
        if op.name == "func.call":
            return self._lanes * (_CALL + 2)
        return _instructions(op)

    def _one_by_one(self, op: Operation) -> float:
        return self._lanes * (self._apart.operation(op) + 4)

    def _access(self, op: Operation) -> float:
        array, indices = array_and_indices(op)
        uniform = self._shapes.uniform(indices)
        if op in self._memory.additions:
            terms = len(self._memory.additions[op].steps)
            return terms + (2 * (self._lanes.bit_length() - 1) + 2 if uniform else 3 * self._lanes)
        in_a_row = array not in self._shapes.wide and self._shapes.contiguous(array, indices)
        if uniform or in_a_row or op in self._packed:
            return 1
        return 1.5 * self._lanes


def _instructions(op: Operation) -> float:
    if op.name in LIBM or op.name == "func.call":
        return _CALL
    if op.name.startswith(_DIVISIONS):
        return _DIVISION
    if op.name in ("memref.load", "memref.store") or any(_is_float(v) for v in (*op.results, *op.operands)):
        return 1
    return 0.25


def _is_float(value: Value) -> bool:
    type_ = value.type.element_type if isinstance(value.type, VectorType) else value.type
    return isinstance(type_, FloatType)


def _has_loops(op: Operation) -> bool:
    return any(inner.name in ("scf.for", "scf.while") for inner in walk(op) if inner != op)


def known_trips(loop: Operation) -> int | None:
    """How many iterations an scf.for has, where its bounds are constants."""
    lower, upper, step = (constant(v) for v in list(loop.operands)[:3])
    if lower is None or upper is None or not step:
        return None
    return max(0, -((lower - upper) // step))


def _trips(loop: Operation) -> int:
    known = known_trips(loop)
    return _TRIPS if known is None else known


def _step(index: Value, inner: Steady) -> int | None:
    """By how much an index grows from one iteration of the inner loop to the next; None if that is not known."""
    parts = inner.sum(index)
    return None if parts is None else parts.get(inner.counter, 0)


def _compares_floats(condition: Value) -> bool:
    if isinstance(condition, BlockArgument):
        return False
    op = plain(condition.owner)
    if op.name in ("arith.andi", "arith.ori", "arith.xori"):
        return any(map(_compares_floats, op.operands))
    return op.name == "arith.cmpf"

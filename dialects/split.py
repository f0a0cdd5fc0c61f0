"""Split mode: one reverse derivative cut into an augmented primal and a pullback, with the tape between them.

Takes the combined function of a split request, in which `autodiff.turn` stands between the forward and the reverse
sweep. The tapes of launches become buffers of the host first, whose sizes are counted where they have to be
(launch_memory). Leaves two functions:
- `@name.augment`: the primal arguments and shadows → the primal results, then the tape;
- `@name.pullback`: the same arguments, the seeds, then the tape → the gradients.
The tape is what the reverse sweep uses of the forward sweep: numbers, buffers, and caches. What follows by pure ops
from the arguments and the tape is computed again. A buffer crosses as itself where it has one name; everything else
that is no number (a memref that a loop carried, a vector) crosses on a cache, so that no two values of the tape are
the same memory. Of array arguments that may be overwritten in between, `Stability` has had every value taped that is
read again. Who frees the tape's memory: see tape_memory.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import (
    Block,
    ComplexType,
    FloatType,
    FunctionType,
    IndexType,
    InsertionPoint,
    IntegerType,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    Value,
)

from .builder import Builder, operation, operations, walk
from .caches import cache_type, lower_cache, lower_caches
from .copier import Copier, Within
from .launch_memory import place_memory
from .objects import ALLOCATIONS
from .plan import pure
from .request import Request
from .tape_memory import TapeMemory

TURN = "autodiff.turn"


@dataclass(frozen=True)
class Tape:
    """What crosses from one half to the other, and so how the caller must treat it."""

    #: The types of what @name.augment gives last, and @name.pullback takes last.
    types: tuple[str, ...] = ()
    #: The place of the list of blocks that are freed with the tape (its count is the next), None if there is none.
    blocks: int | None = None
    #: Whether memory of arguments, or of their shadows, may be on the tape: the pullback then takes the very same ones.
    keeps_arguments: bool = False


def split(function: Operation, request: Request) -> Tape:
    """Cut `function` in two (and erase it)."""
    place_memory(function)
    parts = _Parts(function, request)
    memory = TapeMemory(function, parts.forward)
    for value in parts.crossing()[0]:
        if not _is_number(value.type):
            memory.take(value)
    builder = Builder(InsertionPoint(parts.turn), function.location)
    blocks = memory.manage(builder)
    parts = _Parts(function, request)
    crossing, again = parts.crossing()
    parts.hand_over(builder, [v for v in crossing if not _is_number(v.type) and not memory.has_one_name(v)], again)

    parts = _Parts(function, request)
    held = set(parts.crossing(repeat=False)[0])
    cells = lower_cache(blocks, None) if blocks is not None else []

    def end(init: Operation) -> Operation | None:
        if init not in parts.forward:
            return operations(init.block)[-1]
        return None if init.results[0] in held else parts.turn

    lower_caches(function, end)
    parts = _Parts(function, request)
    crossing = [v for v in parts.crossing(repeat=False)[0] if v not in cells]
    tape = Tape(tuple(str(v.type) for v in crossing + cells), len(crossing) if cells else None, memory.keeps_arguments)
    parts.cut(builder, StringAttr(function.attributes["sym_name"]).value, crossing + cells, memory)
    function.erase()
    return tape


class _Parts:
    """The forward sweep, the op between the two, and the reverse sweep of a combined function, as they are now."""

    def __init__(self, function: Operation, request: Request):
        self.function = function
        self.block: Block = function.regions[0].blocks[0]
        ops = operations(self.block)
        turn = next(i for i, op in enumerate(ops) if op.name == TURN)
        self.forward, self.turn, self.reverse, self.last = ops[:turn], ops[turn], ops[turn + 1 : -1], ops[-1]
        returned = list(self.last.operands)
        self.primal = len(returned) - request.activity.count("active")
        self.seeds = sum(request.width if k == "duplicated" else 1 for k in request.returns if k != "const")

    @property
    def results(self) -> list[Value]:
        return list(self.last.operands)[: self.primal]

    @property
    def gradients(self) -> list[Value]:
        return list(self.last.operands)[self.primal :]

    def crossing(self, repeat: bool = True) -> tuple[list[Value], set[Operation]]:
        """The values of the forward sweep to hand over to the reverse sweep, and the ops to run again there."""
        made = {r for op in self.forward for r in op.results}
        found: dict[Value, None] = {}
        again: set[Operation] = set()
        done: set[Value] = set()
        todo = [v for op in self.reverse for inner in walk(op) for v in inner.operands] + self.gradients
        while todo:
            value = todo.pop()
            if value not in made or value in done:
                continue
            done.add(value)
            op = operation(value.owner)
            if repeat and _repeatable(op):
                again.add(op)
                todo += op.operands
            else:
                found.setdefault(value)
        return list(found), again

    def hand_over(self, builder: Builder, by_cache: list[Value], again: set[Operation]) -> None:
        """Put values on caches and take them from there, and repeat ops, so that the reverse sweep uses its own."""
        copier = Within(builder)
        with builder.at(InsertionPoint.at_block_begin(self.block)):
            caches = [builder.value("autodiff.init", [], cache_type(value.type)) for value in by_cache]
        with builder.at(InsertionPoint(self.turn)):
            for cache, value in zip(caches, by_cache, strict=True):
                builder.op("autodiff.push", [cache, value])
        following = self.reverse[0] if self.reverse else self.last
        with builder.at(InsertionPoint(following)):
            for cache, value in zip(caches, by_cache, strict=True):
                copier.map[value] = builder.value("autodiff.pop", [cache], value.type)
            for op in self.forward:
                if op in again:
                    copier.operation(op)
        for op in [inner for outer in self.reverse for inner in walk(outer)]:
            for i, operand in enumerate(op.operands):
                if operand in copier.map:
                    op.operands[i] = copier.map[operand]
        for i, gradient in enumerate(self.gradients):
            if gradient in copier.map:
                self.last.operands[self.primal + i] = copier.map[gradient]

    def cut(self, builder: Builder, name: str, tape: list[Value], memory: TapeMemory) -> None:
        """Write the two functions before this one."""
        arguments = list(self.block.arguments)
        inputs = [a.type for a in arguments]
        kept = len(inputs) - self.seeds
        outer = InsertionPoint(self.function)
        with builder.at(outer):
            first = _Half(builder, f"{name}.augment", inputs[:kept], [v.type for v in [*self.results, *tape]])
            first.map.update(zip(arguments[:kept], first.body.arguments, strict=True))
            with builder.at(first.body):
                for op in self.forward:
                    first.operation(op)
                primal = [memory.result(builder, v, first.value(v)) for v in self.results]
                builder.op("func.return", [*primal, *first.values(tape)])
        with builder.at(outer):
            types = [v.type for v in tape]
            second = _Half(builder, f"{name}.pullback", inputs + types, [g.type for g in self.gradients])
            second.map.update(zip([*arguments, *tape], second.body.arguments, strict=True))
            with builder.at(second.body):
                for op in self.reverse:
                    second.operation(op)
                builder.op("func.return", second.values(self.gradients))


class _Half(Copier):
    """One of the two functions, to be filled."""

    def __init__(self, builder: Builder, name: str, inputs: list[Type], outputs: list[Type]):
        super().__init__(builder)
        attributes = {
            "sym_name": StringAttr.get(name),
            "sym_visibility": StringAttr.get("public"),
            "function_type": TypeAttr.get(FunctionType.get(inputs, outputs)),
        }
        made = builder.op("func.func", [], [], attributes, regions=1)
        self.body: Block = made.regions[0].blocks.append(*inputs, arg_locs=[builder.loc] * len(inputs))


def _is_number(type_: Type) -> bool:
    return isinstance(type_, (FloatType, IntegerType, IndexType, ComplexType))


def _repeatable(op: Operation) -> bool:
    """Whether the pullback can run `op` again: a pure op, which depends on arguments and on the tape alone."""
    return not op.regions and pure(op) and op.name not in ALLOCATIONS

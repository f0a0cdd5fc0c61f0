"""Split mode: one reverse derivative cut into an augmented primal and a pullback, with the tape between them.

Takes the combined function of a split request, in which `autodiff.turn` stands between the forward and the reverse
sweep. Leaves two functions:
- `@name.augment`: the primal arguments and shadows → the primal results, then the tape;
- `@name.pullback`: the same arguments, the seeds, then the tape → the gradients.
The tape is what the reverse sweep uses of the forward sweep: scalars and buffers. What follows by pure ops from the
arguments and the tape is computed again. Of array arguments that may be overwritten in between, `Stability` has had
every value taped that is read again.
"""

from __future__ import annotations

from mlir.ir import Block, BlockArgument, FunctionType, InsertionPoint, Operation, StringAttr, Type, TypeAttr, Value

from .builder import Builder, is_memref, operation, operations, walk
from .copier import Copier
from .errors import refuse
from .objects import ALLOCATIONS, chain
from .plan import pure
from .request import Request

TURN = "autodiff.turn"


def split(function: Operation, request: Request) -> list[str]:
    """Cut `function` in two (and erase it). Returns the types on the tape."""
    block = function.regions[0].blocks[0]
    ops = operations(block)
    turn = next(i for i, op in enumerate(ops) if op.name == TURN)
    forward, reverse, last = ops[:turn], ops[turn + 1 : -1], ops[-1]
    inputs = [a.type for a in block.arguments]
    seeds = sum(1 for kind in request.returns if kind == "active")
    results = list(last.operands)
    primal_results = len(results) - request.activity.count("active")
    crossing, again = _crossing(block, forward, reverse, results[primal_results:])
    _refuse_shared(forward, reverse, crossing)
    name = StringAttr(function.attributes["sym_name"]).value
    builder = Builder(InsertionPoint(function), function.location)
    tape = [value.type for value in crossing]

    kept = len(inputs) - seeds
    first = _Half(builder, f"{name}.augment", inputs[:kept], [r.type for r in results[:primal_results]] + tape)
    first.map.update(zip(list(block.arguments)[:kept], first.body.arguments, strict=True))
    with builder.at(first.body):
        for op in forward:
            first.operation(op)
        builder.op("func.return", first.values([*results[:primal_results], *crossing]))

    second = _Half(builder, f"{name}.pullback", inputs + tape, [r.type for r in results[primal_results:]])
    arguments = list(second.body.arguments)
    second.map.update(zip(block.arguments, arguments[: len(inputs)], strict=True))
    second.map.update(zip(crossing, arguments[len(inputs) :], strict=True))
    with builder.at(second.body):
        for op in forward:
            if op in again:
                second.operation(op)
        for op in reverse:
            second.operation(op)
        builder.op("func.return", second.values(results[primal_results:]))
    function.erase()
    return [str(type_) for type_ in tape]


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


def _crossing(
    block: Block, forward: list[Operation], reverse: list[Operation], gradients: list[Value]
) -> tuple[list[Value], set[Operation]]:
    """The values of the forward sweep to hand over to the reverse sweep, and the ops that the pullback runs again."""
    made = {r for op in forward for r in op.results}
    found: dict[Value, None] = {}
    again: set[Operation] = set()
    done: set[Value] = set()
    todo = [v for op in reverse for inner in walk(op) for v in inner.operands] + gradients
    while todo:
        value = todo.pop()
        if value not in made or value in done:
            continue
        done.add(value)
        op = operation(value.owner)
        if _repeatable(op):
            again.add(op)
            todo += op.operands
        else:
            found.setdefault(value)
    return list(found), again


def _repeatable(op: Operation) -> bool:
    """Whether the pullback can run `op` again: a pure op, which depends on arguments and on the tape alone."""
    return not op.regions and pure(op) and op.name not in ALLOCATIONS


def _refuse_shared(forward: list[Operation], reverse: list[Operation], crossing: list[Value]) -> None:
    """A buffer that is reached under two names cannot be handed over as two."""
    mine = set(forward)
    for op in reverse:
        for inner in walk(op):
            if inner.name == "memref.dealloc":
                root, _ = chain(inner.operands[0])
                if not isinstance(root, BlockArgument) and operation(root.owner) in mine:
                    raise refuse(inner, _SHARED, _REMEDY)
    for value in crossing:
        if is_memref(value.type):
            root, _ = chain(value)
            if isinstance(root, BlockArgument) or operation(root.owner).name not in ALLOCATIONS:
                raise refuse(operation(value.owner), _SHARED, _REMEDY)


_SHARED = "split mode of a function whose loops or branches carry local arrays is not supported"
_REMEDY = "use combined reverse mode, or pass the arrays as Duplicated arguments"

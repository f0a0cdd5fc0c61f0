"""Where threads have to wait for each other, and the pieces of code between: the plan that `fission` emits.

Takes a launch's body; leaves a tree. A `Body` is a list of items: a `Run`, operations that a thread does without
waiting; a `Meeting`, where all threads wait; a `Nest`, a loop or branch with meetings inside. There are two levels:
the threads of a block, which meet at barriers, and those of a warp, which meet at shuffles and votes. A stretch of code
with meetings of warps only is a `Warps` item of the block's level, with a body of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import Block, BlockArgument, Operation, Value

from ..errors import LoweringError, position
from .divergence import BARRIERS, EXCHANGES, NESTS, around, differing, refuse_divergent
from .emit import operations, plain

BLOCK, WARP = "block", "warp"


@dataclass(eq=False)
class Run:
    """Operations that each thread does by itself."""

    ops: list[Operation] = field(default_factory=list)
    #: The end of the block, whose operands are computed in this run.
    end: Operation | None = None


@dataclass(eq=False)
class Meeting:
    """A barrier, or an exchange within a warp."""

    op: Operation


@dataclass(eq=False)
class Nest:
    """A loop or branch in which threads meet: all go the same way through it."""

    op: Operation
    bodies: list[Body]


@dataclass(eq=False)
class Warps:
    """Code in which the threads of each warp meet."""

    body: Body


@dataclass(eq=False)
class Body:
    items: list[Run | Meeting | Nest | Warps]
    level: str


class Regions:
    """The plan of one launch, and questions about where things are in it."""

    def __init__(self, launch: Operation):
        self.launch = launch
        block = launch.regions[0].blocks[0]
        self._meets = {BLOCK: around(launch, BARRIERS), WARP: around(launch, EXCHANGES)}
        #: Where each operation that the plan names stands; an operation nested in one of a run is not named.
        self.place: dict[Operation, Run | Meeting | Nest | Warps] = {}
        refuse_divergent(launch)
        #: What differs between threads, where it can be seen, and some of them exchange values.
        self.differing = differing(launch) if self._meets[WARP] else frozenset()
        self.body = self._body(operations(block), BLOCK)

    def around(self, op: Operation) -> Run | Meeting | Nest | Warps:
        """The item that `op` stands in, or inside an operation of."""
        while op not in self.place:
            op = plain(op.parent)
        return self.place[op]

    def crosses(self, value: Value) -> bool:
        """Whether a value, the result of an operation that the plan names, is used in another run than its own."""
        here = self.place[plain(value.owner)]
        return any(self.around(plain(use.owner)) is not here for use in value.uses)

    def _body(self, ops: list[Operation], level: str) -> Body:
        """`ops`, the last of which ends their block (at the level of a warp, only if that is a nest's)."""
        items: list[Run | Meeting | Nest | Warps] = []
        pending: list[Operation] = []

        def flush() -> None:
            if pending:
                items.append(self._stretch(list(pending), level))
                pending.clear()

        end = ops[-1] if ops and ops[-1].name in ("scf.yield", "scf.condition", "gpu.terminator") else None
        for op in ops if end is None else ops[:-1]:
            if op not in self._meets[level]:
                pending.append(op)
                continue
            flush()
            if op.name in BARRIERS | EXCHANGES:
                item: Meeting | Nest = Meeting(op)
            else:
                item = self._nest(op, level)
            self.place[op] = item
            items.append(item)
        flush()
        if end is not None and end.name != "gpu.terminator":
            if not items or not isinstance(items[-1], Run):
                items.append(Run())
            last = items[-1]
            assert isinstance(last, Run)
            last.end = end
            self.place[end] = last
        return Body(items, level)

    def _stretch(self, ops: list[Operation], level: str) -> Run | Warps:
        if level == BLOCK and any(op in self._meets[WARP] for op in ops):
            return Warps(self._body(ops, WARP))
        run = Run(ops)
        self.place.update(dict.fromkeys(ops, run))
        return run

    def _nest(self, op: Operation, level: str) -> Nest:
        if op.name not in NESTS:
            raise LoweringError(f"threads wait for each other inside {op.name}", position(op.location), "use scf.if")
        return Nest(op, [self._body(operations(block), level) for region in op.regions for block in region.blocks])


def is_argument_of(value: Value, block: Block) -> bool:
    return isinstance(value, BlockArgument) and value.owner == block

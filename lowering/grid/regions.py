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
from .coordinates import OF_THREAD
from .emit import operations, plain, walk

BLOCK, WARP = "block", "warp"
BARRIERS = frozenset({"gpu.barrier", "nvvm.barrier0", "nvvm.barrier"})
EXCHANGES = frozenset({"gpu.shuffle", "gpu.subgroup_broadcast", "nvvm.vote.sync", "nvvm.bar.warp.sync"})
NESTS = frozenset({"scf.for", "scf.while", "scf.if"})


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
        self._meets = {BLOCK: self._around(BARRIERS), WARP: self._around(EXCHANGES)}
        #: Where each operation that the plan names stands; an operation nested in one of a run is not named.
        self.place: dict[Operation, Run | Meeting | Nest | Warps] = {}
        self._refuse_divergent()
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

    def _around(self, names: frozenset[str]) -> set[Operation]:
        """The operations of these names, and those that they are nested in."""
        found: set[Operation] = set()
        for op in walk(self.launch):
            if op.name in names:
                while op != self.launch and op not in found:
                    found.add(op)
                    op = plain(op.parent)
        return found

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

    # divergence ----------------------------------------------------------------------------------------------------
    def _refuse_divergent(self) -> None:
        """Barriers inside loops and branches that threads can be seen to go through in different ways."""
        if not self._meets[BLOCK]:
            return
        differing = self._differing()
        for op in self._meets[BLOCK]:
            if op.name not in NESTS:
                continue
            deciding = list(op.operands)[:3] if op.name == "scf.for" else list(op.operands)[:1]
            if op.name == "scf.while":
                deciding = list(operations(op.regions[0].blocks[0])[-1].operands)[:1]
            if any(value in differing for value in deciding):
                barrier = next(inner for inner in walk(op) if inner.name in BARRIERS)
                what = "branch" if op.name == "scf.if" else "loop"
                raise LoweringError(
                    f"a barrier in a {what} that the threads of a block go through in different ways",
                    position(barrier.location),
                    f"move the barrier out of the {what}, or let its condition not depend on the thread",
                )

    def _differing(self) -> set[Value]:
        """The values that depend on a thread's number by arithmetic alone. (What memory holds is not known.)"""
        arguments = list(self.launch.regions[0].blocks[0].arguments)
        found: set[Value] = set(arguments[3:6])
        ops = [op for op in walk(self.launch) if op != self.launch]
        size = -1
        while size != len(found):
            size = len(found)
            for op in ops:
                if op.name in OF_THREAD or (
                    op.name.startswith(("arith.", "index.", "math.")) and any(o in found for o in op.operands)
                ):
                    found.update(op.results)
                elif op.name in NESTS:
                    for source, target in _flows(op):
                        if source in found:
                            found.add(target)
        return found


def _flows(op: Operation) -> list[tuple[Value, Value]]:
    """The ways of values into a loop, around it and out of it, and out of a branch."""
    ends = [operations(block)[-1] for region in op.regions for block in region.blocks]
    if op.name == "scf.if":
        return [pair for end in ends for pair in zip(end.operands, op.results, strict=True)]
    blocks = [block for region in op.regions for block in region.blocks]
    if op.name == "scf.for":
        arguments = list(blocks[0].arguments)[1:]
        return [
            *zip(list(op.operands)[3:], arguments, strict=True),
            *zip(ends[0].operands, arguments, strict=True),
            *zip(arguments, op.results, strict=True),
        ]
    before, after = (list(block.arguments) for block in blocks)
    forwarded = list(ends[0].operands)[1:]
    return [
        *zip(op.operands, before, strict=True),
        *zip(ends[1].operands, before, strict=True),
        *zip(forwarded, after, strict=True),
        *zip(forwarded, op.results, strict=True),
    ]


def is_argument_of(value: Value, block: Block) -> bool:
    return isinstance(value, BlockArgument) and value.owner == block

"""Why reverse mode put a value on the tape, and what it does with each loop: for `explain`.

Takes a reverse sweep that has been emitted, while the primal function still stands; leaves `Findings`, and marks on
the memory of the tape and on the forward loops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlir.ir import Block, BlockArgument, Operation, Value

from .builder import captured, home, is_memref, operation, operations, walk
from .errors import source_position
from .findings import AGAIN, FORWARD, REVERSE, TAPE, Addition, Findings, LoopPlan, Position, Reason, Taped, set_mark
from .launches import LAUNCH
from .objects import ALLOCATIONS, VIEWS, chain
from .recompute import repeatable
from .stability import LOOPS
from .structure import callee_name
from .tape import Recorded

if TYPE_CHECKING:
    from .reverse import Reverse
    from .sweep import Frame, Sweep

#: Of the values that one taped value replaces, so many are named.
_NAMED = 4


def find(reverse: Reverse, sweep: Sweep, name: str) -> Findings:
    """The findings about the derivative @name, whose own forward sweep is `sweep`."""
    found = Findings()
    for number, recorded in enumerate(reverse.taped):
        mark = f"{TAPE}@{name} {number}"
        set_mark(operation(recorded.storage.owner), mark)
        found.taped.append(_taped(reverse, recorded, mark))
    for op in walk(reverse.activity.function):
        if op.name in LOOPS and reverse.activity.region(op):
            mark = f"{FORWARD}@{name} {len(found.loops)}"
            scope = sweep.scopes.get(list(op.regions)[-1].blocks[0])
            if scope is not None:
                set_mark(operation(scope.new.owner), mark)
            replay = reverse.planner.decided.get(op)
            loads = sorted(_positions(list(replay.taped_loads))) if replay else []
            checkpointed, launch = reverse.checkpoints.takes(op), op.name == LAUNCH
            plan = LoopPlan(_place(op), not _in_loop(op), replay is not None, tuple(loads), mark, checkpointed, launch)
            found.loops.append(plan)
            for backward, again in reverse.checkpoints.emitted.get(op, ()):
                set_mark(backward, REVERSE + plan.number)
                set_mark(again, AGAIN + plan.number)
    for op, how in reverse.sharing.answers.items():
        found.additions.append(Addition(_place(op), how.kind, how.reason))
    return found


def _in_loop(op: Operation) -> bool:
    around = operation(op.block.owner)
    while around.name != "func.func":
        if around.name in LOOPS:
            return True
        around = operation(around.block.owner)
    return False


def _taped(reverse: Reverse, recorded: Recorded, mark: str) -> Taped:
    old, scope = recorded.value, recorded.scope
    inner = scope.sweep.frame.old
    loops: list[Position] = []
    block = old.block if isinstance(old, Operation) else scope.old
    while block != inner:
        owner = operation(block.owner)
        if owner.name in LOOPS and (position := source_position(owner.location)) is not None:
            loops.insert(0, position)
        block = owner.block
    whole = operation(inner.owner)
    return Taped(
        recorded.kind,
        str(recorded.type),
        _origin(old).name,
        source_position(recorded.location),
        _given(old),
        "buffer" if recorded.is_static else "stack",
        why(reverse, old, recorded.kind, scope.sweep.frame),
        tuple(loops),
        source_position(whole.location) if whole.name in LOOPS else None,
        mark,
    )


def _given(old: Value | Operation) -> Position | None:
    """Where what a loop carries as `old` is computed for its next iteration."""
    if not isinstance(old, BlockArgument):
        return None
    loop = _origin(old)
    ends = operations(old.owner)[-1].operands
    first = old.arg_number - (1 if loop.name == "scf.for" else 0)
    if loop.name not in LOOPS or not 0 <= first < len(ends) or isinstance(ends[first], BlockArgument):
        return None
    return _place(operation(ends[first].owner))


def why(reverse: Reverse, old: Value | Operation, kind: str, frame: Frame) -> Reason:
    """Why the primal value `old` of `frame` (or its shadow, or that number of trips) is not recomputed."""
    if kind == "snapshot":
        return Reason("a snapshot of the state of a checkpointed loop")
    if isinstance(old, Operation) and old.name in LOOPS:
        return Reason("memory as a checkpointed loop found it, which is overwritten later")
    if isinstance(old, Operation):
        what = "kept by the augmented primal of" if kind == "tape" else "memory that is overwritten later, as left by"
        return Reason(f"{what} @{callee_name(old)} for its reverse rule")
    if kind == "trips":
        return Reason("how often a loop ran is known only when it has run")
    if kind == "shadow":
        return Reason("which array it is is decided anew each time", _place(_origin(old)))
    op = _origin(old)
    if kind == "version":
        return _of_snapshot(reverse, op, frame)
    if isinstance(old, BlockArgument):
        return Reason("carried from one iteration to the next by the loop on line N", _place(op))
    if old in reverse.cut and repeatable(reverse, op, frame):
        return _chosen(reverse, old, frame)
    if op.name == "memref.load":
        return _of_load(reverse, op, frame)
    return _of_op(reverse, op, frame)


def _of_load(reverse: Reverse, load: Operation, frame: Frame) -> Reason:
    if not reverse.stability.available(load.operands[0], frame):
        root, _ = chain(load.operands[0])
        return Reason(
            "read from an array (line N) that the reverse sweep does not have any more", _place(_origin(root))
        )
    writer = reverse.stability.overwriter(load, frame)
    place = _place(writer) if writer is not None else None
    return Reason("read from memory that line N overwrites" if place else "read from memory that is overwritten", place)


def _of_snapshot(reverse: Reverse, load: Operation, frame: Frame) -> Reason:
    snapshot = reverse.snapshots.serving(load, frame)
    reads = 1 if snapshot is None else len(snapshot.loads)
    what = f"each value of {reads} that are read" if reads > 1 else "each value that is read, some several times,"
    writer = reverse.stability.overwriter(load, frame)
    return Reason(f"smaller than {what} before line N overwrites it", _place(writer) if writer is not None else None)


def _of_op(reverse: Reverse, op: Operation, frame: Frame) -> Reason:
    if op.name in LOOPS:
        return Reason("result of the loop on line N", _place(op))
    if op.name == "scf.if":
        for inner in walk(op):
            if inner != op and inner.name not in ("scf.if", "scf.yield") and not repeatable(reverse, inner, frame):
                return Reason("result of a branch that cannot be run again because of line N", _place(inner))
        return Reason("result of the branch on line N", _place(op))
    if op.name == "func.call":
        return Reason(f"result of @{callee_name(op)}, which may do more than compute it")
    if op.name == "autodiff.pop":
        return Reason("taken from the tape of an inner derivative")
    if op.name in ALLOCATIONS or op.name in VIEWS or is_memref(op.results[0].type):
        return Reason("an array made or chosen anew each time")
    return Reason(f"{op.name} cannot be run again")


def _chosen(reverse: Reverse, old: Value, frame: Frame) -> Reason:
    """A minimum cut put it there: what it stands for are the values that it is computed from and that are lost."""
    lost = _lost(reverse, old, frame)
    places = sorted({p[1] for v in lost if (p := source_position(_origin(v).location)) is not None})
    named = ", ".join(map(str, places[:_NAMED])) + (", ..." if len(places) > _NAMED else "")
    lines = f" of line{'s' if len(places) > 1 else ''} {named}" if places else ""
    count = f"{len(lost)} value{'' if len(lost) == 1 else 's'}"
    return Reason(f"a minimum cut keeps it in place of {count}{lines} that it is computed from")


def _lost(reverse: Reverse, old: Value, frame: Frame) -> list[Value]:
    blocks = _blocks(frame.old, home(old))
    todo, seen, lost = [old], {old}, []
    while todo:
        value = todo.pop()
        if isinstance(value, BlockArgument):
            owner = _origin(value)
            if not (owner.name == "scf.for" and value.arg_number == 0):
                lost.append(value)
            continue
        op = operation(value.owner)
        if not repeatable(reverse, op, frame):
            lost.append(value)
            continue
        for source in [*op.operands, *(captured(op) if op.regions else ())]:
            if source not in seen and home(source) in blocks and not is_memref(source.type):
                seen.add(source)
                todo.append(source)
    return lost


def _blocks(outermost: Block, block: Block) -> set[Block]:
    """`block` and those around it, up to but without `outermost`."""
    found: set[Block] = set()
    while block != outermost:
        found.add(block)
        block = operation(block.owner).block
    return found


def _origin(value: Value | Operation) -> Operation:
    """The op that gives a value: for what a block is entered with, the op around the block."""
    if isinstance(value, Operation):
        return value
    return operation(value.owner.owner) if isinstance(value, BlockArgument) else operation(value.owner)


def _place(op: Operation) -> Position | None:
    return source_position(op.location)


def _positions(ops: list[Operation]) -> list[Position]:
    return [p for op in ops if (p := source_position(op.location)) is not None]

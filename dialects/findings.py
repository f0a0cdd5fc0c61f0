"""What reverse mode decided, in a form that outlives the IR: each taped value with the reason, each loop with its
plan.

Made while the primal function in normal form still stands; `reasons.py` says why. The memory of a tape and the
forward copy of a loop are found again in the final IR by a *mark*, a name around their location: attributes get lost
where canonicalize makes an op anew, locations do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlir.ir import Location, Operation

#: File, line and column, 1-based.
Position = tuple[str, int, int]
#: What marks begin with.
TAPE, STACK, FORWARD = "autodiff.tape ", "autodiff.stack", "autodiff.forward "
#: Of a checkpointed loop: its reverse, and the loop in that which runs iterations again.
REVERSE, AGAIN = "autodiff.reverse ", "autodiff.again "


@dataclass(frozen=True)
class Reason:
    """Why a value is on the tape: `text`, which says "line N" of the other place that it is about, if there is
    one.
    """

    text: str
    place: Position | None = None


@dataclass(frozen=True)
class Taped:
    """One value that the reverse sweep finds on the tape.

    `kind` is "value", "shadow" (of an array that is carried or chosen), "trips" (of a while loop), "tape" or "copy" (of
    the call of a function with rules of its own, see custom), "copy" also of memory that a checkpointed loop starts
    from, "snapshot" (of the state of such a loop), or "version" (a copy of memory that loads are run again on, see
    snapshots). `given` is where a carried value is computed for the next iteration. `storage` is "buffer" (sized before
    the loops) or "stack" (which grows). `loops` are the loops around it for whose iterations the tape has room,
    outermost first; `inside` is the replayed loop within one iteration of which this tape lives.
    """

    kind: str
    type: str
    op: str
    position: Position | None
    given: Position | None
    storage: str
    reason: Reason
    loops: tuple[Position, ...]
    inside: Position | None
    mark: str


@dataclass(frozen=True)
class LoopPlan:
    """How the reverse sweep gets through a loop that carries a derivative.

    `outermost`: no other loop is around it. `replayed`: it runs the needed part of each iteration again; `from_tape`
    is what that reads from the tape of the forward loop. `mark` is on the forward copy of the loop, as long as
    anybody needs one. `checkpointed`: its state is kept at a few iterations. `launch`: it is no loop, but a launch of a
    grid of threads.
    """

    position: Position | None
    outermost: bool
    replayed: bool
    from_tape: tuple[Position, ...]
    mark: str
    checkpointed: bool = False
    launch: bool = False

    @property
    def number(self) -> str:
        """What the loop's other marks have behind their beginning."""
        return self.mark.removeprefix(FORWARD)


@dataclass(frozen=True)
class Addition:
    """How the threads of a launch add to the shadow of what is read at `position`: "own" (plainly), "one" (summed over
    all threads), "atomic" or "shared" (atomically in the memory of a block), and why.
    """

    position: Position | None
    kind: str
    reason: str


@dataclass(frozen=True)
class InOrder:
    """A parallel loop, the one at `position`, whose iterations the derivative runs in order, and why."""

    position: Position | None
    reason: Reason


@dataclass
class Findings:
    """All of one derivative."""

    taped: list[Taped] = field(default_factory=list)
    loops: list[LoopPlan] = field(default_factory=list)
    additions: list[Addition] = field(default_factory=list)


def set_mark(op: Operation, mark: str) -> None:
    """Put a mark on `op`."""
    op.location = Location.name(mark, op.location)


def marks(location: Location, start: str) -> Iterator[str]:
    """The marks in a location that begin with `start`, also where the op was inlined or made of several."""
    if location.is_a_name():
        if location.name_str.startswith(start):
            yield location.name_str
        yield from marks(location.child_loc, start)
    elif location.is_a_callsite():
        yield from marks(location.callee, start)
    elif location.is_a_fused():
        for part in location.locations:
            yield from marks(part, start)

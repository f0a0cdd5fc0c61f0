"""What the simulator refuses: text that it does not know, and what a kernel does wrong while it runs.

All are `lowering.driver.DriverError`s. A fault names the kernel, the thread, the address and, by the line table of the
PTX, the place in the user's source.
"""

from __future__ import annotations

import linecache
from dataclasses import dataclass, field
from typing import Any

from ..driver import DriverError
from .syntax import Instruction, Place


class PtxError(DriverError):
    """PTX text that does not parse, or has an opcode, operand or declaration that the simulator does not know."""

    def __init__(self, message: str, line: int | None = None, text: str = "", place: Place | None = None):
        self.message, self.line, self.place = message, line, place
        where = f"\n  PTX line {line}: {text}" if line is not None else ""
        source = f"\n  --> {place}" if place else ""
        super().__init__(f"{message}{source}{where}")


class LaunchError(DriverError):
    """A launch refused before anything runs: its extents, its parameters, its shared memory."""


@dataclass
class Site:
    """Who does what where: one thread at one instruction."""

    kernel: str
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    instruction: Instruction | None = None

    @property
    def place(self) -> Place | None:
        return self.instruction.place if self.instruction else None

    @property
    def loc(self) -> tuple[str, int, int] | None:
        """The place in the user's source as plain numbers, as `LoweringError` has it; None without a line table."""
        return self.place[:3] if self.place else None

    def __str__(self) -> str:
        lines = [f"kernel `{self.kernel}`, block {self.block}, thread {self.thread}"]
        place = self.place
        while place is not None:
            lines.append(f"  --> {place}{_excerpt(place)}")
            place = place.inlined_at
        if self.instruction is not None:
            lines.append(f"  PTX line {self.instruction.line}: {self.instruction.text}")
        return "\n".join(lines)


def _excerpt(place: Place) -> str:
    """The line of the user's source with a caret under its column, where the source is to be had."""
    line = linecache.getline(place.file, place.line).rstrip()
    code = line.strip()
    if not code:
        return ""
    margin = len(line) - len(line.lstrip())
    before = code[: max(place.column - 1 - margin, 0)]
    return f"\n   |  {code}\n   |  {''.join(c if c == chr(9) else ' ' for c in before)}^"


@dataclass(eq=False)
class Fault(DriverError):
    """Base of what the simulator finds wrong in a running kernel. Nothing of the launch can be relied on afterwards.

    `site` is the first thread that does it, `count` how many threads do it in this instruction, `address` the
    address in its own space, `other` the other thread of a race.
    """

    message: str
    site: Site
    address: int | None = None
    space: str = ""
    count: int = 1
    other: Site | None = None
    hint: str = ""
    kind: str = field(default="fault", init=False)

    def __post_init__(self) -> None:
        super().__init__(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.site, self.address, self.space, self.count, self.other, self.hint)

    @property
    def place(self) -> Place | None:
        """(file, line, column) in the user's source, where the PTX has a line table."""
        return self.site.place

    @property
    def loc(self) -> tuple[str, int, int] | None:
        """The place as plain numbers."""
        return self.site.loc

    def __str__(self) -> str:
        parts = [f"simulator: {self.kind}: {self.message}\n  in {self.site}"]
        if self.other is not None:
            parts.append(f"  the other is {self.other}")
        if self.count > 1:
            parts.append(f"  {self.count} threads do so at this instruction")
        if self.hint:
            parts.append(f"  help: {self.hint}")
        return "\n".join(parts)


class OutOfBounds(Fault):
    """An access outside every allocation, or across the end of one."""

    kind = "out of bounds"


class Misaligned(Fault):
    """An access whose address is no multiple of its size."""

    kind = "misaligned"


class UninitialisedRead(Fault):
    """A read of shared or local memory that nothing has written."""

    kind = "uninitialised read"


class ReadOnlyWrite(Fault):
    """A write to constant memory, or a non-coherent load of memory that this launch writes."""

    kind = "read-only memory"


class DivergentBarrier(Fault):
    """A barrier that not all threads of a block reach together."""

    kind = "divergent barrier"


class Deadlock(Fault):
    """Threads wait for others that never come."""

    kind = "deadlock"


class StepLimit(Deadlock):
    """More instructions than `Checks.steps`: most likely an endless loop."""

    kind = "step limit"


class DataRace(Fault):
    """Two threads access one location with no order between them, and one of them writes."""

    kind = "data race"


class WarpError(Fault):
    """A warp-wide instruction executed by a thread that its own member mask does not name, or a value taken from a
    lane that does not take part.
    """

    kind = "warp synchronisation"


class Trap(Fault):
    """The kernel gave up: `trap`, or a failed assertion."""

    kind = "trap"

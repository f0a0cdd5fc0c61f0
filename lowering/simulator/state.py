"""The state of a launch, and of the batch of blocks that runs at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from .checks import Checks
from .errors import Fault, Site
from .memory import GlobalMemory, OwnMemory
from .races import Clock, Races
from .threads import Threads

if TYPE_CHECKING:
    from ..driver import Dim3
    from .program import Program
    from .syntax import Instruction

AnyFault = TypeVar("AnyFault", bound=Fault)


@dataclass
class Launch:
    """One kernel on one grid."""

    program: Program
    memory: GlobalMemory
    grid: Dim3
    block: Dim3
    parameters: np.ndarray  # bytes
    shared_bytes: int
    checks: Checks
    variables: dict[str, int]  # address of each variable of the module in global memory
    output: list[str] = field(default_factory=list)  # what the kernel prints

    def __post_init__(self) -> None:
        self.block_threads = self.block[0] * self.block[1] * self.block[2]
        self.blocks = self.grid[0] * self.grid[1] * self.grid[2]
        self.clock = Clock(self.blocks, self.block_threads)


class Batch:
    """So many blocks that run together: threads, registers, shared and local memory."""

    def __init__(self, launch: Launch, first_block: int, blocks: int):
        self.launch: Launch = launch
        self.first_block, self.blocks = first_block, blocks
        program = launch.program
        self.block_threads: int = launch.block_threads
        self.n = n = blocks * self.block_threads
        self.clock = launch.clock
        self.memory = launch.memory
        self.steps: int = 0
        self.whole_barrier = 0  # when all threads of the batch last passed a barrier together
        number = np.arange(n)
        self.block = number // self.block_threads  # of each thread: its block in this batch
        self.in_block = number % self.block_threads
        self.lane: np.ndarray = self.in_block % 32
        self.warp_in_block: np.ndarray = self.in_block // 32
        self.block_warps = -(-self.block_threads // 32)
        self.warp = self.block * self.block_warps + self.warp_in_block
        # of the whole launch
        self.thread_numbers = (number + first_block * self.block_threads).astype(np.int32)
        self.block_numbers = self.block + first_block
        self.registers: list[np.ndarray] = list(program.registers)
        self.carry: np.ndarray = np.array([False])
        self.parameters: dict[tuple[str, str], np.ndarray] = {}  # of calls: bytes for each thread
        ranges = program.shared_ranges(launch.shared_bytes)
        nbytes = program.shared_bytes + launch.shared_bytes
        checks = launch.checks
        self.shared = OwnMemory("shared", blocks, nbytes, ranges, self.block, checks.uninitialised)
        if checks.races and nbytes:
            self.shared.races = Races(self.shared.bytes.size, program.granule, self.clock)
        self.local = OwnMemory("local", n, program.local_bytes, program.local_ranges, number, checks.uninitialised)
        self._special: dict[tuple[str, int], np.ndarray] = {}

    def address_of(self, function: str, name: str) -> int:
        """The address of a variable, in its own space."""
        program = self.launch.program
        found = program.addresses.get((function, name))
        if found is None:
            found = program.addresses.get(("", name))
        return self.launch.variables[name] if found is None else found

    def thread_index(self, axis: int) -> np.ndarray:
        x, y, _ = self.launch.block
        return self._kept("thread", axis, lambda: (self.in_block // (1, x, x * y)[axis]) % self.launch.block[axis])

    def block_index(self, axis: int) -> np.ndarray:
        x, y, _ = self.launch.grid
        return self._kept("block", axis, lambda: (self.block_numbers // (1, x, x * y)[axis]) % self.launch.grid[axis])

    def _kept(self, what: str, axis: int, make) -> np.ndarray:
        key = (what, axis)
        if key not in self._special:
            values = make().astype(np.uint32)
            self._special[key] = values[:1] if (values == values[0]).all() else values
        return self._special[key]

    def parameter(self, key: tuple[str, str], size: int) -> np.ndarray:
        """The bytes of a parameter of calls (function, name), a row for each thread."""
        held = self.parameters.get(key)
        if held is None:
            held = self.parameters[key] = np.zeros((self.n, size), np.uint8)
        return held

    # --- faults

    def site(self, thread: int | None, instruction: Instruction | None) -> Site:
        """A thread of the launch, by its number, at an instruction."""
        launch = self.launch
        at = thread if thread is not None else 0
        block, within = divmod(at, self.block_threads)

        def split(number: int, extents: Dim3) -> Dim3:
            x, y, _ = extents
            return number % x, number // x % y, number // (x * y)

        return Site(launch.program.name, split(block, launch.grid), split(within, launch.block), instruction)

    def fault(
        self,
        kind: type[AnyFault],
        message: str,
        t: Threads,
        position: int,
        instruction: Instruction | None,
        address: int | None = None,
        space: str = "",
        count: int = 1,
        other: tuple[int | None, Instruction | None] | None = None,
        hint: str = "",
    ) -> AnyFault:
        """The fault of the thread at a position of the set (and of `count` in all)."""
        thread = int(self.thread_numbers[t.index[min(position, t.count - 1)]])
        their = self.site(*other) if other is not None and other[0] is not None else None
        if their is None and other is not None and other[1] is not None:
            earlier = other[1]
            where = f" at {earlier.place}" if earlier.place else ""
            message += f"; several threads did{where}, in PTX line {earlier.line}"
        return kind(message, self.site(thread, instruction), address, space, count, their, hint)

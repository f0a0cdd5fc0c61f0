"""Data races: who accessed a location last, and whether that is ordered before who accesses it now.

For each granule of a memory (as wide as the narrowest access of the kernel) three histories are kept: plain writes,
plain reads, atomic operations. A history knows the last thread, or that there were several of one block or of several,
and when. Time is the count of memory instructions and synchronisations of the launch.

An earlier access at time T is ordered before one of thread t now if

- it is t's own;
- it is of t's block, and the block passed a barrier after T;
- it is of t's warp, and both threads took part in a warp synchronisation after T;
- its block executed a fence after T, and t's block an atomic operation after that fence: a message may have passed.
  (That it did is not checked, so a race in a kernel that uses fences can be missed. None is reported wrongly.)

Atomic and other strong operations do not race with each other. Two plain writes of one value are let pass: the result
is the same in every order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .syntax import Instruction

_PENDING = 1 << 22  # accesses that may wait to be noted
_SEVERAL_BLOCKS = -1  # and -(block + 2): several threads of that block; thread + 1: that thread; 0: nobody


class Clock:
    """The time of a launch, and when its blocks and threads last synchronised."""

    def __init__(self, blocks: int, block_threads: int):
        self.now = 0
        self.block_threads = block_threads
        self.log: list[Instruction | None] = [None]  # the instruction at each time
        self.barrier = np.zeros(blocks, np.int64)
        self.fence = np.zeros(blocks + 1, np.int64)  # (one more, for the block -1 of several blocks)
        self.message = np.zeros(blocks, np.int64)
        self.fenced = False
        # For each thread, once one has taken part in such a thing.
        self.warp: np.ndarray | None = None
        self.group: np.ndarray | None = None  # barriers of a part of a block

    def tick(self, instruction: Instruction | None = None) -> int:
        self.now += 1
        self.log.append(instruction)
        return self.now

    def pass_barrier(self, blocks: np.ndarray | slice) -> None:
        self.barrier[blocks] = self.tick()

    def pass_fence(self, blocks: np.ndarray) -> None:
        self.fenced = True
        self.fence[blocks] = self.tick()

    def pass_message(self, blocks: np.ndarray) -> None:
        self.message[blocks] = self.tick()

    def sync_warp(self, threads: np.ndarray) -> None:
        if self.warp is None:
            self.warp = np.zeros(len(self.barrier) * self.block_threads, np.int64)
        self.warp[threads] = self.tick()

    def sync_group(self, threads: np.ndarray) -> None:
        if self.group is None:
            self.group = np.zeros(len(self.barrier) * self.block_threads, np.int64)
        self.group[threads] = self.tick()

    def ordered(self, codes: np.ndarray, times: np.ndarray, threads: np.ndarray) -> np.ndarray:
        """Whether what `codes` did at `times` is ordered before what `threads` do now."""
        mine = threads // self.block_threads
        theirs = np.where(codes > 0, (codes - 1) // self.block_threads, -codes - 2)
        same = theirs == mine
        good = same & (times < self.barrier[mine])
        single = same & (codes > 0)
        other = np.maximum(codes - 1, 0)
        if self.warp is not None:
            lanes = (other % self.block_threads) // 32 == (threads % self.block_threads) // 32
            good |= single & lanes & (times < self.warp[threads]) & (times < self.warp[other])
        if self.group is not None:
            good |= single & (times < self.group[threads]) & (times < self.group[other])
        if self.fenced:
            fence = self.fence[theirs]
            good |= (theirs >= 0) & (times < fence) & (fence < self.message[mine])
        return good


class History:
    """The last accesses of one kind, for each granule."""

    def __init__(self, granules: int, clock: Clock):
        self.clock = clock
        self.codes = np.zeros(granules, np.int32)
        self.times = np.zeros(granules, np.int32)
        self.names = np.zeros(granules, np.int32)  # of several threads one, to be named
        self.used = False
        self.latest = 0  # when the last access was
        self.pending: list[tuple[np.ndarray, np.ndarray, int]] = []
        self.waiting = 0

    def defer(self, granules: np.ndarray, threads: np.ndarray, since: int) -> None:
        """As `add`, but the work is done when somebody asks, if a barrier has not made it needless by then."""
        self.latest = self.clock.now
        self.pending.append((granules, threads, self.clock.now))
        self.waiting += len(granules)
        if self.waiting > _PENDING:
            self.settle(since)

    def settle(self, since: int) -> None:
        """Note what waits, save what was before a barrier that all threads passed at the time `since`."""
        pending, self.pending, self.waiting = self.pending, [], 0
        for granules, threads, time in pending:
            if time > since:
                self.add(granules, threads, time)

    def conflicts(self, granules: np.ndarray, threads: np.ndarray, since: int) -> np.ndarray | None:
        """Positions in `granules` whose last access is another thread's and not ordered before now; None for none."""
        if self.latest <= since:
            return None
        if self.pending:
            self.settle(since)
        codes = self.codes[granules]
        foreign = np.flatnonzero((codes != 0) & (codes != threads + 1))
        if not len(foreign):
            return None
        ordered = self.clock.ordered(
            codes[foreign].astype(np.int64), self.times[granules[foreign]], threads[foreign].astype(np.int64)
        )
        found = foreign[~ordered]
        return found if len(found) else None

    def add(self, granules: np.ndarray, threads: np.ndarray, time: int) -> None:
        clock = self.clock
        self.latest = max(self.latest, time)
        new = threads + 1
        if self.used:
            old = self.codes[granules]
            shared = np.flatnonzero((old != 0) & (old != new))
            if len(shared):
                codes = old[shared].astype(np.int64)
                who = threads[shared].astype(np.int64)
                stale = clock.ordered(codes, self.times[granules[shared]], who)
                block = who // clock.block_threads
                theirs = np.where(codes > 0, (codes - 1) // clock.block_threads, -codes - 2)
                both = np.where(theirs == block, -block - 2, _SEVERAL_BLOCKS)
                new = new.copy()
                new[shared] = np.where(stale, who + 1, both)
        self.used = True
        self.codes[granules] = new
        self.times[granules] = time
        self.names[granules] = threads
        # Threads that meet at one granule in this very instruction: the last one stands there now.
        back = self.codes[granules]
        met = np.flatnonzero(back != new)
        if len(met):
            block = threads[met] // clock.block_threads
            theirs = np.where(back[met] > 0, (back[met] - 1) // clock.block_threads, -back[met] - 2)
            alike = theirs == block
            self.codes[granules[met[alike]]] = -block[alike] - 2
            self.codes[granules[met[~alike]]] = _SEVERAL_BLOCKS

    def who(self, granule: int, but: int) -> tuple[int | None, Instruction | None]:
        """A thread of the last access that is not a given one, if it is known, and its instruction."""
        thread = int(self.names[granule])
        return (thread if thread != but else None), self.clock.log[int(self.times[granule])]


class Races:
    """The histories of one memory."""

    def __init__(self, nbytes: int, granule: int, clock: Clock):
        self.shift = granule.bit_length() - 1
        granules = (nbytes >> self.shift) + 1
        self.writes, self.reads, self.atomics = (History(granules, clock) for _ in range(3))

    def granules(self, offsets: np.ndarray, nbytes: int) -> list[np.ndarray]:
        """For each granule that an access covers, its number for each thread."""
        first = offsets >> self.shift
        return [first + k if k else first for k in range(max(nbytes >> self.shift, 1))]

"""Data races: who accessed a location last, and whether that is ordered before who accesses it now.

For each granule of a memory (as wide as the narrowest access of the kernel) three histories are kept: plain writes,
plain reads, atomic operations. A history knows the last thread, or that there were several of one warp, of one block or
of several, and when. Time is the count of memory instructions and synchronisations of the launch.

An earlier access at time T is ordered before one of thread t now if

- it is t's own;
- it is of t's block, and the block passed a barrier after T;
- it is of t's warp, and all threads of it that are meant took part in a warp synchronisation after T;
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
# Codes of who it was. thread + 1: that thread; 0: nobody; -(block + 2): several threads of that block; counted on from
# there by the number of the warp in the launch: several of that warp.
_SEVERAL_BLOCKS = -1
_WARP = 32


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
        self.block_warps = -(-block_threads // _WARP)
        # For each thread (a row for each warp), once one has taken part in such a thing.
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
            self.warp = np.zeros((len(self.barrier), self.block_warps * _WARP), np.int64)
            self.warp[:, self.block_threads :] = np.iinfo(np.int64).max  # lanes that there are not
            self.warp = self.warp.reshape(-1, _WARP)
        self.warp[self.warp_of(threads), threads % self.block_threads % _WARP] = self.tick()

    def warp_of(self, threads: np.ndarray) -> np.ndarray:
        return threads // self.block_threads * self.block_warps + threads % self.block_threads // _WARP

    def places(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The blocks that codes are about, and their warps; -1 where there are several."""
        several = -codes - 2
        blocks, of_warp = len(self.barrier), several >= len(self.barrier)
        warp = np.where(codes > 0, self.warp_of(codes - 1), np.where(of_warp, several - blocks, -1))
        return np.where(warp >= 0, warp // self.block_warps, several), warp

    def together(self, codes: np.ndarray, threads: np.ndarray) -> np.ndarray:
        """The codes of what `codes` are about and of `threads`, which are others, together."""
        blocks, warps = self.places(codes)
        block, warp = threads // self.block_threads, self.warp_of(threads)
        alike = np.where(blocks == block, -block - 2, _SEVERAL_BLOCKS)
        return np.where(warps == warp, -warp - 2 - len(self.barrier), alike)

    def sync_group(self, threads: np.ndarray) -> None:
        if self.group is None:
            self.group = np.zeros(len(self.barrier) * self.block_threads, np.int64)
        self.group[threads] = self.tick()

    def ordered(self, codes: np.ndarray, times: np.ndarray, threads: np.ndarray) -> np.ndarray:
        """Whether what `codes` did at `times` is ordered before what `threads` do now."""
        mine = threads // self.block_threads
        theirs, warps = self.places(codes)
        same = theirs == mine
        good = same & (times < self.barrier[mine])
        single = same & (codes > 0)
        other = np.maximum(codes - 1, 0)
        if self.warp is not None:
            both = warps == self.warp_of(threads)
            lane = threads % self.block_threads % _WARP
            good |= both & (times < self.warp[warps, lane]) & (times < self._passed(codes, warps))
        if self.group is not None:
            good |= single & (times < self.group[threads]) & (times < self.group[other])
        if self.fenced:
            fence = self.fence[theirs]
            good |= (theirs >= 0) & (times < fence) & (fence < self.message[mine])
        return good

    def _passed(self, codes: np.ndarray, warps: np.ndarray) -> np.ndarray:
        """When those that codes are about last synchronised with their warp, the earliest of several."""
        assert self.warp is not None
        lane = np.maximum(codes - 1, 0) % self.block_threads % _WARP
        return np.where(codes > 0, self.warp[warps, lane], self.warp[warps].min(axis=1))


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
                new = new.copy()
                new[shared] = np.where(stale, who + 1, clock.together(codes, who))
        self.used = True
        self.codes[granules] = new
        self.times[granules] = time
        self.names[granules] = threads
        # Threads that meet at one granule in this very instruction: the last one stands there now.
        back = self.codes[granules]
        met = np.flatnonzero(back != new)
        if len(met):
            both = clock.together(back[met].astype(np.int64), threads[met].astype(np.int64))
            blocks, warps = clock.places(both)
            order = np.argsort((warps < 0) + 1 * (blocks < 0), kind="stable")  # the last, and so the widest, is kept
            self.codes[granules[met[order]]] = both[order]

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

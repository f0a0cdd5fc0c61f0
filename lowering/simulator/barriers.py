"""Barriers of a block: bar.sync, bar.arrive, bar.red."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .errors import Deadlock, DivergentBarrier
from .threads import Threads

if TYPE_CHECKING:
    from .executor import Executor
    from .ops.barrier import Barrier


@dataclass
class Arrival:
    """Threads at one barrier instruction; those that only arrive do not wait there."""

    here: int
    instruction: Barrier
    threads: Threads
    number: np.ndarray  # of the barrier, for each thread
    expected: np.ndarray  # threads that take part; 0: all of the block
    waits: bool


class Barriers:
    """Who waits at which barrier."""

    def __init__(self, executor: Executor):
        self.x = executor
        self.waiting: list[Arrival] = []

    def arrive(self, arrival: Arrival) -> None:
        x, m = self.x, self.x.batch
        if arrival.threads.whole and not self.waiting and arrival.waits and not arrival.expected.any():
            if (arrival.number == arrival.number[0]).all():  # everybody at once
                m.clock.pass_barrier(slice(m.first_block, m.first_block + m.blocks))
                m.whole_barrier = m.clock.now
                arrival.instruction.complete(x, [arrival])
                arrival.instruction.passed(x, arrival.threads, arrival.here)
                return
        self.waiting.append(arrival)

    def release(self) -> bool:
        """Let the threads go whose barriers are complete."""
        released = False
        for number in self._numbers():
            released |= self._release(number)
        return released

    def _numbers(self) -> list[int]:
        return sorted({int(k) for a in self.waiting for k in np.unique(a.number)})

    def _release(self, number: int) -> bool:
        x, m = self.x, self.x.batch
        here = np.zeros(m.n, bool)  # who is at this barrier
        arrived = np.zeros(m.blocks, np.int64)
        expected = np.zeros(m.blocks, np.int64)
        for a in self.waiting:
            at = a.number == number
            if at.any():
                threads = a.threads.index[at]
                here[threads] = True
                np.add.at(arrived, m.block[threads], 1)
                np.maximum.at(expected, m.block[threads], a.expected[at])
        live = np.bincount(m.block[~x.exited], minlength=m.blocks)
        whole = expected == 0
        full = np.where(whole, arrived >= live, arrived >= np.minimum(expected, m.block_threads)) & (arrived > 0)
        if not full.any():
            return False
        self._check(number, here, full & whole)
        go = full[m.block]
        m.clock.pass_barrier(m.first_block + np.flatnonzero(full & whole))
        part = here & go & ~whole[m.block]
        if part.any():
            m.clock.sync_group(m.thread_numbers[part])
        passing: list[Arrival] = []
        rest: list[Arrival] = []
        for a in self.waiting:
            chosen = (a.number == number) & go[a.threads.index]
            if chosen.any():
                passing.append(_part(a, chosen))
            if not chosen.all():
                rest.append(_part(a, ~chosen))
        self.waiting = rest
        for a in passing:
            a.instruction.complete(x, passing)
        for a in passing:
            if a.waits:
                a.instruction.passed(x, a.threads, a.here)
        return True

    def _check(self, number: int, here: np.ndarray, blocks: np.ndarray) -> None:
        """Whether all threads of these blocks are at one instruction, and none has left the kernel."""
        x, m = self.x, self.x.batch
        checks = m.launch.checks
        if not checks.barriers:
            return
        seen = np.full(m.blocks, -1)
        for a in self.waiting:
            at = (a.number == number) & blocks[m.block[a.threads.index]]
            if not at.any():
                continue
            t = a.threads.pick(at)
            of = m.block[t.index]
            other = (seen[of] >= 0) & (seen[of] != a.here)
            if other.any():
                place = self._instruction(int(seen[of[other][0]]))
                raise m.fault(
                    DivergentBarrier,
                    "threads of one block wait at different barriers",
                    t,
                    int(np.flatnonzero(other)[0]),
                    a.instruction.instruction,
                    count=int(other.sum()),
                    other=(self._someone(int(seen[of[other][0]]), int(of[other][0])), place),
                )
            seen[of] = a.here
        if checks.early_exit:
            gone = np.flatnonzero(x.exited & blocks[m.block])
            if len(gone):
                block = int(m.block[gone[0]])
                absent = m.site(int(m.thread_numbers[gone[0]]), None).thread
                first = next(a for a in self.waiting if (m.block[a.threads.index] == block).any())
                t = first.threads.pick(m.block[first.threads.index] == block)
                count = int((m.block[gone] == block).sum())
                raise m.fault(
                    DivergentBarrier,
                    f"{t.count} threads of the block wait at a barrier that {count} others, which have left the "
                    f"kernel, never reached (the first is thread {absent})",
                    t,
                    0,
                    first.instruction.instruction,
                    count=t.count,
                    hint="let all threads of a block reach every barrier: guard the work, not the barrier",
                )

    def _instruction(self, here: int):
        return self.x.blocks[here].instructions[-1]

    def _someone(self, here: int, block: int) -> int:
        m = self.x.batch
        for a in self.waiting:
            if a.here == here:
                mine = a.threads.index[m.block[a.threads.index] == block]
                if len(mine):
                    return int(m.thread_numbers[mine[0]])
        return 0

    def deadlock(self) -> Deadlock | DivergentBarrier | None:
        """What to say when nobody can go on."""
        waits = [a for a in self.waiting if a.waits]
        if not waits:
            return None
        m = self.x.batch
        first = waits[0]
        block = m.block[first.threads.index[0]]
        others = [a for a in waits[1:] if (m.block[a.threads.index] == block).any()]
        if others:
            return m.fault(
                DivergentBarrier,
                "threads of one block wait at different barriers",
                first.threads,
                0,
                first.instruction.instruction,
                count=first.threads.count,
                other=(self._someone(others[0].here, int(block)), others[0].instruction.instruction),
            )
        return m.fault(
            Deadlock,
            "threads wait at a barrier for others that never come",
            first.threads,
            0,
            first.instruction.instruction,
            count=first.threads.count,
        )


def _part(a: Arrival, chosen: np.ndarray) -> Arrival:
    return Arrival(a.here, a.instruction, a.threads.pick(chosen), a.number[chosen], a.expected[chosen], a.waits)

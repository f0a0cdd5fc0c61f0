"""The scheduler: sets of threads, each at a block, of which the one at the lowest block runs next.

Compilers lay out code so that paths meet further down: running the lowest block first brings threads together where
they reconverge. Threads that wait (at a barrier, or in a warp-wide instruction for their fellows) are set aside, and
looked at when no others can run. So that a thread that spins until another one comes along does not keep that one from
coming, every so often another set gets a turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .barriers import Barriers
from .errors import Deadlock, Fault, StepLimit
from .threads import Threads

if TYPE_CHECKING:
    from .control import Terminator
    from .state import Batch

_TURNS = 128  # blocks that run before another set than the lowest gets a turn


@dataclass
class Waiting:
    """Threads in a warp-wide instruction whose fellows are not there yet."""

    terminator: Terminator
    threads: Threads


class Executor:
    """Runs one batch to its end."""

    def __init__(self, batch: Batch):
        self.batch = batch
        program = batch.launch.program
        self.blocks = program.blocks
        self.ready: dict[int, Threads] = {program.entries[program.name]: Threads.all(batch.n)}
        self.exited = np.zeros(batch.n, bool)
        self.any_exited = False
        self.barriers = Barriers(self)
        self.warp_waits: dict[int, Waiting] = {}

    def run(self) -> None:
        limit = self.batch.launch.checks.steps
        m, ready, blocks = self.batch, self.ready, self.blocks
        turns = 0
        while True:
            if not ready:
                if not self.release():
                    return
                continue
            here = next(iter(ready)) if len(ready) == 1 else min(ready)
            turns += 1
            if turns >= _TURNS:
                turns = 0
                if len(ready) > 1:
                    here = sorted(ready)[(m.steps // 7) % len(ready)]
                self.barriers.release()
            t = ready.pop(here)
            block = blocks[here]
            for step in block.steps:
                step(m, t)
            m.steps += len(block.steps) + 1
            if m.steps > limit:
                last = block.instructions[-1] if block.instructions else None
                raise m.fault(
                    StepLimit,
                    f"{limit} instructions have run: an endless loop?",
                    t,
                    0,
                    last,
                    hint="a longer run is allowed by Checks(steps=...)",
                )
            terminator = block.terminator
            if terminator is None:
                self.go(t, here + 1)
                continue
            if terminator.guard is not None:
                yes, no = t.split(terminator.guard(m, t))
                if no is not None:
                    self.go(no, here + 1)
                if yes is None:
                    continue
                t = yes
            terminator.run(self, t, here)

    # --- where threads go

    def go(self, t: Threads, block: int) -> None:
        there = self.ready.get(block)
        self.ready[block] = t if there is None else there.union(t)

    def scatter(self, t: Threads, targets: np.ndarray) -> None:
        """Each thread to a block of its own; the targets are laid out as an instruction's values."""
        chosen = t.select(targets)
        for target in np.unique(chosen):
            self.go(t if chosen.size == 1 else t.pick(chosen == target), int(target))

    def leave(self, t: Threads) -> None:
        self.any_exited = True
        self.exited[t.index] = True

    # --- when nobody can run

    def release(self) -> bool:
        """Let waiting threads go on if they can. False at the end of the batch."""
        if not self.warp_waits and not self.barriers.waiting:
            return False
        for here, waiting in list(self.warp_waits.items()):
            del self.warp_waits[here]
            waiting.terminator.run(self, waiting.threads, here)
        if self.ready or self.barriers.release():
            return True
        raise self._deadlock()

    def _deadlock(self) -> Fault:
        fault = self.barriers.deadlock()
        if fault is not None:
            return fault
        waiting = next(iter(self.warp_waits.values()))
        here = next(iter(self.warp_waits))
        return self.batch.fault(
            Deadlock,
            "a warp-wide instruction waits for lanes of its member mask that never come",
            waiting.threads,
            0,
            self.blocks[here].instructions[-1],
            count=waiting.threads.count,
        )

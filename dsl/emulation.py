"""A grid kernel run in plain Python: its undecorated function, once for each thread.

One Python thread stands in for each thread of a block, and they take turns: one runs until it comes to a barrier or to
an operation of its warp, or ends, and then the next. So results do not depend on Python's scheduling. Blocks run one
after the other.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from . import parallel

Extents = tuple[int, int, int]


def run(function: Callable[..., Any], blocks: Extents, threads: Extents, args: tuple[Any, ...]) -> None:
    """Run `function(*args)` for each thread of each block. What a thread raises is raised here."""
    with np.errstate(all="ignore"):
        for z, y, x in itertools.product(*map(range, reversed(blocks))):
            _Block((x, y, z), blocks, threads).run(function, args)


class _Block:
    def __init__(self, place: Extents, grid: Extents, extents: Extents) -> None:
        self.place, self.grid, self.extents = place, grid, extents
        self.shared: list[np.ndarray] = []
        self.atomic = threading.Lock()
        self.failure: BaseException | None = None
        places = itertools.product(*map(range, reversed(extents)))
        self.threads = [_Thread(self, number, (x, y, z)) for number, (z, y, x) in enumerate(places)]

    def run(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        for thread in self.threads:
            thread.start(function, args)
        waiting = list(self.threads)
        while waiting and self.failure is None:
            for thread in waiting:  # one turn each, from stop to stop
                thread.turn()
            waiting = [thread for thread in self.threads if not thread.ended]
        for thread in self.threads:
            thread.stop()
        if self.failure is not None:
            raise self.failure


class _Stopped(BaseException):
    """Ends a thread whose block has failed."""


class _Thread(parallel.Thread):
    def __init__(self, block: _Block, number: int, place: Extents) -> None:
        self.block = block
        self.number = number
        self.place = place
        self.arrays = 0  # how many shared arrays it has asked for
        self.given: Any = None
        self.ended = False
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._stopping = False
        self._python: threading.Thread | None = None

    # --- turns

    def start(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        def work() -> None:
            parallel.running(self)
            self._go.acquire()
            try:
                if not self._stopping:
                    with np.errstate(all="ignore"):
                        function(*args)
            except _Stopped:
                pass
            except BaseException as error:
                self.block.failure = self.block.failure or error
            finally:
                self.ended = True
                self._done.release()

        self._python = threading.Thread(target=work, daemon=True)
        self._python.start()

    def turn(self) -> None:
        """Let the thread run to its next stop."""
        if not self.ended and self.block.failure is None:
            self._go.release()
            self._done.acquire()

    def stop(self) -> None:
        if not self.ended:
            self._stopping = True
            self._go.release()
        if self._python is not None:
            self._python.join()

    def _pause(self) -> None:
        self._done.release()
        self._go.acquire()
        if self._stopping:
            raise _Stopped

    # --- what `dsl.parallel` asks

    def coordinates(self, which: str) -> Extents:
        block = self.block
        found = {
            "thread_idx": self.place, "block_idx": block.place, "block_dim": block.extents, "grid_dim": block.grid
        }  # fmt: skip
        return found[which]

    @property
    def lane(self) -> int:
        return self.number % parallel.WARP

    @property
    def atomic(self) -> threading.Lock:
        return self.block.atomic

    def barrier(self) -> None:
        self._pause()

    def shared(self, shape: Any, dtype: Any) -> np.ndarray:
        block = self.block
        if self.arrays == len(block.shared):
            block.shared.append(np.empty(shape, parallel.numpy_dtype(dtype)))
        self.arrays += 1
        return block.shared[self.arrays - 1]

    def exchange(self, value: Any) -> list[Any]:
        self.given = value
        self._pause()
        first = self.number - self.lane
        found = [thread.given for thread in self.block.threads[first : first + parallel.WARP]]
        self._pause()  # until all lanes have looked
        return found + [found[-1]] * (parallel.WARP - len(found))

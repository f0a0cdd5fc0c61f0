"""Sets of threads of one batch, and how the values of registers are laid out over them.

A batch is so many whole blocks, and its threads are numbered 0 to n - 1. A register holds one value a thread, or one
value for all of them: an array of n elements or of one. What an instruction computes with is

- for a *dense* set the whole arrays, results being masked when they are written: cheap where most threads run;
- for a *sparse* set only the elements of its threads.

Memory is accessed for the threads of the set only: `select` goes from the first layout to that one.
"""

from __future__ import annotations

import numpy as np


class Threads:
    """A set of threads, not empty."""

    __slots__ = ("_index", "_mask", "count", "dense", "n", "whole")

    def __init__(self, n: int, count: int, index: np.ndarray | None = None, mask: np.ndarray | None = None):
        self.n, self.count = n, count
        self.whole = count == n
        self.dense = 3 * count >= n
        self._index, self._mask = index, mask

    @staticmethod
    def all(n: int) -> Threads:
        return Threads(n, n)

    @staticmethod
    def of(index: np.ndarray, n: int) -> Threads:
        """From thread numbers in ascending order."""
        return Threads(n, len(index), index)

    @property
    def index(self) -> np.ndarray:
        """The threads' numbers."""
        if self._index is None:
            self._index = np.arange(self.n) if self._mask is None else np.flatnonzero(self._mask)
        return self._index

    @property
    def mask(self) -> np.ndarray:
        if self._mask is None:
            self._mask = np.zeros(self.n, bool)
            self._mask[self.index] = True
        return self._mask

    def select(self, values: np.ndarray) -> np.ndarray:
        """Of values that an instruction computed, those of this set's threads (or the one that is common to all)."""
        if self.whole or not self.dense or values.size == 1:
            return values
        return values[self.index]

    def each(self, values: np.ndarray) -> np.ndarray:
        """As `select`, with an element for every thread of the set."""
        chosen = self.select(values)
        return chosen if chosen.size == self.count else np.broadcast_to(chosen, (self.count,))

    def split(self, condition: np.ndarray) -> tuple[Threads | None, Threads | None]:
        """Those for which the condition holds, and the others; None stands for the empty set."""
        if condition.size == 1:
            return (self, None) if condition[0] else (None, self)
        if self.dense:
            # (a copy: the condition may be a register, which is written in place later)
            yes = condition.copy() if self.whole else condition & self.mask
            count = int(np.count_nonzero(yes))
            if count == self.count:
                return self, None
            if count == 0:
                return None, self
            no = ~condition if self.whole else self.mask & ~condition
            return Threads(self.n, count, mask=yes), Threads(self.n, self.count - count, mask=no)
        count = int(np.count_nonzero(condition))
        if count == self.count:
            return self, None
        if count == 0:
            return None, self
        return Threads.of(self.index[condition], self.n), Threads.of(self.index[~condition], self.n)

    def where(self, condition: np.ndarray) -> Threads | None:
        return self.split(condition)[0]

    def pick(self, chosen: np.ndarray) -> Threads:
        """By a mask, or by ascending positions, over this set's own threads; at least one."""
        return Threads.of(self.index[chosen], self.n)

    def union(self, other: Threads) -> Threads:
        """With a set that has no thread in common."""
        count = self.count + other.count
        if count == self.n:
            return Threads.all(self.n)
        if 3 * count >= self.n:
            return Threads(self.n, count, mask=self.mask | other.mask)
        return Threads.of(np.sort(np.concatenate([self.index, other.index]), kind="stable"), self.n)

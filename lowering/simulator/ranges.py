"""Which addresses are allocated."""

from __future__ import annotations

from bisect import bisect_right, insort

import numpy as np


class Ranges:
    """Which ranges of addresses are allocated, and which of them may be written."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.sizes: dict[int, int] = {}
        self.read_only: set[int] = set()
        self._arrays: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, start: int, size: int, read_only: bool = False) -> None:
        insort(self.starts, start)
        self.sizes[start] = size
        if read_only:
            self.read_only.add(start)
        self._arrays = None

    def remove(self, start: int) -> int:
        self.starts.pop(bisect_right(self.starts, start) - 1)
        self.read_only.discard(start)
        self._arrays = None
        return self.sizes.pop(start)

    def find(self, address: int) -> int | None:
        """The start of the range that holds the address."""
        k = bisect_right(self.starts, address) - 1
        if k < 0 or address >= self.starts[k] + self.sizes[self.starts[k]]:
            return None
        return self.starts[k]

    def outside(self, address: np.ndarray, nbytes: int, writes: bool) -> np.ndarray | None:
        """Which accesses are not within one range (that may be written, if they write); None for none."""
        low, high = int(address.min()), int(address.max())
        k = bisect_right(self.starts, low) - 1
        if k >= 0:
            start = self.starts[k]
            if high + nbytes <= start + self.sizes[start] and not (writes and start in self.read_only):
                return None
        if not self.starts:
            return np.ones(address.shape, bool)
        if self._arrays is None:
            starts = np.array(self.starts, np.uint64)
            sizes = np.array([self.sizes[s] for s in self.starts], np.uint64)
            fixed = np.array([s in self.read_only for s in self.starts])
            self._arrays = starts, sizes, fixed
        starts, sizes, fixed = self._arrays
        at = np.searchsorted(starts, address, "right") - 1
        known = np.maximum(at, 0)
        bad = (at < 0) | (address - starts[known] + np.uint64(nbytes) > sizes[known])
        if writes:
            bad |= fixed[known]
        return bad if bad.any() else None

    def describe(self, address: int) -> str:
        """Where an address lies with respect to the nearest range."""
        k = bisect_right(self.starts, address) - 1
        below = self.starts[k] if k >= 0 else None
        above = self.starts[k + 1] if k + 1 < len(self.starts) else None
        distance_below = address - (below + self.sizes[below]) if below is not None else None
        if above is not None and (distance_below is None or above - address < distance_below):
            size = self.sizes[above]
            return f"{above - address} bytes before the start of an allocation of {size} bytes"
        if below is None or distance_below is None:
            return "and nothing is allocated"
        if distance_below < 0:
            return f"across the end of an allocation of {self.sizes[below]} bytes"
        return f"{distance_below} bytes past the end of an allocation of {self.sizes[below]} bytes"

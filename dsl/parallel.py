"""The parallel part of the language: what a thread of a grid kernel knows and does, and parallel loops of host code.

The front-end knows these names. As plain Python they have their meaning too, while `dsl.emulation` runs the undecorated
function of a kernel once for each thread.
"""

from __future__ import annotations

import threading
from typing import Any, NoReturn

import numpy as np

from .errors import ArgumentError

WARP = 32  # threads that run in step; their lanes are numbered from 0


def prange(*bounds: int) -> range:
    """`for i in dsl.prange(n):` promises that iterations do not depend on each other: they may run at once.

    They may reduce numbers: `s += v`, `s *= v`, `s = min(s, v)`, `s = max(s, v)`, with no other use of `s` in the loop.
    """
    return range(*bounds)


class Thread:
    """The thread that runs now, where plain Python stands in for a device: see `dsl.emulation`."""

    def coordinates(self, which: str) -> tuple[int, int, int]:
        raise NotImplementedError

    def barrier(self) -> None:
        raise NotImplementedError

    def shared(self, shape: Any, dtype: Any) -> np.ndarray:
        raise NotImplementedError

    def exchange(self, value: Any) -> list[Any]:
        """What each lane of this thread's warp gave, in the order of lanes."""
        raise NotImplementedError

    @property
    def lane(self) -> int:
        raise NotImplementedError

    @property
    def atomic(self) -> threading.Lock:
        raise NotImplementedError


_running = threading.local()


def running(thread: Thread | None) -> None:
    """Say which thread the calling Python thread stands in for."""
    _running.thread = thread


def _thread(what: str) -> Thread:
    thread: Thread | None = getattr(_running, "thread", None)
    if thread is None:
        _refuse(what)
    return thread


def _refuse(what: str) -> NoReturn:
    raise ArgumentError(
        f"`{what}` has a meaning only in a kernel that is launched over a grid",
        None,
        "launch it: k[blocks, threads](...)",
    )


class Coordinates:
    """Three numbers `.x`, `.y`, `.z` that belong to the running thread."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"dsl.{self.name}"

    def __reduce__(self) -> str:
        return self.name

    def _at(self, axis: int) -> int:
        return _thread(f"{self.name}.{'xyz'[axis]}").coordinates(self.name)[axis]

    @property
    def x(self) -> int:
        return self._at(0)

    @property
    def y(self) -> int:
        return self._at(1)

    @property
    def z(self) -> int:
        return self._at(2)


thread_idx = Coordinates("thread_idx")
"""The thread's place in its block."""
block_idx = Coordinates("block_idx")
"""The block's place in the grid."""
block_dim = Coordinates("block_dim")
"""How many threads a block has along each axis."""
grid_dim = Coordinates("grid_dim")
"""How many blocks the grid has along each axis."""


def grid(ndim: int) -> Any:
    """The thread's place in the whole grid: an int for 1, a tuple (x, y) or (x, y, z) for 2 and 3."""
    thread = _thread("grid")
    places, sizes, threads = (thread.coordinates(n) for n in ("block_idx", "block_dim", "thread_idx"))
    found = tuple(b * s + t for b, s, t in zip(places, sizes, threads))[:ndim]
    return found[0] if ndim == 1 else found


def gridsize(ndim: int) -> Any:
    """How many threads the whole grid has along each axis: an int for 1, a tuple for 2 and 3."""
    thread = _thread("gridsize")
    found = tuple(b * g for b, g in zip(thread.coordinates("block_dim"), thread.coordinates("grid_dim")))[:ndim]
    return found[0] if ndim == 1 else found


def lane_id() -> int:
    """The thread's number in its warp, 0 to 31."""
    return _thread("lane_id").lane


def syncthreads() -> None:
    """Wait until all threads of the block are here; what they wrote before is then seen by all of them."""
    _thread("syncthreads").barrier()


# --- memory


def shared_array(shape: Any, dtype: Any = np.float64) -> np.ndarray:
    """An array that the threads of a block share. Shape and dtype are known when compiling; it holds nothing yet."""
    return _thread("shared_array").shared(shape, dtype)


def local_array(shape: Any, dtype: Any = np.float64) -> np.ndarray:
    """An array of the thread's own. Shape and dtype are known when compiling; it holds nothing yet."""
    _thread("local_array")
    return np.empty(shape, numpy_dtype(dtype))


def numpy_dtype(dtype: Any) -> Any:
    """A dtype of ours or of NumPy's, as NumPy's."""
    return getattr(dtype, "dtype", dtype) if not isinstance(dtype, type) else dtype


# --- atomics: each takes an array and an index (an int or a tuple), and returns what the element held before


def atomic_add(array: np.ndarray, index: Any, value: Any) -> Any:
    """`array[index] += value`, as one step that no other thread comes between."""
    with _thread("atomic_add").atomic:
        old = array[index]
        array[index] = old + value
        return old


def atomic_max(array: np.ndarray, index: Any, value: Any) -> Any:
    """`array[index] = max(array[index], value)` in one step; NaN wins."""
    with _thread("atomic_max").atomic:
        old = array[index]
        array[index] = np.maximum(old, value)
        return old


def atomic_min(array: np.ndarray, index: Any, value: Any) -> Any:
    """`array[index] = min(array[index], value)` in one step; NaN wins."""
    with _thread("atomic_min").atomic:
        old = array[index]
        array[index] = np.minimum(old, value)
        return old


def atomic_exch(array: np.ndarray, index: Any, value: Any) -> Any:
    """`array[index] = value` in one step with the look at what was there."""
    with _thread("atomic_exch").atomic:
        old = array[index]
        array[index] = value
        return old


def atomic_cas(array: np.ndarray, index: Any, expected: Any, value: Any) -> Any:
    """`if array[index] == expected: array[index] = value` in one step. Integers only."""
    with _thread("atomic_cas").atomic:
        old = array[index]
        if old == expected:
            array[index] = value
        return old


# --- a warp: all its lanes must take part. With a `width`, each part of so many lanes shuffles by itself


def syncwarp() -> None:
    """Wait until all lanes of the warp are here; what they wrote before is then seen by all of them."""
    _thread("syncwarp").exchange(None)


def shfl_sync(value: Any, lane: int, width: int = WARP) -> Any:
    """The value that lane number `lane` of the part gives (counted modulo `width`)."""
    thread = _thread("shfl_sync")
    return thread.exchange(value)[_first(thread, width) + lane % width]


def shfl_up(value: Any, delta: int, width: int = WARP) -> Any:
    """The value of the lane `delta` below in the part; the thread's own where there is none."""
    thread = _thread("shfl_up")
    return thread.exchange(value)[thread.lane - delta if thread.lane % width >= delta else thread.lane]


def shfl_down(value: Any, delta: int, width: int = WARP) -> Any:
    """The value of the lane `delta` above in the part; the thread's own where there is none."""
    thread = _thread("shfl_down")
    return thread.exchange(value)[thread.lane + delta if thread.lane % width + delta < width else thread.lane]


def shfl_xor(value: Any, mask: int, width: int = WARP) -> Any:
    """The value of the lane whose number differs in the bits of `mask`; the thread's own if it is in another part."""
    thread = _thread("shfl_xor")
    other = thread.lane ^ mask
    return thread.exchange(value)[other if _first(thread, width) == other & -width else thread.lane]


def _first(thread: Thread, width: int) -> int:
    """The first lane of the thread's part of the warp."""
    if width not in (1, 2, 4, 8, 16, 32):
        raise ArgumentError(f"a width of {width} lanes", None, "it is a power of two, 32 at most")
    return thread.lane & -width


def ballot(predicate: Any) -> np.uint32:
    """A bit for each lane of the warp, set where its predicate holds."""
    votes = _thread("ballot").exchange(bool(predicate))
    return np.uint32(sum(1 << lane for lane, vote in enumerate(votes) if vote))


def vote_any(predicate: Any) -> bool:
    """Whether the predicate holds in any lane of the warp."""
    return any(_thread("vote_any").exchange(bool(predicate)))


def vote_all(predicate: Any) -> bool:
    """Whether the predicate holds in all lanes of the warp."""
    return all(_thread("vote_all").exchange(bool(predicate)))

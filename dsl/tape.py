"""The tape of split mode: what the augmented primal leaves for the pullback.

A `Tape` is made of the words behind the results of an augmented primal. It owns the memory that they point to, which
compiled code got from malloc, or from a device's driver, and gives it back when it is used up or dropped; compiled code
frees none of it. A `TapeType` says beforehand what lies on such a tape.

A buffer is described by a descriptor, as compiled code has it: the words allocated, aligned, offset, sizes, strides.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from .errors import ArgumentError
from .memory import _free

if TYPE_CHECKING:
    from lowering.driver import Driver

    from .device_run import Run

_WORD = 8


class TapePart(NamedTuple):
    """One entry of a tape's layout.

    `type` is its MLIR type, `itemsize` the bytes of an element, `rank` None for a scalar. A growing part is a cell
    that holds a buffer, of rank `rank`, to which a loop of unknown length appends. `descriptor` is the number of words
    of an element that describes a buffer, else 0.
    """

    type: str
    itemsize: int
    rank: int | None
    growing: bool
    words: int  # that it takes in the slots of a call
    descriptor: int = 0

    def __str__(self) -> str:
        if self.rank is None:
            return f"{self.type}: {self.itemsize} bytes"
        if self.growing:
            return f"{self.type}: {self.itemsize} bytes for each value that a loop of unknown length tapes"
        return f"{self.type}: {self.itemsize} bytes an element"


class TapeType(NamedTuple):
    """What lies on the tapes of a thunk, see `dsl.tape_type`."""

    parts: tuple[TapePart, ...]

    @property
    def itemsizes(self) -> tuple[int, ...]:
        """The bytes of an element of each part."""
        return tuple(part.itemsize for part in self.parts)

    def __str__(self) -> str:
        return "\n".join(map(str, self.parts)) or "nothing is taped"


class _Block(NamedTuple):
    """A piece of memory of a tape."""

    start: int  # what malloc gave
    data: int  # where the first element is
    nbytes: int
    descriptor: int  # the words of each descriptor in it, 0 if there is none
    is_taped: bool = True  # and not only the cell that holds a buffer


class Tape:
    """What a pullback needs of a forward pass. Opaque; used once, unless `keep()` was called.

    `nbytes` is the size of what is taped. The memory is freed by the pullback, or when the tape is dropped.

        tape, value, _ = fwd(Const(f), Duplicated(x, dx))
        tape.nbytes
        rev(Const(f), Duplicated(x, dx), 1.0, tape)
    """

    __slots__ = ("__weakref__", "_kept", "_memory", "_words", "arguments", "halves", "nbytes", "shadows")

    def __init__(self, halves: Any, arguments: bytes, words: bytes, run: Run | None = None) -> None:
        self.halves = halves  # the code that it is for
        self.arguments = arguments  # the words of the forward pass's arguments
        self.shadows: tuple[Any, ...] = ()  # of the arrays that were returned
        self._kept = False
        self._words = [words]  # a list, since of two threads only one can take something out of it
        self._memory = _Memory(None if run is None else run.driver)
        if run is not None:
            self._memory.take(run.allocated, {block.start for block in self._blocks(words)})
        self.nbytes: int = sum(block.nbytes for block in self._blocks(words) if block.is_taped) + sum(
            part.itemsize for part in halves.parts if part.rank is None
        )

    def keep(self) -> Tape:
        """Let the tape be used any number of times: each pullback then works on a copy of it. Returns the tape.

        Raises ArgumentError for a tape that was used already.
        """
        if self.used:
            self._refuse_used()
        self._kept = True
        return self

    @property
    def driver(self) -> Driver | None:
        """The driver of the device that it is on; None on the host."""
        return self._memory.driver

    @property
    def used(self) -> bool:
        """Whether a pullback has consumed the tape."""
        return not self._words

    def take(self) -> bytes:
        """The words for one pullback, whose memory is the taker's from now on; `release` gives it back."""
        try:
            return self._copy(self._words[0]) if self._kept else self._words.pop()
        except IndexError:
            self._refuse_used()

    def release(self, words: bytes) -> None:
        """Free what taken words point to."""
        for start in {block.start for block in self._blocks(words)}:
            self._memory.free(start)

    def _blocks(self, words: bytes) -> Iterator[_Block]:
        """All memory of the tape: what the words describe, the buffers in cells, and what the list of blocks names."""
        for part, at in self._buffers():
            rank = part.rank if part.rank is not None and not part.growing else 0
            start, data, offset, *sizes = struct.unpack_from(f"={3 + rank}q", words, at)
            if not part.growing:
                yield _Block(start, data, _product(sizes) * part.itemsize, part.descriptor)
                continue
            assert part.rank is not None
            count = 3 + 2 * part.rank
            yield _Block(start, data, _WORD * count, count, False)
            start, data, _, *sizes = struct.unpack(
                f"={count}q", ctypes.string_at(data + offset * _WORD * count, _WORD * count)
            )
            yield _Block(start, data, _product(sizes[: part.rank]) * part.itemsize, part.descriptor)
        for address, nbytes in self._list(words).tolist():
            yield _Block(address, address, nbytes, 0)

    def _buffers(self) -> Iterator[tuple[TapePart, int]]:
        """The parts that are buffers or cells, each with its place in the words."""
        at = 0
        for part in self.halves.parts:
            if part.rank is not None:
                yield part, at
            at += _WORD * part.words

    def _list(self, words: bytes) -> np.ndarray:
        """The rows (address, bytes) of the list of blocks."""
        number = self.halves.blocks
        if number is None:
            return np.empty((0, 2), np.int64)
        at = _WORD * sum(part.words for part in self.halves.parts[:number])
        _, cell = struct.unpack_from("=2q", words, at)
        _, count = struct.unpack_from("=2q", words, at + _WORD * self.halves.parts[number].words)
        _, buffer = struct.unpack("=2q", ctypes.string_at(cell, 2 * _WORD))
        (filled,) = struct.unpack("=q", ctypes.string_at(count, _WORD))
        return _words_at(buffer, filled).reshape(-1, 2)

    # copies ---------------------------------------------------------------------------------------------------------
    def _copy(self, words: bytes) -> bytes:
        """The words of a copy of everything, in which pointers to what is copied point to the copy."""
        blocks = sorted({block.data: block for block in self._blocks(words)}.values(), key=lambda b: b.data)
        moved = _Moved(blocks, self._memory)
        copied = np.frombuffer(words, np.int64).copy()
        for part, at in self._buffers():
            moved.relocate(copied[at // _WORD :][: part.words].reshape(1, -1))
        for block, address in zip(moved.blocks, moved.addresses):
            if block.descriptor:
                moved.relocate(_words_at(address, block.nbytes // _WORD).reshape(-1, block.descriptor))
        moved.relocate_list(self._list(copied.tobytes()))
        return copied.tobytes()

    def _refuse_used(self) -> NoReturn:
        raise ArgumentError(
            "this tape has been used: a pullback consumes it",
            None,
            "run the forward pass again, or call tape.keep() before the first pullback",
        )

    def __del__(self) -> None:
        for words in getattr(self, "_words", ()):
            self.release(words)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a tape holds memory of this process: it cannot be copied or pickled")

    def __repr__(self) -> str:
        state = "used" if self.used else "kept" if self._kept else "unused"
        return f"<tape of {self.halves.kernel.name}, {self.nbytes} bytes, {state}>"


class _Memory:
    """Memory of the host, and of a device if there is one."""

    def __init__(self, driver: Driver | None) -> None:
        self.driver = driver
        self._there: set[int] = set()  # addresses of what is allocated on the device

    def take(self, allocated: dict[int, int], starts: set[int]) -> None:
        """Own those of these blocks that a call has allocated on the device."""
        self._there |= starts & allocated.keys()
        for start in self._there:
            del allocated[start]

    def free(self, start: int) -> None:
        if start in self._there:
            assert self.driver is not None
            self._there.discard(start)
            self.driver.free(start)
        else:
            _free(start)

    def copy(self, block: _Block) -> int:
        """The address of a copy; 0 where there is not enough memory."""
        size = max(1, block.nbytes)
        if block.start not in self._there:
            address: int = _malloc(size)
            if address:
                ctypes.memmove(address, block.data, block.nbytes)
            return address
        assert self.driver is not None
        try:
            address = self.driver.alloc(size)
        except MemoryError:
            return 0
        self._there.add(address)
        if block.nbytes:
            self.driver.copy(address, block.data, block.nbytes)
        return address


class _Moved:
    """Copies of blocks, which are sorted by their addresses."""

    def __init__(self, blocks: list[_Block], memory: _Memory) -> None:
        self.blocks = blocks
        self.addresses: list[int] = []
        for block in blocks:
            address = memory.copy(block)
            if not address:
                for made in self.addresses:
                    memory.free(made)
                raise MemoryError("there is not enough memory for a copy of a tape")
            self.addresses.append(address)
        self._old = np.array([block.data for block in blocks], np.int64)
        self._ends = self._old + np.array([max(1, block.nbytes) for block in blocks], np.int64)
        self._new = np.array(self.addresses, np.int64)

    def relocate(self, descriptors: np.ndarray) -> None:
        """Let each descriptor, a row, describe the copy if it describes something that is copied."""
        if not len(self._old) or not descriptors.size:
            return
        data = descriptors[:, 1]
        block = np.searchsorted(self._old, data, side="right") - 1
        inside = (block >= 0) & (data < self._ends[block])
        block = block[inside]
        descriptors[inside, 1] += self._new[block] - self._old[block]
        descriptors[inside, 0] = self._new[block]

    def relocate_list(self, rows: np.ndarray) -> None:
        """The same for the list of blocks, in whose rows the addresses are the first word."""
        if len(rows):
            rows[:, 0] = self._new[np.searchsorted(self._old, rows[:, 0])]


def _words_at(address: int, count: int) -> np.ndarray:
    """An array over words in memory."""
    if not count:
        return np.empty(0, np.int64)
    return np.ctypeslib.as_array((ctypes.c_int64 * count).from_address(address))


def _product(sizes: Any) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


_malloc = ctypes.PyDLL(None).malloc
_malloc.restype, _malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]

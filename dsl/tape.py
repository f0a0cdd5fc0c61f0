"""The tape of split mode: what the augmented primal leaves for the pullback.

A `Tape` is made of the words behind the results of an augmented primal. It owns the memory that they point to, which
compiled code got from malloc, and gives it back when it is used up or dropped. A `TapeType` says beforehand what
lies on such a tape.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from .errors import ArgumentError
from .memory import _free

_WORD = 8
# Copies lie as the originals do modulo this, so that vector loads find them as well.
_ALIGNMENT = 64


class TapePart(NamedTuple):
    """One entry of a tape's layout.

    `type` is its MLIR type, `itemsize` the bytes of an element, `rank` None for a scalar. A growing part is a cell
    that holds a buffer, of rank `rank`, to which a loop of unknown length appends.
    """

    type: str
    itemsize: int
    rank: int | None
    growing: bool
    words: int  # that it takes in the slots of a call

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


class Block(NamedTuple):
    """The array of a part, or the buffer in a cell: where its descriptor is, in the words or in memory."""

    allocated: int
    aligned: int
    nbytes: int
    at: int  # of the allocated pointer: the byte in the words, or its address where `inner`
    inner: bool


class Tape:
    """What a pullback needs of a forward pass. Opaque; used once, unless `keep()` was called.

    `nbytes` is the size of what is taped. The memory is freed by the pullback, or when the tape is dropped.

        tape, value, _ = fwd(Const(f), Duplicated(x, dx))
        tape.nbytes
        rev(Const(f), Duplicated(x, dx), 1.0, tape)
    """

    __slots__ = ("__weakref__", "_kept", "_words", "arguments", "halves", "nbytes")

    def __init__(self, halves: Any, arguments: bytes, words: bytes) -> None:
        self.halves = halves  # the code that it is for
        self.arguments = arguments  # the words of the forward pass's arguments
        self._kept = False
        self._words = [words]  # a list, since of two threads only one can take something out of it
        self.nbytes: int = sum(b.nbytes for b in self._blocks(words)) + sum(
            part.itemsize for part in halves.parts if part.rank is None
        )

    def keep(self) -> Tape:
        """Let the tape be used any number of times: each pullback then works on a copy of it. Returns the tape.

        Raises ArgumentError for a tape that was used already, or where the C library cannot tell sizes.
        """
        if self.used:
            self._refuse_used()
        if _usable_size is None:
            raise ArgumentError(
                "a tape cannot be kept here: the C library does not tell how large a block of memory is",
                None,
                "run the forward pass once for each pullback",
            )
        self._kept = True
        return self

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

    def release(self, words: bytes, inner: bool) -> None:
        """Free what taken words point to: the arrays, and if `inner` the buffers in cells."""
        blocks = list(self._blocks(words))
        for address in {b.allocated for b in blocks if inner or not b.inner}:
            _free(address)

    def own_copies(self, shared: set[int]) -> None:
        """Put copies in the place of arrays whose memory, of these addresses, belongs to somebody else."""
        if any(b.allocated in shared for b in self._blocks(self._words[0])):
            self._words[0] = self._copy(self._words[0], shared)

    def _copy(self, words: bytes, only: set[int] | None = None) -> bytes:
        copied = bytearray(words)
        for block in self._blocks(words):
            if not block.inner and block.allocated and (only is None or block.allocated in only):
                _move(copied, block)
        if only is None:
            for block in self._blocks(bytes(copied)):  # the copied cells still point to the original's buffers
                if block.inner and block.allocated:
                    _move(None, block)
        return bytes(copied)

    def _blocks(self, words: bytes) -> Iterator[Block]:
        at = 0
        for part in self.halves.parts:
            if part.rank is not None:
                rank = 0 if part.growing else part.rank
                allocated, aligned, offset, *sizes = struct.unpack_from(f"={3 + rank}q", words, at)
                itemsize = _WORD * (3 + 2 * part.rank) if part.growing else part.itemsize
                yield Block(allocated, aligned, 0 if part.growing else _product(sizes) * itemsize, at, False)
                if part.growing:
                    cell = aligned + offset * itemsize
                    inner = struct.unpack(f"={3 + part.rank}q", ctypes.string_at(cell, _WORD * (3 + part.rank)))
                    yield Block(inner[0], inner[1], _product(inner[3:]) * part.itemsize, cell, True)
            at += _WORD * part.words

    def _refuse_used(self) -> NoReturn:
        raise ArgumentError(
            "this tape has been used: a pullback consumes it",
            None,
            "run the forward pass again, or call tape.keep() before the first pullback",
        )

    def __del__(self) -> None:
        for words in getattr(self, "_words", ()):
            self.release(words, inner=True)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a tape holds memory of this process: it cannot be copied or pickled")

    def __repr__(self) -> str:
        state = "used" if self.used else "kept" if self._kept else "unused"
        return f"<tape of {self.halves.kernel.name}, {self.nbytes} bytes, {state}>"


def _product(sizes: Any) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _move(words: bytearray | None, block: Block) -> None:
    """Copy a block, and let the descriptor point to the copy: it is in `words`, or in memory if that is None."""
    assert _usable_size is not None
    size = _usable_size(block.allocated)
    new = _malloc(size + _ALIGNMENT)
    if not new:
        raise MemoryError("there is not enough memory for a copy of a tape")
    shift = (block.allocated - new) % _ALIGNMENT
    ctypes.memmove(new + shift, block.allocated, size)
    pointers = struct.pack("=2q", new, block.aligned - block.allocated + new + shift)
    if words is None:
        ctypes.memmove(block.at, pointers, len(pointers))
    else:
        words[block.at : block.at + len(pointers)] = pointers


def _c_function(names: tuple[str, ...], result: Any, argument: Any) -> Any:
    library = ctypes.PyDLL(None)
    for name in names:
        found = getattr(library, name, None)
        if found is not None:
            found.restype, found.argtypes = result, [argument]
            return found
    return None


_malloc = _c_function(("malloc",), ctypes.c_void_p, ctypes.c_size_t)
_usable_size = _c_function(("malloc_usable_size", "malloc_size"), ctypes.c_size_t, ctypes.c_void_p)  # Linux, macOS

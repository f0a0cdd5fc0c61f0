"""Derivatives free what they allocate: repeated calls leave the heap as large as it was."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

from .harness import Compiled, differentiate, request
from .test_random_programs import ACTIVE, FORWARD, MOVING, PRIMAL, REVERSE, SIZE, TRIPS, program


class _Heap(ctypes.Structure):
    """What glibc's mallinfo2 tells."""

    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b used c d".split()]


def _used() -> int:
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Heap
    heap = libc.mallinfo2()
    return heap.used + heap.hblkhd


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads glibc's mallinfo2")
@pytest.mark.parametrize("seed", [0, 3, 14, 16, 39])
def test_no_leak(seed: int) -> None:
    """Programs with carried and swapped buffers, allocations in loops, and tapes that grow."""
    text = differentiate(
        program(seed, 6 + seed % 20)
        + request("rev_entry", "reverse", "f", REVERSE, ACTIVE, ["active"], PRIMAL)
        + request("fwd_entry", "forward", "f", FORWARD, MOVING, ["duplicated"], PRIMAL)
    )
    x, y, dx, dy = (np.linspace(0.6, 1.3, SIZE) for _ in range(4))
    calls = [
        (Compiled(text, "f", 1), (1.0, 0.9, x, y, TRIPS)),
        (Compiled(text, "fwd_entry", 2), (1.0, 1.0, 0.9, 1.0, x, dx, y, dy, TRIPS)),
        (Compiled(text, "rev_entry", 3), (1.0, 0.9, x, dx, y, dy, TRIPS, 1.0)),
    ]
    for function, arguments in calls:
        for _ in range(5):
            function(*arguments)
        before = _used()
        for _ in range(2000):
            function(*arguments)
        # The smallest block takes 32 bytes a call; what the interpreter keeps does not grow so.
        assert _used() - before < 2000 * 16, "each call leaves memory behind"

"""How to compile for the CPU: a frozen value that is part of every cache key."""

from __future__ import annotations

from typing import NamedTuple


class CpuOptions(NamedTuple):
    """Options of one compilation. The defaults give the user's arithmetic, vectorised, for the machine at hand.

    fastmath: let sums be reordered, signed zeros be ignored and divisions become multiplications. NaN and infinity
        keep their meaning.
    opt_level: LLVM's level, 0 to 3.
    vector_math: vectorise loops that call sin, exp, log, pow, ... through the vector library of the host (glibc's
        libmvec, to 4 units in the last place); without it such calls stay scalar.
    contract: let a product and a sum become one fused operation (rounded once instead of twice).
    distinct_arrays: array arguments of one call don't overlap. The caller must check that before each call.
    debug_info: keep the source's lines in the object code, for debuggers and profilers.
    check_threads: end a call in which threads of a grid kernel go different ways where they have to meet.
    """

    fastmath: bool = False
    opt_level: int = 3
    vector_math: bool = True
    contract: bool = True
    distinct_arrays: bool = True
    debug_info: bool = False
    check_threads: bool = False

    def key(self) -> str:
        """The text that stands for these options in a cache key."""
        return ",".join(f"{name}={int(value)}" for name, value in self._asdict().items())

"""How many threads of the processor grid kernels and `prange` loops may use on the CPU.

Results do not depend on it.
"""

from __future__ import annotations

from .errors import ArgumentError


def set_num_threads(count: int) -> None:
    """Use up to `count` threads (at least 1) for each launch and parallel loop from now on, in all of the process.

    At first there are as many as the processors that the process may use. Raises ArgumentError for a count that is
    no whole number or less than 1.

        dsl.set_num_threads(1)
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"the number of threads is {count!r}", hint="give a whole number of at least 1")
    from lowering import jit

    jit.set_threads(count)


def get_num_threads() -> int:
    """How many threads launches and parallel loops use at most."""
    from lowering import jit

    return jit.threads()

"""What the simulator watches for while a kernel runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Checks:
    """Each check is on unless it is turned off.

    Without `bounds`, what is read outside every allocation means nothing, and what is written there is lost; without
    `alignment` an address is rounded down.
    """

    bounds: bool = True
    alignment: bool = True
    uninitialised: bool = True  # reads of shared and local memory that nothing wrote
    races: bool = True
    barriers: bool = True  # a barrier that not all threads of a block reach together
    early_exit: bool = True  # (with `barriers`) threads that have left the kernel count as not reaching it
    read_only: bool = True
    shuffles: bool = True  # from lanes that do not take part, although the block has them
    steps: int = 20_000_000  # instructions that one batch of blocks may take, each one counted once for all its threads


ALL = Checks()
NONE = Checks(False, False, False, False, False, False, False, False)

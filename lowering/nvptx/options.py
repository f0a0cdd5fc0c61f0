"""How to compile for a CUDA device: a frozen value that is part of every cache key."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import LoweringError

# What ptxas of CUDA 12 and later takes and LLVM knows. (An unknown name would end the process or be taken for an old
# device.)
CHIPS = (
    "sm_70", "sm_72", "sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_100a", "sm_103",
    "sm_103a", "sm_120", "sm_120a", "sm_121", "sm_121a",
)  # fmt: skip


class DeviceOptions(NamedTuple):
    """Options of one compilation.

    chip: the device's name for compilers, such as "sm_90".
    fastmath: divisions and square roots may be approximate and subnormal numbers zero, besides what it means on CPUs.
    contract: let a product and a sum become one fused operation (rounded once instead of twice).
    distinct_arrays: array arguments of one call don't overlap. The caller must check that before each call.
    line_info: the PTX names the lines of the source.
    """

    chip: str = "sm_80"
    fastmath: bool = False
    contract: bool = True
    distinct_arrays: bool = True
    line_info: bool = True

    def key(self) -> str:
        """The text that stands for these options in a cache key."""
        return ",".join(f"{name}={value}" for name, value in self._asdict().items())


def check_chip(chip: str) -> str:
    """The chip itself if we compile for it; else a LoweringError."""
    if chip not in CHIPS:
        near = "" if re.fullmatch(r"sm_\d+[af]?", str(chip)) else "; a chip is named such as sm_90"
        raise LoweringError(f"there is no chip {chip!r}{near}", None, f"take one of {', '.join(CHIPS)}")
    return chip

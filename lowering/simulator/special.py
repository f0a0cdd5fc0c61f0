"""Special registers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .state import Batch

Value = Callable[["Batch"], np.ndarray]


def find(name: str) -> Value | None:
    """What gives the register's value for all threads of a batch, in one element or as many; None if unknown."""
    return _TABLE.get(name)


def _uniform(number: int) -> np.ndarray:
    return np.array([number], np.uint32)


def _lane_mask(shape: Callable[[np.ndarray], np.ndarray]) -> Value:
    return lambda m: shape(m.lane.astype(np.uint64)).astype(np.uint32)


_ONE = np.uint64(1)
_TABLE: dict[str, Value] = {
    "%laneid": lambda m: m.lane.astype(np.uint32),
    "%warpid": lambda m: m.warp_in_block.astype(np.uint32),
    "%nwarpid": lambda m: _uniform(-(-m.block_threads // 32)),
    "WARP_SZ": lambda m: _uniform(32),
    "%lanemask_eq": _lane_mask(lambda lane: _ONE << lane),
    "%lanemask_lt": _lane_mask(lambda lane: (_ONE << lane) - _ONE),
    "%lanemask_le": _lane_mask(lambda lane: (np.uint64(2) << lane) - _ONE),
    "%lanemask_gt": _lane_mask(lambda lane: ~((np.uint64(2) << lane) - _ONE)),
    "%lanemask_ge": _lane_mask(lambda lane: ~((_ONE << lane) - _ONE)),
    # One multiprocessor that counts an instruction as a clock.
    "%smid": lambda m: _uniform(0),
    "%nsmid": lambda m: _uniform(1),
    "%gridid": lambda m: _uniform(0),
    "%clock": lambda m: _uniform(m.steps & 0xFFFFFFFF),
    "%clock_hi": lambda m: _uniform(m.steps >> 32),
    "%clock64": lambda m: np.array([m.steps], np.uint64),
    "%globaltimer": lambda m: np.array([m.steps], np.uint64),
    "%globaltimer_lo": lambda m: _uniform(m.steps & 0xFFFFFFFF),
    "%globaltimer_hi": lambda m: _uniform(m.steps >> 32),
    "%dynamic_smem_size": lambda m: _uniform(m.launch.shared_bytes),
    "%total_smem_size": lambda m: _uniform(m.launch.program.static_shared + m.launch.shared_bytes),
    # Clusters of one block.
    "%is_explicit_cluster": lambda m: np.array([False]),
    "%cluster_ctarank": lambda m: _uniform(0),
    "%cluster_nctarank": lambda m: _uniform(1),
}


def _axis(axis: int, name: str) -> None:
    table = {
        "%tid": lambda m: m.thread_index(axis),
        "%ctaid": lambda m: m.block_index(axis),
        "%clusterid": lambda m: m.block_index(axis),
        "%ntid": lambda m: _uniform(m.launch.block[axis]),
        "%nctaid": lambda m: _uniform(m.launch.grid[axis]),
        "%nclusterid": lambda m: _uniform(m.launch.grid[axis]),
        "%cluster_ctaid": lambda m: _uniform(0),
        "%cluster_nctaid": lambda m: _uniform(1),
    }
    for register, value in table.items():
        _TABLE[f"{register}.{name}"] = value


for _number, _letter in enumerate("xyz"):
    _axis(_number, _letter)

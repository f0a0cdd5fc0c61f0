"""Sums of floats that the blocks of a launch add to by atomics, and may also make in chunks.

Where the order of a launch's blocks can be seen in nothing but such sums, its blocks are run in chunks (`chunks.py`).
An array that is summed into is either given to chunks at once that do not reach the same cells of it (its indices tell,
see `windows.py`), or each chunk has a copy of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from mlir.ir import AffineMap, BlockArgument, MemRefType, Operation, Value

from .emit import captured, home, plain, walk
from .order import VIEWS, kind
from .parts import distinct_from_others, same_memory
from .windows import Reach

#: Views whose indices are those of what they are a view of.
_SAME_INDEX = frozenset({"memref.cast", "memref.memory_space_cast", "memref.assume_alignment"})


class Sum(NamedTuple):
    """An array from outside of the launch, and what adds to it there. `windowed`: which cells a block reaches is known,
    and depends on the block. `private`: chunks may have copies; nothing in the launch looks at the array.
    """

    array: Value
    sites: list[Operation]
    windowed: bool
    private: bool


def sums(launch: Operation, ordered: list[Operation], reach: Reach) -> list[Sum] | None:
    """The sums that the operations `ordered` of a launch make; None if they are not all such sums."""
    sites: dict[Value, list[Operation]] = {}
    for op in ordered:
        if op.name != "memref.atomic_rmw" or kind(op) != "addf" or any(list(r.uses) for r in op.results):
            return None
        array = _base(op.operands[1], reach)
        if array is None or MemRefType(array.type).memory_space is not None:
            return None
        sites.setdefault(array, []).append(op)
    arrays = [v for v in captured(launch) if isinstance(v.type, MemRefType)]
    if not all(distinct_from_others(array, arrays) for array in sites):
        return None
    found = [
        Sum(array, ops, _is_windowed(array, ops, reach), _may_be_private(launch, array, ops, reach))
        for array, ops in sites.items()
    ]
    return found if all(s.windowed or s.private for s in found) else None


def _base(memref: Value, reach: Reach) -> Value | None:
    """The memref from outside that a memref in a launch is, or is a view of."""
    while home(memref) in reach.inside:
        if isinstance(memref, BlockArgument) or plain(memref.owner).name not in VIEWS:
            return None
        memref = plain(memref.owner).operands[0]
    return memref


def _is_windowed(array: Value, sites: list[Operation], reach: Reach) -> bool:
    for op in sites:
        memref, indices = op.operands[1], list(op.operands)[2:]
        while memref != array:
            owner = plain(memref.owner)
            if owner.name not in _SAME_INDEX:
                return False
            memref = owner.operands[0]
        if not all(map(reach.known, indices)) or not any(map(reach.moves, indices)):
            return False
    return True


def _may_be_private(launch: Operation, array: Value, sites: list[Operation], reach: Reach) -> bool:
    if not _takes_contiguous(MemRefType(array.type)):
        return False
    for op in walk(launch):
        if op in sites or op.name in VIEWS or op.name == "memref.dim" or op == launch:
            continue
        for operand in op.operands:
            if isinstance(operand.type, MemRefType) and same_memory(operand, array):
                return False
    return True


def _takes_contiguous(type_: MemRefType) -> bool:
    """Whether a contiguous array can be cast to this type."""
    strides, offset = type_.get_strides_and_offset()
    if type_.affine_map == AffineMap.get_identity(type_.rank):
        return True
    unknown = MemRefType.get_dynamic_stride_or_offset()
    return offset in (0, unknown) and strides[-1] in (1, unknown) and all(s == unknown for s in strides[:-1])

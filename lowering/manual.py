"""Which buffers the program frees itself.

A buffer that is put into memory (a buffer of buffers) is out of the ownership pass's sight, so whoever puts it there
frees it, by a `dealloc` with the unit attribute `autodiff.free`; or the caller, who is given its address, taken by a
`memref.extract_aligned_pointer_as_index` with `autodiff.keep`. The allocations of such buffers are found from those
places backwards, through views, loops, branches and calls. (An attribute on the allocation says the same, but does
not always stay there: canonicalize makes a new operation where an extent becomes constant.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlir.ir import Block, BlockArgument, FlatSymbolRefAttr, MemRefType, Operation, StringAttr, Value

from .errors import LoweringError, position

KEEP, FREE = "autodiff.keep", "autodiff.free"
_VIEWS = frozenset({
    "memref.cast", "memref.subview", "memref.reinterpret_cast", "memref.collapse_shape", "memref.expand_shape",
    "memref.transpose", "memref.view", "memref.memory_space_cast", "memref.assume_alignment",
})  # fmt: skip


def roots(
    stores: Iterable[Operation], deallocations: Iterable[Operation], addresses: Iterable[Operation]
) -> Iterator[Value]:
    """The buffers that are put into memory, those that are freed by hand, and those whose address is handed out."""
    for store in stores:
        if isinstance(store.operands[0].type, MemRefType):
            yield store.operands[0]
    for free in deallocations:
        if FREE in free.attributes:
            yield free.operands[0]
    for address in addresses:
        if KEEP in address.attributes:
            yield address.operands[0]


def allocations(found: Iterable[Value], calls: Iterable[Operation]) -> list[Operation]:
    """The memref.alloc operations whose buffers may be one of `found`; `calls` are all func.call operations."""
    callers: dict[str, list[Operation]] = {}
    for call in calls:
        callers.setdefault(FlatSymbolRefAttr(call.attributes["callee"]).value, []).append(call)
    allocs: list[Operation] = []
    seen: set[Value] = set()
    todo = list(found)
    while todo:
        value = todo.pop()
        if value in seen:
            continue
        seen.add(value)
        if isinstance(value, BlockArgument):
            todo += _into_argument(value, callers)
            continue
        op = value.owner.operation
        if op.name == "memref.alloc":
            allocs.append(op)
        elif op.name == "func.call":
            raise LoweringError(
                "a buffer that a called function returns is put into memory or freed by hand",
                position(op.location),
                "inline the function",
            )
        else:
            todo += _into_result(op, value.result_number)
    return allocs


def _into_result(op: Operation, number: int) -> list[Value]:
    """The values that may be the operation's result of this number, apart from memory that is read."""
    if op.name in _VIEWS:
        return [op.operands[0]]
    if op.name == "arith.select":
        return list(op.operands)[1:]
    if op.name in ("scf.if", "scf.index_switch", "scf.execute_region"):
        return [_terminator(block).operands[number] for region in op.regions for block in region]
    if op.name == "scf.for":
        return [op.operands[3 + number], _terminator(op.regions[0].blocks[0]).operands[number]]
    if op.name == "scf.while":
        return [_terminator(op.regions[0].blocks[0]).operands[1 + number]]
    return []


def _into_argument(value: BlockArgument, callers: dict[str, list[Operation]]) -> list[Value]:
    """The values that may be this argument of a block."""
    block, number = value.owner, value.arg_number
    op = block.owner.operation
    if op.name == "scf.for" and number > 0:
        return [op.operands[2 + number], _terminator(block).operands[number - 1]]
    if op.name == "scf.while":
        before, after = (region.blocks[0] for region in op.regions)
        if block == before:
            return [op.operands[number], _terminator(after).operands[number]]
        return [_terminator(before).operands[1 + number]]
    if op.name == "func.func":
        return [call.operands[number] for call in callers.get(StringAttr(op.attributes["sym_name"]).value, ())]
    return []


def _terminator(block: Block) -> Operation:
    return block.operations[len(block.operations) - 1].operation

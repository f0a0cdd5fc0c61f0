"""Pass `autodiff-lanes`, first part: what local memory is in several directions lies side by side.

Takes a function; leaves one in which W local buffers whose elements are read as one vector, a buffer for each
direction, are one buffer with the direction as its last axis. Loads and stores of all directions of an element become
a load or store of a vector. Buffers that go anywhere but into loads, stores and subviews stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from mlir.ir import (
    AffineMap,
    Block,
    BlockArgument,
    DenseI64ArrayAttr,
    InsertionPoint,
    IntegerAttr,
    MemRefType,
    Operation,
    ShapedType,
    StridedLayoutAttr,
    Value,
    VectorType,
)

from .builder import Builder, is_float, operation, operations, walk
from .copier import attributes_of

_USES = frozenset({"memref.load", "memref.store", "memref.dim", "memref.subview"})
_READS = frozenset({"memref.load", "vector.load", "memref.dim", "memref.subview"})
_PURE = ("arith.", "math.", "index.", "complex.", "vector.broadcast", "vector.extract", "vector.from_elements")


def interleave(function: Operation) -> bool:
    """Put such buffers together; whether there were any. Loads and stores are still those of one element each."""
    groups = _groups(list(walk(function)))
    for group in groups:
        _merge(group)
    return bool(groups)


def join_accesses(function: Operation) -> None:
    """Loads and stores of all elements of a last axis become those of vectors."""
    places: dict[Block, dict[Operation, int]] = {}
    for op in [op for op in walk(function) if op.name == "vector.from_elements"]:
        _join_loads(op, places)
    blocks = {op.block for op in walk(function) if op.name == "memref.store"}
    for block in blocks:
        _join_stores(block)


# buffers --------------------------------------------------------------------------------------------------------------
def _groups(ops: list[Operation]) -> list[list[Operation]]:
    """The allocations that hold one array in several directions, in the order of these."""
    found: dict[tuple[Operation, ...], None] = {}
    for op in ops:
        if op.name == "vector.from_elements" and VectorType(op.results[0].type).rank == 1 and len(op.operands) > 1:
            roots = [_allocation(o) for o in op.operands]
            if all(root is not None for root in roots) and len(set(roots)) == len(roots):
                found.setdefault(tuple(roots))  # type: ignore[arg-type]
    times: dict[Operation, int] = {}
    for group in found:
        for root in group:
            times[root] = times.get(root, 0) + 1
    return [list(group) for group in found if all(times[root] == 1 for root in group) and _alike(group)]


def _allocation(element: Value) -> Operation | None:
    """The allocation that a value was loaded from, itself or through subviews."""
    op = None if isinstance(element, BlockArgument) else operation(element.owner)
    if op is None or op.name != "memref.load":
        return None
    while op.name in ("memref.load", "memref.subview"):
        memref = op.operands[0]
        if isinstance(memref, BlockArgument):
            return None
        op = operation(memref.owner)
    return op if op.name == "memref.alloc" else None


def _alike(group: Sequence[Operation]) -> bool:
    first = group[0]
    type_ = MemRefType(first.results[0].type)
    return (
        type_.affine_map == AffineMap.get_identity(type_.rank)
        and type_.memory_space is None
        and is_float(type_.element_type)
        and all(op.results[0].type == type_ and op.block == first.block for op in group)
        and all(list(op.operands) == list(first.operands) for op in group)
        and all(set(op.attributes) <= {"operandSegmentSizes"} for op in group)
        and all(_only_accessed(op.results[0]) for op in group)
    )


def _only_accessed(memref: Value) -> bool:
    for use in memref.uses:
        op = operation(use.owner)
        if op.name not in _USES or (op.name == "memref.subview" and not _only_accessed(op.results[0])):
            return False
    return True


def _merge(group: list[Operation]) -> None:
    members = set(group)
    first = next(op for op in operations(group[0].block) if op in members)
    type_ = MemRefType(first.results[0].type)
    b = Builder(InsertionPoint(first), first.location)
    whole = b.alloc(MemRefType.get([*type_.shape, len(group)], type_.element_type), list(first.operands))
    for lane, op in enumerate(group):
        _move(op.results[0], whole, lane, len(group))
        op.erase()


def _move(memref: Value, whole: Value, lane: int, width: int) -> None:
    """Let all that used `memref` use the elements of `whole` with this number in the last axis."""
    for op in [operation(use.owner) for use in memref.uses]:
        b = Builder(InsertionPoint(op), op.location)
        if op.name == "memref.load":
            op.results[0].replace_all_uses_with(b.load(whole, [*list(op.operands)[1:], b.index(lane)]))
        elif op.name == "memref.store":
            b.store(op.operands[0], whole, [*list(op.operands)[2:], b.index(lane)])
        elif op.name == "memref.dim":
            op.results[0].replace_all_uses_with(b.value(op.name, [whole, op.operands[1]], op.results[0].type))
        else:
            _move(op.results[0], _wide_subview(b, op, whole, width), lane, width)
        op.erase()


def _wide_subview(b: Builder, op: Operation, whole: Value, width: int) -> Value:
    """The same subview, with all of the last axis."""
    type_ = MemRefType(op.results[0].type)
    strides, offset = type_.get_strides_and_offset()
    dynamic = ShapedType.get_dynamic_stride_or_offset()
    scaled = [s if s == dynamic else s * width for s in (offset, *strides)]
    layout = StridedLayoutAttr.get(scaled[0], [*scaled[1:], 1])
    attributes = attributes_of(op)
    for name, last in (("static_offsets", 0), ("static_sizes", width), ("static_strides", 1)):
        attributes[name] = DenseI64ArrayAttr.get([*DenseI64ArrayAttr(attributes[name]), last])
    result = MemRefType.get([*type_.shape, width], type_.element_type, layout)
    return b.value(op.name, [whole, *list(op.operands)[1:]], result, attributes)


# accesses -------------------------------------------------------------------------------------------------------------
def _row(memref: Value, indices: Sequence[Value]) -> tuple[Value, tuple[Value, ...], int] | None:
    """Where an element is: the memory, the indices but the last, and the last one, if that is known and the last
    axis is short and lies side by side.
    """
    type_ = MemRefType(memref.type)
    if not indices or isinstance(indices[-1], BlockArgument):
        return None
    constant = operation(indices[-1].owner)
    if constant.name != "arith.constant" or type_.shape[-1] < 2 or type_.get_strides_and_offset()[0][-1] != 1:
        return None
    return memref, tuple(indices[:-1]), IntegerAttr(constant.attributes["value"]).value


def _join_loads(op: Operation, places: dict[Block, dict[Operation, int]]) -> None:
    """Elements that are loaded one by one and put together as a vector, where nothing is written in between."""
    loads = [None if isinstance(o, BlockArgument) else operation(o.owner) for o in op.operands]
    block = loads[0].block if loads[0] is not None else None
    rows = []
    for load in loads:
        if load is None or load.name != "memref.load" or load.block != block:
            return
        rows.append(_row(load.operands[0], list(load.operands)[1:]))
    first = rows[0]
    if first is None or len(rows) != MemRefType(first[0].type).shape[-1]:
        return
    if any(row is None or row[:2] != first[:2] or row[2] != k for k, row in enumerate(rows)):
        return
    if block not in places:
        places[block] = {inner: k for k, inner in enumerate(operations(block))}  # type: ignore[arg-type]
    order = places[block]  # type: ignore[index]
    at = sorted(order[load] for load in loads if load is not None)
    between = list(order)[at[0] : at[-1]]
    if not all(inner.name in _READS or _is_pure(inner) for inner in between):
        return
    start = between[0]
    b = Builder(InsertionPoint(start), op.location)
    made = b.value("vector.load", [first[0], *first[1], b.index(0)], op.results[0].type)
    op.results[0].replace_all_uses_with(made)


def _is_pure(op: Operation) -> bool:
    return op.name.startswith(_PURE) and not len(op.regions)


def _join_stores(block: Block) -> None:
    """Elements that are stored one after the other."""
    run: list[tuple[Operation, tuple[Value, tuple[Value, ...], int]]] = []
    for op in operations(block):
        if op.name == "memref.store":
            row = _row(op.operands[1], list(op.operands)[2:])
            if row is None:
                run = []
                continue
            if run and (run[0][1][:2] != row[:2] or run[-1][1][2] + 1 != row[2]):
                run = []
            if run or row[2] == 0:
                run.append((op, row))
            if len(run) == MemRefType(row[0].type).shape[-1]:
                _store_row([store for store, _ in run], row)
                run = []
        elif not _is_pure(op):
            run = []


def _store_row(stores: list[Operation], row: tuple[Value, tuple[Value, ...], int]) -> None:
    memref, indices, _ = row
    b = Builder(InsertionPoint(stores[-1]), stores[-1].location)
    parts = [store.operands[0] for store in stores]
    type_ = VectorType.get([len(parts)], parts[0].type)
    if all(a == c for a, c in pairwise(parts)):
        whole = b.value("vector.broadcast", [parts[0]], type_)
    else:
        whole = b.value("vector.from_elements", parts, type_)
    b.op("vector.store", [whole, memref, *indices, b.index(0)])
    for store in stores:
        store.erase()

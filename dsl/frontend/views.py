"""Views: arrays that look into another one. Slices and rows (memref.subview), new dimensions, transposes, reshapes.

All of them share memory with what they look into, so that a write through one is seen through the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from mlir import ir
from mlir.dialects import arith, memref

from .. import types
from .memory import ArrayValue, Size, array_type, as_index, sizes_of
from .values import Builder, Value

_DYNAMIC = ir.ShapedType.get_dynamic_size()
_DYNAMIC_STRIDE = ir.ShapedType.get_dynamic_stride_or_offset()


class Part:
    """What a view takes of one dimension:

    `size` elements from `offset`, `step` apart; or the one at `offset`, dropped.
    """

    __slots__ = ("dropped", "offset", "size", "step")

    def __init__(self, offset: Size, size: Size, step: Size = 1, dropped: bool = False) -> None:
        self.offset, self.size, self.step, self.dropped = offset, size, step, dropped


def _multiply(left: int, right: Size) -> int:
    """The product of two strides, dynamic where one is."""
    if left == _DYNAMIC_STRIDE or not isinstance(right, int):
        return _DYNAMIC_STRIDE
    return left * right


def subview(b: Builder, array: Value, parts: Sequence[Part]) -> ArrayValue:
    """The view that takes these parts. Strides that are known stay known, so that unit strides make fast loops."""
    source = b.ir(array)
    dtype = array_type(array).dtype
    strides, offset = ir.MemRefType(source.type).get_strides_and_offset()
    kept = [i for i, p in enumerate(parts) if not p.dropped]
    new_strides = [_multiply(strides[i], parts[i].step) for i in kept]
    moved = all(isinstance(p.offset, int) and p.offset == 0 for p in parts)
    layout = ir.StridedLayoutAttr.get(offset if moved else _DYNAMIC_STRIDE, new_strides)
    # sizes are dynamic in the type, as everywhere; a dropped dimension must have the static size 1
    result_type = ir.MemRefType.get([_DYNAMIC] * len(kept), b.storage(dtype), layout)
    # MLIR folds offsets that it sees into the type; where the type says that it is dynamic, they must be too
    offsets = [p.offset if moved or p.offset == 0 else as_index(b, p.offset) for p in parts]
    sizes: list[Size] = [1 if p.dropped else as_index(b, p.size) for p in parts]
    steps = [1 if p.dropped else p.step for p in parts]
    leaf = _emit_subview(result_type, source, offsets, sizes, steps)
    return ArrayValue(types.ArrayType(dtype, len(kept), False), leaf, [parts[i].size for i in kept])


def _emit_subview(
    result: ir.Type, source: ir.Value, offsets: Sequence[Size], sizes: Sequence[Size], steps: Sequence[Size]
) -> ir.Value:
    dynamic: list[list[ir.Value]] = []
    static: list[list[int]] = []
    for group in (offsets, sizes, steps):
        dynamic.append([s for s in group if not isinstance(s, int)])
        static.append([s if isinstance(s, int) else _DYNAMIC for s in group])
    op = memref.SubViewOp(result, source, *dynamic, *(ir.DenseI64ArrayAttr.get(s) for s in static))
    return op.result


def expand(b: Builder, array: Value, new_axes: Sequence[int]) -> ArrayValue:
    """The view with dimensions of size 1 at these places of the result."""
    old = array_type(array)
    if old.ndim == 0:
        raise b.error("an array without dimensions cannot get new ones", "take its element with a[()], or allocate one")
    source = b.ir(array)
    rank = old.ndim + len(new_axes)
    old_sizes = iter(sizes_of(b, array))
    sizes: list[Size] = [1 if axis in new_axes else next(old_sizes) for axis in range(rank)]
    # memref.expand_shape splits each old dimension into a group: new dimensions go with the old one before them,
    # or, where there is none, with the first
    groups: list[list[int]] = []
    for axis in range(rank):
        if not groups or (axis not in new_axes and any(a not in new_axes for a in groups[-1])):
            groups.append([])
        groups[-1].append(axis)
    result_type = _expanded_type(b, source, groups, new_axes, sizes, old.dtype)
    reassociation = ir.ArrayAttr.get([ir.ArrayAttr.get([_i64_attr(a) for a in group]) for group in groups])
    dynamic = [as_index(b, s) for axis, s in enumerate(sizes) if axis not in new_axes]
    static = ir.DenseI64ArrayAttr.get([1 if axis in new_axes else _DYNAMIC for axis in range(rank)])
    leaf = memref.ExpandShapeOp(result_type, source, reassociation, dynamic, static).result
    return ArrayValue(types.ArrayType(old.dtype, rank, False), leaf, sizes)


def _i64_attr(value: int) -> ir.IntegerAttr:
    return ir.IntegerAttr.get(ir.IntegerType.get_signless(64), value)


def _expanded_type(
    b: Builder,
    source: ir.Value,
    groups: list[list[int]],
    new_axes: Sequence[int],
    sizes: list[Size],
    dtype: types.Scalar,
) -> ir.Type:
    """The type that memref.expand_shape demands: within a group each stride is the next one times the next size."""
    source_type = ir.MemRefType(source.type)
    shape = [1 if axis in new_axes else _DYNAMIC for axis in range(len(sizes))]
    if source_type.affine_map == ir.AffineMap.get_identity(source_type.rank):
        return ir.MemRefType.get(shape, b.storage(dtype))
    strides, offset = source_type.get_strides_and_offset()
    new_strides: list[int] = [0] * len(sizes)
    for group, stride in zip(groups, strides):
        running = stride
        for axis in reversed(group):
            new_strides[axis] = running
            if axis not in new_axes:
                running = _DYNAMIC_STRIDE  # times a size that is not known
    return ir.MemRefType.get(shape, b.storage(dtype), ir.StridedLayoutAttr.get(offset, new_strides))


def transpose(b: Builder, array: Value, axes: Sequence[int]) -> Value:
    """The view whose dimension i is the array's dimension axes[i]."""
    old = array_type(array)
    if list(axes) == list(range(old.ndim)):
        return array
    source = b.ir(array)
    strides, offset = ir.MemRefType(source.type).get_strides_and_offset()
    sizes = sizes_of(b, array)
    layout = ir.StridedLayoutAttr.get(offset, [strides[a] for a in axes])
    shape = ir.MemRefType(source.type).shape
    result_type = ir.MemRefType.get([shape[a] for a in axes], b.storage(old.dtype), layout)
    permutation = ir.AffineMapAttr.get(ir.AffineMap.get_permutation(list(axes)))
    leaf = memref.TransposeOp(result_type, source, permutation).result
    return ArrayValue(types.ArrayType(old.dtype, old.ndim, False), leaf, [sizes[a] for a in axes])


def element_count(b: Builder, sizes: Sequence[Size]) -> Size:
    """The product of sizes."""
    known = reduce(lambda x, y: x * y, [s for s in sizes if isinstance(s, int)], 1)
    unknown = [s for s in sizes if not isinstance(s, int)]
    if not unknown:
        return known
    product = reduce(arith.muli, unknown)
    return product if known == 1 else arith.muli(product, b.index(known))


def reshape(b: Builder, array: Value, sizes: Sequence[Size]) -> ArrayValue:
    """The view of a contiguous array with other sizes; the caller has checked that there are as many elements."""
    dtype = array_type(array).dtype
    strides: list[Size] = []
    for axis in range(len(sizes)):
        strides.append(element_count(b, sizes[axis + 1 :]))
    known = [s if isinstance(s, int) else _DYNAMIC_STRIDE for s in strides]
    rank = len(sizes)
    result_type = ir.MemRefType.get([_DYNAMIC] * rank, b.storage(dtype), ir.StridedLayoutAttr.get(0, known))
    op = memref.ReinterpretCastOp(
        result_type,
        b.ir(array),
        [],
        [as_index(b, s) for s in sizes],
        [s for s in strides if not isinstance(s, int)],
        ir.DenseI64ArrayAttr.get([0]),
        ir.DenseI64ArrayAttr.get([_DYNAMIC] * rank),
        ir.DenseI64ArrayAttr.get([s if isinstance(s, int) else _DYNAMIC for s in strides]),
    )
    type_ = types.ArrayType(dtype, rank, True)
    leaf = memref.CastOp(b.type(type_), op.result).result
    return ArrayValue(type_, leaf, sizes)

"""Arrays as indices: `a[i]`, `a[i, :, j]`, `a[mask]`, read, stored to and added to, by NumPy's rules.

Arrays and integers of one index are broadcast together and choose elements; slices beside them stay dimensions. The
dimensions of what is chosen stand where the arrays stand, or first if something is between them. A mask stands for the
places where it is true, one array of integers a dimension, as np.nonzero gives them. What is read is a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mlir import ir
from mlir.dialects import arith, memref, scf

from .. import errors, types
from . import casts, elementwise, indexing
from .elementwise import Follow, LazyValue, Node, follow, is_array, materialise, operand
from .memory import (
    Indices,
    ListValue,
    Size,
    allocate,
    array_type,
    as_index,
    load_element,
    may_overlap,
    nest,
    nest_carrying,
    same_size,
    sizes_of,
    store_element,
)
from .operations import scalar_call
from .scalars import ARRAY_BINARY, describe
from .values import ELLIPSIS, NEWAXIS, Builder, SliceValue, TupleValue, Value

MASK = "the mask does not have the shape of what it is an index of"
_WHOLE = SliceValue(None, None, None)
UNFIT_INDICES = "the arrays of an index could not be broadcast together"


def chooses(index: Sequence[Any]) -> bool:
    """Whether an index has arrays in it: what it reads is a copy, not a view."""
    return any(isinstance(item, Value) and is_array(item) for item in index)


def load(b: Builder, array: Value, index: Sequence[Any]) -> Value:
    """The element, the view, or (an array expression) the elements that arrays in the index choose."""
    if not chooses(index):
        return indexing.load(b, array, index)
    chosen = _choose(b, array, index)
    node = _ChosenNode(b, chosen)
    return LazyValue(chosen.dtype, node, chosen.sizes) if chosen.sizes else node.element(b, [])


def store(b: Builder, array: Value, index: Sequence[Any], value: Value) -> None:
    """`array[index] = value`, which is broadcast; of a place that is chosen twice the last value stays."""
    if not chooses(index):
        indexing.store(b, array, index, value)
        return
    dtype = array_type(array).dtype
    if not is_array(value) and not isinstance(value.type, types.Scalar):
        raise b.error(f"{describe(value.type)} cannot be stored in an array of {dtype}")
    casts.check_castable(b, elementwise.element_value(value).type, dtype)
    if len(index) == 1 and not is_array(value) and _is_whole_mask(array, index[0]):
        _store_where(b, array, index[0], value)
        return

    def place(old: Callable[[], ir.Value], new: Value) -> ir.Value:
        return casts.coerce(b, new, dtype)

    _write(b, array, index, value, place)


def accumulate(b: Builder, op: str, array: Value, index: Sequence[Any], value: Value) -> None:
    """np.add.at and the like: `array[index] = array[index] op value`, one place after the other, so that one that is
    chosen twice is changed twice.
    """
    function, dtype = ARRAY_BINARY[op], array_type(array).dtype
    element = elementwise.element_value(value)
    elementwise.check_inplace(b, op, function.result(b, [Value(dtype), element]).strong, dtype)

    def place(old: Callable[[], ir.Value], new: Value) -> ir.Value:
        return casts.coerce(b, scalar_call(b, function, (Value(dtype, (old(),)), new)), dtype)

    _write(b, array, index, value, place)


def _true_places(b: Builder, mask: Value) -> list[Value]:
    """The places where an array is not zero, in row-major order, as one array of integers a dimension."""
    if not is_array(mask) or not array_type(mask).ndim:
        raise b.error(f"nonzero() takes an array, not {describe(mask.type)}")
    node, sizes = operand(b, mask)

    def count_it(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
        bit = arith.extui(b.shared.type("i64"), _truth(b, node, indices))
        return [arith.addi(carried[0], arith.index_cast(ir.IndexType.get(), bit))]

    count = nest_carrying(b, sizes, [b.index(0)], count_it)
    places = [allocate(b, types.int64, [count[0]]) for _ in sizes]

    def note(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
        branch = scf.IfOp(_truth(b, node, indices), [ir.IndexType.get()], has_else=True)
        with ir.InsertionPoint(branch.then_block):
            for array, index in zip(places, indices):
                memref.store(arith.index_cast(b.shared.type("i64"), index), array.ir, carried)
            scf.YieldOp([arith.addi(carried[0], b.index(1))])
        with ir.InsertionPoint(branch.else_block):
            scf.YieldOp(carried)
        return [branch.results[0]]

    nest_carrying(b, sizes, [b.index(0)], note)
    return list(places)


def nonzero(b: Builder, a: Value) -> Value:
    """np.nonzero: the places of what is not zero, one array a dimension."""
    return TupleValue(tuple(_true_places(b, a)))


def flatnonzero(b: Builder, a: Value) -> Value:
    """np.flatnonzero of an array of one dimension."""
    if not is_array(a) or array_type(a).ndim != 1:
        raise b.error("flatnonzero() takes an array of one dimension here", "take .ravel() first")
    return _true_places(b, a)[0]


def _truth(b: Builder, node: Node, indices: Indices) -> ir.Value:
    return casts.coerce(b, node.element(b, indices), types.bool_)


# --- what an index chooses


class _Axis(NamedTuple):
    """How the place along one dimension of what is indexed follows from a place of the result."""

    size: Size
    #: The dimension of the result that it is, or None: an index gives the place.
    kept: int | None
    node: Node | None = None
    follows: Sequence[Follow] = ()


class _Chosen(NamedTuple):
    """What an index chooses of `array`: `sizes` of the result, whose dimensions from `first` on are the indices'."""

    array: ir.Value
    dtype: types.Scalar
    sizes: list[Size]
    axes: list[_Axis]
    first: int
    rank: int

    def place(self, b: Builder, indices: Indices) -> tuple[list[ir.Value], ir.Value | None]:
        """Where an element of the result is, and whether it exists, which is always asked of indices in arrays."""
        positions: list[ir.Value] = []
        ok: ir.Value | None = None
        for number, axis in enumerate(self.axes):
            if axis.node is None:
                assert axis.kept is not None
                positions.append(indices[axis.kept])
                continue
            own = indices[self.first : self.first + self.rank]
            item = axis.node.element(b, follow(b, axis.follows, own))
            at, inside = indexing.position(b, item, axis.size, number, checked=True)
            positions.append(at)
            if inside is not None:
                ok = inside if ok is None else arith.andi(ok, inside)
        return positions, ok

    def index_arrays(self) -> list[ir.Value]:
        return [array for axis in self.axes if axis.node is not None for array in axis.node.arrays()]


class _ChosenNode(Node):
    """The elements that an index chooses. Errors are those of the place where the index stands."""

    def __init__(self, b: Builder, chosen: _Chosen) -> None:
        self.chosen, self.loc = chosen, b.loc

    def element(self, b: Builder, indices: Indices) -> Value:
        chosen = self.chosen
        with b.at(self.loc):
            positions, ok = chosen.place(b, indices)
            leaf, dtype = chosen.array, chosen.dtype
            return indexing.guarded_element(
                b, ok, dtype, lambda: Value(dtype, (load_element(b, leaf, positions, dtype),))
            )

    def arrays(self) -> list[ir.Value]:
        return [self.chosen.array, *self.chosen.index_arrays()]

    def elsewhere(self) -> list[ir.Value]:
        return self.arrays()


def _choose(b: Builder, array: Value, index: Sequence[Any]) -> _Chosen:
    if isinstance(array, ListValue):
        raise b.error("a list has one index, an integer", "make it an array: np.array([...])")
    array = array.force(b)
    items = _expanded(b, array, index)
    kept = [_WHOLE if isinstance(item, Value) else item for item in items if item not in (NEWAXIS, ELLIPSIS)]
    view = indexing.load(b, array, kept)  # slices taken; dimensions that are chosen from are whole
    numbers = [k for k, item in enumerate(items) if isinstance(item, Value)]
    together = numbers == list(range(numbers[0], numbers[-1] + 1))
    first = sum(1 for item in items[: numbers[0]] if item is not ELLIPSIS) if together else 0
    operands = [operand(b, items[k]) for k in numbers]
    chosen, follows = elementwise.broadcast(b, [sizes for _, sizes in operands], UNFIT_INDICES)
    of_index = iter(zip(operands, follows))
    of_view = iter(sizes_of(b, view))
    axes: list[_Axis] = []
    before: list[Size] = []  # dimensions of the result that stand before those of the indices
    after: list[Size] = []
    for number, item in enumerate(items):
        if isinstance(item, Value):
            (node, _), how = next(of_index)
            axes.append(_Axis(next(of_view), None, node, how))
            continue
        if item is ELLIPSIS:
            continue
        side, at = (before, 0) if together and number < numbers[0] else (after, first + len(chosen))
        if item is not NEWAXIS:
            size = next(of_view)
            axes.append(_Axis(size, at + len(side)))
        side.append(1 if item is NEWAXIS else size)
    return _Chosen(b.ir(view), array_type(array).dtype, [*before, *chosen, *after], axes, first, len(chosen))


def _expanded(b: Builder, array: Value, index: Sequence[Any]) -> list[Any]:
    """An integer, an array of integers or a slice for each dimension, new dimensions and a written ... among them."""
    ndim = array_type(array).ndim
    taken = sum(map(_takes, index))
    indexing.check_count(b, index, taken, ndim)
    rest = [_WHOLE] * (ndim - taken)
    items: list[Any] = []
    sizes = sizes_of(b, array)
    for item in index if any(item is ELLIPSIS for item in index) else (*index, ELLIPSIS):
        axis = sum(1 for done in items if done is not NEWAXIS and done is not ELLIPSIS)
        if item is ELLIPSIS:
            items += [ELLIPSIS, *rest]  # which stands between arrays, even for no dimension
        elif isinstance(item, Value) and _is_mask(item):
            items += _true_places(b, _of_shape(b, item, sizes[axis : axis + array_type(item).ndim]))
        else:
            if isinstance(item, Value):
                _check_integers(b, item)
            items.append(item)
    return items


def _takes(item: Any) -> int:
    """How many dimensions an item of an index is for."""
    if item is ELLIPSIS or item is NEWAXIS:
        return 0
    return array_type(item).ndim if isinstance(item, Value) and _is_mask(item) else 1


def _is_mask(item: Value) -> bool:
    return is_array(item) and array_type(item).dtype.kind == "b" and array_type(item).ndim > 0


def _check_integers(b: Builder, item: Value) -> None:
    if not is_array(item):
        indexing.check_integer(b, item)
    elif array_type(item).dtype.kind not in "iu":
        raise b.error(
            f"an index must be integers, not {describe(item.type)}", "convert it with .astype(int)",
            errors.KernelIndexError,
        )  # fmt: skip


def _of_shape(b: Builder, mask: Value, sizes: Sequence[Size]) -> Value:
    """A mask that has this shape, or, after an IndexError, no elements."""
    node, own = operand(b, mask)
    checks: list[ir.Value] = []
    for given, size in zip(own, sizes):
        if same_size(given, size):
            continue
        if isinstance(given, int) and isinstance(size, int):
            raise b.error(f"{MASK}: sizes {given} and {size}", cls=errors.KernelIndexError)
        checks.append(arith.cmpi(arith.CmpIPredicate.eq, as_index(b, given), as_index(b, size)))
    if not checks:
        return mask
    ok = checks[0]
    for check in checks[1:]:
        ok = arith.andi(ok, check)
    b.check(ok, "IndexError", MASK)
    return LazyValue(types.bool_, node, [arith.select(ok, as_index(b, own[0]), b.index(0)), *own[1:]])


# --- writing


def _write(
    b: Builder,
    array: Value,
    index: Sequence[Any],
    value: Value,
    place: Callable[[Callable[[], ir.Value], Value], ir.Value],
) -> None:
    """Set each chosen element to what `place` makes of the old one and of the element of `value` for it."""
    target = array.force(b)
    still = [_unwritten(b, target, i) if isinstance(i, Value) and not _is_mask(i) else i for i in index]
    chosen = _choose(b, target, still)
    node, sizes = operand(b, _unwritten(b, target, value))
    follows, sizes = elementwise.follow_target(b, sizes, chosen.sizes)
    dtype = chosen.dtype

    def body(indices: Indices) -> None:
        positions, ok = chosen.place(b, indices)

        def change() -> None:
            new = node.element(b, follow(b, follows, indices))
            number = place(lambda: load_element(b, chosen.array, positions, dtype), new)
            store_element(b, number, chosen.array, positions, dtype)

        if ok is None:
            change()
            return
        branch = scf.IfOp(ok)
        with ir.InsertionPoint(branch.then_block):
            change()
            scf.YieldOp([])

    nest(b, sizes, body)


def _unwritten(b: Builder, target: Value, value: Value) -> Value:
    """The same value, computed first if it reads what is about to be written."""
    if not is_array(value):
        return value
    node, _ = operand(b, value)
    return materialise(b, value) if any(may_overlap(b, b.ir(target), a) for a in node.arrays()) else value


def _is_whole_mask(array: Value, item: Any) -> bool:
    return isinstance(item, Value) and _is_mask(item) and array_type(item).ndim == array_type(array).ndim


def _store_where(b: Builder, array: Value, mask: Value, value: Value) -> None:
    """`array[mask] = number`, without the places in between."""
    if isinstance(array, ListValue):
        raise b.error("a list has one index, an integer", "make it an array: np.array([...])")
    dtype = array_type(array).dtype
    leaf = b.ir(array)
    number = casts.coerce(b, value, dtype)
    node, sizes = operand(b, _of_shape(b, mask, sizes_of(b, array)))
    if elementwise.is_disturbed(b, leaf, node):
        node, sizes = operand(b, materialise(b, mask))

    def body(indices: Indices) -> None:
        branch = scf.IfOp(_truth(b, node, indices))
        with ir.InsertionPoint(branch.then_block):
            store_element(b, number, leaf, indices, dtype)
            scf.YieldOp([])

    nest(b, sizes, body)

"""Array expressions: lazy trees that become one loop nest, without temporaries, where they are assigned, reduced or
kept.

`call` applies a Function to scalars and arrays with NumPy's broadcasting and gives a `LazyValue`; nothing is computed
until `force` (into a new array), `assign` (into an existing one) or a reduction asks for its elements. Sizes are
checked when the expression is made; sizes that do not broadcast at run time raise a ValueError, and then no element
is touched.

A lazy value must be used before the arrays in it are written to: the visitor forces what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from mlir import ir
from mlir.dialects import arith

from .. import errors, types
from . import casts
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
    same_size,
    same_view,
    sizes_of,
    store_element,
)
from .operations import Function, scalar_call
from .scalars import ARRAY_BINARY, ARRAY_UNARY, COMPARE, SYMBOLS, describe
from .values import Builder, Value

# How one dimension of an operand follows the one of the result: with it, not at all, or by a factor that is 0 or 1.
SAME, SINGLE = "same", "single"
Follow: TypeAlias = "str | ir.Value"

MISMATCH = "operands could not be broadcast together"
UNFIT = "could not broadcast input array into the shape of the target"


class Node:
    """Part of an expression tree: gives the element at given indices, as a scalar Value."""

    def element(self, b: Builder, indices: Indices) -> Value:
        raise NotImplementedError

    def arrays(self) -> list[ir.Value]:
        """The arrays that it reads."""
        return []

    def elsewhere(self) -> list[ir.Value]:
        """Those of which it reads other elements than the one at the place that is asked for."""
        return []


class ScalarNode(Node):
    """A number, the same everywhere."""

    def __init__(self, value: Value) -> None:
        self.value = value

    def element(self, b: Builder, indices: Indices) -> Value:
        return self.value


class ArrayNode(Node):
    """The elements of an array."""

    def __init__(self, array: ir.Value, dtype: types.Scalar) -> None:
        self.array, self.dtype = array, dtype

    def element(self, b: Builder, indices: Indices) -> Value:
        return Value(self.dtype, (load_element(b, self.array, indices, self.dtype),))

    def arrays(self) -> list[ir.Value]:
        return [self.array]


class MapNode(Node):
    """A function of the elements of its operands.

    `follows` says for each how its dimensions follow those of the result.
    """

    def __init__(
        self, function: Function, operands: list[Node], follows: list[list[Follow]], dtype: types.Scalar
    ) -> None:
        self.function, self.operands, self.follows, self.dtype = function, operands, follows, dtype

    def element(self, b: Builder, indices: Indices) -> Value:
        args = [o.element(b, follow(b, f, indices)) for o, f in zip(self.operands, self.follows)]
        return Value(self.dtype, (self.function.emit(b, args, self.dtype),))

    def arrays(self) -> list[ir.Value]:
        return [a for o in self.operands for a in o.arrays()]

    def elsewhere(self) -> list[ir.Value]:
        return [a for o in self.operands for a in o.elsewhere()]


def follow(b: Builder, follows: Sequence[Follow], indices: Indices) -> Indices:
    """The indices of an operand; it may have fewer dimensions than the result, and has the last ones then."""
    result = []
    for how, index in zip(follows, indices[len(indices) - len(follows) :]):
        if isinstance(how, ir.Value):
            result.append(arith.muli(index, how))
        else:
            result.append(index if how == SAME else b.index(0))
    return result


class LazyValue(Value):
    """An array expression that has not been computed. `kept` is an error message where it may not become an array."""

    __slots__ = ("kept", "node", "sizes")

    def __init__(self, dtype: types.Scalar, node: Node, sizes: list[Size], kept: str = "") -> None:
        super().__init__(types.ArrayType(dtype, len(sizes), True))
        self.node = node
        self.sizes = sizes
        self.kept = kept

    def force(self, b: Builder) -> Value:
        if self.kept:
            raise b.error(self.kept, "copy it: .copy()")
        return materialise(b, self)


def is_array(value: Value) -> bool:
    return isinstance(value.type, types.ArrayType)


def operand(b: Builder, value: Value) -> tuple[Node, list[Size]]:
    """A scalar or array as part of a tree, and its sizes."""
    if isinstance(value, LazyValue):
        return value.node, value.sizes
    if is_array(value):
        return ArrayNode(b.ir(value), array_type(value).dtype), sizes_of(b, value)
    return ScalarNode(value), []


def element_value(value: Value) -> Value:
    """What type rules see of an operand: an array's element, of which nothing is known, or the scalar."""
    return Value(array_type(value).dtype) if is_array(value) else value


# --- sizes


def broadcast(
    b: Builder, shapes: Sequence[list[Size]], message: str = MISMATCH
) -> tuple[list[Size], list[list[Follow]]]:
    """The sizes of the result of operands of these sizes, and how each operand's dimensions follow it."""
    rank = max(map(len, shapes))
    result: list[Size] = []
    follows: list[list[Follow]] = [[] for _ in shapes]
    checks: list[ir.Value] = []
    for axis in range(rank):
        present = [i for i, s in enumerate(shapes) if axis >= rank - len(s)]
        column = [shapes[i][axis - rank + len(shapes[i])] for i in present]
        size, how = _broadcast_axis(b, column, checks, message)
        result.append(size)
        for i, h in zip(present, how):
            follows[i].append(h)
    if checks:
        ok = checks[0]
        for check in checks[1:]:
            ok = arith.andi(ok, check)
        result = guard_sizes(b, ok, result, message)
    return result, follows


def guard_sizes(b: Builder, ok: ir.Value, sizes: list[Size], message: str) -> list[Size]:
    """Raise a ValueError unless `ok`; the sizes are all 0 then, so that what follows touches nothing."""
    b.check(ok, "ValueError", message)
    if not sizes:
        return sizes
    return [arith.select(ok, as_index(b, sizes[0]), b.index(0)), *sizes[1:]]


def _broadcast_axis(b: Builder, column: list[Size], checks: list[ir.Value], message: str) -> tuple[Size, list[Follow]]:
    """One dimension: its size, and how each operand follows it. What is to be checked at run time goes to `checks`."""
    distinct: list[Size] = []
    for size in column:
        if size != 1 and not any(same_size(size, d) for d in distinct):
            distinct.append(size)
    if not distinct:
        return 1, [SAME] * len(column)
    if len(distinct) == 1:
        return distinct[0], [SINGLE if isinstance(s, int) and s == 1 else SAME for s in column]
    known = [d for d in distinct if isinstance(d, int)]
    if len(known) > 1:
        raise b.error(f"{message}: sizes {known[0]} and {known[1]}", cls=errors.KernelValueError)
    one = b.index(1)
    size = known[0] if known else distinct[0]
    for other in distinct:
        if known and other is known[0]:
            continue
        assert isinstance(other, ir.Value)
        if other is size:
            continue
        equal = arith.cmpi(arith.CmpIPredicate.eq, as_index(b, size), other)
        ok = arith.ori(equal, arith.cmpi(arith.CmpIPredicate.eq, other, one))
        if not isinstance(size, int):
            size_is_one = arith.cmpi(arith.CmpIPredicate.eq, size, one)
            ok = arith.ori(ok, size_is_one)
            size = arith.select(size_is_one, other, size)
        checks.append(ok)
    return size, [_follow_at_run_time(b, s, size) for s in column]


def _follow_at_run_time(b: Builder, size: Size, result: Size) -> Follow:
    """How a dimension follows where other operands' sizes are unknown: a factor 0 where it is 1 at run time."""
    if isinstance(size, int):
        return SINGLE if size == 1 else SAME
    single = arith.cmpi(arith.CmpIPredicate.eq, size, b.index(1))
    return arith.select(single, b.index(0), b.index(1))


# --- making expressions


def call(b: Builder, function: Function, args: Sequence[Value]) -> Value:
    """A function of scalars and arrays, elementwise. Scalars alone are computed at once."""
    if not any(is_array(a) for a in args):
        return scalar_call(b, function, args)
    dtype = function.result(b, [element_value(a) for a in args]).strong
    parts = [operand(b, a) for a in args]
    nodes = [node for node, _ in parts]
    sizes, follows = broadcast(b, [s for _, s in parts])
    tree = MapNode(function, nodes, follows, dtype)
    if not sizes:  # arrays without dimensions: NumPy gives a scalar
        return tree.element(b, [])
    return LazyValue(dtype, tree, sizes)


def binary(b: Builder, op: str, left: Value, right: Value) -> Value:
    """`left op right`, where one at least is an array."""
    _refuse_lists(b, op, left, right)
    if op not in ARRAY_BINARY:
        raise b.error(f"`{op}` does not take {describe(left.type)} and {describe(right.type)}")
    return call(b, ARRAY_BINARY[op], (_as_element(b, left, right), _as_element(b, right, left)))


def _as_element(b: Builder, value: Value, other: Value) -> Value:
    """An operand; a Python int that must fit the type of an array of integers is converted here, before the loops."""
    if value.type is types.pyint and not value.known and is_array(other) and array_type(other).dtype.kind in "iu":
        dtype = array_type(other).dtype
        return Value(dtype, (casts.coerce(b, value, dtype),), nonneg=value.nonneg)
    return value


def compare(b: Builder, op: str, left: Value, right: Value) -> Value:
    _refuse_lists(b, op, left, right)
    return call(b, COMPARE[op], (left, right))


def unary(b: Builder, op: str, value: Value) -> Value:
    if op == "not":
        raise b.error("the truth value of an array is ambiguous", "use np.logical_not, or `~` of an array of bool")
    _refuse_lists(b, op, value)
    return call(b, ARRAY_UNARY[op], (value,))


def _refuse_lists(b: Builder, op: str, *values: Value) -> None:
    """Python's `[1, 2] * 2` is a longer list, not a product. With an array, a list is taken as one, as by NumPy."""
    if any(isinstance(v, ListValue) for v in values) and not any(
        is_array(v) and not isinstance(v, ListValue) for v in values
    ):
        raise b.error(f"`{op}` of a list is not arithmetic in Python", "make it an array: np.array([...])")


# --- computing them


def materialise(b: Builder, value: Value) -> Value:
    """A new array with the elements of an array or expression."""
    node, sizes = operand(b, value)
    dtype = array_type(value).dtype
    result = allocate(b, dtype, sizes)
    _fill(b, result.ir, dtype, sizes, node, [SAME] * len(sizes))
    return result


def _fill(
    b: Builder, array: ir.Value, dtype: types.Scalar, sizes: Sequence[Size], node: Node, follows: Sequence[Follow]
) -> None:
    def body(indices: Indices) -> None:
        element = node.element(b, follow(b, follows, indices))
        store_element(b, casts.coerce(b, element, dtype), array, indices, dtype)

    nest(b, sizes, body)


def assign(b: Builder, target: Value, value: Value) -> None:
    """Set the elements of an array (or view) to those of a scalar, array or expression, which is broadcast to it.

    As in NumPy, the right side is computed before anything is written: by way of a new array where that could make a
    difference.
    """
    dtype = array_type(target).dtype
    if not is_array(value) and not isinstance(value.type, types.Scalar):
        raise b.error(f"{describe(value.type)} cannot be stored in an array of {dtype}")
    casts.check_castable(b, element_value(value).type, dtype)
    node, sizes = operand(b, value)
    if isinstance(node, ArrayNode) and same_view(node.array, b.ir(target)):
        return
    node = _undisturbed(b, target, value)
    follows, target_sizes = follow_target(b, sizes, sizes_of(b, target))
    if isinstance(node, ScalarNode):  # converted once, before the loops
        node = ScalarNode(Value(dtype, (casts.coerce(b, node.value, dtype),)))
    _fill(b, b.ir(target), dtype, target_sizes, node, follows)


def _undisturbed(b: Builder, target: Value, value: Value) -> Node:
    """The elements of a value, of which none changes as those of `target` are written one after the other."""
    node, _ = operand(b, value)
    if is_array(value) and is_disturbed(b, b.ir(target), node):
        copy = materialise(b, value)
        return ArrayNode(copy.ir, array_type(copy).dtype)
    return node


def is_disturbed(b: Builder, array: ir.Value, node: Node) -> bool:
    """Whether what an expression reads may change as the elements of an array are written one after the other."""
    elsewhere = node.elsewhere()
    return any(may_overlap(b, array, a) and (a in elsewhere or not same_view(array, a)) for a in node.arrays())


def follow_target(
    b: Builder, sizes: list[Size], target: list[Size], message: str = UNFIT
) -> tuple[list[Follow], list[Size]]:
    """How an assigned value's dimensions follow those of the target, which cannot grow."""
    if len(sizes) > len(target):
        raise b.error(
            f"an array of {len(sizes)} dimensions does not fit into one of {len(target)}", cls=errors.KernelValueError
        )
    follows: list[Follow] = []
    checks: list[ir.Value] = []
    for size, room in zip(sizes, target[len(target) - len(sizes) :]):
        if same_size(size, room):
            follows.append(SAME)
        elif isinstance(size, int) and size == 1:
            follows.append(SINGLE)
        elif isinstance(size, int) and isinstance(room, int):
            raise b.error(f"{message}: sizes {size} and {room}", cls=errors.KernelValueError)
        else:
            equal = arith.cmpi(arith.CmpIPredicate.eq, as_index(b, size), as_index(b, room))
            if isinstance(size, int):
                checks.append(equal)
                follows.append(SAME)
                continue
            single = arith.cmpi(arith.CmpIPredicate.eq, size, b.index(1))
            checks.append(arith.ori(equal, single))
            follows.append(
                SAME if isinstance(room, int) and room == 1 else arith.select(single, b.index(0), b.index(1))
            )
    if checks:
        ok = checks[0]
        for check in checks[1:]:
            ok = arith.andi(ok, check)
        target = guard_sizes(b, ok, list(target), message)
    return follows, target


def inplace(b: Builder, op: str, target: Value, value: Value) -> None:
    """`target op= value` of an array: its own elements change, its type does not."""
    if isinstance(target, ListValue):
        raise b.error(f"`{op}=` of a list is not arithmetic in Python", "make it an array: np.array([...])")
    result = updated(b, op, target, value)
    node = _undisturbed(b, target, result)
    _fill(b, b.ir(target), array_type(target).dtype, result.sizes, node, [SAME] * len(result.sizes))


def check_inplace(b: Builder, op: str, computed: types.Scalar, dtype: types.Scalar) -> None:
    """Refuse `target op= value` where the array holds no such numbers as the operation gives."""
    if not _same_kind(computed, dtype):
        what = SYMBOLS.get(op, f"`{op}`")
        raise b.error(
            f"`{op}=` computes in {computed}, which an array of {dtype} does not hold",
            f"NumPy refuses to {what} in place here too; write a = a {op} ..., or convert with .astype({dtype})",
        )
    casts.check_castable(b, computed, dtype)


def updated(b: Builder, op: str, target: Value, value: Value) -> LazyValue:
    """`target op value`, which shall go to where target is: the value is broadcast to the target, of which each element
    is read at its own place.
    """
    _refuse_lists(b, op, target, value)
    if op not in ARRAY_BINARY:
        raise b.error(f"`{op}` does not take {describe(target.type)} and {describe(value.type)}")
    args = target, _as_element(b, value, target)
    dtype = ARRAY_BINARY[op].result(b, [element_value(a) for a in args]).strong
    check_inplace(b, op, dtype, array_type(target).dtype)
    (left, sizes), (right, given) = (operand(b, a) for a in args)
    follows, sizes = follow_target(b, given, sizes, MISMATCH)
    return LazyValue(dtype, MapNode(ARRAY_BINARY[op], [left, right], [[SAME] * len(sizes), follows], dtype), sizes)


def _same_kind(src: types.Scalar, dst: types.Scalar) -> bool:
    """NumPy's casting="same_kind": not to a kind below, and not from signed to unsigned."""
    order = "buifc"
    return order.index(src.strong.kind) <= order.index(dst.kind)

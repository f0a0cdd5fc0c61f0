"""The methods of NumPy's ufuncs: `np.add.at`, `.outer`, `.reduce` and `.accumulate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mlir import ir
from mlir.dialects import arith

from . import casts, elementwise, gather, reductions
from .elementwise import is_array, operand
from .memory import Indices, allocate, array_type, nest_carrying, store_element
from .operations import Function, scalar_call
from .scalars import describe
from .values import ELLIPSIS, NEWAXIS, Builder, TupleValue, Value, constant
from .views import expand

#: The operators that ufuncs are.
_OPERATORS: dict[Any, str] = {np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/"}
#: What `reduce` is, along the first axis if none is given.
_REDUCTIONS: dict[Any, Callable[..., Value]] = {
    np.add: reductions.sum_,
    np.multiply: reductions.prod,
    np.maximum: reductions.max_,
    np.minimum: reductions.min_,
    np.logical_and: reductions.all_,
    np.logical_or: reductions.any_,
}


def method(ufunc: np.ufunc, name: str, function: Function) -> Callable[..., Value] | None:
    """The builder of a ufunc's method, the ufunc being this function of two numbers; None where there is none."""
    if name == "at" and ufunc in _OPERATORS:
        return _at(_OPERATORS[ufunc])
    if name == "outer":
        return _outer(function)
    if name == "reduce" and ufunc in _REDUCTIONS:
        return _reduce(_REDUCTIONS[ufunc])
    if name == "accumulate" and ufunc in _REDUCTIONS:
        return _accumulate(ufunc.__name__, function)
    return None


def _at(op: str) -> Callable[..., Value]:
    def at(b: Builder, a: Value, indices: Value, b_: Value) -> Value:
        if not is_array(a) or a.leaves is None:
            raise b.error(f"this changes elements of an array, not of {describe(a.type)}", "give it a name first")
        index = [entry(item) for item in (indices.elements if isinstance(indices, TupleValue) else (indices,))]
        gather.accumulate(b, op, a, index, b_)
        return constant(None)

    return at


def entry(item: Value) -> Any:
    """An element of a tuple that is an index."""
    if item.known and item.const is None:
        return NEWAXIS
    return ELLIPSIS if item.known and item.const is Ellipsis else item


def _outer(function: Function) -> Callable[..., Value]:
    def outer(b: Builder, A: Value, B: Value) -> Value:
        if not (is_array(A) and is_array(B)):
            return elementwise.call(b, function, (A, B))
        ndim = array_type(A).ndim
        rows = expand(b, A.force(b), [ndim + k for k in range(array_type(B).ndim)])
        return elementwise.call(b, function, (rows, B))

    return outer


def _reduce(reduction: Callable[..., Value]) -> Callable[..., Value]:
    def reduce(b: Builder, array: Value, axis: Value | None = None) -> Value:
        return reduction(b, array, constant(0) if axis is None else axis)

    return reduce


def _accumulate(name: str, function: Function) -> Callable[..., Value]:
    def accumulate(b: Builder, array: Value) -> Value:
        if not is_array(array) or array_type(array).ndim != 1:
            raise b.error(f"{name}.accumulate() takes an array of one dimension here", "loop over the rows")
        node, sizes = operand(b, array)
        own = array_type(array).dtype
        dtype = function.result(b, [Value(own), Value(own)]).strong
        result = allocate(b, dtype, sizes)

        def body(indices: Indices, carried: Sequence[ir.Value]) -> list[ir.Value]:
            element = casts.coerce(b, node.element(b, indices), dtype)
            both = scalar_call(b, function, (Value(dtype, (carried[0],)), Value(dtype, (element,))))
            first = arith.cmpi(arith.CmpIPredicate.eq, indices[0], b.index(0))
            so_far = arith.select(first, element, casts.coerce(b, both, dtype))
            store_element(b, so_far, result.ir, indices, dtype)
            return [so_far]

        nest_carrying(b, sizes, [b.number(0, dtype)], body)
        return result

    return accumulate

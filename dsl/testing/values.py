"""Values as vectors: the floats and complex numbers in a number, array, tuple or struct, and values beside it.

A *vector* is a list of NumPy arrays in double precision, one for each leaf that holds floats or complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .. import types
from ..memory import extent
from ..request import is_continuous, paths
from ..shadows import typeof
from ..structs import make_struct, part_of, parts

Vector = list[np.ndarray]


def leaf_paths(name: str, value: Any) -> list[str]:
    """How a user would write each leaf that has a derivative: `p.w`, `p[1]`."""
    return [path for path, leaf in paths(name, typeof(value)) if is_continuous(leaf)]


def vector(value: Any) -> Vector:
    """The floats of a value, in double precision."""
    return [_double(leaf) for leaf in leaves(value)]


def leaves(value: Any) -> list[Any]:
    """The numbers and arrays of floats in a value, themselves."""
    found: list[Any] = []
    _rebuilt(typeof(value), value, lambda type_, leaf: found.append(leaf) if is_continuous(type_) else None)
    return found


def clone(value: Any) -> Any:
    """A copy in memory of its own. Arrays keep their strides, which the types of kernels depend on."""
    return _rebuilt(typeof(value), value, lambda _, leaf: _own(leaf))


def like(value: Any, numbers: Vector) -> Any:
    """A copy of a value that holds other floats, rounded to the types of its own."""
    return _with(value, iter(numbers), lambda leaf, new: new)


def moved(value: Any, direction: Vector, t: float) -> Any:
    """The value plus t times a direction."""
    return _with(value, iter(direction), lambda leaf, step: _double(leaf) + t * step)


def in_double(value: Any) -> Any:
    """The value with each float as a float64, each complex number as a complex128."""

    def leaf(type_: types.Type, old: Any) -> Any:
        if not is_continuous(type_):
            return _own(old)
        return _double(old) if isinstance(old, np.ndarray) else _double(old)[()].item()

    return _rebuilt(typeof(value), value, leaf)


def other_contents(before: Any, after: Any) -> str | None:
    """Which leaf that is no float differs between two values of one type, or None."""
    for (path, type_), old, new in zip(paths("", typeof(before)), _all(before), _all(after)):
        if not is_continuous(type_) and not np.array_equal(old, new):
            return path
    return None


def unit(epsilon_of: Any) -> float:
    """The largest unit in the last place among the floats of a value; that of float64 where there are none."""
    sizes = [_epsilon(np.asarray(leaf).dtype) for leaf in leaves(epsilon_of)]
    return max(sizes, default=2.0**-52)


def _epsilon(dtype: np.dtype[Any]) -> float:
    real = np.zeros((), dtype).real.dtype if dtype.kind == "c" else dtype
    if real.kind == "f":
        return float(np.finfo(real).eps)
    return 2.0**-7  # bfloat16, which NumPy does not know


def _all(value: Any) -> list[Any]:
    found: list[Any] = []
    _rebuilt(typeof(value), value, lambda _, leaf: found.append(leaf))
    return found


def _double(leaf: Any) -> np.ndarray:
    array = np.array(leaf)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _own(leaf: Any) -> Any:
    if not isinstance(leaf, np.ndarray) or leaf.flags.c_contiguous:
        return leaf.copy() if isinstance(leaf, np.ndarray) else leaf
    first, last = extent(0, leaf.shape, leaf.strides, leaf.itemsize)
    made: np.ndarray = np.ndarray(leaf.shape, leaf.dtype, np.zeros(last - first, np.uint8).data, -first, leaf.strides)
    made[...] = leaf
    return made


def _with(value: Any, numbers: Iterator[np.ndarray], new: Callable[[Any, np.ndarray], np.ndarray]) -> Any:
    def leaf(type_: types.Type, old: Any) -> Any:
        if not is_continuous(type_):
            return _own(old)
        other = new(old, next(numbers))
        if isinstance(old, np.ndarray):
            made = _own(old)
            made[...] = other
            return made
        return type(old)(np.asarray(other)[()])

    return _rebuilt(typeof(value), value, leaf)


def _rebuilt(type_: types.Type, value: Any, leaf: Callable[[types.Type, Any], Any]) -> Any:
    """The value made anew, each of its numbers and arrays by `leaf(type, number or array)`."""
    if isinstance(type_, (types.Scalar, types.ArrayType)):
        return leaf(type_, value)
    made = tuple(_rebuilt(inner, part_of(value, key), leaf) for key, inner, _ in parts(type_))
    if isinstance(type_, types.TupleType):
        return made
    if isinstance(type_, types.StructType):
        return make_struct(type_.cls, types.field_names(type_.cls), made)
    return value

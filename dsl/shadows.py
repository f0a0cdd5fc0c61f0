"""Shadows to start from: zeros and unit vectors in the form of a value, and which annotation suits a type.

A value is a number, an array, or a tuple or struct of values. What carries no derivative in it (ints, strings) is
taken over as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import types
from .annotations import (
    Active,
    Annotation,
    BatchDuplicated,
    BatchMixedDuplicated,
    Const,
    Duplicated,
    MixedDuplicated,
)
from .errors import ActivityError, ArgumentError
from .modes import Mode
from .request import is_continuous
from .spaces import described, is_array, space_of
from .spaces import typeof as typeof_anywhere
from .structs import make_struct, part_of, parts


def make_zero(x: Any) -> Any:
    """A zero in the form of `x`: arrays of zeros with the shapes and dtypes of those of `x`, structs of its classes.

    An array or mutable struct that is in `x` several times is so in the result. Raises ArgumentError where a part of
    `x` is of no type that kernels know.

    >>> import dsl, numpy as np
    >>> dsl.make_zero((2.0, np.array([1.0, 2.0])))
    (0.0, array([0., 0.]))
    """
    return _like(typeof(x), x, {}, _zero)


def make_zero_into(x: Any) -> None:
    """Set every float and complex number in `x` to zero, in place: elements of arrays, fields of mutable dataclasses.

    Raises ArgumentError, before anything is changed, where a number stands in a tuple or a frozen struct.

    >>> import dsl, numpy as np
    >>> dx = np.array([1.0, 2.0])
    >>> dsl.make_zero_into(dx)
    >>> dx
    array([0., 0.])
    """
    type_ = typeof(x)
    _need_places(type_, None)
    _zero_in_place(type_, x)


def onehot(x: Any) -> tuple[Any, ...]:
    """All unit vectors in the form of `x`, in the order of its elements: as tangents they give the columns of a
    Jacobian.

    >>> import dsl, numpy as np
    >>> dsl.onehot(np.array([5.0, 6.0]))
    (array([1., 0.]), array([0., 1.]))
    """
    return tuple(units(x, range(count(x))))


def chunked_onehot(x: Any, n: int) -> tuple[tuple[Any, ...], ...]:
    """As `onehot`, in tuples of `n`; the last one has what is left. ArgumentError where `n` is less than 1.

    >>> import dsl
    >>> dsl.chunked_onehot((1.0, 2.0, 3.0), 2)
    (((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), ((0.0, 0.0, 1.0),))
    """
    check_chunk(n)
    everything = onehot(x)
    return tuple(everything[k : k + n] for k in range(0, len(everything), n))


def guess_activity(type_: Any, mode: Mode) -> type[Annotation]:
    """The annotation that suits a value of this type in a mode.

    `type_` is a type of `dsl.types`, a Python or NumPy scalar type, or a value that has the type.

    >>> import dsl, numpy as np
    >>> dsl.guess_activity(float, dsl.Reverse).__name__, dsl.guess_activity(np.ones(2), dsl.Reverse).__name__
    ('Active', 'Duplicated')
    """
    if not isinstance(mode, Mode):
        raise ArgumentError(f"the mode is {mode!r}", None, "write guess_activity(type, dsl.Reverse), say")
    found = _as_type(type_)
    continuous = [leaf for leaf in types.leaves(found) if is_continuous(leaf)]
    if not continuous:
        return Const
    batched = mode.width > 1
    if not mode.reverse:
        return BatchDuplicated if batched else Duplicated
    if isinstance(found, types.StructType) and found.mutable and _has_places(found, None):
        return BatchDuplicated if batched else Duplicated
    arrays = [isinstance(leaf, types.ArrayType) for leaf in continuous]
    if all(arrays):
        return BatchDuplicated if batched else Duplicated
    if any(arrays) or any(isinstance(leaf, types.ArrayType) for leaf in types.leaves(found)):
        return BatchMixedDuplicated if batched else MixedDuplicated
    return Active


# --- for dsl.transforms -------------------------------------------------------------------------------------------


def typeof(x: Any) -> types.Type:
    """The type of a value; ArgumentError where it has none."""
    try:
        return typeof_anywhere(x)
    except TypeError as error:
        message, _, hint = str(error).partition("; ")
        raise ArgumentError(message, None, hint) from None


def continuous(type_: types.Type, value: Any) -> list[Any]:
    """The numbers and arrays of floats that a value holds, in order."""
    if isinstance(type_, (types.Scalar, types.ArrayType)):
        return [value] if is_continuous(type_) else []
    return [leaf for key, inner, _ in parts(type_) for leaf in continuous(inner, part_of(value, key))]


def rebuilt(type_: types.Type, value: Any, leaves: Iterator[Any], other: Any = 0) -> Any:
    """A value in the form of another with other floats and arrays; `other` takes the place of what is none."""
    if isinstance(type_, (types.Scalar, types.ArrayType)):
        return next(leaves) if is_continuous(type_) else other
    if isinstance(type_, types.TupleType):
        return tuple(rebuilt(inner, value[k], leaves, other) for k, inner, _ in parts(type_))  # type: ignore[index]
    if isinstance(type_, types.StructType):
        fields = tuple(rebuilt(inner, getattr(value, name), leaves, other) for name, inner in type_.fields)
        return make_struct(type_.cls, types.field_names(type_.cls), fields)
    return value


def copied(x: Any) -> Any:
    """A copy that a call may write to."""
    return _like(typeof(x), x, {}, lambda leaf: space_of(leaf).copy(leaf) if is_array(leaf) else leaf, every=True)


def count(x: Any) -> int:
    """How many numbers there are in a value."""
    return sum(described(leaf).size for leaf in continuous(typeof(x), x))


def units(x: Any, which: range) -> Iterator[Any]:
    """Some of the unit vectors in the form of `x`, by their numbers."""
    type_ = typeof(x)
    for number in which:
        leaves, position = [], number
        made = make_zero(x)
        for leaf in continuous(type_, made):
            at = described(leaf)
            here = 0 <= position < at.size
            if not is_array(leaf):
                leaves.append(type(leaf)(here))
            else:
                leaves.append(space_of(leaf).unit(at.shape, at.dtype, position) if here else leaf)
            position -= at.size
        yield _replaced(type_, made, iter(leaves))


def of_numbers(x: Any, numbers: np.ndarray) -> Any:
    """A value in the form of `x` with these numbers, one after the other."""
    type_ = typeof(x)
    leaves: list[Any] = []
    start = 0
    for leaf in continuous(type_, x):
        part = numbers[start : start + np.size(leaf)]
        start += np.size(leaf)
        array = isinstance(leaf, np.ndarray)
        leaves.append(part.reshape(leaf.shape).astype(leaf.dtype) if array else type(leaf)(part[0]))
    return _replaced(type_, x, iter(leaves))


def check_chunk(n: Any) -> None:
    if type(n) is not int or n < 1:
        raise ArgumentError(f"a chunk of {n!r}", None, "a chunk is how many directions one call takes: 1 or more")


# --- details ------------------------------------------------------------------------------------------------------


def _zero(leaf: Any) -> Any:
    if not is_array(leaf):
        return type(leaf)(0)
    at = described(leaf)
    return space_of(leaf).zeros(at.shape, at.dtype)


def _like(type_: types.Type, x: Any, made: dict[int, Any], leaf: Any, every: bool = False) -> Any:
    """A value in the form of `x` with `leaf(part)` for each float or array of floats, or for every leaf."""
    if isinstance(type_, types.Scalar):
        return leaf(x) if is_continuous(type_) else x
    if isinstance(type_, types.ArrayType):
        if id(x) not in made:
            made[id(x)] = leaf(x) if every or is_continuous(type_) else x
        return made[id(x)]
    if isinstance(type_, types.TupleType):
        return tuple(_like(inner, part_of(x, key), made, leaf, every) for key, inner, _ in parts(type_))
    if isinstance(type_, types.StructType):
        if id(x) not in made:
            fields = tuple(_like(inner, getattr(x, name), made, leaf, every) for name, inner in type_.fields)
            made[id(x)] = make_struct(type_.cls, types.field_names(type_.cls), fields)
        return made[id(x)]
    return x


def _replaced(type_: types.Type, x: Any, leaves: Iterator[Any]) -> Any:
    """`x` with other floats; what carries no derivative stays."""
    if isinstance(type_, (types.Scalar, types.ArrayType)):
        return next(leaves) if is_continuous(type_) else x
    if isinstance(type_, types.TupleType):
        return tuple(_replaced(inner, part_of(x, key), leaves) for key, inner, _ in parts(type_))
    if isinstance(type_, types.StructType):
        fields = tuple(_replaced(inner, getattr(x, name), leaves) for name, inner in type_.fields)
        return make_struct(type_.cls, types.field_names(type_.cls), fields)
    return x


def _has_places(type_: types.Type, holder: types.Type | None) -> bool:
    """Whether each number stands where a new one can be put."""
    if isinstance(type_, types.Scalar):
        return not is_continuous(type_) or (isinstance(holder, types.StructType) and holder.mutable)
    return all(_has_places(inner, type_) for _, inner, _ in parts(type_))


def _need_places(type_: types.Type, holder: types.Type | None) -> None:
    if not _has_places(type_, holder):
        raise ActivityError(
            f"a {type_} holds numbers that cannot be set in place",
            None,
            "write x = dsl.make_zero(x), which makes another",
        )


def _zero_in_place(type_: types.Type, x: Any) -> None:
    if isinstance(type_, types.ArrayType):
        if is_continuous(type_):
            space_of(x).clear(x)
        return
    for key, inner, _ in parts(type_):
        part = part_of(x, key)
        if isinstance(inner, types.Scalar):
            if is_continuous(inner):
                setattr(x, str(key), type(part)(0))
        else:
            _zero_in_place(inner, part)


def _as_type(given: Any) -> types.Type:
    if isinstance(given, types.Type):
        return given
    if isinstance(given, type):
        try:
            return typeof(given(0))
        except (TypeError, ArgumentError):
            raise ArgumentError(
                f"{given.__name__} is no type of which values are known", None, "give a value"
            ) from None
    return typeof(given)

"""Tuples and structs and their parts.

Taking apart, making without running constructors, and where new parts are put.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from . import types

Aggregate = (types.TupleType, types.StructType)


def parts(type_: types.Type) -> list[tuple[int | str, types.Type, str]]:
    """The parts of a tuple or struct: index or field name, type, and the Python that takes it out."""
    if isinstance(type_, types.TupleType):
        return [(k, element, f"[{k}]") for k, element in enumerate(type_.elements)]
    if isinstance(type_, types.StructType):
        return [(name, field, f".{name}") for name, field in type_.fields]
    return []


def part_of(value: Any, key: int | str) -> Any:
    """The part of a tuple or struct by its index or field name."""
    return getattr(value, key) if isinstance(key, str) else value[key]


class Place(NamedTuple):
    """A field of a mutable struct that gets a new value: the way to the struct, the field, its type and leaves."""

    steps: tuple[int | str, ...]
    field: str
    type: types.Type
    first: int
    leaves: int


def places(type_: types.Type, changed: set[int], first: int, steps: tuple[int | str, ...] = ()) -> list[Place]:
    """The fields to assign to so that the leaves `changed` get new values. `first` is the type's first leaf."""
    found: list[Place] = []
    for key, inner, _ in parts(type_):
        count = len(types.leaves(inner))
        if not changed.isdisjoint(range(first, first + count)):
            if holds_mutable(inner):
                found += places(inner, changed, first, (*steps, key))
            elif isinstance(type_, types.StructType) and type_.mutable:
                found.append(Place(steps, str(key), inner, first, count))
        first += count
    return found


def holds_mutable(type_: types.Type) -> bool:
    """Whether there is a struct in it whose fields may be assigned to."""
    if isinstance(type_, types.StructType) and type_.mutable:
        return True
    return any(holds_mutable(inner) for _, inner, _ in parts(type_))


def make_struct(cls: type, names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """An instance of a dataclass or NamedTuple with these fields."""
    if issubclass(cls, tuple):
        return cls._make(values)  # type: ignore[attr-defined]
    made = object.__new__(cls)
    for name, value in zip(names, values):
        object.__setattr__(made, name, value)  # frozen ones, too
    return made


def with_fields(old: Any, names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """A copy of a dataclass or NamedTuple with other fields; what else a dataclass instance holds is kept."""
    if isinstance(old, tuple):
        return type(old)._make(values)  # type: ignore[attr-defined]
    made = copy.copy(old)
    for name, value in zip(names, values):
        object.__setattr__(made, name, value)
    return made

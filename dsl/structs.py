"""Making tuples and structs of their parts, without running their constructors."""

from __future__ import annotations

import copy
from typing import Any


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

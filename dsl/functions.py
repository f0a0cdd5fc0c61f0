"""Functions of the language that NumPy and Python lack, as plain Python for undecorated kernels.

The front-end knows them by name and module; here they only have to give the same numbers.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def ignore_derivatives(value: T) -> T:
    """The value itself, as a constant for derivatives: none flows through it."""
    return value

"""Functions of the language that NumPy and Python lack, as plain Python for undecorated kernels.

The front-end knows them by name and module; here they only have to give the same numbers.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def within_autodiff() -> bool:
    """Whether the kernel that asks is being differentiated: True in the code of a derivative, the value that it
    computes on the way included, else False.

    Only for what does not change the value, such as leaving out a check: a kernel and its derivative are taken to
    compute the same.
    """
    return False


def ignore_derivatives(value: T) -> T:
    """The value itself, as a constant for derivatives: none flows through it."""
    return value

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


def fma(x: float, y: float, z: float) -> float:
    """x * y + z, rounded once: the same bits on every machine, whether it has an instruction for it or not.

    >>> import dsl
    >>> dsl.fma(1.0 + 2.0**-30, 1.0 - 2.0**-30, -1.0) == -(2.0**-60)
    True
    """
    import math
    from fractions import Fraction

    if not (math.isfinite(x) and math.isfinite(y)):
        return x * y + z
    if not math.isfinite(z):
        return z
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    try:
        return float(exact) if exact else x * y + z  # which has the sign of zero right
    except OverflowError:
        return math.inf if exact > 0 else -math.inf

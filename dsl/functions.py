"""Functions of the language that NumPy and Python lack, as plain Python for undecorated kernels.

The front-end knows them by name and module; here they only have to give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

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


def checkpointed(iterable: Iterable[T], slots: int | None = None) -> Iterable[T]:
    """What a `for` statement of a kernel runs over, in a loop whose reverse derivative keeps few states of it.

    Without it, reverse mode keeps what it needs of every iteration. With it, it keeps the whole state of the loop (what
    an iteration passes to the next, and the arrays that it changes) at `slots` iterations, and runs the others again
    from there, after the binomial schedule (Griewank and Walther, ACM TOMS 26, 2000). The gradient is the sum of the
    same terms. Plain calls and forward mode are not affected. `slots` is an integer of at least 1; left out, it is the
    root of twice the number of iterations, so that each is run about twice again. See docs/checkpointing.md.

    Outside of compiled kernels it is the iterable itself.

    >>> import dsl
    >>> @dsl.kernel
    ... def logistic(x, n):
    ...     for t in dsl.checkpointed(range(n), slots=3):
    ...         x = 2.0 * x * (1.0 - x)
    ...     return x
    >>> dsl.autodiff(dsl.Reverse, logistic, dsl.Active, dsl.Active(0.25), dsl.Const(3))
    ((0.0625, None),)
    """
    if slots is not None and slots < 1:
        raise ValueError(f"a checkpointed loop with {slots} slots: it needs at least one")
    return iterable


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


def logdet(a: Any) -> Any:
    """The logarithm of the magnitude of a matrix's determinant, log |det a|: `np.linalg.slogdet(a)[1]`.

    `a` has shape (n, n), float64 or float32 (or integers, which become float64). Of a singular matrix it is -inf. Its
    derivative is a⁻ᵀ (Giles 2008, 2.2.4).
    """
    return np.linalg.slogdet(a)[1]


def solve_triangular(a: Any, b: Any, trans: int | str = 0, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """The solution x of a x = b (`trans` 0 or "N") or aᵀ x = b (1 or "T"), where of `a` only a triangle is read.

    `a` has shape (n, n); the triangle is the upper one, or the lower one; with `unit_diagonal` its diagonal counts as
    ones and is not read either. `b` has shape (n,) or (n, k), as the result. A zero on the diagonal raises a
    LinAlgError. The same as `scipy.linalg.solve_triangular`, which kernels may call as well.
    """
    from scipy.linalg import solve_triangular

    return solve_triangular(a, b, trans=trans, lower=lower, unit_diagonal=unit_diagonal)

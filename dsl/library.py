"""Functions of NumPy that are written in the language: kernels that call one of them call the one here.

Each is a plain function with NumPy's parameters, and is NumPy's function: what the undecorated one gives, NumPy gives.
Derivatives need no rule, as these are compiled like the user's own code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np


def argsort(a):
    """The places of the elements of a[n] in ascending order, NaN last, equal ones as they come: a merge sort."""
    n = len(a)
    order = np.arange(n)
    other = np.zeros(n, dtype=np.int64)
    width = 1
    while width < n:
        for start in range(0, n, 2 * width):
            middle = min(start + width, n)
            end = min(start + 2 * width, n)
            left = start
            right = middle
            for place in range(start, end):
                take_left = right >= end
                if left < middle and right < end:
                    x = a[order[left]]
                    y = a[order[right]]
                    take_left = not (y < x or (x != x and y == y))
                if take_left:
                    other[place] = order[left]
                    left += 1
                else:
                    other[place] = order[right]
                    right += 1
        order[:] = other
        width *= 2
    return order


def sort(a):
    """The elements of a[n] from the smallest to the largest."""
    return a[argsort(a)]


def median(a):
    """The middle element of a[n], or the mean of both; NaN if there is one."""
    assert len(a) > 0, "median of an empty array"
    ordered = sort(a)
    n = len(a)
    if ordered[n - 1] != ordered[n - 1]:
        return 0.5 * (ordered[n - 1] + ordered[n - 1])
    return 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])


def quantile(a, q):
    """The element of the sorted a[n] at q (n - 1), interpolated; NaN if there is one."""
    assert len(a) > 0 and 0 <= q <= 1, "quantile of an empty array, or at a place outside of it"
    ordered = sort(a)
    if ordered[len(a) - 1] != ordered[len(a) - 1]:
        return ordered[len(a) - 1] * q
    at = q * (len(a) - 1)
    low = int(np.floor(at))
    high = min(low + 1, len(a) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def percentile(a, q):
    """The quantile at q / 100."""
    return quantile(a, q / 100)


def searchsorted(a, v):
    """How many elements of the sorted a[n] are below v; all numbers are below NaN."""
    low = 0
    high = len(a)
    while low < high:
        middle = (low + high) // 2
        if a[middle] < v or (v != v and a[middle] == a[middle]):
            low = middle + 1
        else:
            high = middle
    return low


def _interpolated(x, xp, fp):
    if x != x:
        return fp[0] * x
    if x <= xp[0]:
        return fp[0]
    if x >= xp[len(xp) - 1]:
        return fp[len(xp) - 1]
    right = searchsorted(xp, x)
    left = right - 1
    return fp[left] + (fp[right] - fp[left]) / (xp[right] - xp[left]) * (x - xp[left])


def interp(x, xp, fp):
    """The piecewise linear function through (xp[k], fp[k]), at a number or at all of x[n]; constant outside."""
    assert len(xp) == len(fp) and len(xp) > 0, "interp() takes as many values as places, and one at least"
    if isinstance(x, np.ndarray):
        result = np.zeros(len(x))
        for i in range(len(x)):
            result[i] = _interpolated(x[i], xp, fp)
        return result
    else:
        return _interpolated(x, xp, fp)


def trapezoid(y, x=None, dx=1.0):
    """The integral of y[n] by trapezia, over x[n] or in steps of dx."""
    if x is not None:
        assert len(x) == len(y), "trapezoid() takes as many places as values"
    total = 0.0
    for i in range(1, len(y)):
        if x is None:
            total += 0.5 * dx * (y[i] + y[i - 1])
        else:
            total += 0.5 * (x[i] - x[i - 1]) * (y[i] + y[i - 1])
    return total


def gradient(f, h=1.0):
    """Central differences of f[n] in steps of h, one-sided ones at both ends."""
    n = len(f)
    assert n >= 2, "gradient() needs two elements or more"
    result = np.zeros_like(f / 1.0)
    result[0] = (f[1] - f[0]) / h
    for i in range(1, n - 1):
        result[i] = (f[i + 1] - f[i - 1]) / (2.0 * h)
    result[n - 1] = (f[n - 1] - f[n - 2]) / h
    return result


def cross(a, b):
    """The cross product of a[3] and b[3]."""
    assert len(a) == 3 and len(b) == 3, "cross() takes vectors of three elements"
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def polyval(p, x):
    """The polynomial with the coefficients p[n], the highest power first, at a number or an array."""
    assert len(p) > 0, "polyval() of no coefficients"
    result = np.zeros_like(x) * x + p[0]
    for k in range(1, len(p)):
        result = result * x + p[k]
    return result


def convolve(a, v, mode="full"):
    """The sums of products of a[n] and v[m] reversed: all n + m - 1, the middle max(n, m), or only the whole ones."""
    n = len(a)
    m = len(v)
    assert n > 0 and m > 0, "convolve() of an empty array"
    whole = np.zeros(n + m - 1, dtype=np.result_type(a.dtype, v.dtype))
    for i in range(n):
        for j in range(m):
            whole[i + j] += a[i] * v[j]
    if mode == "full":
        return whole
    elif mode == "same":
        start = (min(n, m) - 1) // 2
        return whole[start : start + max(n, m)].copy()
    else:
        assert mode == "valid", "the mode of convolve() is full, same or valid"
        return whole[min(n, m) - 1 : max(n, m)].copy()


def kron(a, b):
    """The Kronecker product of two vectors, or of two matrices."""
    if a.ndim == 1:
        return np.outer(a, b).ravel()
    else:
        (n, m), (p, q) = a.shape, b.shape
        product = a[:, None, :, None] * b[None, :, None, :]
        return product.reshape(n * p, m * q)


#: What of NumPy, by its names in various versions of NumPy, is which function here; and how many dimensions its first
#: argument has (0: any).
_NAMES: dict[str, tuple[Callable[..., Any], int]] = {
    "argsort": (argsort, 1),
    "convolve": (convolve, 1),
    "cross": (cross, 1),
    "gradient": (gradient, 1),
    "interp": (interp, 0),
    "kron": (kron, 0),
    "median": (median, 1),
    "percentile": (percentile, 1),
    "polyval": (polyval, 1),
    "quantile": (quantile, 1),
    "searchsorted": (searchsorted, 1),
    "sort": (sort, 1),
    "trapezoid": (trapezoid, 1),
    "trapz": (trapezoid, 1),
}


@lru_cache(maxsize=1)
def _by_object() -> dict[Any, tuple[Callable[..., Any], int]]:
    return {getattr(np, name): row for name, row in _NAMES.items() if name in np.__all__}


def find(function: Any) -> tuple[Callable[..., Any], int] | None:
    """The function here that one of NumPy is, and the dimensions of its first argument; None where there is none."""
    try:
        return _by_object().get(function)
    except TypeError:  # it cannot be a key
        return None


def names() -> list[str]:
    """NumPy's names of the functions here."""
    return sorted(name for name in _NAMES if name in np.__all__)

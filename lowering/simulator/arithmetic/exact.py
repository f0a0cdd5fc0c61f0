"""Correctly rounded arithmetic in f32 and f64, in all four rounding directions.

A result is computed rounded to nearest; the sign of its error, which error-free transformations give exactly, then
says whether a directed rounding is its neighbour. Ogita, Rump and Oishi, "Accurate sum and dot product" (2005) for the
transformations; Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding
to odd" (2008) for the multiply-add.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

F8 = np.float64
_SPLITTER = 134217729.0  # 2**27 + 1


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum and its error, exactly."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The product and its error, exactly, where neither over- nor underflows."""
    p = a * b
    c = a * _SPLITTER
    ah = c - (c - a)
    al = a - ah
    c = b * _SPLITTER
    bh = c - (c - b)
    bl = b - bh
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def to_odd(s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """The exact value s + e, s being its nearest f64, rounded to odd: rounding that again is as rounding once."""
    bits = np.ascontiguousarray(s).view(np.uint64)
    move = (e != 0) & ((bits & np.uint64(1)) == 0) & np.isfinite(s)
    grows = ((e > 0) == (s > 0)) | (s == 0)
    moved = np.where(grows, bits + np.uint64(1), bits - np.uint64(1))
    odd = np.where(move, moved, bits).view(F8)
    return np.where(move & (s == 0), np.copysign(5e-324, e), odd)


# --- multiply-add


def fma64(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c in f64, rounded once, to nearest."""
    product, low = two_product(a, b)
    high, rest = two_sum(product, c)
    top, middle = two_sum(low, rest)
    result = high + to_odd(top, middle)
    # The transformations are exact within these bounds; zero factors are, too.
    size = np.abs(product)
    safe = (np.abs(a) < 2.0**990) & (np.abs(b) < 2.0**990) & (np.abs(c) < 2.0**1000)
    safe &= (size < 2.0**1000) & ((size > 2.0**-960) | (a == 0) | (b == 0))
    if not safe.all():
        result = np.array(np.broadcast_to(result, safe.shape))
        left = [np.broadcast_to(x, safe.shape)[~safe].tolist() for x in (a, b, c)]
        result[~safe] = [_fma_one(*x) for x in zip(*left)]
    zero = result == 0
    if zero.any():  # the sign of zero is that of the plain expression
        result = np.where(zero & (product + c == 0), product + c, result)
    return result


def _fma_one(a: float, b: float, c: float) -> float:
    """One multiply-add, with the range of rational numbers."""
    inf = float("inf")
    if not (abs(a) < inf and abs(b) < inf):
        return a * b + c
    if not abs(c) < inf:
        return c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c
    try:
        result = float(exact)
    except OverflowError:
        return inf if exact > 0 else -inf
    return result if result else (0.0 if exact > 0 else -0.0)


def fma32(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c in f32, rounded once, to nearest: the product is exact in f64."""
    product = a.astype(F8) * b
    wide = product + c
    result = wide.astype(np.float32)
    # The second rounding can only go wrong where the first one ended midway between two f32 numbers.
    bits = np.ascontiguousarray(wide).view(np.uint64)
    doubtful = (bits & np.uint64(0x1FFFFFFF)) == np.uint64(0x10000000)
    doubtful |= (np.abs(wide) < 2.0**-125) & (wide != 0)
    if doubtful.any():
        exact = to_odd(*two_sum(product, c.astype(F8))).astype(np.float32)
        result = np.where(doubtful, exact, result)
    return result


# --- directed rounding


def step(result: np.ndarray, error: np.ndarray, rounding: str) -> np.ndarray:
    """From the nearest value and the sign of (exact - nearest) to the value rounded otherwise."""
    kind = result.dtype.type
    if rounding == "rm":
        move, to = error < 0, kind(-np.inf)
    elif rounding == "rp":
        move, to = error > 0, kind(np.inf)
    else:
        move, to = (error < 0) == (result > 0), kind(0)
        move &= (error != 0) & (result != 0)
    return np.where(move & ~np.isnan(result), np.nextafter(result, to), result)


def _overflow(result: np.ndarray, error: np.ndarray, *operands: np.ndarray) -> np.ndarray:
    """Where finite operands gave an infinity, the exact value is nearer to zero."""
    finite = np.isinf(result)
    for operand in operands:
        finite = finite & np.isfinite(operand)
    return np.where(finite, -np.sign(result), np.where(np.isfinite(result), error, 0))


def _zero_sum(result: np.ndarray, exact: np.ndarray, rounding: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """An exact sum of zero from unlike addends is -0 when rounding down."""
    if rounding != "rm":
        return result
    unlike = exact & (result == 0) & ~(np.signbit(a) & np.signbit(b)) & (np.signbit(a) | np.signbit(b))
    return np.where(unlike, -np.abs(result), result)


def add(rounding: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if rounding == "rn":
        return np.add

    def directed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        result = a + b
        if a.dtype == F8:
            error = two_sum(a, b)[1]
        else:
            s, e = two_sum(a.astype(F8), b.astype(F8))
            error = _sign(s - result, e)
        error = _overflow(result, error, a, b)
        return _zero_sum(step(result, error, rounding), error == 0, rounding, a, b)

    return directed


def subtract(rounding: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if rounding == "rn":
        return np.subtract
    plus = add(rounding)
    return lambda a, b: plus(a, -b)


def _sign(first: np.ndarray, then: np.ndarray) -> np.ndarray:
    return np.where(first != 0, first, then)


def multiply(rounding: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if rounding == "rn":
        return np.multiply

    def directed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        result = a * b
        if a.dtype == F8:
            error = _exact_sign(lambda x, y, r: Fraction(x) * Fraction(y) - Fraction(r), a, b, result)
        else:
            error = a.astype(F8) * b - result
        return _from_zero(step(result, _overflow(result, error, a, b), rounding), error, result, rounding)

    return directed


def _from_zero(stepped: np.ndarray, error: np.ndarray, result: np.ndarray, rounding: str) -> np.ndarray:
    """A directed step from an underflow to zero leaves the zero towards the exact value only."""
    return np.where((result == 0) & (error == 0), result, stepped)


def _exact_sign(exact: Callable[..., Fraction], *arrays: np.ndarray) -> np.ndarray:
    """The sign of an expression in rational numbers, element by element; 0 where anything is not finite."""
    arrays = np.broadcast_arrays(*arrays)
    finite = np.logical_and.reduce([np.isfinite(x) for x in arrays])
    out = np.zeros(arrays[0].shape)
    for at in zip(*np.nonzero(finite)):
        value = exact(*(float(x[at]) for x in arrays))
        out[at] = (value > 0) - (value < 0)
    return out


def fma(type: str, rounding: str) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    nearest = fma32 if type == "f32" else fma64
    if rounding == "rn":
        return nearest

    def directed(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        result = nearest(a, b, c)
        if type == "f32":
            s, e = two_sum(a.astype(F8) * b, c.astype(F8))
            error = _sign(s - result, e)
        else:
            error = _exact_sign(
                lambda x, y, z, r: Fraction(x) * Fraction(y) + Fraction(z) - Fraction(r), a, b, c, result
            )
        error = _overflow(result, error, a, b, c)
        return _zero_sum(step(result, error, rounding), error == 0, rounding, a * b, c)

    return directed


def divide(rounding: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    if rounding == "rn":
        return np.divide

    def directed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        result = a / b
        if a.dtype == F8:
            error = _exact_sign(
                lambda x, y, r: (Fraction(x) / Fraction(y) - Fraction(r)) if y else Fraction(0), a, b, result
            )
        else:
            error = (a - result.astype(F8) * b) * np.sign(b)
        return step(result, np.where(b == 0, 0, _overflow(result, error, a, b)), rounding)

    return directed


def square_root(rounding: str) -> Callable[[np.ndarray], np.ndarray]:
    if rounding == "rn":
        return np.sqrt

    def directed(a: np.ndarray) -> np.ndarray:
        result = np.sqrt(a)
        if a.dtype == F8:
            error = _exact_sign(lambda x, r: Fraction(x) - Fraction(r) ** 2, a, result)
        else:
            error = a - result.astype(F8) * result
        return step(result, np.where(np.isfinite(result), error, 0), rounding)

    return directed


def round_to(value: np.ndarray, target: np.dtype, rounding: str) -> np.ndarray:
    """An f64 (or narrower) to a narrower type, in any direction."""
    result = value.astype(target)
    if rounding == "rn":
        return result
    error = value.astype(F8) - result.astype(F8)
    return step(result, _overflow(result, error, value), rounding)


def flush(x: np.ndarray) -> np.ndarray:
    """Subnormal numbers as zeros of their sign."""
    tiny = np.finfo(x.dtype).tiny
    return np.where(np.abs(x) < tiny, np.copysign(x.dtype.type(0), x), x)


def saturate(x: np.ndarray) -> np.ndarray:
    """Into 0 to 1; NaN becomes 0, and -0 too."""
    kind = x.dtype.type
    return np.where(x > 0, np.minimum(x, kind(1)), kind(0))

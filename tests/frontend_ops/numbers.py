"""Numbers to test with: every special one of a type, and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np

INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]


def numbers(dtype: str, rng: Any, count: int = 40) -> Any:
    """Special and random numbers of a dtype."""
    if dtype == "bool":
        return np.array([False, True])
    if dtype.startswith("complex"):
        parts = numbers("float32" if dtype == "complex64" else "float64", rng, 6)
        finite = parts[np.isfinite(parts) & (np.abs(parts) < 1e3)]
        return (finite[:, None] + 1j * finite[None, :]).ravel().astype(dtype)
    if dtype.startswith("float") or dtype == "bfloat16":
        special = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.5, 3.0, 7.0, np.inf, -np.inf, np.nan, 1e-3, 1e4]
        return np.concatenate([special, rng.standard_normal(count) * 3]).astype(dtype)
    info = np.iinfo(dtype)
    special = [info.min, info.min + 1, info.max, info.max - 1, 0, 1, 2, 3, 7, 10, info.max // 2]
    if info.min < 0:
        special += [-1, -2, -3, -7, -10]
    small = rng.integers(max(info.min, -20), 20, count // 2)
    large = rng.integers(info.min, info.max, count // 2, dtype=dtype)
    return np.concatenate([np.array(special, dtype=dtype), small.astype(dtype), large])


def pairs(left: Any, right: Any) -> tuple[Any, Any]:
    """Each of one with each of the other, as two arrays of one length."""
    x, y = np.meshgrid(left, right, indexing="ij")
    return np.ascontiguousarray(x.ravel()), np.ascontiguousarray(y.ravel())


def assert_same(actual: Any, expected: Any, ulps: float = 0, what: Any = "") -> None:
    """Equal, NaNs and signs of zeros included; or within some units in the last place (of the type)."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, (what, actual.dtype, expected.dtype)
    assert actual.shape == expected.shape, (what, actual.shape, expected.shape)
    if actual.dtype.kind in "fc" and ulps:
        eps = np.finfo(actual.dtype).eps
        np.testing.assert_allclose(
            actual, expected, rtol=ulps * eps, atol=float(np.finfo(actual.dtype).tiny), err_msg=str(what)
        )
        return
    np.testing.assert_array_equal(actual, expected, err_msg=str(what))
    if actual.dtype.kind == "f":
        number = ~np.isnan(expected)
        np.testing.assert_array_equal(
            np.signbit(actual[number]), np.signbit(expected[number]), err_msg=f"{what} (signs of zeros)"
        )

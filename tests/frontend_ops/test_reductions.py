"""Reductions against NumPy: types, axes, special values, empty arrays."""

from __future__ import annotations

import builtins
import warnings

import numpy as np
import pytest

from dsl.frontend import arrays, elementwise, mathlib
from dsl.frontend.values import TupleValue, constant

from .harness import run
from .numbers import assert_same, numbers


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def call(name, **kwargs):
    row = mathlib.by_name(name)
    return lambda b, *args: mathlib.call(b, row, list(args), {k: constant(v) for k, v in kwargs.items()})


ALL = ["sum", "prod", "mean", "max", "min", "argmax", "argmin", "any", "all", "var", "std"]
AXES = [{}, {"axis": 0}, {"axis": -2}, {"axis": 2, "keepdims": True}, {"keepdims": True}]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", ["float64", "float16", "int8", "uint32", "bool"])
def test_types_and_axes(name, dtype, rng):
    a = (rng.standard_normal((3, 4, 5)) * 3).astype(dtype)
    every = lambda b, x: [call("np." + name, **options)(b, x) for options in AXES]
    for options, actual in zip(AXES, run(every, a)):
        actual, expected = np.asarray(actual), np.asarray(getattr(np, name)(a, **options))
        assert actual.dtype == expected.dtype and actual.shape == expected.shape, (
            options,
            actual.dtype,
            expected.dtype,
        )
        if dtype == "float16" and name == "prod":
            continue  # NumPy rounds after each product
        error = 60 * np.finfo(expected.dtype).eps if expected.dtype.kind == "f" else 0
        actual, expected = actual.astype(float), expected.astype(float)
        np.testing.assert_allclose(actual, expected, rtol=error, atol=error, err_msg=str(options))


def test_several_axes(rng):
    a = rng.standard_normal((3, 4, 5))
    for axis in ((0, 2), (-1, 0), (0, 1, 2), (1,)):
        np.testing.assert_allclose(run(call("np.sum", axis=axis), a), a.sum(axis=axis), rtol=1e-13)


@pytest.mark.parametrize("name", ["max", "min", "argmax", "argmin"])
def test_nan_wins(name):
    for values in (
        [1, np.nan, 3],
        [np.nan, np.inf],
        [2, 1, np.nan, np.nan],
        [np.inf, -np.inf],
        [-np.inf, -np.inf],
        [np.nan, np.nan],
    ):
        a = np.array(values, float)
        assert_same(run(call("np." + name), a), getattr(np, name)(a), what=values)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64", "bool", "float32"])
def test_extremes(dtype, rng):
    a = numbers(dtype, rng)
    a = a[~np.isnan(a) & (a != 0)] if a.dtype.kind == "f" else a  # which zero is larger is left open
    for name in ("max", "min", "argmax", "argmin"):
        assert_same(run(call("np." + name), a), getattr(np, name)(a), what=name)
    for only in (
        a[:1],
        np.repeat(a[:1], 3),
        np.array([np.iinfo(dtype).min] * 2, dtype) if a.dtype.kind in "iu" else a[:2],
    ):
        for name in ("max", "min", "argmax", "argmin"):
            assert_same(run(call("np." + name), only), getattr(np, name)(only), what=name)


def test_empty():
    a = np.zeros(0)
    assert run(call("np.sum"), a) == 0.0 and run(call("np.prod"), a) == 1.0
    assert np.isnan(run(call("np.mean"), a))
    assert not run(call("np.any"), a) and run(call("np.all"), a)
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises(ValueError, match="of an empty array"):
            run(call("np." + name), a)
    assert_same(run(call("np.sum", axis=0), np.zeros((0, 3))), np.zeros(3))
    assert_same(run(call("np.sum", axis=1), np.zeros((0, 3))), np.zeros(0))
    assert_same(run(call("np.max", axis=1), np.zeros((0, 3))), np.zeros(0))
    with pytest.raises(ValueError):
        run(call("np.max", axis=0), np.zeros((0, 3)))


def test_of_expressions_and_views(rng):
    a, y = rng.standard_normal((4, 5)), rng.standard_normal(5)

    def loss(b, p, q):
        d = elementwise.binary(b, "-", p, q)
        square = elementwise.binary(b, "**", d, constant(2))
        return arrays.method(b, square, "sum")(b, square, [constant(0)], {})

    np.testing.assert_allclose(run(loss, a, y), ((a - y) ** 2).sum(0), rtol=1e-13)
    np.testing.assert_allclose(run(loss, a[:, :1], y), ((a[:, :1] - y) ** 2).sum(0), rtol=1e-13)
    np.testing.assert_allclose(run(call("np.sum"), a[::-2, ::2]), a[::-2, ::2].sum(), rtol=1e-13)
    with pytest.raises(ValueError, match="broadcast"):
        run(loss, a, y[:3])


def test_other_options(rng):
    a = rng.standard_normal((4, 5)).astype(np.float32)
    np.testing.assert_allclose(run(call("np.var", ddof=1), a), a.var(ddof=1), rtol=1e-5)
    np.testing.assert_allclose(run(call("np.std", ddof=2, axis=0), a), a.std(ddof=2, axis=0), rtol=1e-5)
    actual = run(lambda b, x: mathlib.call(b, mathlib.find(np.sum), [x], {"dtype": constant(np.float64)}), a)
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, a.sum(dtype=np.float64), rtol=1e-12)
    assert run(call("np.count_nonzero"), a > 0) == np.count_nonzero(a > 0)
    assert_same(run(call("np.cumsum"), a[0]), np.cumsum(a[0]))
    assert_same(run(call("np.cumprod"), np.arange(1, 6, dtype=np.int8)), np.cumprod(np.arange(1, 6, dtype=np.int8)))


def test_complex(rng):
    z = rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))
    for name in ("sum", "prod", "mean"):
        np.testing.assert_allclose(run(call("np." + name), z), getattr(np, name)(z), rtol=1e-13)
    for name in ("max", "argmin", "var"):
        with pytest.raises(TypeError):
            run(call("np." + name), z)


def test_pythons_sum_max_min_any_all():
    for a in (
        np.array([3.0, np.nan, 1.0]),
        np.array([np.nan, 3.0, 1.0]),
        np.array([3.0, 1.0, 7.0]),
        np.array([4, -2, 9]),
    ):
        for name in ("max", "min", "sum"):
            assert_same(np.float64(run(call("builtins." + name), a)), np.float64(getattr(builtins, name)(a)))
    a = np.arange(6.0).reshape(2, 3)
    assert_same(run(call("builtins.sum"), a), sum(a))
    assert run(call("builtins.sum"), np.arange(3.0), 10) == 13.0
    assert run(lambda b, x, y: mathlib.call(b, mathlib.find(sum), [TupleValue((x, y))], {}), 2, 3.5) == 5.5
    assert bool(run(call("builtins.any"), np.array([0.0, 2.0]))) is True
    assert bool(run(call("builtins.all"), np.array([0.0, 2.0]))) is False
    for name in ("max", "min"):
        with pytest.raises(ValueError):
            run(call("builtins." + name), np.zeros(0))
        with pytest.raises(TypeError, match="compares its rows"):
            run(call("builtins." + name), np.zeros((2, 2)))


def test_refusals():
    a = np.ones((2, 3))
    for options, error in (
        ({"axis": 2}, IndexError),
        ({"axis": -3}, IndexError),
        ({"axis": (0, 0)}, ValueError),
        ({"axis": 0.5}, TypeError),
    ):
        with pytest.raises(error):
            run(call("np.sum", **options), a)
    with pytest.raises(TypeError, match="known when compiling"):
        run(lambda b, x, n: mathlib.call(b, mathlib.find(np.sum), [x, n], {}), a, 1)

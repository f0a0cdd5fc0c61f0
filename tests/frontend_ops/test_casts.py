"""Conversions between all scalar types, against NumPy's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from dsl import types
from dsl.frontend import casts, mathlib, scalars
from dsl.frontend.values import constant

from .harness import mapped, mapped_all, run
from .numbers import FLOATS, INTS, assert_same, numbers


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def cast_to(name):
    return lambda b, x: casts.convert(b, x, types.BY_NAME[name])


@pytest.mark.parametrize("src", ["bool", *INTS, *FLOATS])
def test_numbers(src, rng):
    x = numbers(src, rng)
    targets = ["bool", *INTS, *FLOATS, "complex64", "complex128"]
    for dst, (actual, _) in mapped_all({dst: cast_to(dst) for dst in targets}, x).items():
        expected = x.astype(dst)
        if src in FLOATS and dst in INTS:
            # NumPy's answer for what does not fit is the processor's, and differs between vector and scalar code
            limits = np.iinfo(dst)
            whole = np.trunc(x.astype(np.float64))
            inside = (whole >= float(limits.min)) & (whole < float(limits.max))
            actual, expected = actual[inside], expected[inside]
        assert_same(actual, expected, what=dst)


@pytest.mark.parametrize("src", FLOATS)
def test_what_does_not_fit(src):
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30]).astype(src)
    assert (mapped(cast_to("int64"), x)[0] == np.iinfo(np.int64).min).all()
    assert (mapped(cast_to("int32"), x)[0] == np.iinfo(np.int32).min).all()


def test_edges_of_the_integers():
    x = np.array([-(2.0**31), -(2.0**31) - 0.9, 2.0**31 - 0.1, 2.0**31, -(2.0**31) - 1])
    low = -(2**31)
    assert mapped(cast_to("int32"), x)[0].tolist() == [low, low, 2**31 - 1, low, low]
    y = np.array([2.0**63, 2.0**64 - 4096, 2.0**63 - 1024, 1.9])
    assert mapped(cast_to("uint64"), y)[0].tolist() == [2**63, 2**64 - 4096, 2**63 - 1024, 1]


def test_halves_round_once(rng):
    x = np.concatenate([rng.standard_normal(2000), rng.standard_normal(2000) * 1e-6, rng.standard_normal(500) * 1e5])
    x = np.concatenate([x, 1 + 2.0**-11 + 2.0 ** -np.arange(30, 50)])  # just above a tie, lost in float32
    assert_same(mapped(cast_to("float16"), x)[0], x.astype(np.float16))


def test_bfloat16(rng):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.concatenate([rng.standard_normal(200), [0.0, -0.0, np.inf, -np.inf, 1e38, 1e-40]]).astype(np.float32)
    y, _ = mapped(cast_to("bfloat16"), x)
    expected = x.astype(ml_dtypes.bfloat16)
    assert (y == expected).all()
    z, _ = mapped(lambda b, p, q: scalars.binary(b, "*", p, q), y, y)
    assert (z == expected * expected).all()
    assert_same(mapped(cast_to("float32"), y)[0], expected.astype(np.float32))
    assert np.isnan(mapped(cast_to("bfloat16"), np.array([np.nan], np.float32))[0].astype(np.float32)).all()


@pytest.mark.parametrize("src", ["complex64", "complex128"])
def test_complex(src, rng):
    x = numbers(src, rng)
    assert_same(mapped(cast_to("complex64"), x)[0], x.astype(np.complex64))
    assert_same(mapped(cast_to("complex128"), x)[0], x.astype(np.complex128))
    assert_same(mapped(cast_to("bool"), x)[0], x.astype(bool))
    for dst in ("float64", "int32"):
        with pytest.raises(TypeError, match=r"take \.real, \.imag"):
            mapped(cast_to(dst), x)


def test_pythons_conversions():
    call = lambda f: lambda b, x: mathlib.call(b, mathlib.find(f), [x], {})
    for x in (2.7, -2.7, 0.0, -0.2, 7, True, False):
        for f in (int, float, bool, complex):
            assert run(call(f), x) == f(x), (f, x)
    assert run(call(np.float32), 0.1) == np.float32(0.1)
    assert run(call(types.int8), 7) == 7
    with pytest.raises(OverflowError):
        run(call(np.int8), 300)


def test_constants():
    def check(b):
        assert casts.convert(b, constant(2.7), types.pyint).const == 2
        assert casts.convert(b, constant(2), types.float64).const == 2.0
        assert not casts.convert(b, constant(0.1), types.float32).known  # which rounds it
        with pytest.raises(ValueError, match="does not fit uint8"):
            casts.convert(b, constant(256), types.uint8)
        with pytest.raises(TypeError):
            casts.convert(b, constant("a"), types.uint8)

    run(check)

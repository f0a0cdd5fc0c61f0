"""The functions of math, cmath, NumPy and Python by their names, against themselves."""

from __future__ import annotations

import builtins
import cmath
import math
import warnings

import numpy as np
import pytest

from dsl.frontend import mathlib
from dsl.frontend.math_functions import FUNCTIONS
from dsl.frontend.values import TupleValue, constant

from .harness import mapped, mapped_all, run
from .numbers import assert_same, numbers, pairs

MODULES = {"math": math, "cmath": cmath, "np": np, "builtins": builtins}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def caller(name, **kwargs):
    row = mathlib.by_name(name)
    return lambda b, *args: mathlib.call(b, row, list(args), {k: constant(v) for k, v in kwargs.items()})


def names(module, arity, exclude=""):
    found = [n for n, e in FUNCTIONS.items() if n.startswith(module + ".") and e.low == arity]
    return [n for n in found if hasattr(MODULES[module], n.split(".")[1]) and n.split(".")[1] not in exclude.split()]


REAL_ONLY = "real imag angle conj conjugate invert bitwise_not bitwise_invert gcd lcm ldexp"


def reference(name, *arrays):
    """The Python function for each element; NaN where Python raises for a number outside of its domain."""
    f = getattr(MODULES[name.split(".")[0]], name.split(".")[1])
    result = []
    for args in zip(*(a.tolist() for a in arrays)):
        try:
            result.append(f(*args))
        except (ValueError, OverflowError, ZeroDivisionError):
            result.append(math.nan)
    return np.array(result, dtype=float)


POINTS = np.array(
    [-30.0, -5.5, -2.0, -1.0, -0.7, -0.1, -1e-9, 0.0, 1e-9, 0.1, 0.5, 0.7, 1.0, 1.3, 2.0, 3.5, 7.0, 25.0, 700.0]
)


def test_math_of_one_number():
    chosen = names("math", 1, "isnan isinf isfinite gcd lcm floor ceil trunc hypot")
    for name, (actual, _) in mapped_all({n: caller(n) for n in chosen}, POINTS).items():
        expected = reference(name, POINTS)
        inside = ~np.isnan(expected)
        assert inside.sum() > 5
        # Python's own gamma and lgamma are not the C library's
        relative, absolute = (1e-12, 1e-14) if "gamma" in name else (5e-15, 1e-300)
        np.testing.assert_allclose(actual[inside], expected[inside], rtol=relative, atol=absolute, err_msg=name)


def test_math_of_two_numbers():
    x, y = pairs(POINTS, POINTS)
    chosen = [n for n in names("math", 2, "ldexp log") if n != "math.pow"]
    for name, (actual, _) in mapped_all({n: caller(n) for n in chosen}, x, y).items():
        expected = reference(name, x, y)
        inside = ~np.isnan(expected)
        np.testing.assert_allclose(actual[inside], expected[inside], rtol=5e-15, atol=1e-300, err_msg=name)


def expected_of(name, *arrays):
    """NumPy's answer; None where it refuses, or where this package's is meant to be another one."""
    dtype = arrays[0].dtype
    vary = ("np.sinc", "np.nan_to_num", "np.fix", "np.floor", "np.ceil", "np.trunc")  # from one NumPy to the next
    if dtype.kind in "biu" and name in (*vary, "np.square" if dtype.kind == "b" else "np.reciprocal"):
        return None
    if dtype == np.float16 and name in ("np.sinc", "np.nextafter"):
        return None  # NumPy rounds in between; not supported
    try:
        expected = getattr(np, name.split(".")[1])(*arrays)
    except TypeError:
        return None
    predicates = ("np.isnan", "np.isinf", "np.isfinite", "np.logical_not", "np.signbit")
    if dtype.kind == "b" and expected.dtype.kind in "ib" and name not in predicates:
        return None  # of a bool alone, Python's answer is an int
    return expected


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "int64", "bool"])
def test_numpy_of_one_number(dtype, rng):
    x = numbers(dtype, rng)
    wanted = {n: e for n in names("np", 1, REAL_ONLY) if (e := expected_of(n, x)) is not None}
    assert len(wanted) > 25
    for name, (actual, _) in mapped_all({n: caller(n) for n in wanted}, x).items():
        assert_same(actual, wanted[name], 8 if actual.dtype.kind == "f" else 0, name)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int32"])
def test_numpy_of_two_numbers(dtype, rng):
    x, y = pairs(numbers(dtype, rng, 10), numbers(dtype, rng, 10))
    y = np.abs(y) % 7 if dtype == "int32" else y
    wanted = {n: e for n in names("np", 2, REAL_ONLY + " gcd lcm") if (e := expected_of(n, x, y)) is not None}
    assert len(wanted) > 25
    for name, (actual, _) in mapped_all({n: caller(n) for n in wanted}, x, y).items():
        expected = wanted[name]
        if "logaddexp" in name:
            expected, actual = expected + expected.dtype.type(8), actual + expected.dtype.type(8)  # it cancels near 0
        if name in ("np.maximum", "np.minimum", "np.fmax", "np.fmin"):
            expected, actual = expected + actual.dtype.type(0), actual + actual.dtype.type(0)  # signs of zeros are open
        exact = expected.dtype.kind != "f" or name in ("np.fmod", "np.mod", "np.remainder", "np.nextafter")
        assert_same(actual, expected, 0 if exact else 8, name)


@pytest.mark.parametrize("name", ["math.floor", "math.ceil", "math.trunc", "builtins.round"])
def test_rounding_gives_ints(name):
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4999, -7.9, 1e15 + 0.5, 3.0])
    actual, type_ = mapped(caller(name), x)
    assert type_.kind == "i"
    assert actual.tolist() == [getattr(MODULES[name.split(".")[0]], name.split(".")[1])(v) for v in x.tolist()]


@pytest.mark.parametrize("digits", [-2, 0, 1, 2, 5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_round_to_digits(digits, dtype, rng):
    x = np.concatenate([numbers(dtype, rng), rng.standard_normal(100) * 100]).astype(dtype)
    row = mathlib.find(round)
    actual, _ = mapped(lambda b, p: mathlib.call(b, row, [p, constant(digits)], {}), x)
    assert_same(actual, np.round(x, digits), 0 if dtype == "float64" else 1)
    with_keyword, _ = mapped(caller("np.round", decimals=digits), x)
    assert_same(with_keyword, actual)


def test_several_arguments(rng):
    x, y, z = (rng.standard_normal(20) for _ in range(3))
    np.testing.assert_allclose(mapped(caller("math.hypot"), x, y, z)[0], np.sqrt(x * x + y * y + z * z), rtol=1e-15)
    np.testing.assert_allclose(
        mapped(caller("math.log"), abs(x), abs(y))[0], np.log(abs(x)) / np.log(abs(y)), rtol=1e-15
    )
    np.testing.assert_allclose(mapped(caller("math.fma"), x, y, z)[0], x * y + z, rtol=1e-12)
    assert_same(mapped(caller("np.where"), x > 0, y, z)[0], np.where(x > 0, y, z))
    assert_same(mapped(caller("np.clip"), x, np.full(20, -0.5), np.full(20, 0.5))[0], np.clip(x, -0.5, 0.5))


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_are_pythons(name):
    f = getattr(builtins, name)
    values = [0.0, -0.0, 1.0, -1.0, math.nan, math.inf]
    x, y = pairs(values, values)
    expected = np.array([f(p, q) for p, q in zip(x.tolist(), y.tolist())])
    assert_same(mapped(caller("builtins." + name), x, y)[0], expected)
    assert run(caller("builtins." + name), 3, 7, 5) == f(3, 7, 5)
    assert run(caller("builtins." + name), 3, 2.5) == f(3, 2.5)
    row = mathlib.find(f)
    assert run(lambda b, p, q: mathlib.call(b, row, [TupleValue((p, q))], {}), 3, 2.5) == f(3, 2.5)


def test_divmod_and_modf():
    row = mathlib.find(divmod)
    for x, y in ((7, -2), (-7.5, 2.0), (7, 2.5)):
        for place in (0, 1):
            part = run(lambda b, p, q: mathlib.call(b, row, [p, q], {}).elements[place], x, y)
            assert part == divmod(x, y)[place]
    row = mathlib.find(math.modf)
    for x in (2.75, -2.75, -0.0, math.inf, -math.inf, 5.0):
        for place in (0, 1):
            part = run(lambda b, p: mathlib.call(b, row, [p], {}).elements[place], x)
            assert_same(part, np.float64(math.modf(x)[place]))


def test_integers(rng):
    x, y = pairs(np.array([0, 1, -4, 6, 12, 35, -(2**40)]), np.array([0, 1, 8, -9, 2**20]))
    assert_same(mapped(caller("math.gcd"), x, y)[0], np.gcd(x, y))
    assert_same(mapped(caller("math.lcm"), x, y)[0], np.lcm(x, y))
    assert_same(mapped(caller("builtins.abs"), x)[0], abs(x))
    assert run(caller("math.floor"), 7) == 7


def test_ldexp():
    x, n = pairs(np.array([1.0, -1.5, 0.3, np.inf, 0.0, 5e-324]), np.array([0, 1, -1, 1023, -1074, 2000, -2200, 2**40]))
    expected = np.array(
        [math.copysign(math.inf, p) if q > 3000 and p else np.ldexp(p, min(q, 4000)) for p, q in zip(x, n)]
    )
    assert_same(mapped(caller("math.ldexp"), x, n)[0], expected)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_predicates(dtype, rng):
    x = numbers(dtype, rng)
    for name in ("isnan", "isinf", "isfinite"):
        assert_same(mapped(caller("math." + name), x)[0], getattr(np, name)(x))
    for name in ("isnan", "isinf", "isfinite"):
        z = numbers("complex128", rng)
        z = np.concatenate([z, [complex(math.nan, 1), complex(1, math.inf)]])
        assert_same(mapped(caller("cmath." + name), z)[0], getattr(np, name)(z))


def test_isclose():
    x, y = pairs(
        np.array([1.0, 1.0 + 1e-10, 0.0, np.inf, np.nan, 1e-9]),
        np.array([1.0, 1.0 + 1e-6, 0.0, np.inf, -np.inf, np.nan]),
    )
    assert_same(mapped(caller("np.isclose"), x, y)[0], np.isclose(x, y))
    assert_same(mapped(caller("math.isclose"), x, y)[0], np.array([math.isclose(p, q) for p, q in zip(x, y)]))
    loose = np.array([math.isclose(p, q, rel_tol=1e-3) for p, q in zip(x, y)])
    assert_same(mapped(caller("math.isclose", rel_tol=1e-3), x, y)[0], loose)


def test_complex_functions(rng):
    chosen = [n for n in FUNCTIONS if n.startswith("cmath.") and FUNCTIONS[n].high == 1 and ".is" not in n]
    assert len(chosen) > 8
    z = rng.standard_normal(40) + 1j * rng.standard_normal(40)
    for array, tolerance in ((z, 1e-12), (z.astype(np.complex64), 2e-5)):
        for name, (actual, _) in mapped_all({n: caller(n) for n in chosen}, array).items():
            expected = getattr(np, {"phase": "angle"}.get(name[6:], name[6:]))(array)
            assert actual.dtype == expected.dtype
            np.testing.assert_allclose(actual, expected, rtol=tolerance, err_msg=name)


def test_complex_parts(rng):
    z = rng.standard_normal(10) + 1j * rng.standard_normal(10)
    chosen = "abs real imag angle conj square reciprocal exp sqrt sin log1p expm1".split()
    for name, (actual, _) in mapped_all({n: caller("np." + n) for n in chosen}, z).items():
        np.testing.assert_allclose(actual, getattr(np, name)(z), rtol=1e-12, err_msg=name)
    assert run(caller("builtins.complex"), 1.5, 2) == 1.5 + 2j


def test_float32_stays_float32(rng):
    x = abs(rng.standard_normal(10)).astype(np.float32)
    for name in ("math.sin", "math.gamma", "math.hypot", "math.degrees", "np.exp", "math.fmod"):
        args = [x, x] if FUNCTIONS[name].low == 2 else [x]
        assert mapped(caller(name), *args)[0].dtype == np.float32, name


def test_refusals():
    with pytest.raises(TypeError, match="cmath"):
        run(caller("math.sin"), 1j)
    with pytest.raises(TypeError, match="takes 1 argument"):
        run(caller("math.sin"), 1.0, 2.0)
    with pytest.raises(TypeError, match="not arrays"):
        run(caller("math.sin"), np.ones(3))
    with pytest.raises(TypeError, match="does not take the argument"):
        run(lambda b, x: mathlib.call(b, mathlib.find(np.sum), [x], {"where": x}), np.ones(3))
    with pytest.raises(TypeError, match="ambiguous"):
        run(caller("builtins.max"), np.ones(3), 1.0)
    assert mathlib.find(math.frexp) is None
    assert "sin" in mathlib.known_names("math")

"""Operators on scalars against NumPy and Python, over all types and all special values."""

from __future__ import annotations

import operator
import warnings

import numpy as np
import pytest

from dsl import types
from dsl.frontend import mathlib, scalars
from dsl.frontend.values import Value, constant

from .harness import mapped, mapped_all, run
from .numbers import FLOATS, INTS, assert_same, numbers, pairs

PYTHON = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COMPARISONS = ["==", "!=", "<", "<=", ">", ">="]


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def binary(op):
    emit = scalars.compare if op in COMPARISONS else scalars.binary
    return lambda b, p, q: emit(b, op, p, q)


def check_binary(ops, x, y, ulps=0):
    """Each of the operators on these arrays, element by element, against NumPy."""
    ops = ops.split()
    for op, (actual, _) in mapped_all({op: binary(op) for op in ops}, x, y).items():
        assert_same(actual, PYTHON[op](x, y), ulps, op)


@pytest.mark.parametrize("dtype", INTS)
def test_integers(dtype, rng):
    x, y = pairs(numbers(dtype, rng), numbers(dtype, rng, 10))
    check_binary("+ - * // % & | ^ << >> / == != < <= > >=", x, y)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats(dtype, rng):
    x, y = pairs(numbers(dtype, rng), numbers(dtype, rng))
    check_binary("+ - * / // % == != < <= > >=", x, y)


@pytest.mark.parametrize("op", ["//", "%"])
def test_float_division_as_python(op, rng):
    """Python's own answers, which NumPy's agree with, also near whole quotients."""
    x = np.array([7.0, -7.0, 1.0, 0.3, -0.3, 6.0, 1e17, 5.0, -5.0, 0.0, -0.0])
    y = np.array([2.0, -2.0, 0.1, -0.1, 3.0, 7.3, np.inf, -np.inf])
    x, y = pairs(x, y)
    actual, _ = mapped(lambda b, p, q: scalars.binary(b, op, p, q), x, y, element_types=[types.pyfloat] * 2)
    assert_same(actual, np.array([PYTHON[op](float(p), float(q)) for p, q in zip(x, y)]))


# fmt: off
MIXED = [("int8", "uint8"), ("int64", "float32"), ("uint64", "int64"), ("int64", "uint64"), ("float16", "int16"),
         ("float32", "float64"), ("int32", "uint32"), ("float16", "int8"), ("uint8", "int64"), ("int32", "float32")]
# fmt: on


@pytest.mark.parametrize("left, right", MIXED)
def test_mixed_types(left, right, rng):
    x, y = pairs(numbers(left, rng, 10), numbers(right, rng, 10))
    check_binary("+ * / //", x, y)
    for op, (actual, type_) in mapped_all({op: binary(op) for op in COMPARISONS}, x, y).items():
        assert type_ is types.bool_
        assert_same(actual, np.array([PYTHON[op](p, q) for p, q in zip(x, y)]), what=op)


@pytest.mark.parametrize("literal", [300, -1, 2**40, -(2**40)])
def test_comparison_with_a_literal_out_of_range(literal):
    x = np.array([0, 5, 255], np.uint8)
    right = {op: lambda b, p, op=op: scalars.compare(b, op, p, constant(literal)) for op in COMPARISONS}
    for op, (actual, _) in mapped_all(right, x).items():
        assert_same(actual, np.array([PYTHON[op](int(p), literal) for p in x]))
    left = {op: lambda b, p, op=op: scalars.compare(b, op, constant(literal), p) for op in COMPARISONS}
    for op, (actual, _) in mapped_all(left, x).items():
        assert_same(actual, np.array([PYTHON[op](literal, int(p)) for p in x]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8"])
def test_literal_powers(dtype, rng):
    x = numbers(dtype, rng)
    exponents = [0, 1, 2, 3, 4, 5, 8, -1, -2, 0.5, 1.5, -0.5]
    powers = {e: lambda b, p, e=e: scalars.binary(b, "**", p, constant(e)) for e in exponents}
    for exponent, (actual, _) in mapped_all(powers, x).items():
        if dtype in ("int32", "uint8") and (exponent != int(exponent) or exponent < 0):
            expected = x.astype(np.float64) ** exponent
        else:
            expected = x**exponent
        if exponent == 0.5:  # of -inf NumPy's square root is NaN, and its pow is inf
            keep = ~np.isinf(x.astype(float)) | (x.astype(float) > 0)
            actual, expected = actual[keep], expected[keep]
        assert_same(actual, expected, 8, exponent)


@pytest.mark.parametrize("dtype", INTS)
def test_integer_powers(dtype, rng):
    x, y = pairs(numbers(dtype, rng, 10), np.array([0, 1, 2, 3, 5, 13, 31, 62, 100], dtype))
    check_binary("**", x, y)


def test_huge_unsigned_exponent():
    x, y = np.array([3, 2, 1, 0], np.uint64), np.array([2**63 + 3] * 4, np.uint64)
    check_binary("**", x, y)


def test_negative_exponent_is_refused_at_run_time():
    power = lambda b, x, y: scalars.binary(b, "**", x, y)
    assert run(power, 2, 10) == 1024
    with pytest.raises(ValueError, match="negative integer powers"):
        run(power, 2, -1)


@pytest.mark.parametrize("dtype", FLOATS)
def test_float_powers(dtype, rng):
    x, y = pairs(numbers(dtype, rng, 10), numbers(dtype, rng, 10))
    check_binary("**", x, y, 8)


def test_python_numbers_are_weak():
    for dtype in ("float32", "float16", "int8", "uint16"):
        x = np.array([1, 2, 3], dtype)
        actual, _ = mapped(lambda b, p: scalars.binary(b, "*", p, constant(2)), x)
        assert_same(actual, x * 2)
        actual, _ = mapped(lambda b, p: scalars.binary(b, "*", p, constant(2.0)), x)
        assert_same(actual, x * 2.0)
    assert run(lambda b, x, y: scalars.binary(b, "/", x, y), 7, 2) == 3.5


def test_python_int_that_does_not_fit():
    add = lambda b, x, y: scalars.binary(b, "+", x, y)
    assert run(add, np.int8(5), 100) == 105
    with pytest.raises(OverflowError, match="out of bounds for int8"):
        run(add, np.int8(5), 1000)
    with pytest.raises(OverflowError, match="out of bounds for uint64"):
        run(add, np.uint64(5), -1)


def test_python_int_is_compared_as_it_is():
    for dtype in ("int8", "uint8", "int64", "uint64"):
        for y in (-1000, -1, 5, 1000, 2**62):
            x = np.array([0, 5, 100], dtype)
            compared = mapped_all(
                {op: binary(op) for op in COMPARISONS},
                x,
                np.full(3, y),
                element_types=[types.BY_NAME[dtype], types.pyint],
            )
            for op, (actual, _) in compared.items():
                assert_same(actual, np.array([PYTHON[op](int(v), y) for v in x]), what=(dtype, op, y))
    largest = lambda b, x, y: mathlib.call(b, mathlib.find(max), [x, y], {})
    assert run(largest, np.int8(5), 1000) == 1000


def test_known_signs():
    def check(b, x):
        n = Value(types.pyint, x.leaves, nonneg=True)
        for op, y, nonneg in (
            ("+", constant(1), True),
            ("-", constant(1), False),
            ("*", n, True),
            ("+", constant(-1), False),
            ("//", constant(2), True),
            ("&", x, True),
            (">>", n, True),
            ("%", n, False),
        ):
            assert scalars.binary(b, op, n, y).nonneg is nonneg, op
        assert scalars.binary(b, "%", x, constant(3)).nonneg

    run(check, 3)


def test_bools_count_as_integers():
    for x in (False, True):
        for y in (False, True):
            for op in ("+", "-", "*", "&", "|", "^", "<<"):
                result = run(lambda b, p, q: scalars.binary(b, op, p, q), x, y)
                assert result == PYTHON[op](x, y), (op, x, y)
    assert run(lambda b, p: scalars.unary(b, "-", p), True) == -1
    assert run(lambda b, p: scalars.unary(b, "not", p), True) == 0


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
def test_unary(dtype, rng):
    x = numbers(dtype, rng)
    functions = {"-": operator.neg, "+": operator.pos, "not": np.logical_not}
    if dtype in INTS:
        functions["~"] = operator.invert
    for op, (actual, _) in mapped_all({op: lambda b, p, op=op: scalars.unary(b, op, p) for op in functions}, x).items():
        assert_same(actual, functions[op](x), what=op)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex(dtype, rng):
    x, y = pairs(numbers(dtype, rng)[:15], numbers(dtype, rng)[:15])
    check_binary("+ - == !=", x, y)
    x, y = x[y != 0], y[y != 0]
    for op, (actual, _) in mapped_all({op: binary(op) for op in ("*", "/")}, x, y).items():
        tolerance = np.finfo(dtype).eps
        np.testing.assert_allclose(actual, PYTHON[op](x, y), rtol=4 * tolerance, atol=100 * tolerance)


def test_complex_powers(rng):
    x = numbers("complex128", rng)
    x = x[x != 0]
    for exponent in (2, 3, -1, 0.5, 1.5):
        actual, _ = mapped(lambda b, p: scalars.binary(b, "**", p, constant(exponent)), x)
        np.testing.assert_allclose(actual, x**exponent, rtol=1e-12, atol=1e-12)


def test_division_by_zero_is_an_error_where_bounds_are_checked():
    for op in ("//", "%"):
        divide = lambda b, x, y: scalars.binary(b, op, x, y)
        assert run(divide, 7, 0) == 0
        with pytest.raises(ZeroDivisionError):
            run(divide, 7, 0, boundscheck=True)


def test_constants_are_folded():
    def check(b):
        assert scalars.binary(b, "+", constant(2), constant(3)).const == 5
        assert scalars.binary(b, "**", constant(2), constant(0.5)).const == 2**0.5
        assert scalars.binary(b, "/", constant(1), constant(4)).const == 0.25
        assert scalars.compare(b, "<", constant(1), constant(2)).const is True
        assert scalars.unary(b, "-", constant(3)).const == -3
        assert not scalars.binary(b, "**", constant(10), constant(10**9)).known
        assert not scalars.binary(b, "/", constant(1.0), constant(0)).known

    run(check)


@pytest.mark.parametrize(
    "op, left, right",
    [("//", 1j, 2), ("%", 1j, 2.0), ("&", 1.0, 2), ("<<", 1, 2.0), ("|", 1j, 1), ("<", 1j, 2), (">=", 1.0, 2j)],
)
def test_refused(op, left, right):
    emit = scalars.compare if op in COMPARISONS else scalars.binary
    with pytest.raises(TypeError, match=r"kernel\.py:1:1"):
        run(lambda b, x, y: emit(b, op, x, y), left, right)
    with pytest.raises(TypeError):
        run(lambda b, x: scalars.unary(b, "~", x), 1.5)
    with pytest.raises(TypeError):
        run(lambda b, x: scalars.unary(b, "~", x), True)

"""The polygamma functions that derivatives of the gamma functions call: against SciPy, recurrences and known values."""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import numpy as np
import pytest
import scipy.special as sp
from mlir import ir

from dialects.rules import special
from tests.rules.execute import Compiled

ORDERS = (0, 1, 2, 3, 5)


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.create()
        with ir.InsertionPoint(module.body):
            for m in ORDERS:
                special.ensure(special.name(m))
                special.ensure(special.name(m))  # once is enough
        assert len(list(module.body)) == len(ORDERS)
        return Compiled(module, {special.name(m): (["f64"], ["f64"]) for m in ORDERS})


@pytest.mark.parametrize("m", ORDERS)
def test_positive(compiled: Compiled, m: int) -> None:
    x = np.concatenate([np.geomspace(1e-6, 1, 40), np.linspace(1.6, 60, 200), np.geomspace(61, 1e12, 40)])
    np.testing.assert_allclose(compiled(special.name(m), x)[0], sp.polygamma(m, x), rtol=2e-13)


@pytest.mark.parametrize("m", ORDERS)
def test_negative(compiled: Compiled, m: int) -> None:
    """By the recurrence from the positive side, which is exact enough for a few steps."""
    x = np.array([-0.01, -0.3, -0.5, -0.77, -1.25, -2.4, -5.5, -7.9])
    expected = sp.polygamma(m, x + 9)
    for k in range(8, -1, -1):
        expected = expected - (-1) ** m * factorial(m) / (x + k) ** (m + 1)
    np.testing.assert_allclose(compiled(special.name(m), x)[0], expected, rtol=1e-12, atol=1e-13)


def test_known_values(compiled: Compiled) -> None:
    digamma, trigamma = (lambda x, m=m: compiled(special.name(m), np.array([x]))[0][0] for m in (0, 1))
    np.testing.assert_allclose(digamma(1.0), -np.euler_gamma, rtol=1e-15)
    np.testing.assert_allclose(digamma(0.5), -np.euler_gamma - 2 * np.log(2), rtol=1e-15)
    np.testing.assert_allclose(trigamma(1.0), np.pi**2 / 6, rtol=1e-14)
    np.testing.assert_allclose(trigamma(0.5), np.pi**2 / 2, rtol=1e-14)
    np.testing.assert_allclose(digamma(-1e6 + 0.25), np.log(1e6 + 0.75) - np.pi, rtol=1e-6)
    assert np.isnan(digamma(np.nan)) and np.isnan(digamma(-np.inf)) and digamma(np.inf) == np.inf
    assert not np.isfinite(digamma(0.0)) and not np.isfinite(digamma(-3.0)) and not np.isfinite(trigamma(-3.0))


def test_bernoulli_numbers() -> None:
    found = [special.bernoulli(n) for n in (0, 1, 2, 3, 4, 12)]
    assert found == [1, Fraction(-1, 2), Fraction(1, 6), 0, Fraction(-1, 30), Fraction(-691, 2730)]


def test_derivatives_of_the_cotangent() -> None:
    assert special.cotangent_derivative(1) == [-1, 0, -1]
    assert special.cotangent_derivative(2) == [0, 2, 0, 2]


def test_unknown_helper() -> None:
    with ir.Context(), ir.Location.unknown(), ir.InsertionPoint(ir.Module.create().body):
        with pytest.raises(ValueError, match="no helper function"):
            special.ensure("__dsl_zeta")
        with pytest.raises(ValueError, match="up to order"):
            special.ensure(special.name(99))

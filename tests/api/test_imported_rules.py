"""dsl.rules.import_frule and import_rrule: Python functions with the derivative rules of another system."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import scipy.special

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, ReverseWithPrimal, autodiff
from dsl.errors import ArgumentError, DifferentiationError, NotYetSupported

alive = weakref.WeakSet()


class Pullback:
    """A pullback of ChainRules: what it returns first is for the function itself."""

    def __init__(self, *partials):
        self.partials = partials
        alive.add(self)

    def __call__(self, cotangent):
        return (None, *(cotangent * p for p in self.partials))


def gammaln_rrule(f, x):
    return f(x), Pullback(scipy.special.digamma(x))


def gammaln_frule(tangents, f, x):
    none, dx = tangents
    assert none is None
    return f(x), dx * scipy.special.digamma(x)


def scaled_norm(x, a, n):
    return float(np.linalg.norm(x)) * a * n


def scaled_norm_rrule(f, x, a, n):
    norm = float(np.linalg.norm(x))
    return f(x, a, n), Pullback(a * n * x / norm, norm * n, None if n is None else 0)


gammaln = dsl.rules.import_rrule(scipy.special.gammaln, "(float64) -> float64", gammaln_rrule)
norm = dsl.rules.import_rrule(scaled_norm, "(float64[:, :], float64, int64) -> float64", scaled_norm_rrule)


@dsl.kernel
def likelihood(x, w):
    s = 0.0
    for i in range(len(x)):
        s += gammaln(x[i] * w) * x[i]
    return s


@dsl.kernel
def overwriting(x, a):
    r = norm(x, a, 2)
    x[0, 0] = 1.0
    return r * r + norm(x, 1.0, 1)


X = np.array([1.5, 2.5, 3.0])


def test_value():
    assert gammaln(3.5) == gammaln.fn(3.5) == scipy.special.gammaln(3.5)
    assert norm(np.eye(2), 2.0, 3) == 6 * np.sqrt(2)


def test_reverse_and_forward():
    dx = np.zeros(3)
    value, (_, dw) = autodiff(ReverseWithPrimal, likelihood, Active, Duplicated(X, dx), Active(1.2))
    lg, dg = scipy.special.gammaln(1.2 * X), scipy.special.digamma(1.2 * X)
    np.testing.assert_allclose(value, np.sum(lg * X))
    np.testing.assert_allclose(dx, lg + 1.2 * X * dg)
    np.testing.assert_allclose(dw, np.sum(X * X * dg))
    direction = np.array([1.0, -1.0, 2.0])
    (tangent,) = autodiff(Forward, likelihood, Duplicated(X, direction), Duplicated(1.2, 0.5))
    np.testing.assert_allclose(tangent, np.sum(dx * direction) + 0.5 * dw)


def test_arrays():
    x, dx = np.array([[3.0, 4.0]]), np.zeros((1, 2))
    value, (_, da) = autodiff(ReverseWithPrimal, overwriting, Active, Duplicated(x, dx), Active(2.0))
    r, after = 20.0, np.sqrt(17.0)
    np.testing.assert_allclose(value, r * r + after)
    np.testing.assert_allclose(da, 2 * r * 10)
    np.testing.assert_allclose(dx, [[2 * r * 4 * 3 / 5, 2 * r * 4 * 4 / 5 + 4 / after]])
    x, dx = np.array([[3.0, 4.0]]), np.zeros((1, 2))
    autodiff(Reverse, overwriting, Active, Duplicated(x, dx), Const(2.0))
    np.testing.assert_allclose(dx, [[2 * r * 4 * 3 / 5, 2 * r * 4 * 4 / 5 + 4 / after]])


def test_frule():
    both = dsl.rules.import_frule(gammaln, "(float64) -> float64", gammaln_frule)
    assert autodiff(Forward, lambda x: both(x), Duplicated(3.0, 2.0)) == (2 * scipy.special.digamma(3.0),)
    assert autodiff(Reverse, lambda x: both(x), Active, Active(3.0)) == ((scipy.special.digamma(3.0),),)
    only = dsl.rules.import_frule(scipy.special.gammaln, "(float64) -> float64", gammaln_frule, name="only")
    assert autodiff(Forward, lambda x: only(x), Duplicated(3.0, 2.0)) == (2 * scipy.special.digamma(3.0),)
    with pytest.raises(DifferentiationError, match="no reverse rule"):
        autodiff(Reverse, lambda x: only(x), Active, Active(3.0))


def test_rule_as_attribute():
    def square(x):
        return x * x

    square.rrule = lambda f, x: (f(x), Pullback(2 * x))
    k = dsl.rules.import_rrule(square, (("float32",), "float32"))
    assert autodiff(Reverse, lambda x: k(x), Active, Active(np.float32(3.0))) == ((np.float32(6.0),),)


def test_pullbacks_are_let_go():
    autodiff(Reverse, likelihood, Active, Duplicated(X, np.zeros(3)), Active(1.2))
    gc.collect()
    assert not alive


class Trouble(Exception):
    pass


def test_exceptions_surface_as_themselves():
    def value(x):
        if x > 2:
            raise Trouble(x)
        return x

    def rule(f, x):
        def pullback(dy):
            if x > 1.5:
                raise Trouble("pullback")
            return None, dy

        return f(x), pullback

    k = dsl.rules.import_rrule(value, "(float64) -> float64", rule, name="trouble")

    @dsl.kernel
    def total(x):
        s = 0.0
        for i in range(len(x)):
            s += k(x[i])
        return s

    assert total(np.array([1.0, 2.0])) == 3.0
    with pytest.raises(Trouble, match="3"):
        total(np.array([1.0, 3.0, 4.0]))
    dx = np.zeros(3)
    with pytest.raises(Trouble, match="3"):
        autodiff(Reverse, total, Active, Duplicated(np.array([1.0, 3.0, 1.0]), dx))
    with pytest.raises(Trouble, match="pullback"):
        autodiff(Reverse, total, Active, Duplicated(np.array([1.0, 2.0, 1.0]), np.zeros(3)))
    assert total(np.array([1.0])) == 1.0  # nothing is left of it
    with pytest.raises(KeyboardInterrupt):
        stop = dsl.rules.import_rrule(_interrupt, "(float64) -> float64", rule)
        dsl.kernel(lambda x: stop(x))(1.0)


def _interrupt(x):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda f, x: (np.sum(x), lambda dy: (None,)), "returned 1 cotangents, expected are 2"),
        (lambda f, x: (np.sum(x), lambda dy: (None, np.ones(5))), r"shape \(5,\) for an argument of shape \(3,\)"),
    ],
)
def test_wrong_pullbacks(rule, message):
    k = dsl.rules.import_rrule(np.sum, "(float64[:]) -> float64", rule, name="wrong")
    with pytest.raises(ValueError, match=message):
        autodiff(Reverse, lambda x: k(x), Active, Duplicated(np.ones(3), np.zeros(3)))


def test_refused():
    with pytest.raises(ArgumentError, match="f has no rrule"):
        dsl.rules.import_rrule(lambda x: x, "(float64) -> float64", name="f")
    with pytest.raises(ArgumentError, match="takes a function"):
        dsl.rules.import_rrule(3, "(float64) -> float64", gammaln_rrule)
    with pytest.raises(ArgumentError, match="returns float64 or float32"):
        dsl.rules.import_rrule(np.sum, "(float64) -> float64[:]", gammaln_rrule)
    with pytest.raises(NotYetSupported, match="split mode of likelihood"):
        dsl.autodiff_thunk(dsl.ReverseSplitWithPrimal, likelihood, Active, Duplicated(X, X.copy()), Const(1.0))
    with pytest.raises(DifferentiationError, match=r"gammaln\.record"):
        dsl.hvp(lambda x: likelihood(x, 1.0), X, X)


def test_autograd():
    special = pytest.importorskip("autograd.scipy.special", reason="autograd is not installed")
    import autograd.numpy as anp

    k = dsl.rules.import_rrule(special.gammaln, "(float64) -> float64", name="autograd_gammaln")
    expected = scipy.special.digamma(3.0)
    assert autodiff(Reverse, lambda x: k(x), Active, Active(3.0)) == ((expected,),)
    assert autodiff(Forward, lambda x: k(x), Duplicated(3.0, 1.0)) == (expected,)
    dot = dsl.rules.import_rrule(anp.dot, "(float64[:], float64[:]) -> float64", name="autograd_dot")
    dx = np.zeros(3)
    autodiff(Reverse, lambda x, y: dot(x, y), Active, Duplicated(X, dx), Const(np.arange(3.0)))
    np.testing.assert_array_equal(dx, np.arange(3.0))


def test_jax():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    jax.config.update("jax_enable_x64", True)
    k = dsl.rules.import_rrule(jax.numpy.sin, "(float64) -> float64", name="jax_sin")
    np.testing.assert_allclose(autodiff(Reverse, lambda x: k(x), Active, Active(0.3))[0][0], np.cos(0.3))
    np.testing.assert_allclose(autodiff(Forward, lambda x: k(x), Duplicated(0.3, 1.0))[0], np.cos(0.3))

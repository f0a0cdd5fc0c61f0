"""Gradients, Jacobians and Hessians of hosts that launch and of grids, on the host and on the simulator."""

import numpy as np
import pytest

import dsl
from dsl import Const, Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal
from dsl import simulator as sim

from .places import same

rng = np.random.default_rng(4)
X, V = rng.normal(size=(2, 4))
MODES = [Reverse, ReverseWithPrimal, Forward, ForwardWithPrimal]


@dsl.kernel
def product(y, x):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = x[i] * x[i] * x[(i + 1) % len(x)]


@dsl.kernel
def loss(x, a):
    y = np.empty_like(x)
    product[1, 32](y, x)
    return a * np.sum(y * y)


@dsl.kernel
def parts(x, a):
    y = np.empty_like(x)
    product[1, 32](y, x)
    return y[1:] * a, a * x[0]


@dsl.kernel
def total(out, x):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(out, 0, x[i] ** 3)


def differences(f, x, step=1e-6):
    """The Jacobian of a function of one array, by central differences."""
    columns = [(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(x.size)]
    return np.moveaxis(np.array(columns), 0, -1)


def launched(x):
    y = np.zeros_like(x)
    product[1, 32](y, x)
    return y


@pytest.mark.parametrize("mode", MODES)
def test_hosts_with_launches(mode):
    found = same(lambda x, a: dsl.gradient(mode, loss, x, a, chunk=3), X, 2.0)
    slots = found[1] if mode.primal else found
    np.testing.assert_allclose(slots[0], differences(lambda x: np.asarray(loss(x, 2.0)), X), 1e-6, 1e-6)
    same(lambda x, a: dsl.jacobian(mode, parts, x, a, chunk=3), X, 2.0)


@pytest.mark.parametrize("mode", MODES)
def test_grids(mode):
    """Their result are the arrays of floats that they write."""
    found = same(lambda y, x: dsl.jacobian(mode, product[1, 32], Const(y), x), np.zeros(4), X)
    value, (none, slot) = found if mode.primal else (launched(X), found)
    assert none is None
    np.testing.assert_array_equal(value, launched(X))
    np.testing.assert_allclose(slot, differences(launched, X), 1e-6, 1e-6)
    found = same(lambda y, x: dsl.gradient(mode, total[1, 32], y, x), np.zeros(1), X)
    np.testing.assert_allclose((found[1] if mode.primal else found)[1], 3 * X**2)


def test_second_order():
    same(lambda x, v: dsl.hvp_and_gradient(loss, x, v, 2.0), X, V)
    found = same(lambda x: dsl.hessian(loss, x, 2.0), X)
    wanted = differences(lambda x: dsl.gradient(Reverse, loss, x, Const(2.0))[0], X)
    np.testing.assert_allclose(found, wanted, 1e-5, 1e-5)
    assert np.allclose(same(lambda x, v: dsl.hvp(loss, x, v, 2.0), X, V), found @ V)
    same(lambda y, x: dsl.hessian(total[1, 32], y, x), np.zeros(1), X)


@pytest.mark.parametrize("mode", [Reverse, Forward])
def test_into(mode):
    same(lambda d, x: dsl.gradient_into(mode, d, loss, x, 2.0), np.full(4, 7.0), X)


def test_shadows():
    same(lambda x: (dsl.make_zero((x, 2.0)), dsl.onehot(x)), V.reshape(2, 2))
    strided = sim.asarray(np.ones((2, 3)))[:, ::2]
    dsl.make_zero_into(strided)
    assert not strided.get().any()


def test_a_grid_without_a_number():
    with pytest.raises(dsl.errors.ActivityError, match="no single number as its result: it writes `y`"):
        dsl.gradient(Reverse, product[1, 32], X.copy(), X)

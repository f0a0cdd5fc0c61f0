"""Backends of the user's own: arrays of a class that is not known here, on a driver that is registered for them."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Reverse, autodiff
from lowering.simulator import Device


class Remote:
    """An array on a device, which keeps to itself how it got there. (The device is a simulated one.)"""

    def __init__(self, values: np.ndarray, device: Device):
        from dsl import simulator

        self.inner, self.device = simulator.asarray(values, device), device

    def get(self) -> np.ndarray:
        return self.inner.get()


class Remotes:
    def __init__(self):
        self.asked = 0

    def owns(self, cls):
        return cls is Remote

    def interface(self, array):
        return array.inner.__simulated_array_interface__

    def driver(self, array):
        self.asked += 1
        return array.device


@dsl.kernel
def square(y, x):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = x[i] * x[i]


X = np.arange(1.0, 6.0)


def test_kernels_and_derivatives_run_there():
    backend, device = Remotes(), Device()
    dsl.register_backend("remote", backend)
    y, x = Remote(np.zeros(5), device), Remote(X, device)
    square[1, 32](y, x)
    assert y.get().tolist() == (X * X).tolist() and backend.asked
    dy, dx = Remote(np.ones(5), device), Remote(np.zeros(5), device)
    autodiff(Reverse, square[1, 32], Const, Duplicated(y, dy), Duplicated(x, dx))
    assert dx.get().tolist() == (2.0 * X).tolist()


def test_arrays_of_two_backends():
    dsl.register_backend("remote", Remotes())
    from dsl import simulator

    with pytest.raises(dsl.DslError, match="bring all arrays to one place"):
        square[1, 32](Remote(np.zeros(5), Device()), simulator.asarray(X))


@pytest.mark.parametrize("name, backend", [("x", object()), (3, Remotes()), ("x", type("Half", (), {"owns": len})())])
def test_what_is_no_backend(name, backend):
    with pytest.raises(dsl.DslError, match="that is no backend"):
        dsl.register_backend(name, backend)


def test_simulated_arrays_do_not_pass_for_real_ones():
    """CUDA's libraries would take the address of one for an address on the GPU."""
    from dsl import simulator

    assert not hasattr(simulator.asarray(X), "__cuda_array_interface__")


@dsl.kernel
def doubled(x):
    return 2 * x


def test_results_need_a_backend_that_makes_arrays():
    dsl.register_backend("remote", Remotes())
    with pytest.raises(dsl.DslError, match="its backend cannot make one"):
        doubled(Remote(X, Device()))

"""`ignore_derivatives` is the value itself, alone and in structs, and stops derivatives only."""

from __future__ import annotations

import numpy as np

import dsl


def test_value_and_derivative():
    @dsl.kernel
    def kernel(x):
        return dsl.ignore_derivatives(x) * x + dsl.ignore_derivatives((x, 2))[1]

    assert kernel(1.5) == 4.25
    assert dsl.autodiff(dsl.ReverseWithPrimal, kernel, dsl.Active, dsl.Active(1.5)) == (4.25, (1.5,))
    assert dsl.autodiff(dsl.Forward, kernel, dsl.Duplicated(1.5, 1.0)) == (1.5,)


def test_array():
    @dsl.kernel
    def kernel(x):
        y = dsl.ignore_derivatives(x * 2)
        return np.sum(y * x)

    x, dx = np.array([1.0, 2.0]), np.zeros(2)
    assert kernel(x) == 10.0
    dsl.autodiff(dsl.Reverse, kernel, dsl.Active, dsl.Duplicated(x, dx))
    np.testing.assert_array_equal(dx, [2.0, 4.0])

"""The kernels whose compile time is measured have right gradients, long ones and deeply nested ones too."""

import numpy as np
import pytest

import dsl
from benchmarks import compile_time
from dsl import Active, Const, Duplicated, Reverse, autodiff

X = np.array([0.31, 0.73, 0.17, 0.94])  # away from where a branch changes its way


def check(name, lines):
    shape = compile_time.SHAPES[name]
    scope = {"np": np, "math": compile_time.math, "dsl": dsl, "helper": compile_time.helper.fn}
    exec(compile_time.text(shape, lines), scope)
    k, n = scope["k"], len(X)
    gradient = np.zeros(n)
    autodiff(Reverse, compile_time.kernel(shape, lines), Active, Duplicated(X.copy(), gradient), Const(n))
    step = 1e-6
    for i in range(n):
        high, low = X.copy(), X.copy()
        high[i] += step
        low[i] -= step
        expected = (k(high, n) - k(low, n)) / (2 * step)
        assert gradient[i] == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", compile_time.SHAPES)
def test_small(name):
    check(name, 40)


def test_deep_exits():
    check("exits", 1000)

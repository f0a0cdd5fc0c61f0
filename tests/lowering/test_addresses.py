"""Views that go backwards: stores before a view's first element are seen through it."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Reverse, autodiff
from dsl import simulator as sim

FASTMATH = pytest.mark.parametrize("fastmath", [False, True])


def filled(y):
    v = dsl.full(3, 1.0)
    return v[::-1] / y


def changed(y, step):
    v = dsl.zeros(3)
    v[0], v[1], v[2] = y[0], y[1] * y[1], y[2]
    return v[::step] * y


def stored(y):
    v = dsl.zeros(3)
    back = v[::-1]
    for i in range(3):
        back[i] = y[i] * (i + 1)
    return v * y


def columns(y):
    m = dsl.zeros((2, 3))
    m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2] = y[0], y[1], y[2], y[2], y[1], y[0]
    back = m[::-1, ::-1]
    return back[0] * y + back[:, 2][::-1][1]


CASES = [(filled, ()), (changed, (-1,)), (changed, (1,)), (stored, ()), (columns, ())]


@FASTMATH
@pytest.mark.parametrize(("function", "rest"), CASES)
def test_views_of_local_arrays(function, rest, fastmath):
    y = np.array([1.0, 2.0, 4.0])
    kernel = dsl.kernel(function, fastmath=fastmath)
    np.testing.assert_allclose(kernel(y, *rest), function(y, *rest), rtol=1e-14)
    found = [dsl.jacobian(mode, kernel, y, *map(Const, rest)) for mode in (dsl.Forward, Reverse)]
    jacobian, backward = (j[0] if rest else j for j in found)
    for row in range(3):
        step = np.zeros(3)
        step[row] = 1e-6
        expected = (function(y + step, *rest) - function(y - step, *rest)) / 2e-6
        np.testing.assert_allclose(jacobian[:, row], expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(backward, jacobian, rtol=1e-13, atol=1e-14)


def test_no_unsigned_claims():
    """A step of -1 is no addition that does not wrap as an unsigned number."""
    kernel = dsl.kernel(filled)
    y = np.ones(3)
    kernel(y)
    assert "-1" in str(kernel.ir("mlir", y))

    def unoptimised() -> str:
        from dsl.frontend import lower
        from dsl.options import KernelOptions
        from lowering.options import CpuOptions
        from lowering.pipeline import to_llvm_ir

        made = lower(kernel, (dsl.types.typeof(y),), KernelOptions())
        return to_llvm_ir(made.module_text, made.entry, CpuOptions(), lambda _: False)

    body = unoptimised().partition("define internal")[2]
    assert "getelementptr inbounds" in body
    assert "nuw" not in body


def test_in_a_thread():
    @dsl.kernel
    def turned(out, y):
        i = dsl.thread_idx.x
        v = dsl.local_array(3, np.float64)
        for k in range(3):
            v[k] = y[k] + i
        back = v[::-1]
        for k in range(3):
            out[i, k] = back[k] * y[k]

    y = np.array([1.0, 2.0, 4.0])
    expected = np.array([[(y[2 - k] + i) * y[k] for k in range(3)] for i in range(2)])
    for place in (np.asarray, sim.asarray):
        out = place(np.zeros((2, 3)))
        turned[1, 2](out, place(y))
        np.testing.assert_allclose(sim.asnumpy(out) if place is sim.asarray else out, expected, rtol=1e-14)
    shadow, dy = np.ones((2, 3)), np.zeros(3)
    autodiff(Reverse, turned[1, 2], Duplicated(np.zeros((2, 3)), shadow), Duplicated(y, dy))
    np.testing.assert_allclose(dy, [sum(2 * y[2 - k] + i for i in range(2)) for k in range(3)], rtol=1e-14)

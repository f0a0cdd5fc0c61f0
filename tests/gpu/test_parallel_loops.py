"""Derivatives of `prange` loops: right, parallel, and the same bits whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Active, Duplicated, Forward, Reverse, ReverseWithPrimal, autodiff

N = 2003


@dsl.kernel
def weights(x, w, a):
    """Weights that all iterations read, and a sum."""
    s = 0.0
    for i in dsl.prange(len(x)):
        t = 0.0
        for k in range(len(w)):
            t += np.sin(w[k] * x[i]) * a
        s += t * t
    return s


@dsl.kernel
def products(x, w, a):
    s = 1.0
    m = -5.0
    for i in dsl.prange(len(x)):
        s *= 1 + a * x[i] * 1e-2
        m = max(m, np.exp(x[i] * w[2]))
    return s * m


@dsl.kernel
def whiles(x, w, a):
    """Arrays of an iteration, and trips that are counted first."""
    s = 0.0
    for i in dsl.prange(len(x)):
        b = np.zeros(4)
        b[0] = x[i]
        n = 0
        while n < i % 4:
            b[0] += 0.5 + np.sin(b[0]) * a
            b[n % 4] *= 1.1
            n += 1
        s += b[0] * b[1] + b[0] * w[0]
    return s


@dsl.kernel
def heat(x, w, a):
    """Neighbours are read, and what was read is overwritten: on the tape."""
    y = np.zeros(len(x))
    for t in range(3):
        for i in dsl.prange(1, len(x) - 1):
            y[i] = x[i] + a * (x[i - 1] - 2 * x[i] + x[i + 1]) * w[t]
        for i in dsl.prange(1, len(x) - 1):
            x[i] = y[i]
    return (x * x).sum()


@dsl.kernel
def nested(x, w, a):
    s = 0.0
    for i in dsl.prange(len(x) // 20):
        u = 0.0
        for j in dsl.prange(20):
            u += x[20 * i + j] * w[0] * w[0]
        s += np.sin(u) * a
    return s


@dsl.kernel
def allocates(x, w, a):
    """An array whose extent is known when it runs: the derivative is made in order."""
    s = 0.0
    for i in dsl.prange(len(x)):
        t = w * x[i]
        s += (t * t).sum() * a
    return s


KERNELS = [weights, products, whiles, heat, nested, allocates]


def point():
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=N) * 0.5, rng.normal(size=5)
    return (x, w, 0.3), (rng.normal(size=N), rng.normal(size=5), 0.7)


def gradient(kernel):
    (x, w, a), _ = point()
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    result = autodiff(ReverseWithPrimal, kernel, Active, Duplicated(x, dx), Duplicated(w, dw), Active(a))
    (gradients,) = (part for part in result if isinstance(part, tuple))
    (value,) = (part for part in result if not isinstance(part, tuple))
    return value, dx, dw, gradients[2]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_derivatives(kernel):
    (x, w, a), directions = point()

    def at(h):
        moved = [v + h * d for v, d in zip((x, w, a), directions)]
        return kernel(*moved)

    wanted = (8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4
    pairs = [
        Duplicated(v.copy(), d.copy()) if isinstance(v, np.ndarray) else Duplicated(v, d)
        for v, d in zip((x, w, a), directions)
    ]
    (forward,) = autodiff(Forward, kernel, *pairs)
    value, dx, dw, da = gradient(kernel)
    np.testing.assert_allclose(forward, wanted, 1e-6)
    np.testing.assert_allclose(dx @ directions[0] + dw @ directions[1] + da * directions[2], forward, 1e-9)
    np.testing.assert_allclose(value, kernel(x.copy(), w, a), 1e-12)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_results_do_not_depend_on_the_number_of_threads(kernel):
    before, found = dsl.get_num_threads(), []
    try:
        for count in (1, 2, 3, 8):
            dsl.set_num_threads(count)
            found.append([np.asarray(v).tobytes() for v in gradient(kernel)])
    finally:
        dsl.set_num_threads(before)
    assert all(f == found[0] for f in found)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_which_derivatives_are_parallel(kernel):
    (x, w, a), _ = point()
    pairs = Duplicated(x, x.copy()), Duplicated(w, w.copy()), Active(a)
    text = kernel.ir("autodiff", Reverse, Active, *pairs)
    assert ("gpu.launch" in text) == (kernel is not allocates)


@dsl.kernel
def waves(x, y, a):
    for i in dsl.prange(len(x)):
        y[i] = np.sin(x[i]) * a


def test_cells_of_one_iteration_alone_are_added_to_plainly():
    x, dx, y, dy = np.ones((4, 8))
    text = waves.ir("autodiff", Reverse, dsl.Const, Duplicated(x, dx), Duplicated(y, dy), dsl.Const(2.0))
    assert "gpu.launch" in text and "atomic_rmw" not in text

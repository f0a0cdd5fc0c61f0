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


@dsl.kernel
def shared_complex(w, x):
    s = 0.0
    for i in dsl.prange(len(x)):
        s += (w[0] * x[i]).real ** 2
    return s


@dsl.kernel
def launching(x, y):
    for i in dsl.prange(4):
        copied[1, 32](x[4 * i : 4 * i + 4], y[4 * i : 4 * i + 4])


@dsl.kernel
def copied(x, y):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = x[i] ** 2


REAL, COMPLEX = (dsl.types.ArrayType(t, 1) for t in (dsl.float64, dsl.complex128))


@pytest.mark.parametrize("mode", [Forward, Reverse])
@pytest.mark.parametrize(
    ("kernel", "arrays", "line", "reason", "told"),
    [
        (allocates, (REAL, REAL, dsl.float64), "t = w *", "makes an array whose extent is known only when it runs", 2),
        (launching, (REAL, REAL), "copied[1, 32]", "launches a grid", 2),
        (shared_complex, (COMPLEX, REAL), "s += (w", "threads may add to the same cell of an array of complex", 1),
        (whiles, (REAL, REAL, dsl.float64), "", "", 0),
    ],
    ids=lambda v: v.name if isinstance(v, dsl.Kernel) else None,
)
def test_explain_says_which_run_in_order_and_why(mode, kernel, arrays, line, reason, told):
    """`told`: in how many modes."""
    scalar = Duplicated if mode is Forward else Active
    given = [Duplicated[t] if isinstance(t, dsl.types.ArrayType) else scalar[t] for t in arrays]
    returns = dsl.Const if kernel is launching else scalar
    found = kernel.explain(mode, returns, *given)
    at = {number: [n for n in notes if "in order" in n] for number, _, _, _, notes in found.lines}
    notes = {number: n for number, n in at.items() if n}
    if not told or (mode is Forward and told == 1):
        assert not notes
        return
    ((number, (note,)),) = notes.items()
    texts = {each.number: each.text for each in found.lines}
    assert "dsl.prange" in texts[number] and note.startswith("run in order, by one thread: ") and reason in note
    named = int(note.rpartition("line ")[2].partition(" ")[0].rstrip(")"))
    assert line in texts[named]

"""Functions with rules of their own that threads call, with arrays that threads share and with arrays of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    Reverse,
    autodiff,
    autodiff_deferred,
)
from dsl import simulator as sim

N = 32
rng = np.random.default_rng(3)
W, X, Y, SEED = rng.normal(size=3), rng.normal(size=(N, 3)), rng.normal(size=N), rng.normal(size=N)
PLACES = {"cpu": (lambda a: a.copy(), lambda a: a), "simulator": (sim.asarray, lambda a: a.get())}


@pytest.fixture(autouse=True)
def two_threads():
    before = dsl.get_num_threads()
    dsl.set_num_threads(2)
    yield
    dsl.set_num_threads(before)


def dot(w, x):
    s = 0.0
    for i in range(len(x)):
        s += w[i] * x[i]
    return s


def true_derivative(config, func, RT, w, x):
    d = 0.0
    for i in range(len(x.val)):
        d += w.dval[i] * x.val[i] + w.val[i] * x.dval[i]
    return Duplicated(func.val(w.val, x.val), d)


def half_the_derivative(config, func, dret, tape, w, x):
    """Half of what it is, so that it is seen."""
    w.dval[:] += 0.5 * dret.val * x.val
    if not isinstance(x, Const):
        for i in range(len(x.val)):
            x.dval[i] = 0.5 * dret.val * w.val[i] + x.dval[i]
    return None, None


def by_atomics(config, func, dret, tape, w, x):
    for i in range(len(x.val)):
        dsl.atomic_add(w.dval, i, 0.5 * dret.val * x.val[i])
        if not isinstance(x, Const):
            x.dval[i] -= -0.25 * dret.val * w.val[i]
            x.dval[i] += 0.25 * dret.val * w.val[i]
    return None, None


def by_a_derivative(config, func, dret, tape, w, x):
    dw, dx = dsl.zeros(3), dsl.zeros(3)
    autodiff(Reverse, plain_dot, Active, Duplicated(w.val, dw), Duplicated(x.val, dx))
    w.dval[:] += 0.5 * dret.val * dw
    if not isinstance(x, Const):
        x.dval[:] += 0.5 * dret.val * dx
    return None, None


plain_dot = dsl.kernel(dot)
RULES = [half_the_derivative, by_atomics, by_a_derivative]


def kernels(rule):
    """A kernel that calls a function with this rule, with weights that all threads share, and one that asks for its
    derivative.
    """
    ruled = dsl.kernel(dot)
    dsl.rules.reverse(ruled)(rule)
    dsl.rules.forward(ruled)(true_derivative)

    @dsl.kernel
    def outer(w, x, y):
        i = dsl.grid(1)
        y[i] = np.sin(ruled(w, x[i])) + y[i] * w[0]

    @dsl.kernel
    def asking(w, dw, x, dx, y, dy):
        autodiff_deferred(Reverse, outer, Const, Duplicated(w, dw), Duplicated(x, dx), Duplicated(y, dy))

    return outer, asking


def wanted(w=W, x=X, y=Y, seed=SEED):
    c = 0.5 * np.cos(x @ w) * seed
    return x.T @ c + np.array([(y * seed).sum(), 0, 0]), c[:, None] * w, seed * w[0]


def launch(call, place):
    put, get = PLACES[place]
    given = [put(a) for a in (W, np.zeros(3), X, np.zeros((N, 3)), Y, SEED)]
    call(*given)
    return [get(given[k]) for k in (1, 3, 5)]


def marked(call):
    return lambda w, dw, x, dx, y, dy: call(Const, Duplicated(w, dw), Duplicated(x, dx), Duplicated(y, dy))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rule", RULES)
def test_shadows_that_threads_share(rule, place):
    outer, asking = kernels(rule)
    for call in (asking[4, 8], marked(lambda *given: autodiff(Reverse, outer[4, 8], *given))):
        for found, expected in zip(launch(call, place), wanted(), strict=True):
            np.testing.assert_allclose(found, expected, 1e-12, 1e-12)


def test_several_directions_and_second_derivatives():
    outer, asking = kernels(half_the_derivative)
    zeros = [(np.zeros_like(a), np.zeros_like(a)) for a in (W, X)]
    given = BatchDuplicated(W, zeros[0]), BatchDuplicated(X, zeros[1]), BatchDuplicated(Y.copy(), (1 * SEED, 2 * SEED))
    autodiff(Reverse, outer[4, 8], Const, *given)
    np.testing.assert_allclose(zeros[0][1], 2 * wanted()[0], 1e-12)
    np.testing.assert_allclose(zeros[1][0], wanted()[1], 1e-12)
    tangents = [rng.normal(size=a.shape) for a in (W, X, Y)]
    moved = [wanted(*(a + s * t for a, t in zip((W, X, Y), tangents))) for s in (1e-5, -1e-5)]
    values = [W, np.zeros(3), X, np.zeros((N, 3)), Y, SEED]
    shadows = [tangents[0], np.zeros(3), tangents[1], np.zeros((N, 3)), tangents[2], np.zeros(N)]
    autodiff(Forward, asking[4, 8], Const, *(Duplicated(v.copy(), s) for v, s in zip(values, shadows)))
    for found, up, down in zip(shadows[1::2], *moved):
        np.testing.assert_allclose(found, (up - down) / 2e-5, 1e-6, 1e-8)


@dsl.kernel
def scale(y, w):
    for i in range(3):
        y[i] = y[i] * w[i]


@dsl.rules.augmented_primal(scale)
def scale_augmented(config, func, RT, y, w):
    before = dsl.zeros(3)
    for i in range(3):
        before[i] = y.val[i]
    func.val(y.val, w.val)
    return dsl.rules.AugmentedReturn(None, None, before)


@dsl.rules.reverse(scale)
def scale_reverse(config, func, dret, tape, y, w):
    for i in range(3):
        w.dval[i] += y.dval[i] * tape[i]
        y.dval[i] = y.dval[i] * w.val[i]
    return None, None


@dsl.rules.forward(scale)
def scale_forward(config, func, RT, y, w):
    for i in range(3):
        y.dval[i] = y.dval[i] * w.val[i] + y.val[i] * w.dval[i]
    func.val(y.val, w.val)


@dsl.kernel
def scale_rows(y, w):
    scale(y[dsl.grid(1)], w)


@dsl.kernel
def scale_copies(y, w):
    i = dsl.grid(1)
    row = dsl.local_array(3, dsl.float64)
    for c in range(3):
        row[c] = y[i, c]
    scale(row, w)
    for c in range(3):
        y[i, c] = row[c]


def asked(mode, kernel):
    @dsl.kernel
    def asking(y, dy, w, dw):
        autodiff_deferred(mode, kernel, Const, Duplicated(y, dy), Duplicated(w, dw))

    return asking


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kernel", [scale_rows, scale_copies])
def test_arrays_that_are_overwritten(kernel, place):
    put, get = PLACES[place]
    seeds = rng.normal(size=(N, 3))
    y, dy, w, dw = map(put, (X, seeds, W, np.zeros(3)))
    asked(Reverse, kernel)[4, 8](y, dy, w, dw)
    np.testing.assert_allclose(get(dy), seeds * W)
    np.testing.assert_allclose(get(dw), (seeds * X).sum(0))
    y, dy, w, dw = map(put, (X, seeds, W, Y[:3]))
    asked(Forward, kernel)[4, 8](y, dy, w, dw)
    np.testing.assert_allclose(get(dy), seeds * W + X * Y[:3])


def test_a_launch_whose_rule_would_overwrite_what_is_not_the_threads_own():
    given = Duplicated(X.copy(), np.ones((N, 3))), Duplicated(W, np.zeros(3))
    autodiff(Reverse, scale_copies[4, 8], Const, *given)
    np.testing.assert_allclose(given[1].dval, X.sum(0))
    with pytest.raises(dsl.DslError, match=r"writes to an array that is not the thread's own(.|\n)*scale\(y\[dsl"):
        autodiff(Reverse, scale_rows[4, 8], Const, *given)


def test_what_a_rule_may_not_do_to_a_shadow_that_threads_share():
    def damped(config, func, dret, tape, w, x):
        for i in range(len(x.val)):
            w.dval[i] = w.dval[i] * 0.5 + dret.val * x.val[i]
        return None, None

    outer, asking = kernels(damped)
    for call in (asking[4, 8], marked(lambda *given: autodiff(Reverse, outer[4, 8], *given))):
        with pytest.raises(dsl.DslError, match=r"more than add to the shadow(.|\n)*w.dval\[i\] \* 0.5"):
            launch(call, "cpu")


@dsl.kernel
def norm(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i] ** 2
    return math.sqrt(total)


@dsl.rules.augmented_primal(norm)
def norm_forward(config, func, RT, x):
    r = func.val(x.val)
    return dsl.rules.AugmentedReturn(r, None, r)


@dsl.rules.reverse(norm)
def norm_reverse(config, func, dret, tape, x):
    for i in range(len(x.val)):
        x.dval[i] += 2 * dret.val * x.val[i] / tape  # twice what it is, so that it is seen
    return (None,)


@dsl.kernel
def norms_of_copies(x, y):
    i = dsl.grid(1)
    row = dsl.local_array(3, dsl.float64)
    for k in range(3):
        row[k] = x[i, k] * (k + 1)
    y[i] = norm(row)


def test_arrays_of_the_threads_own():
    dx = np.zeros((N, 3))
    autodiff(Reverse, norms_of_copies[4, 8], Const, Duplicated(X, dx), Duplicated(np.zeros(N), np.ones(N)))
    weights = np.arange(1.0, 4.0) ** 2
    np.testing.assert_allclose(dx, 2 * X * weights / np.sqrt((X * X * weights).sum(1))[:, None])


@dsl.kernel
def norms_of_rows(x, y):
    i = dsl.grid(1)
    y[i] = norm(x[i])


@dsl.kernel
def norms_of_one_row(x, y):
    i = dsl.grid(1)
    y[i] = norm(x[0])


@pytest.mark.parametrize(("kernel", "is_shared"), [(norms_of_rows, False), (norms_of_one_row, True)])
def test_additions_are_atomic_where_they_have_to_be(kernel, is_shared):
    @dsl.kernel
    def asking(x, dx, y, dy):
        autodiff_deferred(Reverse, kernel, Const, Duplicated(x, dx), Duplicated(y, dy))

    given = X, np.zeros((N, 3)), np.zeros(N), np.ones(N)
    assert ("atom.global.add" in asking[4, 8].ir("ptx", *given)) == is_shared
    asking[4, 8](*given)
    rows = 2 * X / np.sqrt((X * X).sum(1))[:, None]
    np.testing.assert_allclose(given[1], np.outer(np.eye(N)[0] * N, rows[0]) if is_shared else rows, 1e-12)


@dsl.kernel
def norms_in_turn(x, y):
    for k in range(2):
        step[4, 8](x, y)


@dsl.kernel
def step(x, y):
    i = dsl.grid(1)
    y[i] = norm(x[i])
    x[i, 0] = y[i]


def test_what_is_overwritten_later_is_refused():
    with pytest.raises(dsl.DslError, match=r"overwritten before the reverse sweep(.|\n)*norm\(x\[i\]\)"):
        autodiff(
            Reverse, norms_in_turn, Const, Duplicated(X.copy(), np.zeros((N, 3))), Duplicated(Y.copy(), np.ones(N))
        )


@dsl.kernel
def from_shared_memory(w, x, y):
    t, i = dsl.thread_idx.x, dsl.grid(1)
    s = dsl.shared_array(3, dsl.float64)
    if t < 3:
        s[t] = w[t]
    dsl.syncthreads()
    y[i] = norm(s) * x[i]


@pytest.mark.parametrize("place", PLACES)
def test_shared_memory(place):
    @dsl.kernel
    def asking(w, dw, x, y, dy):
        autodiff_deferred(Reverse, from_shared_memory, Const, Duplicated(w, dw), Const(x), Duplicated(y, dy))

    put, get = PLACES[place]
    given = [put(a) for a in (W, np.zeros(3), Y, np.zeros(N), SEED)]
    asking[4, 8](*given)
    np.testing.assert_allclose(get(given[1]), 2 * (Y * SEED).sum() * W / np.sqrt((W * W).sum()))

"""Host code on devices: array expressions, reductions and loops become launches, results are arrays there."""

import gc

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, ReverseWithPrimal
from dsl import simulator as sim
from lowering.simulator import Device

from .places import derivative, mapped, same
from .test_host_derivatives import coarsen, energy, simulate, waves

rng = np.random.default_rng(3)


def n(*shape):
    return rng.normal(size=shape)


def moving(x):
    """An argument with a shadow that is not 0: what was there has to stay in it."""
    return Duplicated(x, n(*x.shape))


class Counting(Device):
    """Notes how many threads each launch has."""

    def __init__(self):
        super().__init__()
        self.threads = []

    def launch(self, function, grid, block, arguments, shared_bytes=0, stream=0):
        self.threads.append(int(np.prod(grid) * np.prod(block)))
        super().launch(function, grid, block, arguments, shared_bytes, stream)


# --- results


@dsl.kernel
def several(x):
    y = 2 * x
    return y, y[1:], x, x[::2], 3.0, np.zeros((2, 0)), x > 0


def test_results_are_arrays_on_the_device():
    same(several, n(5))


def test_memory_of_results_is_given_back():
    device = Device()
    x = sim.asarray(np.ones(5), device)
    before = len(device._own)
    result = several(x)
    assert len(device._own) > before
    view = result[1]
    del result
    gc.collect()
    assert view.get().tolist() == [2.0] * 4
    del view
    gc.collect()
    assert len(device._own) == before


# --- expressions


@dsl.kernel
def outer(y, a, b):
    y[:] = a[:, None] * b[None, :] + a[0]


@pytest.mark.parametrize("columns", [4, 1])  # of b, which is broadcast along the axis or not
def test_broadcasting(columns):
    given = [moving(n(5, 4)), moving(n(5)), moving(n(columns))]
    derivative(Forward, outer, Const, *given)
    derivative(Reverse, outer, Const, *given)


def test_threads_for_what_is_independent():
    device = Counting()
    y, a, b = (Duplicated(*(sim.asarray(v, device) for v in (x, np.zeros_like(x)))) for x in (n(40, 30), n(40), n(30)))
    dsl.autodiff(Reverse, outer, Const, y, a, b)
    # y, dy and the gradients by a and b, of which a[0] is a sum: its parts are put together by one thread
    assert sorted(device.threads) == [1, 256, 256, 1280, 1280, 1280]


@dsl.kernel
def layers(x, w, b):
    h = np.tanh(w @ x + b[:, None])
    p = np.exp(h - np.max(h, axis=1, keepdims=True))
    return np.sum((p / np.sum(p, axis=1, keepdims=True)) ** 2) + np.sum(np.sum(h, axis=0) ** 3)


def test_products_and_reductions():
    derivative(ReverseWithPrimal, layers, Active, moving(n(3, 5)), moving(n(4, 3)), moving(n(4)))


@dsl.kernel
def kinds(x, i, b):
    y = x.astype(np.float32)
    c = np.where(b, y, -y)
    z = x * (1 + 2j)
    return c, i * 2 + 1, np.sum(i), np.any(b), np.sum(c), np.sum(z * z), z[1]


def test_kinds_of_numbers():
    same(kinds, n(6), np.arange(6), n(6) > 0, rtol=1e-6)


@dsl.kernel
def shifts(x):
    y = x.copy()
    for _ in range(3):
        y[1:] = y[:-1] * 0.5 + x[1:]
        y, x = x, y
    y[2:] += x[:-2]
    return np.cumsum(y) * x[::-1]


def test_arrays_that_overlap_and_change_places():
    same(shifts, n(9))


def threads_of(f, *args):
    """How many threads each launch of a call has."""
    device = Counting()
    f(*mapped(args, lambda array: sim.asarray(array, device)))
    return device.threads


@dsl.kernel
def scatter(out, count, where, x):
    for i in range(len(x)):
        out[where[i]] += x[i] * x[i]
        if x[i] > 0:
            out[where[i] - 1] = x[i] + out[where[i] - 1] - 1.0
        count[where[i]] -= 2


@dsl.kernel
def gather(x, where):
    s = 0.0
    for i in range(len(where)):
        s += np.sin(x[where[i]]) * x[i]
    return s


@dsl.kernel
def into_one(out, a):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[2] += a[i, j] * a[i, j]


def test_additions_to_any_elements():
    where = np.random.default_rng(1).integers(-6, 7, 600)
    given = n(7), np.zeros(7, np.int64), where, n(600)
    same(scatter, *given, rtol=1e-11)
    assert threads_of(scatter, *given) == [768]
    derivative(Reverse, scatter, Const, moving(given[0]), *map(Const, given[1:3]), moving(given[3]), rtol=1e-11)
    derivative(Reverse, gather, Active, moving(n(600)), Const(where), rtol=1e-11)
    same(into_one, n(3), n(20, 30), rtol=1e-11)
    assert threads_of(into_one, n(3), n(20, 30)) == [768]
    derivative(Reverse, into_one, Const, moving(n(3)), moving(n(20, 30)), rtol=1e-11)


@dsl.kernel
def chained(x, where):
    """What is added depends on what was added before."""
    for i in range(len(where)):
        x[where[i]] += x[i]


@dsl.kernel
def late(x, i, j):
    """What is stored does not know of what was added after the load."""
    for k in range(len(i)):
        t = x[i[k]]
        x[j[k]] += 1.0
        x[i[k]] = t + 2.0


@dsl.kernel
def scaled(x, i):
    for k in range(len(i)):
        x[i[k]] = x[i[k]] * 0.5 + 1.0


def test_what_looks_like_additions():
    one, other = np.random.default_rng(2).integers(0, 5, (2, 20))
    for f, given in ((chained, (n(20), one)), (late, (n(5), one, other)), (scaled, (n(5), one))):
        same(f, *given)
        assert threads_of(f, *given) == [1]


@dsl.kernel
def alternating(u, v, steps):
    for _ in range(steps):
        for i in range(1, len(u) - 1):
            v[i] = u[i] + 0.25 * (u[i - 1] - 2.0 * u[i] * u[i] + u[i + 1])
        u, v = v, u
    return np.sum(u * u)


@dsl.kernel
def leapfrog(a, b, steps):
    c = np.zeros(len(a))
    for _ in range(steps):
        for i in range(len(a)):
            c[i] = 2.0 * b[i] - a[i] - 0.1 * np.sin(b[i - 1])
        a, b, c = b, c, a
    for i in range(len(a)):
        b[i] *= a[len(a) - 1 - i]
    return np.sum(b)


@dsl.kernel
def merging(u, v, steps):
    """From the second step on both names are of one array."""
    for _ in range(steps):
        for i in range(1, len(u)):
            v[i] += 0.5 * u[i - 1]
        u = v
    return u[len(u) - 1]


@pytest.mark.parametrize("f", [alternating, leapfrog])
def test_arrays_that_a_loop_swaps(f):
    given = moving(n(300)), moving(n(300)), Const(3)
    same(f, *(one.val for one in given))
    assert threads_of(f, *(one.val for one in given)).count(1) == 1  # which puts the parts of the sum together
    derivative(Reverse, f, Active, *given)
    gradient = threads_of(lambda *args: dsl.autodiff(Reverse, f, Active, *args), *given)
    assert min(gradient) > 1 and len(gradient) >= 6
    derivative(Forward, f, *given)


def test_arrays_that_become_one():
    for steps in (1, 2, 3):
        same(merging, n(30), n(30), steps)


@dsl.kernel
def flattened(a, b, rows, columns, step):
    """Rows of an array that is handed over as one line, `step` apart."""
    for i in range(rows):
        for j in range(columns):
            a[i * step + j] = np.sin(a[i * step + j]) * b[j] + i
            a[i * step + j] *= b[i]


@dsl.kernel
def cube(a, n, offset):
    for k in range(n):
        for j in range(n):
            for i in range(1, n):
                a[i + n * (j + n * k) + offset] = i + 2.0 * j + a[i + n * (j + n * k) + offset] ** 2


def test_several_counters_in_an_index():
    given = moving(n(360)), moving(n(30)), Const(12), Const(30)
    for step, threads in ((30, 512), (29, 256), (1, 256)):  # in blocks of 256: for each cell one, or one for all
        values = *(one.val for one in given), step
        same(flattened, *values, rtol=1e-10)
        assert max(threads_of(flattened, *values)) == threads
        derivative(Reverse, flattened, Const, *given, Const(step), rtol=1e-10)
    for offset in (0, -8, -64):  # some elements are counted from the end, or all
        same(cube, n(64), 4, offset)
        derivative(Reverse, cube, Const, moving(n(64)), Const(4), Const(offset))


@dsl.kernel
def search(x, i):
    k, s, m = np.argmax(x), 0.0, 0
    while m < len(x) and x[m] < 0.9:
        s += x[m] * x[i[m]]
        m += 1
    return x[k] * s


def test_loops_that_no_threads_can_share():
    derivative(Reverse, search, Active, moving(n(9)), Const(np.arange(9)[::-1].copy()))


@dsl.kernel
def shrink(x):
    m = 0
    while dsl.sum(x * x) > 0.1 and m < 5:
        y = x * 0.5
        x = np.sin(y) + y * y
        m += 1
    return np.sum(x)


def test_loops_that_allocate():
    derivative(ReverseWithPrimal, shrink, Active, moving(n(6)))


@pytest.mark.parametrize(
    "f, given",
    [
        (simulate, (moving(n(100) * 0.5), moving(n(100)), Const(2))),
        (energy, (moving(n(100) * 0.5), Const(1.0))),
        (coarsen, (moving(n(16) * 0.5), moving(n(16)))),
        (waves, (moving(n(40)), moving(n(40)), Active(2.0))),
    ],
)
def test_hosts_with_launches(f, given):
    derivative(Reverse, f, *given)


@dsl.kernel(boundscheck=True)
def checked(x, k):
    for i in range(len(x)):
        x[i] = 2 * x[i + k]


def test_errors_of_loops():
    same(checked, n(6), 0)
    with pytest.raises(IndexError, match=r"out of bounds(.|\n)*x\[i \+ k\]"):
        checked(sim.asarray(n(6)), 1)


@dsl.kernel
def linear(a, b):
    return np.sum(np.linalg.solve(a, b))


def test_what_runs_on_the_host_only():
    with pytest.raises(dsl.errors.CompileError, match=r"LAPACK's lu runs on the host(.|\n)*np.linalg.solve"):
        linear(sim.asarray(np.eye(3)), sim.asarray(n(3)))


@dsl.kernel
def broken(x):
    i = dsl.grid(1)
    x[i] = x[i + 1] + 1


@dsl.kernel
def until(x):
    while x[0] < 1e9:  # and longer than anybody waits, were the failure of the launch passed over
        broken[1, 32](x)


def test_a_launch_that_fails_ends_the_host_code():
    x = sim.asarray(np.zeros(32))
    with pytest.raises(sim.Fault, match="out of bounds"):
        until(x)
    same(several, n(5))  # and the next call runs

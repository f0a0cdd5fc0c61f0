"""Launches on several threads of the processor: the same bits whatever their number, and right."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Reverse, autodiff
from lowering import jit

from .corpus import Case
from .differentiate import check

COUNT = 30_011  # enough work to be shared


@pytest.fixture(autouse=True)
def _restore():
    before = dsl.get_num_threads()
    dsl.set_num_threads(3)
    yield
    dsl.set_num_threads(before)


@dsl.kernel
def stencil(x, y):
    i = dsl.grid(1)
    if 1 <= i and i < len(x) - 1:
        y[i] = 0.25 * x[i - 1] + x[i] * x[i] * x[i + 1]


@dsl.kernel
def periodic(x, y):
    i = dsl.grid(1)
    n = len(x)
    if i < n:
        y[i] = x[i] * x[(i + 1) % n] + x[i - 2] * np.sin(x[i])


@dsl.kernel
def clamped(x, y):
    i = dsl.grid(1)
    n = len(x)
    if i < n:
        y[i] = x[max(i - 3, 0)] * x[min(i + 2, n - 1)] + x[i] ** 2


@dsl.kernel
def laplace(x, y):
    j, i = dsl.grid(2)
    if 1 <= i and i < x.shape[0] - 1 and 1 <= j and j < x.shape[1] - 1:
        y[i, j] = x[i - 1, j] + x[i + 1, j] + x[i, j - 1] + x[i, j + 1] - 4.0 * x[i, j] ** 2


@dsl.kernel
def columns(x, y):
    """A thread for each column; neighbouring columns are read."""
    j = dsl.grid(1)
    if 1 <= j and j < x.shape[1]:
        for i in range(x.shape[0]):
            y[i, j] = x[i, j] * x[i, j - 1]


@dsl.kernel
def weighted(x, y):
    """A few weights that all threads read."""
    i = dsl.grid(1)
    if i < len(x):
        s = 0.0
        for k in range(len(y)):
            s += np.sin(y[k] * x[i])
        x[i] = s


@dsl.kernel
def histogram(x, y):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(y, i * 7 % 11, np.exp(x[i]) * x[i])


@dsl.kernel
def both(x, y):
    """Neighbours are added to, and one cell by all threads."""
    i = dsl.grid(1)
    if i + 3 < len(x):
        dsl.atomic_add(y, i + 3, x[i] * 0.5)
        dsl.atomic_add(y, i, x[i] * x[i + 1])


def vector(rng):
    return rng.normal(size=COUNT), rng.normal(size=COUNT)


def matrix(rng):
    return rng.normal(size=(150, 200)), rng.normal(size=(150, 200))


def few(rng):
    return rng.normal(size=COUNT), rng.normal(size=11)


FLAT = -(-COUNT // 64), 64
CASES = {
    kernel.name: Case(kernel.name, kernel, blocks, threads, make, lambda *a: None, ("x", "y"), ("x", "y"))
    for kernel, blocks, threads, make in (
        (stencil, *FLAT, vector),
        (periodic, *FLAT, vector),
        (clamped, *FLAT, vector),
        (laplace, (13, 38), (16, 4), matrix),
        (columns, 25, 8, matrix),
        (weighted, *FLAT, few),
        (histogram, *FLAT, few),
        (both, *FLAT, vector),
    )
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    check(CASES[name])


def run(case):
    """What a launch and its gradient leave in all arrays."""
    x, y = case.arguments()
    dx, dy = np.cos(x), np.sin(y)
    autodiff(Reverse, case.grid, Const, Duplicated(x, dx), Duplicated(y, dy))
    return x, y, dx, dy


@pytest.mark.parametrize("name", CASES)
def test_results_do_not_depend_on_the_number_of_threads(name):
    found = []
    for count in (1, 2, 3, 8):
        dsl.set_num_threads(count)
        found.append([a.tobytes() for a in run(CASES[name])])
    assert all(f == found[0] for f in found)


def jobs(work):
    """How often several threads share the work of a call."""
    work()
    before = jit.shared_out()
    work()
    return jit.shared_out() - before


@pytest.mark.parametrize(
    "name, forward, reverse",
    [
        ("stencil", 1, 2),  # sums into neighbours' cells: chunks of even number, then those of odd number
        ("periodic", 1, 2),
        ("clamped", 1, 2),
        ("weighted", 1, 1),  # copies of the few cells that all threads add to
    ],
)
def test_gradients_are_shared_out(name, forward, reverse):
    assert jobs(lambda: run(CASES[name])) == forward + reverse


@dsl.kernel
def rows(x):
    s = 0.0
    for i in dsl.prange(x.shape[0]):
        for j in range(x.shape[1]):
            s += np.sin(x[i, j]) * x[i, j]
    return s


def test_trips_of_loops_count():
    """A few iterations are worth several threads where each of them is long."""
    large, small = np.ones((8, 40_000)), np.ones((8, 4))

    def gradient(x):
        return lambda: autodiff(Reverse, rows, Active, Duplicated(x, np.zeros_like(x)))

    assert jobs(lambda: rows(large)) == jobs(gradient(large)) == 1
    assert jobs(lambda: rows(small)) == jobs(gradient(small)) == 0
    dsl.set_num_threads(1)
    assert jobs(lambda: rows(large)) == 0


def test_calls_at_once():
    """Calls from several threads of Python share the threads that wait for work."""
    names, found = ["stencil", "histogram", "both", "weighted"] * 3, {}
    alone = {name: [a.tobytes() for a in run(CASES[name])] for name in set(names)}

    def work(number, name):
        found[number] = [[a.tobytes() for a in run(CASES[name])] for _ in range(5)]

    callers = [threading.Thread(target=work, args=call) for call in enumerate(names)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all(result == alone[name] for number, name in enumerate(names) for result in found[number])


#: A kernel that is let go of, whose code the waiting threads are in; a process that is forked and has none of them.
PROCESS = """
import gc, os
import numpy as np
import dsl

dsl.set_num_threads(3)
x = np.ones(100_000)


def made(factor):
    @dsl.kernel
    def double(x):
        i = dsl.grid(1)
        if i < len(x):
            x[i] = np.sin(x[i]) * factor

    return double


kernel = made(2.0)
kernel.forall(len(x))(x)
del kernel
gc.collect()
made(3.0).forall(len(x))(x)
child = os.fork()
made(4.0).forall(len(x))(x)
made(5.0).forall(len(x))(x)
np.testing.assert_allclose(x, 5.0 * np.sin(4.0 * np.sin(3.0 * np.sin(2.0 * np.sin(1.0)))), 1e-14)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork")
def test_process_that_forks_and_ends(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROCESS)
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, script], cwd=root, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_histogram_is_numpys():
    x, y = CASES["histogram"].arguments()
    wanted = y.copy()
    np.add.at(wanted, np.arange(COUNT) * 7 % 11, np.exp(x) * x)
    CASES["histogram"].grid(x, y)
    np.testing.assert_allclose(y, wanted, 1e-12)


@dsl.kernel
def add_at(a, i, v):
    dsl.atomic_add(a, i, v)


@dsl.kernel
def through_a_function(x, y):
    i = dsl.grid(1)
    if i < len(x):
        add_at(y, i % 3, x[i])


def test_sum_in_a_function_that_threads_call():
    x = np.random.default_rng(1).normal(size=8 * COUNT)
    found = []
    for count in (1, 3, 8):
        dsl.set_num_threads(count)
        y = np.zeros(3)
        through_a_function.forall(len(x))(x, y)
        found.append(y.tobytes())
    assert len(set(found)) == 1
    np.testing.assert_allclose(y, np.bincount(np.arange(len(x)) % 3, x), 1e-10)


@dsl.kernel
def add_all(x, y):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(y, 0, x[i])


@dsl.kernel
def add_to_first(x):
    add_all.forall(len(x))(x, x)


@dsl.kernel
def same_array(x):
    add_to_first(x)


def test_sum_into_the_array_that_is_read():
    """Not a private copy: the array is looked at by another name."""
    x = np.ones(COUNT)
    x[0] = 0.0
    dsl.set_num_threads(1)
    same_array(x)
    assert x[0] == COUNT - 1


def test_arrays_that_are_not_contiguous():
    x, y = np.random.default_rng(2).normal(size=(2, 2 * COUNT))
    found = []
    for count in (1, 3):
        dsl.set_num_threads(count)
        into = np.zeros((11, 2))
        a = x.copy()
        histogram.forall(COUNT)(a[::2], into[:, 1])
        found.append(into.tobytes())
        assert not into[:, 0].any()
    assert found[0] == found[1]
    wanted = np.bincount(np.arange(COUNT) * 7 % 11, np.exp(x[::2]) * x[::2], 11)
    np.testing.assert_allclose(into[:, 1], wanted, 1e-10)

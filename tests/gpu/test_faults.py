"""Kernels that are wrong are caught by the simulator, with the user's line."""

import numpy as np
import pytest

import dsl
from dsl import simulator as sim


@dsl.kernel
def past_the_end(x, y):
    i = dsl.grid(1)
    y[i] = x[i + 1]


@dsl.kernel
def no_barrier(x):
    s = dsl.shared_array(64, dsl.float64)
    t = dsl.thread_idx.x
    s[t] = x[t]
    x[t] = s[63 - t]


@dsl.kernel
def lost_updates(x, out):
    out[0] += x[dsl.grid(1)]


@dsl.kernel
def half_at_the_barrier(x):
    t = dsl.thread_idx.x
    if x[t] < 16:  # what can be seen to differ between threads is refused when it is compiled
        dsl.syncthreads()
    x[t] = t


@dsl.kernel
def nothing_there_yet(x):
    s = dsl.shared_array(64, dsl.float64)
    t = dsl.thread_idx.x
    if t < 32:
        s[t] = x[t]
    dsl.syncthreads()
    x[t] = s[t]


@dsl.kernel
def lanes_left_out(x):
    t = dsl.thread_idx.x
    if x[t] < 7:
        x[t] += dsl.shfl_xor(x[t], 1)


@pytest.mark.parametrize(
    "kernel, args, message, line",
    [
        (past_the_end, (np.ones(64), np.ones(64)), "out of bounds", "y[i] = x[i + 1]"),
        (no_barrier, (np.ones(64),), "race", "x[t] = s[63 - t]"),
        (lost_updates, (np.ones(64), np.zeros(1)), "race", "out[0] += x[dsl.grid(1)]"),
        (half_at_the_barrier, (np.arange(64.0),), "barrier", "dsl.syncthreads()"),
        (nothing_there_yet, (np.ones(64),), "uninitialised", "x[t] = s[t]"),
        (lanes_left_out, (np.arange(64.0),), "lane 6 takes the value of lane 7", "x[t] += dsl.shfl_xor(x[t], 1)"),
    ],
)
def test_caught(kernel, args, message, line):
    with pytest.raises(RuntimeError) as caught:
        kernel[1, 64](*map(sim.asarray, args))
    text = str(caught.value)
    assert message in text.lower() and kernel.name in text
    with open(__file__) as file:
        lines = file.read().splitlines()
    at = int(text.partition("test_faults.py:")[2].partition(":")[0])
    assert lines[at - 1].strip() == line

"""Two threads against one: `python -m benchmarks.threads`.

Grid kernels and parallel loops over a million elements, primal and gradient, with one thread and with two in turns. The
ratio of the medians is what the second thread gains; the machine needs two processors that nothing else is using.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import dsl
from dsl import Active, Const, Duplicated, Reverse, autodiff

SIZE = 1_000_000
ROUNDS = 9


@dsl.kernel
def elementwise(x, y):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = math.exp(-x[i] * x[i]) * math.sin(x[i])


@dsl.kernel
def stencil(x, y):
    i = dsl.grid(1)
    if i > 0 and i < len(x) - 1:
        y[i] = x[i] + 0.1 * (x[i - 1] - 2.0 * x[i] + x[i + 1]) * x[i]


@dsl.kernel
def total(x, out):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(out, 0, math.sin(x[i]) * x[i])


@dsl.kernel
def parallel_sum(x):
    s = 0.0
    for i in dsl.prange(len(x)):
        s += math.sin(x[i]) * x[i]
    return s


def works() -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    x, y, dx, dy = np.random.default_rng(1).uniform(0.1, 0.9, (4, SIZE))
    found: dict[str, Callable[[], Any]] = {}
    for kernel, out, d_out in ((elementwise, y, dy), (stencil, y, dy), (total, y[:1], dy[:1])):
        run = kernel.forall(SIZE)
        arrays = Duplicated(x, dx), Duplicated(out, d_out)
        found[kernel.name] = lambda run=run, out=out: run(x, out)
        found[f"{kernel.name}, gradient"] = lambda run=run, arrays=arrays: autodiff(Reverse, run, Const, *arrays)
    found["prange"] = lambda: parallel_sum(x)
    found["prange, gradient"] = lambda: autodiff(Reverse, parallel_sum, Active, Duplicated(x, dx))
    return found


def gain(work: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The time with one thread, as a multiple of that with two."""
    taken: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds + 1):
        for threads, times in taken.items():
            dsl.set_num_threads(threads)
            start = time.perf_counter()
            work()
            if number:  # the first one compiles
                times.append(time.perf_counter() - start)
    return statistics.median(taken[1]) / statistics.median(taken[2])


def measure() -> dict[str, dict[str, float]]:
    """For the page: the gains of ours."""
    return {"dsl": {name: gain(work) for name, work in works().items()}}


def main() -> None:
    for name, ratio in measure()["dsl"].items():
        print(f"{name:24} {ratio:5.2f}x")


if __name__ == "__main__":
    main()

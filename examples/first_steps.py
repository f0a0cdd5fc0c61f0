"""First steps: the snippets of the README in one file. Run as `python examples/first_steps.py`."""

from __future__ import annotations

import math

import numpy as np

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, ReverseWithPrimal, autodiff


@dsl.kernel
def f(x, c):
    s = 0.0
    for i in range(10):
        s += math.sin(c * x) / (i + 1)
    return s


@dsl.kernel
def smooth(u, steps):
    """Heat flow along a rod, in place; returns what is left at its middle."""
    n = len(u)
    new = dsl.zeros(n)
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = u[i] + 0.25 * (u[i - 1] - 2 * u[i] + u[i + 1])
        for i in range(1, n - 1):
            u[i] = new[i]
    return u[n // 2]


def main() -> int:
    # A kernel is a function: called, it is compiled for its arguments' types and run.
    print("f(0.5, 2.0)          =", f(0.5, 2.0))

    # Its gradient by the Active argument. Reverse mode gives one slot for each argument, None where it is Const.
    print("df/dx                =", autodiff(Reverse, f, Active, Active(0.5), Const(2.0)))

    # With the value itself, which comes first.
    print("f and df/dx, df/dc   =", autodiff(ReverseWithPrimal, f, Active, Active(0.5), Active(2.0)))

    # Forward mode: a value and a direction.
    print("along (1, 0)         =", autodiff(Forward, f, Duplicated(0.5, 1.0), Const(2.0)))

    # Arrays are Duplicated: the gradient is added to the shadow beside the array.
    u = np.zeros(9)
    u[3] = 1.0
    du = np.zeros(9)
    autodiff(Reverse, smooth, Active, Duplicated(u, du), Const(20))
    print("by each initial heat =", np.round(du, 4))

    # Plain functions and lambdas will do as well.
    print("lambda               =", autodiff(Reverse, lambda x: x * x, Active, Active(3.0)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""How compile time grows with a kernel's size: `python -m benchmarks.compile_time [--only SHAPE,...] [--lines N,...]`.

Kernels of several shapes are written by a program, at sizes that double, and the first gradient of each is compiled
with an empty cache. What is given is processor time, which other work on the machine disturbs least, and how it grew
since the size before: twice the lines should take about twice the time. The largest size has a limit that the project
has set itself; the exit status says whether all are kept.
"""

from __future__ import annotations

import argparse
import math  # noqa: F401  (the kernels' texts use it)
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from rich.console import Console
from rich.table import Table

import dsl
from dsl import Active, Const, Duplicated, Reverse, autodiff

SIZES = (250, 500, 1000, 2000)
LIMIT = 15.0  # seconds, at the largest size


@dsl.kernel
def helper(u, v):
    w = u * v
    if w > 0.5:
        w = w - 0.25 * u
    return 0.9 * w + 0.1


def straight(lines: int) -> Iterator[str]:
    """No loop and no branch; five operations a line."""
    yield "a, b, c, d = x[0], x[1], x[2], x[3]"
    for i in range(lines):
        p, q, r = (("a", "b", "c", "d")[(i * k + k) % 4] for k in (1, 2, 3))
        yield (
            f"{p} = 0.5 * {p} + {q} * 0.{i % 7 + 1} - {r} * {p}" if i % 8 else f"{p} = math.sin({q}) * 0.5 + {p} * {r}"
        )
    yield "return a + b + c + d"


def branches(lines: int) -> Iterator[str]:
    """Branches one after the other."""
    yield "a, b = x[0], x[1]"
    for i in range(lines // 4):
        yield f"if a > 0.{i % 9 + 1} * b:"
        yield f"    a = 0.7 * a + 0.2 * b * x[{i % 4}]"
        yield "else:"
        yield "    b = 0.5 * b + math.cos(a)"
    yield "return a * b"


def loops(lines: int) -> Iterator[str]:
    """Small loops one after the other, over arrays and with a carried number."""
    yield "s = 0.0"
    yield "y = dsl.zeros(n)"
    for i in range(lines // 5):
        yield "for i in range(n):"
        yield f"    t = x[i] * 0.{i % 9 + 1} + y[i] * 0.5"
        yield "    y[i] = math.sin(t) + 0.1 * s"
        yield "for i in range(n):"
        yield "    s = 0.9 * s + x[i] * y[i]"
    yield "return s"


def nests(lines: int) -> Iterator[str]:
    """Loops and branches within each other, six deep."""
    yield "s = 0.0"
    yield "y = dsl.zeros(n)"
    for i in range(lines // 10):
        yield "for i in range(2):"
        yield "    u = s * 0.5"
        yield "    for j in range(2):"
        yield "        if u > 0.3:"
        yield "            for k in range(n):"
        yield f"                if x[k] > 0.{i % 9 + 1}:"
        yield "                    for l in range(2):"
        yield "                        y[k] = 0.5 * y[k] + x[k] * u"
        yield "                u = 0.9 * u + 0.1 * y[k]"
        yield "    s = 0.8 * s + 0.3 * u + x[0]"
    yield "return s"


def exits(lines: int) -> Iterator[str]:
    """Returns from the middle, each depending on what was computed before."""
    yield "a = x[0]"
    for i in range(lines // 3):
        yield f"a = a * 0.9 + 0.1 * x[{i % 4}]"
        yield f"if a > {i + 2}.0:"
        yield f"    return a * {i % 5}.5"
    yield "return a"


def loop_exits(lines: int) -> Iterator[str]:
    """Loops with `break`, `continue` and `return` in them."""
    yield "s = 0.0"
    for i in range(lines // 8):
        yield "for i in range(n):"
        yield f"    if x[i] < -0.{i % 9 + 1}:"
        yield "        continue"
        yield "    s = 0.9 * s + x[i] * x[i]"
        yield f"    if s > 10{i % 7}.0:"
        yield "        break"
        yield f"    if s > 20{i % 7}.0:"
        yield "        return s * x[0]"
    yield "return s"


def calls(lines: int) -> Iterator[str]:
    """Calls of another function of the program."""
    yield "a, b = x[0], x[1]"
    for i in range(lines):
        yield f"a = 0.5 * a + 0.1 * helper(b, x[{i % 4}])" if i % 2 else "b = helper(a, b) * 0.9"
    yield "return a + b"


def arrays(lines: int) -> Iterator[str]:
    """Statements on whole arrays."""
    yield "a, b = x * 1.0, x * 2.0"
    yield "s = 0.0"
    for i in range(lines // 4):
        yield f"a = 0.5 * a + 0.{i % 9 + 1} * b * x"
        yield "b[:] = b * 0.9 + np.sin(a) * s"
        yield "b[1:] += 0.1 * a[:-1]"
        yield "s = 0.5 * s + 0.1 * dsl.sum(a * b)"
    yield "return s + dsl.sum(b)"


def cells(lines: int) -> Iterator[str]:
    """Elements of arrays read and written one by one, as generated code does."""
    yield "y = dsl.zeros(n)"
    for i in range(lines):
        p, q, r = i % 4, (i * 3 + 1) % 4, (i * 7 + 2) % 4
        yield f"y[{p}] = 0.5 * y[{q}] + x[{r}] * y[{r}] - 0.{i % 9 + 1}"
    yield "return y[0] + y[1] + y[2] + y[3]"


def whiles(lines: int) -> Iterator[str]:
    """Loops whose trips depend on the data."""
    yield "s = x[0]"
    for i in range(lines // 5):
        yield "k = 0"
        yield f"while s < {i % 5 + 1}.5 and k < n:"
        yield "    s = s * 1.1 + 0.1 * x[k] * x[k]"
        yield "    k += 1"
        yield "s = 0.5 * s"
    yield "return s"


def mixed(lines: int) -> Iterator[str]:
    """A bit of everything."""
    parts = [loops, branches, arrays, loop_exits, whiles, cells]
    yield "total = 0.0"
    for part in parts * max(1, lines // 240):
        for line in part(40):
            yield f"total = 0.9 * total + {line.removeprefix('return ')}" if line.startswith("return ") else line
    yield "return total"


SHAPES: dict[str, Callable[[int], Iterator[str]]] = {
    shape.__name__: shape
    for shape in (straight, branches, loops, nests, exits, loop_exits, calls, arrays, cells, whiles, mixed)
}


def text(shape: Callable[[int], Iterator[str]], lines: int) -> str:
    """A function `k` of that shape and about that many lines, of an array and its length."""
    return "\n".join(["def k(x, n):", *(f"    {line}" for line in shape(lines)), ""])


def kernel(shape: Callable[[int], Iterator[str]], lines: int) -> dsl.Kernel:
    """The same as a kernel."""
    return dsl.kernel(source=text(shape, lines))


def seconds(shape: Callable[[int], Iterator[str]], lines: int) -> float:
    """Processor time of the first gradient."""
    made = kernel(shape, lines)
    x = np.array([0.3, 0.7, 0.2, 0.9])
    start = time.process_time()
    autodiff(Reverse, made, Active, Duplicated(x, np.zeros_like(x)), Const(len(x)))
    return time.process_time() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default=",".join(SHAPES))
    parser.add_argument("--lines", default=",".join(map(str, SIZES)))
    given = parser.parse_args()
    sizes = [int(n) for n in given.lines.split(",")]
    names = given.only.split(",")
    table = Table("shape", *(f"{n} lines" for n in sizes), "")
    good = True
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DSL_CACHE_DIR"] = cache
        seconds(straight, 1)  # imports
        for name in names:
            taken = [seconds(SHAPES[name], n) for n in sizes]
            cells = [f"{taken[0]:.2f} s"] + [f"{b:.2f} s ({b / a:.1f}x)" for a, b in pairwise(taken)]
            kept = taken[-1] <= LIMIT
            good = good and kept
            table.add_row(name, *cells, "kept" if kept else "MISSED")
            print(name, *cells, flush=True)
    Console().print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

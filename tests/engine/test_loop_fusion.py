"""Neighbouring loops become one where that changes nothing, and only there."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

import dsl
from dialects import loop_fusion, pipeline
from lowering import cpu
from tests.derivatives import check_derivatives

from .harness import Compiled

EXACT = cpu.CpuOptions(contract=False)  # (a product and a sum that meet in one loop may else be rounded once)

START = """
func.func @f(%x: memref<?xf64>, %y: memref<?xf64>, %z: memref<?xf64>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %n0 = arith.addi %n, %c0 : index
  %n1 = arith.addi %n, %c1 : index
  %n2 = arith.addi %n, %c2 : index
  %n3 = arith.addi %n, %c3 : index
  %size = memref.dim %x, %c0 : memref<?xf64>
  %half = arith.constant 0.5 : f64
  %a = memref.alloc(%size) : memref<?xf64>
  %b = memref.alloc(%size) : memref<?xf64>
  scf.for %i = %c0 to %size step %c1 {
    memref.store %half, %a[%i] : memref<?xf64>
    memref.store %half, %b[%i] : memref<?xf64>
  }
"""
#: All of a and b is seen in the end.
END = """
  scf.for %i = %c0 to %size step %c1 {
    %1 = memref.load %a[%i] : memref<?xf64>
    %2 = memref.load %b[%i] : memref<?xf64>
    %3 = memref.load %z[%i] : memref<?xf64>
    %4 = arith.mulf %1, %2 : f64
    %5 = arith.addf %3, %4 : f64
    memref.store %5, %z[%i] : memref<?xf64>
  }
  return
}
"""


def loops(rng: random.Random, count: int) -> str:
    """Loops of two to four loads and one or two stores, of any arrays, up to three cells from the counter. Most load
    first what the loop before stored last, such that they may be fused if the rest of them lets them.
    """
    text, left = "", None
    cell = lambda: (rng.choice("xyzab"), rng.randint(0, 3))
    for _ in range(count):
        more, (array, offset) = rng.randint(0, 3), cell()
        if left is not None and rng.random() < 0.8 and 0 <= left[1] + left[2] - more <= 3:
            array, offset = left[0], left[1] + left[2] - more
        reads = [(array, offset), *(cell() for _ in range(rng.randint(1, 3)))]
        lines = [f"%i{k} = arith.addi %i, %c{k} : index" for k in range(4)]
        lines += [f"%v{k} = memref.load %{a}[%i{o}] : memref<?xf64>" for k, (a, o) in enumerate(reads)]
        for k in range(rng.randint(1, 2)):
            name, (array, offset) = rng.choice(["arith.addf", "arith.mulf", "arith.subf"]), cell()
            one, other = (f"%v{rng.randrange(len(reads))}" for _ in range(2))
            lines.append(f"%w{k} = {name} {one}, {other} : f64")
            lines.append(f"memref.store %w{k}, %{array}[%i{offset}] : memref<?xf64>")
        left = array, offset, more
        body = "\n".join(f"    {line}" for line in lines)
        text += f"  scf.for %i = %c0 to %n{more} step %c1 {{\n{body}\n  }}\n"
    return text


def run(text: str, n: int) -> list[np.ndarray]:
    arrays = list(np.random.default_rng(7).uniform(0.5, 1.5, (3, max(n, 0) + 6)))
    Compiled(text, "f", 0, EXACT)(*arrays, n)
    return arrays


def fused(text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """The module after the pipeline's end, and how many pairs of loops were fused."""
    module, pairs = pipeline.parse(text), []
    fuse = loop_fusion._fuse
    monkeypatch.setattr(loop_fusion, "_fuse", lambda *arguments: (pairs.append(1), fuse(*arguments))[1])
    pipeline.clean(module)
    monkeypatch.undo()
    return str(module), len(pairs)


def test_random_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, count = random.Random(5), 0
    for _ in range(16):
        text = START + loops(rng, rng.randint(2, 4)) + END
        after, pairs = fused(text, monkeypatch)
        count += pairs
        if pairs:
            for n in (0, 1, 2, 9):
                for found, wanted in zip(run(after, n), run(text, n), strict=True):
                    np.testing.assert_array_equal(found, wanted, err_msg=text)
    assert count > 5


def two(first: str, second: str, trips: tuple[str, str] = ("%n", "%n")) -> str:
    """y or a from x, and then something of it."""
    one = "    %1 = memref.load %x[%i] : memref<?xf64>\n    %2 = arith.mulf %1, %1 : f64\n"
    index = "    %i1 = arith.addi %i, %c1 : index\n    %i2 = arith.addi %i, %c2 : index\n"
    return (
        START
        + f"  scf.for %i = %c0 to {trips[0]} step %c1 {{\n{index}{one}    {first} : memref<?xf64>\n  }}\n"
        + f"  scf.for %i = %c0 to {trips[1]} step %c1 {{\n{index}    {second} : memref<?xf64>\n"
        + "    %8 = arith.addf %7, %7 : f64\n    memref.store %8, %z[%i] : memref<?xf64>\n  }\n"
        + END
    )


CASES = {
    "same cell": (two("memref.store %2, %a[%i]", "%7 = memref.load %a[%i]"), 1),
    "ahead": (two("memref.store %2, %a[%i]", "%7 = memref.load %a[%i1]", ("%n1", "%n")), 1),
    "behind": (two("memref.store %2, %a[%i2]", "%7 = memref.load %a[%i]", ("%n", "%n2")), 1),
    "something would be left over": (two("memref.store %2, %a[%i]", "%7 = memref.load %a[%i1]"), 0),
    "nothing in common": (two("memref.store %2, %a[%i]", "%7 = memref.load %y[%i]"), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_which_are_fused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, wanted = CASES[name]
    after, pairs = fused(text, monkeypatch)
    # (What is read in the end may be fused with what is here, too.)
    assert bool(pairs) == bool(wanted)
    for n in (0, 1, 7):
        np.testing.assert_array_equal(run(after, n), run(text, n))


def test_trip_counts_that_only_look_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """max(n, 0) + 1 is one more than n, but where n is below zero."""
    text = two("memref.store %2, %a[%i]", "%7 = memref.load %a[%i1]", ("%m", "%n")).replace(
        "%size = ", "%k = arith.maxsi %n, %c0 : index\n  %m = arith.addi %k, %c1 : index\n  %size = "
    )
    after, _ = fused(text, monkeypatch)
    for n in (-4, 0, 5):
        np.testing.assert_array_equal(run(after, n), run(text, n))


X = np.array([0.7, 0.9, 1.2, 0.8, 0.6, 1.1])


@dsl.kernel
def chain(x, y, steps):
    """Stages of a Runge-Kutta method, in scratch arrays that are used again."""
    n = len(x)
    k, at = dsl.zeros(n), dsl.zeros(n)
    for _ in range(steps):
        k[0] = x[0] * y[n - 1]
        for i in range(1, n):
            k[i] = x[i] * y[i - 1]
        for i in range(n):
            at[i] = y[i] + 0.1 * k[i]
        k[0] = math.sin(x[0])
        for i in range(1, n):
            k[i] = x[i] * math.sin(at[i - 1])
        for i in range(n):
            at[i] = y[i] + 0.1 * k[i] * at[i]
        for i in range(n):
            y[i] += at[i] * k[i]


@dsl.kernel
def backwards(x, y, steps):
    """The second loop reads cells that the first writes later, and writes cells that the first has read."""
    n = len(x)
    for _ in range(steps):
        k = dsl.zeros(n)
        for i in range(n - 1):
            k[i] = y[i + 1] * x[i]
        for i in range(n - 1):
            y[i] = k[i + 1] * k[i] + y[i]


@dsl.kernel
def in_place(x, y, steps):
    """Both loops add to what both read."""
    n = len(x)
    for _ in range(steps):
        for i in range(n):
            y[i] += 0.5 * x[i] * y[i]
        for i in range(n - 1):
            y[i] += x[i + 1] * y[i + 1]


@pytest.mark.parametrize("kernel", [chain, backwards, in_place], ids=lambda k: k.name)
@pytest.mark.parametrize("size", [1, 2, 6])
def test_derivatives(kernel: dsl.Kernel, size: int) -> None:
    check_derivatives(kernel, X[:size].copy(), X[::-1][:size].copy(), 2)

"""Strips of loops in which each iteration has a stack: gradients of loops of unknown length in a loop over elements.

The same numbers as forward mode and as differences of the undecorated function, where lanes end at other counts.
"""

from __future__ import annotations

import linecache
import math
import random

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, autodiff
from lowering import strips
from lowering.options import CpuOptions
from lowering.pipeline import context
from lowering.strips import loops, run_in_strips
from lowering.strips.emit import Strip

SIZES = [0, 1, 8, 31, 33, 70]


@pytest.fixture
def stacks(monkeypatch):
    """Every loop that can be run in strips is; gives how many stacks the strips have."""
    made = []
    monkeypatch.setattr(loops, "pays", lambda *_: True)
    init = Strip.__init__

    def watched(self, e, lanes, shapes, *others):
        made.append(len(shapes.stacks.all))
        init(self, e, lanes, shapes, *others)

    monkeypatch.setattr(Strip, "__init__", watched)
    return made


@dsl.kernel
def newton(x, m, out):
    """Zero to a few iterations."""
    total = 0.0
    for i in range(len(x)):
        y = 0.0
        r = y + math.exp(y) - x[i]
        while abs(r) >= 1e-12:
            y -= r / (1.0 + math.exp(y))
            r = y + math.exp(y) - x[i]
        out[i] = y * m[i]
        total += y
    return total


@dsl.kernel
def long(x, m, out):
    """Stacks grow in the middle, of some lanes of which others are done."""
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        k = 0
        while k < m[i] * 37:
            y = y * 0.99 + 0.1 * math.sin(y)
            k += 1
        total += y * y
        out[i] = y
    return total


@dsl.kernel
def twice(x, m, out):
    """Two loops one after the other, the second of as many iterations as the first leaves it."""
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        k = 0
        while k < m[i] and y < 3.0:
            y += 0.3 * y * y
            k += 1
        z = math.exp(-y)
        while k > 0:
            z = z * math.cos(z) + x[i] * 0.2
            k -= 1
        total += z
        out[i] = z * y
    return total


@dsl.kernel
def counted(x, m, out):
    """An inner loop of a number of iterations that the data give."""
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        for k in range(m[i]):
            y = math.sin(y) * x[i] + 0.01 * k * y * y
        total += y
        out[i] = y
    return total


@dsl.kernel
def branching(x, m, out):
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        k = 0
        while k < m[i]:
            if y > 0.5:
                y = y * y * 0.7
            else:
                y = math.exp(y) * 0.6
            k += 1
        total += y
        out[i] = y
    return total


@dsl.kernel
def nested(x, m, out):
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        k = 0
        while k < m[i]:
            z = y
            j = k
            while j < 2 * m[i] - 3:
                z = math.sin(z) + 0.3 * z * y
                j += 2
            y = math.cos(z) + 0.1 * y
            k += 1
        total += y
        out[i] = y
    return total


@dsl.kernel
def breaking(x, m, out):
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        k = 0
        while True:
            y = math.sin(y * x[i]) + 0.5 * y
            k += 1
            if k >= m[i]:
                break
            if y > 2.0:
                y *= 0.5
                continue
            y = y * y
        total += y
        out[i] = y
    return total


@dsl.kernel
def choosing(x, m, out):
    """Branches with loads, short circuits, and stacks of what only some lanes do."""
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        k = 0
        while k < m[i] and x[k] * y < 4.0:
            if y > 0.4 and x[(i * 7 + k) % len(x)] > 0.8:
                z = y * 0.3
                j = 0
                while j < k:
                    z = math.sin(z) + 0.2 * y
                    j += 1
                y = z * x[k]
            else:
                y = math.exp(-y) * x[i] + 0.1 * x[k]
            k += 1
        total += y
        out[i] = y * y
    return total


@dsl.kernel
def small_state(x, m, out):
    """A state in an array of its own."""
    total = 0.0
    for i in range(len(x)):
        s = dsl.zeros(2)
        s[0] = x[i]
        k = 0
        while k < m[i]:
            a = s[0]
            s[0] = math.sin(a) + 0.1 * s[1]
            s[1] = a * s[1] * 0.5 + x[i]
            k += 1
        total += s[0]
        out[i] = s[1]
    return total


KERNELS = [newton, long, twice, counted, branching, nested, breaking, choosing, small_state]
TAKEN = [newton, long, twice, branching, nested, breaking]


def given(n: int, seed: int = 0):
    rng = np.random.default_rng([n, seed])
    return rng.uniform(0.5, 1.5, n), rng.integers(0, 9, n), rng.normal(size=n), rng


def check(kernel, n, seed=0, fastmath=False, differences=True):
    x, m, weights, rng = given(n, seed)
    m = np.minimum(m, n)
    kernel = dsl.kernel(kernel.fn, fastmath=fastmath)
    dx, out = np.zeros(n), np.zeros(n)
    autodiff(Reverse, kernel, Active, Duplicated(x, dx), Const(m), Duplicated(out, weights.copy()))
    tx, tout = rng.normal(size=n), np.zeros(n)
    (tangent,) = autodiff(Forward, kernel, Duplicated, Duplicated(x, tx), Const(m), Duplicated(out * 0, tout))
    np.testing.assert_allclose(dx @ tx, tangent + weights @ tout, rtol=1e-9, atol=1e-9)

    if not differences:
        return

    def weighed(at):
        out = np.zeros(n)
        return kernel.fn(at, m, out) + weights @ out

    h = 1e-6
    step = (weighed(x + h * tx) - weighed(x - h * tx)) / (2 * h) if n else 0.0
    np.testing.assert_allclose(dx @ tx, step, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fastmath", [False, True])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
def test_gradient(kernel, fastmath, stacks):
    for n in SIZES:
        check(kernel, n, fastmath=fastmath)
    assert any(stacks) or kernel not in TAKEN


# random loops ---------------------------------------------------------------------------------------------------------
VALUES = ["x[i]", "y", "z", "0.5", "0.1 * k", "y * z", "math.exp(-y * y)", "math.cos(z)", "y / (2.0 + z * z)"]
CONDITIONS = ["y > z", "y < 0.3", "k % 3 == 1"]


def random_body(rng: random.Random, depth: str) -> list[str]:
    lines = []
    for _ in range(rng.randint(1, 3)):
        name, a, b = rng.choice("yz"), rng.choice(VALUES), rng.choice(VALUES)
        lines.append(f"{depth}{name} = math.sin({a} + 0.7 * {b})")
        if rng.random() < 0.3:
            lines += [f"{depth}if {rng.choice(CONDITIONS)}:", f"{depth}    {name} = 0.6 * {rng.choice(VALUES)} + {a}"]
    return lines


def random_loop(rng: random.Random) -> list[str]:
    trips = rng.choice(["m[i]", "m[i] - 3", f"m[i] * {rng.choice([9, 30])}"])
    start = rng.choice(["0", "i % 4"])
    if rng.random() < 0.2:
        return [f"        for k in range({trips}):", *random_body(rng, " " * 12)]
    lines = [f"        k = {start}", f"        while k < {trips}:", *random_body(rng, " " * 12)]
    if rng.random() < 0.2:
        lines += ["            if y + z > 1.5:", "                break"]
    return [*lines, "            k += 1"]


def random_kernel(seed: int):
    rng = random.Random(seed)
    lines = ["def k(x, m, out):", "    total = 0.0", "    for i in range(len(x)):", "        y, z = x[i], 0.4"]
    for _ in range(rng.randint(1, 2)):
        lines += random_loop(rng)
    lines += ["        total += y * z", "        out[i] = z + y", "    return total"]
    name, text = f"<strip of stacks {seed}>", "\n".join(lines) + "\n"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    space = {"math": math}
    exec(compile(text, name, "exec"), space)
    return dsl.kernel(space["k"])


@pytest.mark.parametrize("seed", range(12))
def test_random_loops(seed, stacks):
    kernel = random_kernel(seed)
    for n in (5, 70):
        check(kernel, n, seed, fastmath=bool(seed % 2), differences=False)


@dsl.kernel
def rotating(x, m, out):
    """Sines and cosines of one number."""
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        k = 0
        while abs(y) < 5.0 and k < m[i]:
            y = math.sin(y) * math.cos(y) + y
            k += 1
        total += y
        out[i] = y
    return total


@pytest.mark.parametrize("kernel", [rotating, choosing, twice], ids=lambda k: k.name)
@pytest.mark.parametrize("feature, bits, registers", [("avx2", 256, 2), ("avx2", 256, 1), ("avx512f", 512, 1)])
def test_other_machines(kernel, feature, bits, registers, stacks, monkeypatch):
    monkeypatch.setattr(strips, "_REGISTERS", ((feature, bits, registers),))
    for n in (1, 9, 70):
        check(kernel, n)


# errors ---------------------------------------------------------------------------------------------------------------
@dsl.kernel
def checked(x, m, out):
    total = 0.0
    for i in range(len(x)):
        assert m[i] != 20, "twenty"
        y = x[i]
        k = 0
        while k < m[i]:
            y = math.tanh(y) + 0.9 * y
            k += 1
        assert y < 1e3, "large"
        out[i] = y
        total += y
    return total


@pytest.mark.parametrize("n", [7, 32, 71])
@pytest.mark.parametrize("places", [[], [("m", 3)], [("x", 3)], [("x", 3), ("m", 4)], [("x", 47), ("m", 46)]])
def test_the_first_error(n, places, stacks):
    x, m, weights, _ = given(n)
    for array, place in places:
        if place < n:
            (x if array == "x" else m)[place] = 1e4 if array == "x" else 20

    def told(run):
        try:
            run(np.zeros(n))
        except AssertionError as error:
            return str(error).splitlines()[0]
        return ""

    dx = np.zeros(n)
    expected = told(lambda out: checked.fn(x, m, out))
    found = told(lambda out: autodiff(Reverse, checked, Active, Duplicated(x, dx), Const(m), Duplicated(out, weights)))
    assert expected in found and bool(expected) == bool(found)
    if not expected:
        check(checked, n)


# the text -------------------------------------------------------------------------------------------------------------
PROGRAM = """
func.func @f(%x: memref<?xf64>, %out: memref<?xf64>, %n: index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %one = arith.constant 1.0 : f64
  %zero = arith.constant 0.0 : f64
  scf.for %i = %c0 to %n step %c1 {
    %start = memref.load %x[%i] : memref<?xf64>
    %count = memref.alloc() : memref<index>
    %cell = memref.alloc() : memref<memref<?xf64>>
    memref.store %c0, %count[] : memref<index>
    %first = memref.alloc() : memref<64xf64>
    %cast = memref.cast %first : memref<64xf64> to memref<?xf64>
    memref.store %cast, %cell[] : memref<memref<?xf64>>
    %done:2 = scf.while (%y = %start, %k = %c0) : (f64, index) -> (f64, index) {
      %go = arith.cmpf ogt, %y, %one : f64
      scf.condition(%go) %y, %k : f64, index
    } do {
    ^bb0(%y: f64, %k: index):
      %at = memref.load %count[] : memref<index>
      %old = memref.load %cell[] : memref<memref<?xf64>>
      %room = memref.dim %old, %c0 : memref<?xf64>
      %full = arith.cmpi eq, %at, %room : index
      %now = scf.if %full -> (memref<?xf64>) {
        %size = arith.muli %room, {FACTOR} : index
        %new = memref.alloc(%size) : memref<?xf64>
        scf.for %j = %c0 to {COPIED} step %c1 {
          %moved = memref.load %old[%j] : memref<?xf64>
          memref.store %moved, %new[%j] : memref<?xf64>
        }
        memref.dealloc %old {autodiff.free} : memref<?xf64>
        memref.store %new, %cell[] : memref<memref<?xf64>>
        scf.yield %new : memref<?xf64>
      } else {
        scf.yield %old : memref<?xf64>
      }
      memref.store %y, {PUSHED}[%at] : memref<?xf64>
      %next = arith.addi %at, %c1 : index
      memref.store %next, %count[] : memref<index>
      %less = math.sqrt %y : f64
      %lower = arith.subf %less, %one : f64
      %more = arith.addi %k, %c1 : index
      scf.yield %lower, %more : f64, index
    }
    %sum = scf.for %k = %c0 to %done#1 step %c1 iter_args(%s = %zero) -> (f64) {
      %at = memref.load %count[] : memref<index>
      %top = arith.subi %at, %c1 : index
      memref.store %top, %count[] : memref<index>
      %from = memref.load %cell[] : memref<memref<?xf64>>
      %y = memref.load %from[%top] : memref<?xf64>
      %t = arith.mulf %y, %s : f64
      %u = arith.addf %t, %y : f64
      scf.yield %u : f64
    }
    memref.store %sum, %out[%i] : memref<?xf64>
    %last = memref.load %cell[] : memref<memref<?xf64>>
    memref.dealloc %last {FREE} : memref<?xf64>
  }
  return
}
"""
AS_MADE = {"FACTOR": "%c2", "COPIED": "%at", "PUSHED": "%now", "FREE": "{autodiff.free}"}


def stripped(**parts) -> str:
    from mlir.ir import Location, Module

    text = PROGRAM
    for name, part in (AS_MADE | parts).items():
        text = text.replace(f"{{{name}}}", part)
    with context(), Location.unknown():
        module = Module.parse(text)
        run_in_strips(module, "f", CpuOptions(), {"avx2", "fma"}.__contains__)
        assert module.operation.verify()
        return str(module)


def test_one_stack_for_all_lanes():
    text = stripped()
    before, inside = text.split("scf.for", 1)
    assert "memref.alloc(" in before and "memref<memref<?xf64>>" in before
    for found in ("vector.maskedstore", "vector.scatter", "vector.gather", "vector.reduction <maxsi>"):
        assert found in inside


@pytest.mark.parametrize(
    "parts",
    [{"FACTOR": "%c1"}, {"COPIED": "%room"}, {"PUSHED": "%old"}, {"FREE": ""}],
    ids=["no larger", "copies something else", "may be freed", "not by hand"],
)
def test_what_is_no_stack_is_left(parts):
    assert "vector<" not in stripped(**parts)

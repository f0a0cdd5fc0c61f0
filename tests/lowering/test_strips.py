"""Loops in strips of their iterations: the same numbers as one by one, and loops that cannot be are left."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, autodiff
from lowering.options import CpuOptions
from lowering.pipeline import context, to_llvm_ir
from lowering.strips import loops, run_in_strips
from tests.lowering.harness import compiled

SIZES = [0, 1, 7, 8, 31, 32, 33, 70]
LANES = {"avx2", "fma"}


@pytest.fixture
def always(monkeypatch):
    """Every loop around loops that can be run in strips is, whatever the estimate says; gives the number of them."""
    taken = []
    monkeypatch.setattr(loops, "pays", lambda *_: taken.append(1) or True)
    return taken


def stripped(text: str, options: CpuOptions | None = None, entry: str = "f") -> str:
    """The module in strips of eight, if the estimate allows it."""
    from mlir.ir import Location, Module

    with context(), Location.unknown():
        module = Module.parse(text)
        run_in_strips(module, entry, options or CpuOptions(), LANES.__contains__)
        assert module.operation.verify()
        return str(module)


def is_left(text: str, **options) -> bool:
    return "vector<" not in stripped(text, CpuOptions(**options))


# against Python ---------------------------------------------------------------------------------------------------
@dsl.kernel
def distances(x, y, out):
    """Private memory, a sum in order, own elements."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        scratch = dsl.zeros(d)
        for k in range(d):
            scratch[k] = x[i, k] - y[k]
        s = 0.0
        for k in range(d):
            s += scratch[k] * scratch[d - 1 - k]
        out[i] = s
        total += s * 0.1
    return total


@dsl.kernel
def backwards(x, y, out):
    n, d = x.shape
    for j in range(n):
        i = n - 1 - j
        s = 1.0
        for k in range(d):
            s = s * 0.5 + dsl.exp(-x[i, k] * y[k])
        out[i] += s
    return out[0] if n > 0 else 0.0


@dsl.kernel
def branches(x, y, out):
    n, d = x.shape
    total = 0.0
    for i in range(n):
        scratch = dsl.zeros(d)
        s = 0.0
        for k in range(d):
            if x[i, k] > y[k]:
                for m in range(k):
                    s += y[m]
                scratch[k] = s
            elif x[i, k] < 0.0:
                s -= x[i, k]
        if i % 3 == 1:
            for k in range(d):
                s += 2.0 * scratch[k]
        out[i] = s
        total = max(total, s)
    return total


@dsl.kernel
def uneven(x, y, out):
    """Inner loops of other lengths in each iteration, and a while loop."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        s = 0.0
        for k in range(i % (d + 1)):
            s += x[i, k]
        t = abs(s) + 1.0
        while t > 0.25:
            t = t * 0.5
        for k in range(d):
            t += y[k]
        out[i] = s + t
        total += t
    return total


@dsl.kernel
def gathered(x, y, out):
    """Elements at places that the data give, in private memory too."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        scratch = dsl.zeros(d)
        best = 0
        for k in range(d):
            scratch[k] = y[k] * x[i, k]
            if x[i, k] > x[i, best]:
                best = k
        if d > 0:
            scratch[best] += 10.0
            out[i] = scratch[best] + y[best]
        for k in range(d):
            total += scratch[k]
    return total


@dsl.kernel
def shifted(x, y, out):
    n, d = x.shape
    for i in range(n):
        s = 0.0
        for k in range(d):
            s += dsl.exp(-x[i, k]) * y[k]
        out[i] = s
    return 0.0


@dsl.kernel
def lockstep(x, y, out):
    """While loops of other lengths: one that all may go on with, one that would leave its array, one that divides."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        root = abs(x[i, 0]) + 1.0 if d > 0 else 2.0
        step = 1.0
        while abs(step) > 1e-3:
            step = (root * root - abs(x[i, d - 1] if d > 0 else 1.0) - 0.5) / (2.0 * root)
            root -= step if step < 1.0 else 0.5 * step
        k = 0
        while k < d and x[i, k] < 1.0:
            k += 1
        m = i
        count = 0
        while m > 0:
            m = m - 1 - 6 // m
            count += 1
        out[i] = root * (1 + k) + count
        total += root
    return total


@dsl.kernel
def repeated(x, y, out):
    """Rows that are read again and again, forwards and backwards, of iterations forwards and backwards."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        s = 0.0
        for c in range(3):
            t = 0.0
            for k in range(d):
                t += (x[i, k] - y[k] * c) ** 2
            for k in range(d):
                t += x[n - 1 - i, d - 1 - k] * y[k]
            s += dsl.sqrt(abs(t))
        out[i] = s
        total += s
    return total


KERNELS = [distances, backwards, branches, uneven, gathered, lockstep, repeated]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_as_python(kernel, dtype, always):
    for n in SIZES:
        for d in (0, 1, 5):
            rng = np.random.default_rng(n + d)
            x, y = rng.normal(size=(n, d)).astype(dtype), rng.normal(size=d).astype(dtype)
            out, expected = np.zeros(n, dtype), np.zeros(n, dtype)
            tolerance = 1e-5 if dtype == np.float32 else 1e-13
            np.testing.assert_allclose(kernel(x, y, out), kernel.fn(x, y, expected), rtol=tolerance, atol=tolerance)
            np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
@pytest.mark.parametrize("n", [0, 3, 32, 75])
def test_reverse_is_forward(kernel, n, always):
    d = 4
    rng = np.random.default_rng(n)
    x, y, out = rng.normal(size=(n, d)), rng.normal(size=d), np.zeros(n)
    dx, dy = np.zeros_like(x), np.zeros_like(y)
    weights = rng.normal(size=n)
    autodiff(Reverse, kernel, Active, Duplicated(x, dx), Duplicated(y, dy), Duplicated(out, weights.copy()))
    tx, ty = rng.normal(size=(n, d)), rng.normal(size=d)
    tout = np.zeros(n)
    (tangent,) = autodiff(Forward, kernel, Duplicated, Duplicated(x, tx), Duplicated(y, ty), Duplicated(out * 0, tout))
    expected = tangent + weights @ tout
    np.testing.assert_allclose((dx * tx).sum() + dy @ ty, expected, rtol=1e-11, atol=1e-11)


@dsl.kernel
def unread(x, out, n, times):
    for i in range(n):
        s = 1.0
        for c in range(times):
            for k in range(x.shape[1]):
                s += x[i, k] * c
        out[i] = s
    return 0.0


def test_rows_that_are_not_there(always):
    """Nothing is read of an array that the program does not read."""
    x, out = np.ones((3, 4)), np.zeros(70)
    unread(x, out, 70, 0)
    np.testing.assert_array_equal(out, 1.0)
    x = np.random.default_rng(0).normal(size=(140, 6))
    for given in (x, x[::2], x[:, ::2], np.asfortranarray(x), x[::-1], np.broadcast_to(x[0], (70, 6))):
        unread(given, out, 70, 3)
        np.testing.assert_allclose(out, 1.0 + 3.0 * given[:70].sum(axis=1), rtol=1e-12)


@dsl.kernel
def not_there(x, a, b, places, m):
    """Places that lanes do not read, since they do no iteration, or go the other way, or are done."""
    total = 0.0
    for i in range(len(x)):
        y = x[i]
        j = places[i]
        k = 0
        while k < m[i]:
            y = dsl.exp(-y) + a[j] * b[j, 1]
            if j > 0:
                y += 0.1 * a[j - 1] * b[j - 1, k]
            k += 1
        while k < 3 * m[i] and x[j] < 10.0 * k:
            y += x[j + k // 9] * 0.1
            k += 1
        total += y
    return total


@pytest.mark.parametrize("layout", ["whole", "strided"])
def test_places_that_are_not_there(layout, always):
    rng = np.random.default_rng(4)
    n = 70
    x, m, places = rng.uniform(0.5, 1.0, n), rng.integers(0, 4, n), rng.integers(0, 4, n)
    places[m == 0] = 1 << 40
    step = 1 if layout == "whole" else 2
    a, b = rng.normal(size=4 * step)[::step], rng.normal(size=(4 * step, 4 * step))[::step, ::step]
    np.testing.assert_allclose(not_there(x, a, b, places, m), not_there.fn(x, a, b, places, m), rtol=1e-12)
    assert always
    shadows = [np.zeros(v.shape) for v in (x, a, b)]
    given = [Duplicated(*pair) for pair in zip((x, a, b), shadows)]
    autodiff(Reverse, not_there, Active, *given, Const(places), Const(m))
    along = [rng.normal(size=v.shape) for v in (x, a, b)]
    given = [Duplicated(*pair) for pair in zip((x, a, b), along)]
    (tangent,) = autodiff(Forward, not_there, Duplicated, *given, Const(places), Const(m))
    found = sum((shadow * way).sum() for shadow, way in zip(shadows, along))
    np.testing.assert_allclose(found, tangent, rtol=1e-11)


# errors -----------------------------------------------------------------------------------------------------------
@dsl.kernel
def checked(x, m, out):
    """Two errors in an iteration, and one behind them all."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        s = 0.0
        assert m[i] != 5, "five"
        for k in range(d):
            s += dsl.exp(x[i, k])
        assert x[i, 0] < 1e3, "large"
        s *= x[i, 0]
        for k in range(d):
            s += x[i, k] * s
        out[i] = s
        total += s
    assert m[0] != 7, "seven"
    return total


def test_loops_with_errors_are_taken(always):
    dsl.kernel(checked.fn, fastmath=True)(np.ones((9, 3)), np.ones(9, int), np.zeros(9))
    assert always


def told(call):
    try:
        return call()
    except AssertionError as error:
        return str(error).splitlines()[0]


@pytest.mark.parametrize("n", [1, 7, 32, 71])
@pytest.mark.parametrize(
    "places",
    [[], [(5, 0)], [(1e4, 3)], [(5, 3), (1e4, 3)], [(1e4, 3), (5, 4)], [(5, 47), (1e4, 46)], [(5, 69), (7, 0)]],
)
def test_the_first_error(n, places, always):
    """The same error as one by one, and nothing written behind it."""
    rng = np.random.default_rng(n)
    x, m, out, expected = rng.normal(size=(n, 3)), np.ones(n, int), np.zeros(n), np.zeros(n)
    for error, place in places:
        if place < n and error == 1e4:
            x[place, 0] = 1e4
        elif place < n:
            m[place] = error
    x[:, 1:] *= 0.1
    with np.errstate(over="ignore"):
        known, found = told(lambda: checked.fn(x, m, expected)), told(lambda: checked(x, m, out))
    if isinstance(known, float):
        np.testing.assert_allclose(found, known, rtol=1e-13)
    else:
        assert known in found
    np.testing.assert_allclose(out, expected, rtol=1e-13)
    dx, weights = np.zeros_like(x), np.ones(n)
    known = told(lambda: autodiff(Reverse, checked, Active, Duplicated(x, dx), Const(m), Duplicated(out, weights)))
    if isinstance(found, str):
        assert known == found
    else:
        tx, tout = rng.normal(size=x.shape), np.zeros(n)
        (tangent,) = autodiff(Forward, checked, Duplicated, Duplicated(x, tx), Const(m), Duplicated(out, tout))
        np.testing.assert_allclose((dx * tx).sum(), tangent + tout.sum(), rtol=1e-11)


# what is left -----------------------------------------------------------------------------------------------------
def nest(body, inner="", results="", more=""):
    """@f of some arrays: a loop with counter %i, a loop in it with counter %k, and `body` after that."""
    return f"""
func.func @f(%x: memref<?x8xf64>, %y: memref<?xf64>, %z: memref<?xf64>, %at: memref<?xindex>{more}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c8 = arith.constant 8 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %y, %c0 : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {{
    %s = scf.for %k = %c0 to %c8 step %c1 iter_args(%a = %zero) -> (f64) {{
      %u = memref.load %x[%i, %k] : memref<?x8xf64>
      %v = math.exp %u : f64
      {inner}
      %b = arith.addf %a, %v : f64
      scf.yield %b : f64
    }}
    %next = arith.addi %i, %c1 : index
    %twice = arith.muli %i, %c2 : index
    {body}
  }}
  return
}}"""


STORE = "memref.store %s, %y[%i] : memref<?xf64>"
ADD = """%old = memref.load %z[%j] : memref<?xf64>
    %new = arith.addf %old, %s fastmath<reassoc,nsz> : f64
    memref.store %new, %z[%j] : memref<?xf64>"""
INDEX = "%j = memref.load %at[%i] : memref<?xindex>\n"


@pytest.mark.parametrize(
    "body",
    [
        STORE,
        "memref.store %s, %y[%twice] : memref<?xf64>",
        f"%o = memref.load %y[%i] : memref<?xf64>\n{STORE}",
        f"%o = memref.load %z[%next] : memref<?xf64>\n%p = arith.addf %o, %s : f64\n{STORE.replace('%s', '%p')}",
        INDEX + ADD,
        ADD.replace("%j", "%c0"),
        ADD.replace("%j", "%i"),
        f"{STORE}\n{ADD.replace('%j', '%c1')}",
    ],
)
def test_taken(body):
    assert not is_left(nest(body))


@pytest.mark.parametrize(
    "body",
    [
        # What another iteration writes, or has written.
        f"%o = memref.load %y[%next] : memref<?xf64>\n{STORE}",
        "%o = memref.load %y[%i] : memref<?xf64>\nmemref.store %s, %y[%next] : memref<?xf64>",
        "memref.store %s, %y[%c0] : memref<?xf64>",
        f"{STORE}\nmemref.store %s, %y[%twice] : memref<?xf64>",
        # Places that the data give.
        INDEX + "memref.store %s, %y[%j] : memref<?xf64>",
        # The program's own order, and sums that somebody looks at.
        INDEX + ADD.replace(" fastmath<reassoc,nsz>", ""),
        INDEX + ADD + f"\n%seen = memref.load %z[%c0] : memref<?xf64>\n{STORE.replace('%s', '%seen')}",
        INDEX + ADD + f"\n{STORE.replace('%s', '%new')}",
        INDEX + ADD + f"\n{STORE.replace('%s', '%old')}",
        INDEX + ADD.replace("%new = arith.addf %old, %s", "%new = arith.mulf %old, %s"),
        # A sum that forgets another one.
        "%first = memref.load %z[%c0] : memref<?xf64>\n" + ADD.replace("%j", "%c0")
        + "\n%last = arith.addf %first, %s fastmath<reassoc,nsz> : f64\nmemref.store %last, %z[%c0] : memref<?xf64>",
        # Memory that is not known, and calls.
        "%c = arith.cmpf olt, %s, %zero : f64\n%m = arith.select %c, %y, %z : memref<?xf64>\n"
        "memref.store %s, %m[%i] : memref<?xf64>",
        "%m = memref.subview %y[%i] [1] [1] : memref<?xf64> to memref<1xf64, strided<[1], offset: ?>>\n"
        "memref.store %s, %m[%c0] : memref<1xf64, strided<[1], offset: ?>>",
        f"memref.copy %y, %z : memref<?xf64> to memref<?xf64>\n{STORE}",
        f"func.call @g(%y) : (memref<?xf64>) -> ()\n{STORE}",
        f"func.call @h() : () -> ()\n{STORE}",
        f"%q = memref.atomic_rmw addf %s, %z[%c0] : (f64, memref<?xf64>) -> f64\n{STORE}",
        # Private memory of an extent that is not known before, or that goes away.
        f"%m = memref.alloc(%next) : memref<?xf64>\nmemref.store %s, %m[%c0] : memref<?xf64>\n{STORE}",
        f"%m = memref.alloc() : memref<99999xf64>\nmemref.store %s, %m[%c0] : memref<99999xf64>\n{STORE}",
        f"%m = memref.alloc() : memref<1xf64>\nfunc.call @k(%m) : (memref<1xf64>) -> ()\n{STORE}",
        # Complex numbers.
        f"%m = complex.create %s, %s : complex<f64>\n%r = complex.re %m : complex<f64>\n{STORE}",
    ],
)  # fmt: skip
def test_left(body, always):
    declared = "".join(
        f"func.func private @{name}({type})\n"
        for name, type in (("g", "memref<?xf64>"), ("h", ""), ("k", "memref<1xf64>"))
    )
    assert is_left(declared + nest(body)) and not always


def test_arrays_that_may_overlap(always):
    assert not is_left(nest(STORE))
    assert is_left(nest(STORE), distinct_arrays=False)
    assert "vector<" not in stripped(nest(STORE), entry="another")


def carrying():
    """The nest with %t carried, to be combined in the place of STORE, and %r what comes out."""
    plain, carries = "scf.for %i = %c0 to %n step %c1", "iter_args(%t = %zero) -> (f64)"
    return nest(STORE).replace(f"{plain} {{", f"%r = {plain} {carries} {{")


def test_carried_values(always):
    """Sums are, whatever else goes from one iteration to the next is not."""
    text = carrying()
    assert not is_left(text.replace(STORE, "%g = arith.addf %t, %s : f64\nscf.yield %g : f64"))
    for end in (
        "%g = arith.subf %s, %t : f64\nscf.yield %g : f64",
        "%g = arith.addf %t, %s : f64\nmemref.store %g, %y[%i] : memref<?xf64>\nscf.yield %g : f64",
        "%h = arith.mulf %t, %t : f64\n%g = arith.addf %h, %s : f64\nscf.yield %g : f64",
        "scf.yield %s : f64",
    ):
        assert is_left(text.replace(STORE, end))


def test_overlapping_arrays(always):
    """What is stored is read by a later iteration, from another array."""
    kernel = dsl.kernel(shifted.fn, strict_aliasing=False)
    memory = np.random.default_rng(1).normal(size=90)
    expected = memory.copy()
    kernel(memory[4:84].reshape(40, 2), np.ones(2), memory[6:46])
    shifted.fn(expected[4:84].reshape(40, 2), np.ones(2), expected[6:46])
    np.testing.assert_allclose(memory, expected, rtol=1e-14)
    assert not always


@pytest.mark.parametrize("step, taken", [("%c1", True), ("%c2", False)])
def test_steps(step, taken):
    assert is_left(nest(STORE).replace("%n step %c1", f"%n step {step}")) != taken


def test_what_is_left_over_is_not_unrolled(always):
    """The loop itself, which does the iterations that make up no strip, and the one in it; no other loop."""
    made = to_llvm_ir(nest(STORE), "f", CpuOptions(), LANES.__contains__)
    assert "llvm.loop.unroll.disable" in made
    assert made.count("!llvm.loop ") == 2
    assert always


# whether it pays ----------------------------------------------------------------------------------------------------
def test_loops_in_a_row_are_left():
    """What LLVM vectorises along its own axis, which is in a row in memory."""
    text = nest("", inner="memref.store %v, %w[%i, %k] : memref<?x8xf64>", more=", %w: memref<?x8xf64>")
    assert is_left(text.replace("%b = arith.addf %a, %v : f64", "%b = arith.addf %a, %zero fastmath<reassoc> : f64"))
    assert is_left("func.func @f() { return }")


def test_large_modules_are_left():
    text = nest(STORE)
    assert not is_left(text)
    assert is_left(text + "".join(text.replace("@f", f"@f{k}") for k in range(100)))


# what comes out -------------------------------------------------------------------------------------------------------
LOCKSTEP = """
// CHECK: scf.while (%[[S:.*]] = %{{.*}}) : (vector<8xf64>) -> (vector<8xi1>, vector<8xf64>, vector<8xf64>)
// CHECK: %[[C:.*]] = arith.cmpf ogt, %[[S]], %{{.*}} : vector<8xf64>
// CHECK: %[[ANY:.*]] = vector.reduction <or>, %[[C]]
// CHECK: scf.condition(%[[ANY]]) %[[C]], %[[S]], %[[S]]
// CHECK: ^bb0(%[[C:.*]]: vector<8xi1>, %[[V:.*]]: vector<8xf64>, %[[OLD:.*]]: vector<8xf64>):
// CHECK: %[[NEW:.*]] = arith.mulf %[[V]]
// CHECK: arith.select %[[C]], %[[NEW]], %[[OLD]] : vector<8xi1>, vector<8xf64>
"""
WHILE = """%w = scf.while (%p = %s) : (f64) -> f64 {
      %c = arith.cmpf ogt, %p, %half : f64
      scf.condition(%c) %p : f64
    } do {
    ^bb0(%p: f64):
      %q = arith.mulf %p, %half : f64
      scf.yield %q : f64
    }
    memref.store %w, %y[%i] : memref<?xf64>"""
CHECKS = """
// CHECK: scf.for %[[I:.*]] = %{{.*}} to %{{.*}} step %c8
// CHECK: %[[LEFT:.*]] = arith.subi %{{.*}}, %[[I]]
// CHECK: %[[WHOLE:.*]] = arith.cmpi sge, %[[LEFT]], %c8
// CHECK: scf.if %[[WHOLE]] {
// CHECK: %[[S:.*]] = scf.for %[[K:.*]] = %{{.*}} iter_args({{.*}}) -> (vector<8xf64>)
// CHECK-COUNT-8: memref.load %{{.*}}, %[[K]]] : memref<?x8xf64>
// CHECK-COUNT-2: call @_ZGVdN4v_exp
// CHECK: arith.addf %{{.*}} : vector<8xf64>
// CHECK: vector.store %[[S]], %{{.*}}[%[[I]]] : memref<?xf64>, vector<8xf64>
// CHECK: %[[OLD:.*]] = memref.load
// CHECK: %[[TERM:.*]] = vector.reduction <add>, %[[S]] fastmath<{{.*}}reassoc{{.*}}> : vector<8xf64> into f64
// CHECK: arith.addf %[[OLD]], %[[TERM]] fastmath<reassoc,nsz>
// CHECK: } else {
// CHECK: %[[END:.*]] = arith.addi %[[I]],
// CHECK: scf.for %{{.*}} = %[[I]] to %[[END]] step %c1
// CHECK: math.exp %{{.*}} : f64
"""


@pytest.mark.parametrize(
    "checks, body", [(CHECKS, f"{STORE}\n{ADD.replace('%j', '%c1')}"), (LOCKSTEP, WHILE)], ids=["strip", "lockstep"]
)
def test_text(checks, body, tmp_path: Path):
    file = tmp_path / "checks"
    file.write_text(checks)
    text = re.sub(r"%c(\d)_\d+", r"%c\1", stripped(nest(body, more=", %half: f64")))
    done = subprocess.run([sys.executable, "-m", "filecheck", file], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr + text


# as MLIR ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", SIZES)
def test_additions_at_places_that_the_data_give(n, always):
    rng = np.random.default_rng(n)
    x, y, z, at = rng.normal(size=(n, 8)), np.zeros(n), rng.normal(size=5), rng.integers(0, 5, n)
    expected = z.copy()
    np.add.at(expected, at, np.exp(x).sum(axis=1))
    compiled(nest(INDEX + ADD))(x, y, z, at)
    np.testing.assert_allclose(z, expected, rtol=1e-13)


@pytest.mark.parametrize("n", SIZES)
def test_booleans_and_integers(n, always):
    """Kept in arrays, of small integers too; and sums of integers in memory."""
    text = nest(
        """%big = arith.cmpf ogt, %s, %lim : f64
    memref.store %big, %flag[%i] : memref<?xi1>
    %small = arith.fptosi %s : f64 to i8
    memref.store %small, %byte[%i] : memref<?xi8>
    %wide = arith.extsi %small : i8 to i64
    %old = memref.load %sum[%c0] : memref<1xi64>
    %new = arith.addi %old, %wide : i64
    memref.store %new, %sum[%c0] : memref<1xi64>
    %read = memref.load %given[%i] : memref<?xi1>
    %chosen = arith.select %read, %s, %zero : f64
    memref.store %chosen, %y[%i] : memref<?xf64>""",
        more=", %lim: f64, %flag: memref<?xi1>, %byte: memref<?xi8>, %sum: memref<1xi64>, %given: memref<?xi1>",
    )
    rng = np.random.default_rng(n)
    x, y, given = rng.uniform(-1, 1, (n, 8)), np.zeros(n), rng.random(n) < 0.5
    flag, byte, total = np.zeros(n, bool), np.zeros(n, np.int8), np.array([5])
    compiled(text)(x, y, np.zeros(1), np.zeros(1, np.int64), 8.0, flag, byte, total, given)
    sums = np.exp(x).sum(axis=1)
    np.testing.assert_array_equal(flag, sums > 8.0)
    np.testing.assert_array_equal(byte, sums.astype(np.int8))
    assert total[0] == 5 + byte.sum(dtype=np.int64)
    np.testing.assert_allclose(y, np.where(given, sums, 0.0), rtol=1e-13)
    assert always


def test_order_of_the_programs_sums(always):
    """Added one after the other, as the program says: not the same as in another order."""
    text = carrying()
    text = text.replace(STORE, "%o = arith.subf %s, %lim : f64\n%g = arith.addf %t, %o : f64\nscf.yield %g : f64")
    text = text.replace("return", "memref.store %r, %z[%c0] : memref<?xf64>\nreturn")
    text = text.replace("%v = math.exp %u", "%v = arith.negf %u")
    text = text.replace("%at: memref<?xindex>", "%at: memref<?xindex>, %lim: f64")
    x, z = np.zeros((71, 8)), np.zeros(1)
    x[:, 0] = np.where(np.arange(71) % 3 == 1, 1e17, np.arange(71.0))
    x[:, 1] = np.where(np.arange(71) % 3 == 2, -1e17, 0.0)
    compiled(text)(x, np.zeros(71), z, np.zeros(1, np.int64), 0.5)
    expected = 0.0
    for row in x:
        s = 0.0
        for u in row:
            s += -u
        expected += s - 0.5
    assert z[0] == expected and always

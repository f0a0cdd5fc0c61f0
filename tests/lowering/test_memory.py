"""Allocation fails as an exception of Python, in the call that failed, and nothing else is disturbed."""

import threading

import numpy as np
import pytest

from lowering import jit, stages
from lowering.errors import LoweringError
from tests.lowering.harness import compiled

ALLOCATES = """
func.func @f(%n: index, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %x = arith.constant 2.5 : f64
  %a = memref.alloc(%n, %m) : memref<?x?xf64>
  %b = func.call @g(%a, %x) : (memref<?x?xf64>, f64) -> f64
  return %b : f64
}
func.func private @g(%a: memref<?x?xf64>, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?x?xf64>
  scf.for %i = %c0 to %n step %c1 {
    memref.store %x, %a[%i, %c0] : memref<?x?xf64>
  }
  %last = arith.subi %n, %c1 : index
  %v = memref.load %a[%last, %c0] : memref<?x?xf64>
  return %v : f64
}
"""


@pytest.fixture(scope="module")
def allocates():
    return compiled(ALLOCATES, results=["f64"])


def test_runs(allocates):
    assert allocates(100, 3) == 2.5


def test_out_of_memory(allocates):
    with pytest.raises(MemoryError, match="not enough memory"):
        allocates(1 << 40, 1 << 18)
    assert allocates(10, 3) == 2.5  # the next call is not disturbed


@pytest.mark.parametrize("n, m", [(-1, 5), (5, -1), (1 << 40, 1 << 40), (1 << 62, 1), (1 << 31, 1 << 30), (-1, -1)])
def test_bad_extent(allocates, n, m):
    with pytest.raises((ValueError, MemoryError)):
        allocates(n, m)


def test_negative_extent_is_named(allocates):
    with pytest.raises(ValueError, match="negative"):
        allocates(-3, 2)


def test_negative_extent_in_a_loop_that_does_not_run():
    """The buffer is hoisted out of the loop; where the loop doesn't run, its extent doesn't matter."""
    f = compiled(
        """
func.func @f(%n: index, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 1.0 : f64
  %r = scf.for %i = %c0 to %m step %c1 iter_args(%s = %z) -> (f64) {
    %t = memref.alloc(%n) : memref<?xf64>
    memref.store %s, %t[%i] : memref<?xf64>
    %k = arith.remsi %i, %n : index
    %v = memref.load %t[%k] : memref<?xf64>
    %x = arith.addf %v, %v : f64
    scf.yield %x : f64
  }
  return %r : f64
}""",
        results=["f64"],
    )
    assert f(-5, 0) == 1.0
    assert f(8, 3) == 8.0
    with pytest.raises(ValueError):
        f(-5, 1)


def test_failures_in_many_threads_stay_in_their_thread(allocates):
    wrong = []

    def work(fails):
        for _ in range(200):
            try:
                value = allocates(-1, 1) if fails else allocates(50, 2)
                if fails or value != 2.5:
                    wrong.append(value)
            except ValueError:
                if not fails:
                    wrong.append("raised")

    threads = [threading.Thread(target=work, args=(k % 2 == 0,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


LARGE = """
func.func @f(%n: index, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  %b = memref.alloc(%n) : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    %k = arith.index_cast %i : index to i64
    %y = arith.sitofp %k : i64 to f64
    %v = arith.mulf %y, %x : f64
    memref.store %v, %a[%i] : memref<?xf64>
    memref.store %x, %b[%i] : memref<?xf64>
  }
  %last = arith.subi %n, %c1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %z) -> (f64) {
    %j = arith.subi %last, %i : index
    %u = memref.load %a[%j] : memref<?xf64>
    %w = memref.load %b[%j] : memref<?xf64>
    %p = arith.divf %s, %w : f64
    %t = arith.addf %p, %u : f64
    scf.yield %t : f64
  }
  return %r : f64
}"""


def large(n, x):
    total = 0.0
    for i in range(n - 1, -1, -1):
        total = total / x + i * x
    return total


def test_large_blocks_are_kept_for_the_next_call():
    f = compiled(LARGE, results=["f64"])
    jit.release()
    assert jit.kept_bytes() == 0
    n = 300_000
    want = f(n, 2.0)
    assert abs(want - large(n, 2.0)) < 1e-9 * abs(want)
    kept = jit.kept_bytes()
    assert 2 * 8 * n <= kept < 3 * 8 * n
    for _ in range(5):
        assert f(n, 2.0) == want
        assert jit.kept_bytes() == kept
    f(50, 2.0)  # small ones are not touched by it
    assert jit.kept_bytes() == kept
    f(n // 4, 2.0)  # much smaller ones don't take them
    assert jit.kept_bytes() >= kept
    jit.release()
    assert jit.kept_bytes() == 0
    assert f(n, 2.0) == want


def test_kept_blocks_under_many_threads():
    f = compiled(LARGE, results=["f64"])
    sizes = [140_000, 200_000, 290_000, 600_000]
    want = {n: f(n, 1.5) for n in sizes}
    wrong = []

    def work(k):
        for turn in range(25):
            n = sizes[(k + turn) % len(sizes)]
            if f(n, 1.5) != want[n]:
                wrong.append((k, n))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    kept = jit.kept_bytes()
    assert 0 < kept <= 6 * 2 * 16 * 600_000
    jit.release()


def test_buffers_that_are_never_read_are_not_allocated():
    text = """
func.func @f(%n: index, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %a = memref.alloc(%n) : memref<?xf64>
  memref.store %x, %a[%c0] : memref<?xf64>
  %v = memref.load %a[%c0] : memref<?xf64>
  return %v : f64
}"""
    body = stages.optimised(text, "f").split("@dsl.f.run", 1)[1].split("\n}")[0]
    assert "@dsl.alloc" not in body and "@dsl.free" not in body


def test_empty_array(allocates):
    f = compiled(
        """
func.func @f(%n: index) -> memref<?xf64> {
  %a = memref.alloc(%n) : memref<?xf64>
  return %a : memref<?xf64>
}""",
        results=["memref<?xf64>"],
    )
    assert f(0).shape == (0,)


def test_booleans_are_stored_as_bytes():
    f = compiled(
        """
func.func @f(%m: memref<?xi1>, %n: index) -> (memref<?xi1>, i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %true = arith.constant true
  %a = memref.alloc(%n) : memref<?xi1>
  scf.for %i = %c0 to %n step %c1 {
    %x = memref.load %m[%i] : memref<?xi1>
    %y = arith.xori %x, %true : i1
    memref.store %y, %a[%i] : memref<?xi1>
  }
  %v = memref.load %a[%c0] : memref<?xi1>
  return %a, %v : memref<?xi1>, i1
}""",
        results=["memref<?xi1>", "i1"],
    )
    mask = np.array([True, False, False, True])
    found, first = f(mask, 4)
    np.testing.assert_array_equal(found, ~mask)
    assert not first


def test_atomics_on_booleans_are_refused():
    with pytest.raises(LoweringError, match="booleans"):
        compiled(
            """
func.func @f(%m: memref<1xi1>, %x: i1) -> i1 {
  %c0 = arith.constant 0 : index
  %r = memref.atomic_rmw ori %x, %m[%c0] : (i1, memref<1xi1>) -> i1
  return %r : i1
}""",
            results=["i1"],
        )

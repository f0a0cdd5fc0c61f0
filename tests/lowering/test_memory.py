"""Allocation fails as an exception of Python, in the call that failed, and nothing else is disturbed."""

import threading

import numpy as np
import pytest

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

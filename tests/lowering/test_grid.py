"""Grid kernels on the CPU: barriers, warps, shared and local memory, atomics, threads; against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from lowering import jit
from lowering.errors import LoweringError
from lowering.options import CpuOptions
from tests.lowering.harness import compiled

SHARED = "#gpu.address_space<workgroup>"
CHECKED = CpuOptions(check_threads=True)


def launch(arguments: str, body: str, host: str = "", grid: str = "%gx, %one, %one", block: str = "%bx, %one, %one"):
    """A module with the kernel's body in a function of its own, and @f, which launches it."""
    names = ", ".join(part.split(":")[0] for part in arguments.split(", "))
    types = ", ".join(part.split(":")[1] for part in arguments.split(", "))
    g, b = grid.split(", "), block.split(", ")
    return f"""
    func.func private @k({arguments}) {{
      %t = gpu.thread_id x
      %b = gpu.block_id x
      %d = gpu.block_dim x
      %first = arith.muli %b, %d : index
      %i = arith.addi %first, %t : index
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      {body}
      return
    }}
    func.func @f(%gx: index, %bx: index, {arguments}) {{
      %one = arith.constant 1 : index
      {host}
      gpu.launch blocks(%b0, %b1, %b2) in (%g0 = {g[0]}, %g1 = {g[1]}, %g2 = {g[2]})
                 threads(%t0, %t1, %t2) in (%d0 = {b[0]}, %d1 = {b[1]}, %d2 = {b[2]}) {{
        func.call @k({names}) : ({types}) -> ()
        gpu.terminator
      }}
      return
    }}"""


X, Y, Z = np.random.default_rng(1).normal(size=(3, 512))
index = np.int64


def test_elementwise_with_guard():
    k = compiled(
        launch(
            "%n: index, %x: memref<?xf64>, %y: memref<?xf64>",
            """%in = arith.cmpi slt, %i, %n : index
            scf.if %in {
              %v = memref.load %x[%i] : memref<?xf64>
              %w = arith.mulf %v, %v : f64
              memref.store %w, %y[%i] : memref<?xf64>
            }""",
        )
    )
    y = np.zeros(512)
    k(index(8), index(64), index(500), X.copy(), y)
    assert np.array_equal(y[:500], X[:500] ** 2) and not y[500:].any()


REVERSED = f"""
      %sh = memref.alloca() : memref<64xf64, {SHARED}>
      %s = memref.memory_space_cast %sh : memref<64xf64, {SHARED}> to memref<64xf64>
      %v = memref.load %x[%i] : memref<?xf64>
      memref.store %v, %s[%t] : memref<64xf64>
      gpu.barrier
      %last = arith.subi %d, %c1 : index
      %m = arith.subi %last, %t : index
      %w = memref.load %s[%m] : memref<64xf64>
      %z = arith.addf %w, %v : f64
      memref.store %z, %y[%i] : memref<?xf64>
"""


def test_value_that_lives_across_a_barrier():
    k = compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", REVERSED))
    y = np.zeros(512)
    k(index(8), index(64), X.copy(), y)
    assert np.array_equal(y, X.reshape(8, 64)[:, ::-1].reshape(-1) + X)


def test_shared_memory_that_the_launch_declares():
    text = """
    func.func @f(%g: index, %b: index, %x: memref<?xf64>, %y: memref<?xf64>) {
      %one = arith.constant 1 : index
      gpu.launch blocks(%b0, %b1, %b2) in (%g0 = %g, %g1 = %one, %g2 = %one)
                 threads(%t0, %t1, %t2) in (%d0 = %b, %d1 = %one, %d2 = %one)
                 workgroup(%s : memref<64xf64, #gpu.address_space<workgroup>>) {
        %first = arith.muli %b0, %d0 : index
        %i = arith.addi %first, %t0 : index
        %v = memref.load %x[%i] : memref<?xf64>
        memref.store %v, %s[%t0] : memref<64xf64, #gpu.address_space<workgroup>>
        gpu.barrier
        %last = arith.subi %d0, %one : index
        %m = arith.subi %last, %t0 : index
        %w = memref.load %s[%m] : memref<64xf64, #gpu.address_space<workgroup>>
        memref.store %w, %y[%i] : memref<?xf64>
        gpu.terminator
      }
      return
    }"""
    y = np.zeros(512)
    compiled(text)(index(8), index(64), X.copy(), y)
    assert np.array_equal(y, X.reshape(8, 64)[:, ::-1].reshape(-1))


TREE = f"""
      %sh = memref.alloca() : memref<64xf64, {SHARED}>
      %s = memref.memory_space_cast %sh : memref<64xf64, {SHARED}> to memref<64xf64>
      %v = memref.load %x[%i] : memref<?xf64>
      memref.store %v, %s[%t] : memref<64xf64>
      gpu.barrier
      %h = arith.divui %d, %c2 : index
      %r = scf.while (%k = %h) : (index) -> index {{
        %go = arith.cmpi sgt, %k, %c0 : index
        scf.condition(%go) %k : index
      }} do {{
      ^bb0(%k: index):
        %in = arith.cmpi slt, %t, %k : index
        scf.if %in {{
          %o = arith.addi %t, %k : index
          %a = memref.load %s[%t] : memref<64xf64>
          %c = memref.load %s[%o] : memref<64xf64>
          %q = arith.addf %a, %c : f64
          memref.store %q, %s[%t] : memref<64xf64>
        }}
        gpu.barrier
        %next = arith.divui %k, %c2 : index
        scf.yield %next : index
      }}
      %is_first = arith.cmpi eq, %t, %c0 : index
      scf.if %is_first {{
        %q = memref.load %s[%c0] : memref<64xf64>
        memref.store %q, %y[%b] : memref<?xf64>
      }}"""


@pytest.mark.parametrize("options", [None, CHECKED], ids=["plain", "checked"])
def test_barrier_in_a_while_loop(options):
    k = compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", TREE), options=options)
    y = np.zeros(8)
    k(index(8), index(64), X.copy(), y)
    assert np.allclose(y, X.reshape(8, 64).sum(1), rtol=1e-14)


def test_barrier_in_a_for_loop_that_carries_and_swaps():
    body = f"""
      %sh = memref.alloca() : memref<32xf64, {SHARED}>
      %v = memref.load %x[%i] : memref<?xf64>
      %zero = arith.constant 0.0 : f64
      %n = arith.constant 5 : index
      %r:2 = scf.for %k = %c0 to %n step %c1 iter_args(%a = %v, %c = %zero) -> (f64, f64) {{
        memref.store %a, %sh[%t] : memref<32xf64, {SHARED}>
        gpu.barrier
        %j = arith.addi %t, %c1 : index
        %m = arith.remui %j, %d : index
        %w = memref.load %sh[%m] : memref<32xf64, {SHARED}>
        gpu.barrier
        %sum = arith.addf %c, %w : f64
        scf.yield %sum, %a : f64, f64
      }}
      %z = arith.subf %r#0, %r#1 : f64
      memref.store %z, %y[%i] : memref<?xf64>"""
    k = compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", body), options=CHECKED)
    x, y = X[:64].copy(), np.zeros(64)
    k(index(2), index(32), x, y)
    a, c = x.reshape(2, 32), np.zeros((2, 32))
    for _ in range(5):
        a, c = c + np.roll(a, -1, axis=1), a
    assert np.allclose(y, (a - c).reshape(-1), rtol=1e-14)


def test_local_array_across_a_barrier():
    body = """
      %a = memref.alloca() : memref<3xf64>
      %v = memref.load %x[%i] : memref<?xf64>
      memref.store %v, %a[%c0] : memref<3xf64>
      gpu.barrier
      %w = memref.load %a[%c0] : memref<3xf64>
      %z = arith.addf %w, %w : f64
      memref.store %z, %y[%i] : memref<?xf64>"""
    y = np.zeros(64)
    compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", body))(index(2), index(32), X[:64].copy(), y)
    assert np.array_equal(y, 2 * X[:64])


def test_three_axes():
    body = """
      %by = gpu.block_id y
      %bz = gpu.block_id z
      %ty = gpu.thread_id y
      %tz = gpu.thread_id z
      %dy = gpu.block_dim y
      %dz = gpu.block_dim z
      %fy = arith.muli %by, %dy : index
      %j = arith.addi %fy, %ty : index
      %fz = arith.muli %bz, %dz : index
      %k = arith.addi %fz, %tz : index
      %v = memref.load %x[%k, %j, %i] : memref<?x?x?xf64>
      gpu.barrier
      %w = arith.addf %v, %v : f64
      memref.store %w, %y[%k, %j, %i] : memref<?x?x?xf64>"""
    text = launch(
        "%x: memref<?x?x?xf64>, %y: memref<?x?x?xf64>",
        body,
        "%two = arith.constant 2 : index\n%four = arith.constant 4 : index",
        "%gx, %two, %two",
        "%bx, %four, %two",
    )
    x = X[:256].reshape(4, 8, 8).copy()
    y = np.zeros_like(x)
    compiled(text)(index(2), index(4), x, y)
    assert np.array_equal(y, 2 * x)


@pytest.mark.parametrize("threads", [32, 64, 40])
@pytest.mark.parametrize("mode", ["xor", "up", "down", "idx"])
def test_shuffles(mode, threads):
    body = f"""
      %v = memref.load %x[%i] : memref<?xf64>
      %o = arith.constant 3 : i32
      %w = arith.constant 32 : i32
      %r, %valid = gpu.shuffle {mode} %v, %o, %w : f64
      memref.store %r, %y[%i] : memref<?xf64>
      %n = arith.extui %valid : i1 to i64
      memref.store %n, %p[%i] : memref<?xi64>"""
    k = compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>, %p: memref<?xi64>", body))
    x, y, p = X[: 2 * threads].copy(), np.zeros(2 * threads), np.zeros(2 * threads, np.int64)
    k(index(2), index(threads), x, y, p)
    number = np.arange(threads)
    lane = number % 32
    source = {"xor": lane ^ 3, "up": lane - 3, "down": lane + 3, "idx": 0 * lane + 3}[mode]
    valid = (source >= 0) & (source < 32)
    there = valid & (number - lane + source < threads)
    whole = np.where(there, number - lane + source, number)
    assert np.array_equal(y.reshape(2, threads), x.reshape(2, threads)[:, whole])
    assert np.array_equal(p.reshape(2, threads), np.tile(valid, (2, 1)))


@pytest.mark.parametrize("kind", ["ballot", "any", "all"])
def test_votes(kind):
    type = "i32" if kind == "ballot" else "i1"
    extend = "extui %r : i32" if kind == "ballot" else "extui %r : i1"
    body = f"""
      %v = memref.load %x[%i] : memref<?xf64>
      %zero = arith.constant 0.0 : f64
      %q = arith.cmpf ogt, %v, %zero : f64
      %m = arith.constant -1 : i32
      %r = nvvm.vote.sync {kind} %m, %q -> {type}
      %n = arith.{extend} to i64
      memref.store %n, %p[%i] : memref<?xi64>"""
    k = compiled(launch("%x: memref<?xf64>, %p: memref<?xi64>", body))
    x, p = X[:80].copy(), np.zeros(80, np.int64)
    x[:32] = np.abs(x[:32])
    k(index(2), index(40), x, p)
    for block in range(2):
        for first, last in ((0, 32), (32, 40)):
            mine = x[40 * block + first : 40 * block + last] > 0
            bits = sum(1 << n for n, bit in enumerate(mine) if bit)
            wanted = {"ballot": bits, "any": mine.any(), "all": mine.all()}[kind]
            assert (p[40 * block + first : 40 * block + last] == wanted).all()


def test_shuffle_in_the_branch_of_one_warp():
    body = """
      %v = memref.load %x[%i] : memref<?xf64>
      %n = arith.constant 32 : index
      %in = arith.cmpi slt, %t, %n : index
      scf.if %in {
        %o = arith.constant 1 : i32
        %w = arith.constant 32 : i32
        %r, %valid = gpu.shuffle xor %v, %o, %w : f64
        memref.store %r, %y[%i] : memref<?xf64>
      }"""
    y = np.zeros(64)
    compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", body), options=CHECKED)(
        index(1), index(64), X[:64].copy(), y
    )
    assert np.array_equal(y[:32], X[:32][np.arange(32) ^ 1]) and not y[32:].any()


ATOMIC = """
      %v = memref.load %x[%i] : memref<?xf64>
      %old = memref.atomic_rmw addf %v, %y[%c0] : (f64, memref<?xf64>) -> f64
"""
COUNT = """
      %j = arith.remui %i, %d : index
      %n = arith.constant 1 : i64
      %old = memref.atomic_rmw addi %n, %y[%j] : (i64, memref<?xi64>) -> i64
"""


@pytest.fixture
def threads():
    before = jit.threads()
    yield jit.set_threads
    jit.set_threads(before)


def test_sum_of_floats_is_the_same_with_any_number_of_threads(threads):
    k = compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", ATOMIC))
    x = np.random.default_rng(2).normal(size=1 << 18)
    found = set()
    for count in (1, 2, 7, 4):
        threads(count)
        y = np.zeros(1)
        k(index(1 << 10), index(1 << 8), x, y)
        found.add(y[0])
    assert len(found) == 1 and np.isclose(found.pop(), x.sum())


def test_counts_are_right_with_any_number_of_threads(threads):
    k = compiled(launch("%y: memref<?xi64>", COUNT))
    for count in (1, 2, 7):
        threads(count)
        y = np.zeros(256, np.int64)
        k(index(1 << 10), index(1 << 8), y)
        assert (y == 1 << 10).all()


def test_many_blocks_on_many_threads(threads):
    threads(5)
    k = compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", TREE))
    x, y = np.random.default_rng(3).normal(size=1 << 19), np.zeros(1 << 13)
    k(index(1 << 13), index(64), x, y)
    assert np.allclose(y, x.reshape(-1, 64).sum(1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("where", ["a branch", "a loop"])
def test_barrier_that_is_seen_to_be_divergent(where):
    if where == "a branch":
        body = "%in = arith.cmpi slt, %i, %n : index\n scf.if %in { gpu.barrier }"
    else:
        body = "scf.for %k = %t to %n step %d { gpu.barrier }"
    with pytest.raises(LoweringError, match=f"a barrier in {where} that the threads of a block go through"):
        compiled(launch("%n: index", body))


def test_barrier_that_is_divergent_at_run_time():
    body = """
      %v = memref.load %p[%i] : memref<?xi64>
      %zero = arith.constant 0 : i64
      %in = arith.cmpi sgt, %v, %zero : i64
      scf.if %in { gpu.barrier }"""
    k = compiled(launch("%p: memref<?xi64>", body), options=CHECKED)
    p = np.ones(64, np.int64)
    k(index(2), index(32), p)
    p[40] = 0
    with pytest.raises(RuntimeError, match=r"the threads of a block .* go different ways"):
        k(index(2), index(32), p)


def test_empty_grid():
    y = np.zeros(64)
    compiled(launch("%x: memref<?xf64>, %y: memref<?xf64>", REVERSED))(index(0), index(64), X[:64].copy(), y)
    assert not y.any()


def test_launches_in_a_loop_of_the_host():
    text = """
    func.func private @k(%x: memref<?xf64>, %y: memref<?xf64>) {
      %i = gpu.thread_id x
      %v = memref.load %x[%i] : memref<?xf64>
      %w = arith.addf %v, %v : f64
      memref.store %w, %y[%i] : memref<?xf64>
      return
    }
    func.func @f(%n: index, %x: memref<?xf64>, %y: memref<?xf64>) {
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %steps = arith.constant 3 : index
      scf.for %k = %zero to %steps step %one {
        gpu.launch blocks(%a, %b, %c) in (%d = %one, %e = %one, %g = %one)
                   threads(%h, %i, %j) in (%l = %n, %m = %one, %o = %one) {
          func.call @k(%x, %y) : (memref<?xf64>, memref<?xf64>) -> ()
          gpu.terminator
        }
        memref.copy %y, %x : memref<?xf64> to memref<?xf64>
      }
      return
    }"""
    x, y = X[:64].copy(), np.zeros(64)
    compiled(text)(index(64), x, y)
    assert np.array_equal(y, 8 * X[:64])


@pytest.mark.parametrize("count", [1, 3])
def test_parallel_loops_and_their_sums(threads, count):
    text = """
    func.func @f(%n: index, %x: memref<?xf64>, %y: memref<?xf64>) -> f64 {
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %start = arith.constant 0.5 : f64
      scf.parallel (%i, %j) = (%zero, %zero) to (%n, %n) step (%one, %one) {
        %k = arith.muli %i, %n : index
        %m = arith.addi %k, %j : index
        %v = memref.load %x[%m] : memref<?xf64>
        %w = arith.addf %v, %v : f64
        memref.store %w, %y[%m] : memref<?xf64>
        scf.reduce
      }
      %m = arith.muli %n, %n : index
      %s = scf.parallel (%i) = (%zero) to (%m) step (%one) init (%start) -> f64 {
        %v = memref.load %x[%i] : memref<?xf64>
        scf.reduce(%v : f64) {
        ^bb0(%a: f64, %b: f64):
          %c = arith.addf %a, %b : f64
          scf.reduce.return %c : f64
        }
      }
      return %s : f64
    }"""
    threads(count)
    n = 700
    x, y = np.random.default_rng(4).normal(size=n * n), np.zeros(n * n)
    k = compiled(text, results=("f64",))
    found = k(index(n), x, y)
    assert np.array_equal(y, 2 * x) and np.isclose(found, 0.5 + x.sum())
    threads(1)
    assert k(index(n), x, y) == found
    assert k(index(0), x, y) == 0.5

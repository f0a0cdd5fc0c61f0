"""Derivatives of grid kernels: forward against central differences, reverse against forward, on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.grids import SHARED, Grid

A, M = "memref<?xf64>", "memref<?x?xf64>"
INDEX = "memref<?xindex>"
rng = np.random.default_rng(5)
X, Y, Z = rng.normal(size=(3, 128))

ELEMENTWISE = Grid(
    [("n", "index", False), ("a", "f64", True), ("x", A, True), ("y", A, True)],
    """
    %in = arith.cmpi slt, %i, %n : index
    scf.if %in {
      %v = memref.load %x[%i] : memref<?xf64>
      %s = math.sin %v : f64
      %w = arith.mulf %s, %a : f64
      memref.store %w, %y[%i] : memref<?xf64>
    }""",
)
IN_PLACE = Grid(
    [("x", A, True), ("y", A, True)],
    """
    %v = memref.load %x[%i] : memref<?xf64>
    %u = memref.load %y[%i] : memref<?xf64>
    %w = arith.mulf %u, %v : f64
    memref.store %w, %y[%i] : memref<?xf64>
    memref.store %w, %x[%i] : memref<?xf64>""",
)
ONE_CELL = Grid(
    [("n", "index", False), ("p", A, True), ("x", A, True), ("y", A, True)],
    """
    %in = arith.cmpi slt, %i, %n : index
    scf.if %in {
      %v = memref.load %x[%i] : memref<?xf64>
      %a = memref.load %p[%c0] : memref<?xf64>
      %q = memref.load %p[%c1] : memref<?xf64>
      %e = math.exp %q : f64
      %s = arith.mulf %v, %a : f64
      %w = arith.addf %s, %e : f64
      %z = arith.mulf %w, %v : f64
      memref.store %z, %y[%i] : memref<?xf64>
    }""",
)
STENCIL = Grid(
    [("n", "index", False), ("x", A, True), ("y", A, True)],
    """
    %m = arith.subi %n, %c1 : index
    %low = arith.cmpi sgt, %i, %c0 : index
    %high = arith.cmpi slt, %i, %m : index
    %in = arith.andi %low, %high : i1
    scf.if %in {
      %l = arith.subi %i, %c1 : index
      %r = arith.addi %i, %c1 : index
      %u = memref.load %x[%l] : memref<?xf64>
      %v = memref.load %x[%i] : memref<?xf64>
      %w = memref.load %x[%r] : memref<?xf64>
      %p = arith.mulf %u, %w : f64
      %q = arith.mulf %p, %v : f64
      memref.store %q, %y[%i] : memref<?xf64>
    }""",
)
HALO = Grid(
    [("n", "index", False), ("x", A, True), ("y", A, True)],
    f"""
    %sh = memref.alloca() : memref<34xf64, {SHARED}>
    %s = memref.memory_space_cast %sh : memref<34xf64, {SHARED}> to memref<34xf64>
    %v = memref.load %x[%i] : memref<?xf64>
    %j = arith.addi %t, %c1 : index
    memref.store %v, %s[%j] : memref<34xf64>
    %is_first = arith.cmpi eq, %t, %c0 : index
    scf.if %is_first {{
      %some = arith.cmpi sgt, %i, %c0 : index
      %h = scf.if %some -> f64 {{
        %l = arith.subi %i, %c1 : index
        %w = memref.load %x[%l] : memref<?xf64>
        scf.yield %w : f64
      }} else {{
        scf.yield %zero : f64
      }}
      memref.store %h, %s[%c0] : memref<34xf64>
      %f = arith.addi %d, %c1 : index
      %nx = arith.addi %i, %d : index
      %more = arith.cmpi slt, %nx, %n : index
      %k = scf.if %more -> f64 {{
        %w = memref.load %x[%nx] : memref<?xf64>
        scf.yield %w : f64
      }} else {{
        scf.yield %zero : f64
      }}
      memref.store %k, %s[%f] : memref<34xf64>
    }}
    gpu.barrier
    %j2 = arith.addi %j, %c1 : index
    %a = memref.load %s[%t] : memref<34xf64>
    %c = memref.load %s[%j] : memref<34xf64>
    %e = memref.load %s[%j2] : memref<34xf64>
    %p = arith.mulf %a, %e : f64
    %g = math.sin %c : f64
    %q = arith.addf %p, %g : f64
    %r = arith.mulf %q, %v : f64
    memref.store %r, %y[%i] : memref<?xf64>""",
)
MATMUL = Grid(
    [("n", "index", False), ("a", M, True), ("bb", M, True), ("c", M, True)],
    f"""
    %ty = gpu.thread_id y
    %by = gpu.block_id y
    %tile = arith.constant 4 : index
    %fy = arith.muli %by, %tile : index
    %row = arith.addi %fy, %ty : index
    %col = arith.addi %first, %t : index
    %sa = memref.alloca() : memref<4x4xf64, {SHARED}>
    %sb = memref.alloca() : memref<4x4xf64, {SHARED}>
    %tiles = arith.divui %n, %tile : index
    %sum = scf.for %k = %c0 to %tiles step %c1 iter_args(%acc = %zero) -> f64 {{
      %o = arith.muli %k, %tile : index
      %ac = arith.addi %o, %t : index
      %br = arith.addi %o, %ty : index
      %va = memref.load %a[%row, %ac] : memref<?x?xf64>
      %vb = memref.load %bb[%br, %col] : memref<?x?xf64>
      memref.store %va, %sa[%ty, %t] : memref<4x4xf64, {SHARED}>
      memref.store %vb, %sb[%ty, %t] : memref<4x4xf64, {SHARED}>
      gpu.barrier
      %part = scf.for %j = %c0 to %tile step %c1 iter_args(%in = %acc) -> f64 {{
        %p = memref.load %sa[%ty, %j] : memref<4x4xf64, {SHARED}>
        %q = memref.load %sb[%j, %t] : memref<4x4xf64, {SHARED}>
        %m = arith.mulf %p, %q : f64
        %s = arith.addf %in, %m : f64
        scf.yield %s : f64
      }}
      gpu.barrier
      scf.yield %part : f64
    }}
    memref.store %sum, %c[%row, %col] : memref<?x?xf64>""",
    grid=("%gx", "%gx", 1),
    block=(4, 4, 1),
)
TREE = Grid(
    [("x", A, True), ("y", A, True)],
    f"""
    %sh = memref.alloca() : memref<32xf64, {SHARED}>
    %s = memref.memory_space_cast %sh : memref<32xf64, {SHARED}> to memref<32xf64>
    %v = memref.load %x[%i] : memref<?xf64>
    %v2 = arith.mulf %v, %v : f64
    memref.store %v2, %s[%t] : memref<32xf64>
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
        %a = memref.load %s[%t] : memref<32xf64>
        %c = memref.load %s[%o] : memref<32xf64>
        OPERATION
        memref.store %q, %s[%t] : memref<32xf64>
      }}
      gpu.barrier
      %next = arith.divui %k, %c2 : index
      scf.yield %next : index
    }}
    %is_first = arith.cmpi eq, %t, %c0 : index
    scf.if %is_first {{
      %q = memref.load %s[%c0] : memref<32xf64>
      %sq = math.exp %q : f64
      memref.store %sq, %y[%b] : memref<?xf64>
    }}""",
)
TREE_SUM = Grid(TREE.arguments, TREE.body.replace("OPERATION", "%q = arith.addf %a, %c : f64"))
TREE_OTHER = Grid(
    TREE.arguments,
    TREE.body.replace("OPERATION", "%h1 = math.sin %a : f64\n %q = arith.mulf %h1, %c : f64"),
)
ATOMIC_SUM = Grid(
    [("x", A, True), ("y", A, True)],
    """
    %v = memref.load %x[%i] : memref<?xf64>
    %w = arith.mulf %v, %v : f64
    %old = memref.atomic_rmw addf %w, %y[%c0] : (f64, memref<?xf64>) -> f64""",
)
HISTOGRAM = Grid(
    [("x", A, True), ("p", INDEX, False), ("y", A, True)],
    """
    %v = memref.load %x[%i] : memref<?xf64>
    %j = memref.load %p[%i] : memref<?xindex>
    %w = math.exp %v : f64
    %old = memref.atomic_rmw addf %w, %y[%j] : (f64, memref<?xf64>) -> f64""",
)
GATHER = Grid(
    [("x", A, True), ("p", INDEX, False), ("y", A, True)],
    """
    %j = memref.load %p[%i] : memref<?xindex>
    %v = memref.load %x[%j] : memref<?xf64>
    %w = math.exp %v : f64
    memref.store %w, %y[%i] : memref<?xf64>""",
)
BODIES = Grid(
    [("n", "index", False), ("x", A, True), ("m", A, True), ("y", A, True)],
    """
    %own = memref.load %x[%i] : memref<?xf64>
    %eps = arith.constant 0.5 : f64
    %force = scf.for %j = %c0 to %n step %c1 iter_args(%acc = %zero) -> f64 {
      %other = memref.load %x[%j] : memref<?xf64>
      %mass = memref.load %m[%j] : memref<?xf64>
      %r = arith.subf %other, %own : f64
      %r2 = arith.mulf %r, %r : f64
      %e = arith.addf %r2, %eps : f64
      %q = math.sqrt %e : f64
      %f = arith.divf %r, %q : f64
      %g = arith.mulf %f, %mass : f64
      %s = arith.addf %acc, %g : f64
      scf.yield %s : f64
    }
    memref.store %force, %y[%i] : memref<?xf64>""",
)
NEWTON = Grid(
    [("x", A, True), ("y", A, True)],
    """
    %v = memref.load %x[%i] : memref<?xf64>
    %a2 = arith.mulf %v, %v : f64
    %one = arith.constant 1.0 : f64
    %a = arith.addf %a2, %one : f64
    %tol = arith.constant 1.0e-8 : f64
    %half = arith.constant 0.5 : f64
    %r = scf.while (%z = %a) : (f64) -> f64 {
      %zz = arith.mulf %z, %z : f64
      %e = arith.subf %zz, %a : f64
      %ab = math.absf %e : f64
      %go = arith.cmpf ogt, %ab, %tol : f64
      scf.condition(%go) %z : f64
    } do {
    ^bb0(%z: f64):
      %q = arith.divf %a, %z : f64
      %s = arith.addf %q, %z : f64
      %h = arith.mulf %s, %half : f64
      scf.yield %h : f64
    }
    memref.store %r, %y[%i] : memref<?xf64>""",
)
ROWS = Grid(
    [("rows", INDEX, False), ("cols", INDEX, False), ("v", A, True), ("x", A, True), ("y", A, True)],
    """
    %i1 = arith.addi %i, %c1 : index
    %lo = memref.load %rows[%i] : memref<?xindex>
    %hi = memref.load %rows[%i1] : memref<?xindex>
    %start = arith.constant 0.3 : f64
    %s = scf.for %k = %lo to %hi step %c1 iter_args(%acc = %start) -> f64 {
      %j = memref.load %cols[%k] : memref<?xindex>
      %a = memref.load %v[%k] : memref<?xf64>
      %w = memref.load %x[%j] : memref<?xf64>
      %p = arith.mulf %a, %w : f64
      %q = arith.mulf %p, %acc : f64
      %u = math.sin %q : f64
      %z = arith.addf %u, %acc : f64
      scf.yield %z : f64
    }
    memref.store %s, %y[%i] : memref<?xf64>""",
)
LOCAL = Grid(
    [("x", A, True), ("y", A, True)],
    """
    %a = memref.alloca() : memref<4xf64>
    %v = memref.load %x[%i] : memref<?xf64>
    %n = arith.constant 4 : index
    %m = arith.constant 3 : index
    memref.store %v, %a[%c0] : memref<4xf64>
    scf.for %k = %c0 to %m step %c1 {
      %k1 = arith.addi %k, %c1 : index
      %u = memref.load %a[%k] : memref<4xf64>
      %w = arith.mulf %u, %v : f64
      %e = math.sin %w : f64
      memref.store %e, %a[%k1] : memref<4xf64>
    }
    %s = scf.for %k = %c0 to %n step %c1 iter_args(%acc = %zero) -> f64 {
      %u = memref.load %a[%k] : memref<4xf64>
      %w = arith.mulf %u, %u : f64
      %z = arith.addf %acc, %w : f64
      scf.yield %z : f64
    }
    memref.store %s, %y[%i] : memref<?xf64>""",
)
SCAN = Grid(
    [("x", A, True), ("y", A, True)],
    f"""
    %s = memref.alloca() : memref<32xf64, {SHARED}>
    %v = memref.load %x[%i] : memref<?xf64>
    memref.store %v, %s[%t] : memref<32xf64, {SHARED}>
    gpu.barrier
    %r = scf.while (%k = %c1) : (index) -> index {{
      %go = arith.cmpi slt, %k, %d : index
      scf.condition(%go) %k : index
    }} do {{
    ^bb0(%k: index):
      %in = arith.cmpi sge, %t, %k : index
      %got = scf.if %in -> f64 {{
        %o = arith.subi %t, %k : index
        %a = memref.load %s[%o] : memref<32xf64, {SHARED}>
        scf.yield %a : f64
      }} else {{
        scf.yield %zero : f64
      }}
      gpu.barrier
      scf.if %in {{
        %c = memref.load %s[%t] : memref<32xf64, {SHARED}>
        %m = arith.mulf %c, %got : f64
        %q = arith.addf %m, %c : f64
        memref.store %q, %s[%t] : memref<32xf64, {SHARED}>
      }}
      gpu.barrier
      %next = arith.muli %k, %c2 : index
      scf.yield %next : index
    }}
    %w = memref.load %s[%t] : memref<32xf64, {SHARED}>
    memref.store %w, %y[%i] : memref<?xf64>""",
)
SHUFFLE = Grid(
    [("x", A, True), ("y", A, True)],
    """
    %v = memref.load %x[%i] : memref<?xf64>
    %o = arith.constant 3 : i32
    %w = arith.constant 32 : i32
    %e = math.exp %v : f64
    %r, %valid = gpu.shuffle MODE %e, %o, %w : f64
    %q = arith.mulf %r, %v : f64
    memref.store %q, %y[%i] : memref<?xf64>""",
)
PERMUTE = Grid(
    [("x", A, True), ("p", INDEX, False), ("y", A, True)],
    """
    %v = memref.load %x[%i] : memref<?xf64>
    %j = memref.load %p[%i] : memref<?xindex>
    %o = arith.index_cast %j : index to i32
    %w = arith.constant 32 : i32
    %e = math.exp %v : f64
    %r, %valid = gpu.shuffle idx %e, %o, %w : f64
    %q = arith.mulf %r, %v : f64
    memref.store %q, %y[%i] : memref<?xf64>""",
)
SOFTMAX = Grid(
    [("n", "index", False), ("x", M, True), ("y", M, True)],
    """
    %low = arith.constant -1.0e30 : f64
    %m = scf.for %j = %c0 to %n step %c1 iter_args(%acc = %low) -> f64 {
      %v = memref.load %x[%i, %j] : memref<?x?xf64>
      %z = arith.maximumf %acc, %v : f64
      scf.yield %z : f64
    }
    %s = scf.for %j = %c0 to %n step %c1 iter_args(%acc = %zero) -> f64 {
      %v = memref.load %x[%i, %j] : memref<?x?xf64>
      %u = arith.subf %v, %m : f64
      %e = math.exp %u : f64
      %z = arith.addf %acc, %e : f64
      scf.yield %z : f64
    }
    scf.for %j = %c0 to %n step %c1 {
      %v = memref.load %x[%i, %j] : memref<?x?xf64>
      %u = arith.subf %v, %m : f64
      %e = math.exp %u : f64
      %z = arith.divf %e, %s : f64
      memref.store %z, %y[%i, %j] : memref<?x?xf64>
    }""",
)
STEPS = Grid(
    STENCIL.arguments,
    STENCIL.body.replace(
        "%q = arith.mulf %p, %v : f64",
        "%q0 = arith.mulf %p, %v : f64\n %q1 = math.sin %q0 : f64\n %q = arith.addf %q1, %v : f64",
    ),
    host="""
    %one = arith.constant 1 : index
    %start = arith.constant 0 : index
    %steps = arith.constant 4 : index
    scf.for %step = %start to %steps step %one {
      LAUNCH
      memref.copy %y, %x : memref<?xf64> to memref<?xf64>
    }""",
)
STEPS_IN_PLACE = Grid(
    IN_PLACE.arguments,
    IN_PLACE.body,
    host="""
    %one = arith.constant 1 : index
    %start = arith.constant 0 : index
    %steps = arith.constant 3 : index
    scf.for %step = %start to %steps step %one {
      LAUNCH
    }""",
)
CONST_PARTNER = Grid(
    [("x", A, True), ("w", A, False), ("y", A, True)],
    """
    %v = memref.load %x[%i] : memref<?xf64>
    %u = memref.load %w[%i] : memref<?xf64>
    %q = arith.mulf %v, %u : f64
    memref.store %q, %y[%i] : memref<?xf64>""",
)

csr_rows = np.concatenate([[0], np.cumsum(rng.integers(0, 6, size=64))])
csr_cols = rng.integers(0, 64, size=csr_rows[-1])
CASES = {
    "elementwise": (ELEMENTWISE, 4, 32, [120, 1.3, X, Y]),
    "in place": (IN_PLACE, 4, 32, [X, Y]),
    "one cell for all": (ONE_CELL, 4, 32, [120, X[:2], Y, Z]),
    "stencil": (STENCIL, 4, 32, [128, X, Y]),
    "stencil in shared memory": (HALO, 4, 32, [128, X, Y]),
    "tiled product of matrices": (MATMUL, 2, 0, [8, X[:64].reshape(8, 8), Y[:64].reshape(8, 8), Z[:64].reshape(8, 8)]),
    "tree of sums": (TREE_SUM, 4, 32, [X / 4, Y[:4]]),
    "tree of products": (TREE_OTHER, 4, 32, [X, Y[:4]]),
    "atomic sum": (ATOMIC_SUM, 4, 32, [X, Y[:2]]),
    "histogram": (HISTOGRAM, 4, 32, [X, rng.integers(0, 5, size=128), Y[:5]]),
    "gather": (GATHER, 4, 32, [X[:5], rng.integers(0, 5, size=128), Y]),
    "bodies": (BODIES, 2, 16, [32, X[:32], Y[:32], Z[:32]]),
    "Newton": (NEWTON, 2, 32, [X[:64], Y[:64]]),
    "rows of a sparse matrix": (ROWS, 2, 32, [csr_rows, csr_cols, rng.normal(size=len(csr_cols)), X[:64], Y[:64]]),
    "local array": (LOCAL, 4, 32, [X / 2, Y]),
    "scan": (SCAN, 4, 32, [X, Y]),
    **{
        f"shuffle {mode}": (Grid(SHUFFLE.arguments, SHUFFLE.body.replace("MODE", mode)), 2, 40, [X[:80], Y[:80]])
        for mode in ("up", "down", "xor", "idx")
    },
    "shuffle by index": (PERMUTE, 2, 64, [X, rng.integers(0, 32, size=128), Y]),
    "softmax of rows": (SOFTMAX, 1, 8, [9, rng.normal(size=(8, 9)), rng.normal(size=(8, 9))]),
    "steps of a stencil": (STEPS, 4, 32, [128, X / 2, Y]),
    "steps in place": (STEPS_IN_PLACE, 4, 32, [X, Y]),
    "constant array": (CONST_PARTNER, 4, 32, [X, Y, Z]),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    grid, blocks, threads, values = CASES[name]
    grid.check(blocks, threads, values)

"""Whole kernels as MLIR writes them, for several chips, against NumPy; assembled by ptxas where it is installed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lowering.simulator import Device

from .kernels import assemble, module, ptx, ptxas
from .running import launch, ulps

CHIPS = ["sm_70", "sm_80", "sm_90", "sm_100"]
SH = "#gpu.address_space<workgroup>"


def compiled(text: str, chip: str) -> str:
    """The PTX of a kernel; ptxas, where it is, must take it, for chips that it still knows."""
    made = ptx(text, chip)
    if ptxas() is not None:
        assert assemble(made, chip) == ""
    return made


def math_kernel(op: str, type: str, binary: bool) -> str:
    call = f"math.{op} %x, %b : {type}" if binary else f"math.{op} %x : {type}"
    return f"""
    gpu.func @k(%X: memref<256x{type}>, %B: memref<256x{type}>, %Y: memref<256x{type}>) kernel {{
      %i = gpu.global_id x
      %x = memref.load %X[%i] : memref<256x{type}>
      %b = memref.load %B[%i] : memref<256x{type}>
      %y = {call}
      memref.store %y, %Y[%i] : memref<256x{type}>
      gpu.return
    }}"""


MATH = {
    "sin": np.sin,
    "cos": np.cos,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf, otypes=[float]),
    "sqrt": np.sqrt,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "cbrt": np.cbrt,
    "atan": np.arctan,
    "powf": np.power,
    "atan2": np.arctan2,
}
# In units in the last place: 1, where libdevice does not promise less.
BOUNDS = {("sqrt", "f32"): 0, ("sqrt", "f64"): 0, ("atan2", "f32"): 2}


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("op", MATH)
def test_libdevice(op, type):
    function = MATH[op]
    dtype = np.float32 if type == "f32" else np.float64
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(0.01, 4, 128), 10 ** rng.uniform(-6, 1.7, 128)]).astype(dtype)
    b = rng.uniform(0.5, 2, 256).astype(dtype)
    y = np.zeros(256, dtype)
    binary = op in ("powf", "atan2")
    launch(ptx(math_kernel(op, type, binary)), "k", 2, 128, x, b, y)
    wide = np.longdouble if type == "f64" and op != "erf" else np.float64
    want = function(x.astype(wide), b.astype(wide)) if binary else function(x.astype(wide))
    assert ulps(y, want) <= BOUNDS.get((op, type), 1)


REDUCTION = f"""
    gpu.func @k(%X: memref<5000xf64>, %Y: memref<1xf64>) workgroup(%sh : memref<256xf64, {SH}>) kernel {{
      %c0 = arith.constant 0 : index
      %c2 = arith.constant 2 : index
      %n = arith.constant 5000 : index
      %z = arith.constant 0.0 : f64
      %t = gpu.thread_id x
      %bd = gpu.block_dim x
      %i = gpu.global_id x
      %gd = gpu.grid_dim x
      %st = arith.muli %bd, %gd : index
      %acc = scf.for %j = %i to %n step %st iter_args(%a = %z) -> (f64) {{
        %v = memref.load %X[%j] : memref<5000xf64>
        %s = arith.addf %a, %v : f64
        scf.yield %s : f64
      }}
      memref.store %acc, %sh[%t] : memref<256xf64, {SH}>
      gpu.barrier
      %h = arith.divui %bd, %c2 : index
      %r = scf.while (%s = %h) : (index) -> index {{
        %cc = arith.cmpi sgt, %s, %c0 : index
        scf.condition(%cc) %s : index
      }} do {{
      ^bb0(%s: index):
        %lt = arith.cmpi slt, %t, %s : index
        scf.if %lt {{
          %p = arith.addi %t, %s : index
          %u = memref.load %sh[%t] : memref<256xf64, {SH}>
          %w = memref.load %sh[%p] : memref<256xf64, {SH}>
          %x = arith.addf %u, %w : f64
          memref.store %x, %sh[%t] : memref<256xf64, {SH}>
        }}
        gpu.barrier
        %s2 = arith.divui %s, %c2 : index
        scf.yield %s2 : index
      }}
      %is0 = arith.cmpi eq, %t, %c0 : index
      scf.if %is0 {{
        %u = memref.load %sh[%c0] : memref<256xf64, {SH}>
        %old = memref.atomic_rmw addf %u, %Y[%c0] : (f64, memref<1xf64>) -> f64
      }}
      gpu.return
    }}"""


@pytest.mark.parametrize("chip", CHIPS)
def test_reduction_in_shared_memory(chip):
    x = np.random.default_rng(1).normal(size=5000)
    y = np.zeros(1)
    text = compiled(REDUCTION, chip) if chip != "sm_70" else ptx(REDUCTION, chip)
    launch(text, "k", 3, 256, x, y)
    np.testing.assert_allclose(y[0], x.sum(), rtol=1e-12)


MATMUL = f"""
    gpu.func @k(%A: memref<32x48xf32>, %B: memref<48x16xf32>, %C: memref<32x16xf32>)
        workgroup(%sa : memref<16x16xf32, {SH}>, %sb : memref<16x16xf32, {SH}>) kernel {{
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c16 = arith.constant 16 : index
      %c48 = arith.constant 48 : index
      %z = arith.constant 0.0 : f32
      %tx = gpu.thread_id x
      %ty = gpu.thread_id y
      %gx = gpu.global_id x
      %gy = gpu.global_id y
      %acc = scf.for %k = %c0 to %c48 step %c16 iter_args(%s = %z) -> f32 {{
        %ka = arith.addi %k, %tx : index
        %kb = arith.addi %k, %ty : index
        %a = memref.load %A[%gy, %ka] : memref<32x48xf32>
        %b = memref.load %B[%kb, %gx] : memref<48x16xf32>
        memref.store %a, %sa[%ty, %tx] : memref<16x16xf32, {SH}>
        memref.store %b, %sb[%ty, %tx] : memref<16x16xf32, {SH}>
        gpu.barrier
        %s2 = scf.for %q = %c0 to %c16 step %c1 iter_args(%u = %s) -> f32 {{
          %x = memref.load %sa[%ty, %q] : memref<16x16xf32, {SH}>
          %y = memref.load %sb[%q, %tx] : memref<16x16xf32, {SH}>
          %r = math.fma %x, %y, %u : f32
          scf.yield %r : f32
        }}
        BARRIER
        scf.yield %s2 : f32
      }}
      memref.store %acc, %C[%gy, %gx] : memref<32x16xf32>
      gpu.return
    }}"""


def test_tiled_matrix_product_and_its_second_barrier():
    from lowering.simulator.errors import DataRace

    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(32, 48)).astype(np.float32), rng.normal(size=(48, 16)).astype(np.float32)
    c = np.zeros((32, 16), np.float32)
    launch(compiled(MATMUL.replace("BARRIER", "gpu.barrier"), "sm_90"), "k", (1, 2, 1), (16, 16, 1), a, b, c)
    np.testing.assert_allclose(c, a.astype(float) @ b, atol=1e-4)
    with pytest.raises(DataRace) as error:  # a tile is overwritten while others still read it
        launch(ptx(MATMUL.replace("BARRIER", "")), "k", (1, 2, 1), (16, 16, 1), a, b, c)
    assert error.value.space == "shared"


COLLATZ = """
    gpu.func @k(%X: memref<96xi64>) kernel {
      %i = gpu.global_id x
      %c0 = arith.constant 0 : i64
      %c1 = arith.constant 1 : i64
      %c2 = arith.constant 2 : i64
      %c3 = arith.constant 3 : i64
      %x = memref.load %X[%i] : memref<96xi64>
      %r:2 = scf.while (%a = %x, %k = %c0) : (i64, i64) -> (i64, i64) {
        %cc = arith.cmpi sgt, %a, %c1 : i64
        scf.condition(%cc) %a, %k : i64, i64
      } do {
      ^bb0(%a: i64, %k: i64):
        %m = arith.remsi %a, %c2 : i64
        %e = arith.cmpi eq, %m, %c0 : i64
        %n = scf.if %e -> i64 {
          %h = arith.divsi %a, %c2 : i64
          scf.yield %h : i64
        } else {
          %h = arith.muli %a, %c3 : i64
          %h2 = arith.addi %h, %c1 : i64
          scf.yield %h2 : i64
        }
        %k2 = arith.addi %k, %c1 : i64
        scf.yield %n, %k2 : i64, i64
      }
      memref.store %r#1, %X[%i] : memref<96xi64>
      gpu.return
    }"""


def test_loops_of_different_length():
    def steps(a: int) -> int:
        count = 0
        while a > 1:
            a, count = (a // 2 if a % 2 == 0 else 3 * a + 1), count + 1
        return count

    x = np.arange(1, 97)
    launch(compiled(COLLATZ, "sm_80"), "k", 3, 32, x)
    assert x.tolist() == [steps(k) for k in range(1, 97)]


CAS = """
    gpu.func @k(%X: memref<200xf32>, %Y: memref<1xi32>) kernel {
      %i = gpu.global_id x
      %c0 = arith.constant 0 : index
      %x = memref.load %X[%i] : memref<200xf32>
      %r = memref.generic_atomic_rmw %Y[%c0] : memref<1xi32> {
      ^bb0(%old: i32):
        %f = arith.bitcast %old : i32 to f32
        %m = arith.maximumf %f, %x : f32
        %b = arith.bitcast %m : f32 to i32
        memref.atomic_yield %b : i32
      }
      gpu.return
    }"""


def test_compare_and_swap_loops_are_clean():
    x = np.random.default_rng(3).normal(size=200).astype(np.float32)
    y = np.full(1, -np.inf, np.float32)
    launch(compiled(CAS, "sm_90"), "k", 2, 100, x, y)
    assert y[0] == x.max()


@pytest.mark.parametrize(
    "type, chip", [("f16", "sm_70"), ("f16", "sm_90"), ("bf16", "sm_70"), ("bf16", "sm_80"), ("bf16", "sm_90")]
)
def test_small_floats(type, chip):
    text = f"""
    gpu.func @k(%X: memref<64x{type}>, %Y: memref<64x{type}>) kernel {{
      %i = gpu.global_id x
      %x = memref.load %X[%i] : memref<64x{type}>
      %y = memref.load %Y[%i] : memref<64x{type}>
      %a = arith.extf %x : {type} to f32
      %b = arith.extf %y : {type} to f32
      %m = arith.mulf %a, %b : f32
      %s = arith.truncf %m : f32 to {type}
      %t = arith.addf %s, %x : {type}
      memref.store %t, %Y[%i] : memref<64x{type}>
      gpu.return
    }}"""
    import ml_dtypes

    dtype = np.float16 if type == "f16" else ml_dtypes.bfloat16
    x, y = np.random.default_rng(4).normal(size=(2, 64)).astype(dtype)
    want = (
        (x.astype(np.float32) * y.astype(np.float32)).astype(dtype).astype(np.float32) + x.astype(np.float32)
    ).astype(dtype)
    raw = y.view(np.uint16).copy()
    launch(ptx(text, chip), "k", 1, 64, x.view(np.uint16).copy(), raw)
    assert (raw == want.view(np.uint16)).all()


def test_many_threads_in_several_batches():
    """More threads than run at once, and an end that is no whole block."""
    n = 150_001
    text = f"""
    gpu.func @k(%X: memref<{n}xf32>, %Y: memref<{n}xf32>) kernel {{
      %i = gpu.global_id x
      %c1 = arith.constant 1 : index
      %n = arith.constant {n - 1} : index
      %a = arith.cmpi sge, %i, %c1 : index
      %b = arith.cmpi slt, %i, %n : index
      %c = arith.andi %a, %b : i1
      scf.if %c {{
        %l = arith.subi %i, %c1 : index
        %r = arith.addi %i, %c1 : index
        %x = memref.load %X[%l] : memref<{n}xf32>
        %y = memref.load %X[%r] : memref<{n}xf32>
        %z = arith.subf %y, %x : f32
        memref.store %z, %Y[%i] : memref<{n}xf32>
      }}
      gpu.return
    }}"""
    x = np.random.default_rng(5).normal(size=n).astype(np.float32)
    y = np.zeros(n, np.float32)
    launch(ptx(text), "k", -(-n // 256), 256, x, y)
    assert (y[1:-1] == x[2:] - x[:-2]).all() and y[0] == y[-1] == 0


def test_a_function_is_decoded_once():
    module = Device().load(ptx(COLLATZ))
    assert module.function("k") is module.function("k")


def test_text_of_other_compilers():
    """Typed registers, dynamic shared memory, functions, tables of constants, inline assembly."""
    text = Path(__file__).with_name("nvcc_style.ptx").read_text()
    if ptxas() is not None:
        assert assemble(text, "sm_80") == ""
    x = np.random.default_rng(6).normal(size=120).astype(np.float32)
    y = np.zeros(120, np.float32)
    launch(text, "_Z6kernelPfPKfi", 2, 64, y, x, np.int32(120), shared=256)
    scaled = np.zeros(128, np.float32)
    scaled[:120] = x * np.resize(np.array([1, 0.5, 2, 4], np.float32), 120)
    want = scaled.reshape(2, 64)[:, ::-1].reshape(-1)[:120]
    assert (y == want).all()


def test_the_first_block_may_be_the_target_of_a_branch():
    text = module("again: .reg .b32 %r; .reg .pred %p; mov.u32 %r, %clock; setp.lt.u32 %p, %r, 20; @%p bra again; ret;")
    launch(text, "k", 1, 32)

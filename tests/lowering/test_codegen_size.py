"""What LLVM is asked to do depends on the size of the code, results do not."""

from __future__ import annotations

import numpy as np

from lowering import cpu
from lowering.large import LARGE, effort
from lowering.options import CpuOptions
from tests.lowering.harness import compiled


def many_loops(count: int) -> str:
    """y[i] = sum over loops k of k·x[i], each loop reading what the one before it wrote."""
    body = "\n".join(
        f"""  scf.for %i = %c0 to %n step %c1 {{
    %a{k} = memref.load %y[%i] : memref<?xf64>
    %b{k} = memref.load %x[%i] : memref<?xf64>
    %f{k} = arith.constant {k}.0 : f64
    %p{k} = arith.mulf %b{k}, %f{k} : f64
    %s{k} = arith.addf %a{k}, %p{k} : f64
    %positive{k} = arith.cmpf ogt, %s{k}, %b{k} : f64
    scf.if %positive{k} {{
      memref.store %s{k}, %y[%i] : memref<?xf64>
    }}
  }}"""
        for k in range(1, count + 1)
    )
    return f"""func.func @f(%y: memref<?xf64>, %x: memref<?xf64>) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : memref<?xf64>
{body}
  return
}}"""


def slots(count: int) -> str:
    """y = x + count, where each number on the way is put on the stack, all before any is read, and each is read behind
    a branch: as derivatives of branches in a row do.
    """
    here = [f"%s{k} = memref.alloca() : memref<f64>" for k in range(count)]
    here += [f"memref.store %x, %s{k}[] : memref<f64>" for k in range(count)]
    value = "%x"
    for k in range(count):
        here += [
            f"%l{k} = memref.load %s{k}[] : memref<f64>",
            f"%p{k} = arith.cmpf ogt, %l{k}, %zero : f64",
            f"%v{k} = scf.if %p{k} -> f64 {{",
            f"  %a{k} = arith.addf {value}, %one : f64",
            f"  memref.store %zero, %s{k // 2}[] : memref<f64>",
            f"  scf.yield %a{k} : f64",
            "} else {",
            f"  scf.yield {value} : f64",
            "}",
        ]
        value = f"%v{k}"
    body = "\n".join(f"  {line}" for line in here)
    return f"""func.func @f(%x: f64) -> f64 {{
  %zero = arith.constant 0.0 : f64
  %one = arith.constant 1.0 : f64
{body}
  return {value} : f64
}}"""


def test_large_modules_are_not_unrolled_and_larger_ones_not_vectorised():
    small, large, larger = (effort("; preds = " * n, 3) for n in (200, LARGE[1][0] + 1, LARGE[0][0] + 1))
    assert (small.level, small.vectors, small.unrolling, small.light) == (3, True, True, False)
    assert (large.level, large.vectors, large.unrolling, large.light) == (2, True, False, False)
    assert (larger.vectors, larger.unrolling, larger.light) == (False, False, True)
    assert effort("; preds = " * 10_000, 0).level == 0, "never more than was asked for"


def test_a_large_module_computes_the_same():
    x = np.arange(1.0, 12.0)
    for count in (3, 300, 1200):
        y = np.zeros_like(x)
        compiled(many_loops(count), options=CpuOptions())(y, x)
        expected = np.zeros_like(x)
        for k in range(1, count + 1):
            s = expected + k * x
            expected = np.where(s > x, s, expected)
        np.testing.assert_allclose(y, expected, rtol=1e-14)


def test_numbers_on_the_stack_of_a_large_module_stay_there():
    assert cpu.optimised_ir(slots(30), "f").count("alloca") == 0
    found = cpu.optimised_ir(slots(1200), "f")
    assert found.count("alloca %dsl.slots") == 1, "as parts of one"
    assert found.count(" phi ") < 2 * 1200, "one for each branch, and not one for each number and branch"


def test_numbers_on_the_stack_of_a_large_module_are_what_they_were():
    for count in (30, 1200):
        f = compiled(slots(count), results=["f64"], options=CpuOptions())
        assert f(1.0) == 1.0 + count
        assert f(-1.0) == -1.0

"""What LLVM is asked to do depends on the size of the code, results do not."""

from __future__ import annotations

import numpy as np

from lowering.codegen import _LARGE, _effort
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


def test_large_modules_are_not_unrolled_and_larger_ones_not_vectorised():
    small, large, larger = (_effort("; preds = " * n, 3) for n in (200, _LARGE[1][0] + 1, _LARGE[0][0] + 1))
    assert (small.level, small.vectors, small.unrolling) == (3, True, True)
    assert (large.level, large.vectors, large.unrolling) == (2, True, False)
    assert (larger.level, larger.vectors, larger.unrolling) == (1, False, False)
    assert _effort("; preds = " * 10_000, 0).level == 0, "never more than was asked for"


def test_a_large_module_computes_the_same():
    x = np.arange(1.0, 12.0)
    for count in (3, 300):
        y = np.zeros_like(x)
        compiled(many_loops(count), options=CpuOptions())(y, x)
        expected = np.zeros_like(x)
        for k in range(1, count + 1):
            s = expected + k * x
            expected = np.where(s > x, s, expected)
        np.testing.assert_allclose(y, expected, rtol=1e-14)

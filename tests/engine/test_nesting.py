"""Derivatives of functions that call derivatives, as MLIR: every order, three deep, against closed forms."""

from __future__ import annotations

import itertools
import math

import pytest

from .harness import Compiled, differentiate, request

#: exp(x) sin(x) by way of memory and a loop: the k-th derivative is 2^(k/2) exp(x) sin(x + k pi / 4).
FUNCTION = """
func.func @f(%x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %half = arith.constant 0.5 : f64
  %m = memref.alloc() : memref<1xf64>
  %s = math.sin %x : f64
  memref.store %s, %m[%c0] : memref<1xf64>
  scf.for %i = %c0 to %c2 step %c1 {
    %v = memref.load %m[%c0] : memref<1xf64>
    %h = arith.mulf %x, %half : f64
    %e = math.exp %h : f64
    %w = arith.mulf %v, %e : f64
    memref.store %w, %m[%c0] : memref<1xf64>
  }
  %r = memref.load %m[%c0] : memref<1xf64>
  return %r : f64
}
"""


def level(name: str, mode: str, callee: str) -> str:
    """@name, the derivative of @callee, which calls a derivative in this mode."""
    activity, returns = ("duplicated", "duplicated") if mode == "forward" else ("active", "active")
    return request(f"{name}.asked", mode, callee, "(f64, f64) -> f64", [activity], [returns]) + (
        f"func.func @{name}(%x: f64) -> f64 {{\n  %one = arith.constant 1.0 : f64\n"
        f"  %r = func.call @{name}.asked(%x, %one) : (f64, f64) -> f64\n  return %r : f64\n}}\n"
    )


@pytest.mark.parametrize("modes", list(itertools.product(("forward", "reverse"), repeat=3)), ids="-".join)
def test_three_deep(modes: tuple[str, ...]) -> None:
    names = ["f", "d1", "d2", "d3"]
    text = FUNCTION + "".join(level(names[k + 1], mode, names[k]) for k, mode in enumerate(modes))
    text = differentiate(text)
    for x in (0.3, -1.2):
        for k, name in enumerate(names):
            expected = 2 ** (k / 2) * math.exp(x) * math.sin(x + k * math.pi / 4)
            assert Compiled(text, name, 1)(x)[0] == pytest.approx(expected, rel=1e-12), name

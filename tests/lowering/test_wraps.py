"""Negative indices in innermost loops: asked for once before the loop where their sign is known there."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from lowering.pipeline import context
from lowering.wraps import settle_wraps

X = np.arange(1.0, 11.0)


@dsl.kernel
def forward(x, start, n):
    s = 0.0
    for i in range(n):
        s += x[start + i] * (i + 1)
    return s


@dsl.kernel
def backward(x, start, n):
    s = 0.0
    for i in range(n):
        s += x[start - i] * (i + 1) + x[i - start]
    return s


@dsl.kernel
def strided(x, start, n):
    out = dsl.zeros(len(x))
    for i in range(n):
        out[start + 2 * i] += x[start + 3 * i - 1]
        if i > 0:
            out[i] = x[start - i * 2] + out[start + i]
    return out


@dsl.kernel
def not_steady(x, start, n):
    k = start
    s = 0.0
    for i in range(n):
        s = 2.0 * s + x[k] + x[(i * i - start) % 5 - 3]
        k = -k + i
    return s


@pytest.mark.parametrize("kernel", [forward, backward, strided, not_steady], ids=lambda k: k.name)
@pytest.mark.parametrize("start, n", [(0, 3), (2, 3), (-3, 2), (-2, 4), (1, 3), (3, 0), (-9, 1)])
def test_as_python(kernel, start, n):
    np.testing.assert_array_equal(kernel(X, start, n), kernel.fn(X, start, n))


WRAP = """
func.func @f(%x: memref<?xf64>, %a: index, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %d = memref.dim %x, %c0 : memref<?xf64>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %zero) -> (f64) {
    %k = arith.subi %a, %i : index
    %negative = arith.cmpi slt, %k, %c0 : index
    %w = arith.addi %k, %d : index
    %j = arith.select %negative, %w, %k : index
    %v = memref.load %x[%j] : memref<?xf64>
    %t = arith.addf %s, %v : f64
    scf.yield %t : f64
  }
  return %r : f64
}
"""


def test_the_loop_without_questions():
    from mlir.ir import Location, Module
    from mlir.passmanager import PassManager

    with context(), Location.unknown():
        module = Module.parse(WRAP)
        settle_wraps(module)
        assert module.operation.verify()
        PassManager.parse("builtin.module(canonicalize)").run(module.operation)
        text = str(module)
    plain, asking = text.split("} else {")
    assert "scf.if" in plain and "arith.select" not in plain.split("scf.if")[1]
    assert "arith.select" in asking


def test_what_is_not_steady_is_left():
    from mlir.ir import Location, Module

    with context(), Location.unknown():
        module = Module.parse(WRAP.replace("arith.subi %a, %i", "arith.remsi %a, %i"))
        before = str(module)
        settle_wraps(module)
        assert str(module) == before

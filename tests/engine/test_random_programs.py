"""The engine on random MLIR programs: values, forward and reverse mode, three tangents at once, and second order."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .harness import MEMREF as M
from .harness import Compiled, differentiate, directional, request
from .programs import Program

SIZE, TRIPS = 4, 3
ACTIVE = ["active", "active", "duplicated", "duplicated", "const"]
MOVING = ["duplicated", "duplicated", "duplicated", "duplicated", "const"]
REVERSE = f"(f64, f64, {M}, {M}, {M}, {M}, index, f64) -> (f64, f64, f64)"
FORWARD = f"(f64, f64, f64, f64, {M}, {M}, {M}, {M}, index) -> (f64, f64)"
PRIMAL = ", autodiff.primal, autodiff.public"

#: The gradient of @f reduced to a number: what is differentiated once more for second order.
GRADIENT = f"""
func.func @g(%a: f64, %b: f64, %x0: {M}, %y0: {M}, %m: index) -> f64 {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1.0 : f64
  %two = arith.constant 2.0 : f64
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %x0, %c0 : {M}
  %x = memref.alloc(%n) : {M}
  %y = memref.alloc(%n) : {M}
  memref.copy %x0, %x : {M} to {M}
  memref.copy %y0, %y : {M} to {M}
  %dx = memref.alloc(%n) : {M}
  %dy = memref.alloc(%n) : {M}
  scf.for %i = %c0 to %n step %c1 {{
    memref.store %zero, %dx[%i] : {M}
    memref.store %zero, %dy[%i] : {M}
  }}
  %r:2 = func.call @rev(%a, %b, %x, %dx, %y, %dy, %m, %one) : (f64, f64, {M}, {M}, {M}, {M}, index, f64) -> (f64, f64)
  %t0 = arith.mulf %r#1, %two : f64
  %t1 = arith.addf %r#0, %t0 : f64
  %s = scf.for %i = %c0 to %n step %c1 iter_args(%t = %t1) -> (f64) {{
    %p = memref.load %dx[%i] : {M}
    %q = memref.load %dy[%i] : {M}
    %k = arith.index_cast %i : index to i64
    %kf = arith.sitofp %k : i64 to f64
    %pk = arith.mulf %p, %kf : f64
    %u = arith.addf %t, %pk : f64
    %w = arith.addf %u, %q : f64
    scf.yield %w : f64
  }}
  return %s : f64
}}
"""


def check(text: str, function: str, seed: int, tolerance: float) -> None:
    """`function` of the module against differences, forward against reverse, on random data."""
    text = differentiate(
        text
        + request("rev_entry", "reverse", function, REVERSE, ACTIVE, ["active"], PRIMAL)
        + request("fwd_entry", "forward", function, FORWARD, MOVING, ["duplicated"], PRIMAL)
    )
    primal = Compiled(text, function, 1)
    forward, reverse = Compiled(text, "fwd_entry", 2), Compiled(text, "rev_entry", 3)
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.5, 1.5, 2)
    x, y = rng.uniform(0.5, 1.5, SIZE), rng.uniform(0.5, 1.5, SIZE)
    da, db = rng.uniform(-1, 1, 2)
    dx, dy = rng.uniform(-1, 1, SIZE), rng.uniform(-1, 1, SIZE)

    def value(a: float, b: float, x: np.ndarray, y: np.ndarray) -> float:
        return primal(float(a), float(b), x.copy(), y.copy(), TRIPS)[0]

    expected = value(a, b, x, y)
    out, tangent = forward(a, da, b, db, x.copy(), dx.copy(), y.copy(), dy.copy(), TRIPS)
    gx, gy = np.zeros(SIZE), np.zeros(SIZE)
    out_reverse, ga, gb = reverse(a, b, x.copy(), gx, y.copy(), gy, TRIPS, 1.0)
    np.testing.assert_allclose([out, out_reverse], expected, rtol=1e-12)
    np.testing.assert_allclose(ga * da + gb * db + gx @ dx + gy @ dy, tangent, rtol=1e-8, atol=1e-9)
    point, direction = (a, b, x, y), (da, db, dx, dy)
    near, far = (directional(value, point, direction, h) for h in (1e-4, 2e-4))
    if abs(near - far) < 1e-6 * max(1.0, abs(near)):  # else a branch switches close by
        np.testing.assert_allclose(tangent, near, rtol=tolerance, atol=tolerance)


def program(seed: int, size: int) -> str:
    source = random.Random(seed)
    return Program(lambda n: source.randrange(n), size).text


@pytest.mark.parametrize("seed", range(40))
def test_first_order(seed: int) -> None:
    check(program(seed, 6 + seed % 20), "f", seed, 1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_second_order(seed: int) -> None:
    """Forward over reverse and reverse over reverse."""
    inner = f"(f64, f64, {M}, {M}, {M}, {M}, index, f64) -> (f64, f64)"
    text = program(1000 + seed, 5 + seed) + request("rev", "reverse", "f", inner, ACTIVE, ["active"]) + GRADIENT
    check(text, "g", seed, 1e-5)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_shrinking(data: st.DataObject) -> None:
    """The same with hypothesis choosing, so that a failure comes out as a small program."""
    choose: Callable[[int], int] = lambda n: data.draw(st.integers(0, n - 1))
    check(Program(choose, 10).text, "f", 1, 1e-6)


@pytest.mark.parametrize("seed", [3, 4, 7])
def test_second_order_with_constant_arrays(seed: int) -> None:
    """Reverse over reverse by the scalars only: buffers on the inner tape may then have no shadow (seed 3)."""
    inner = f"(f64, f64, {M}, {M}, {M}, {M}, index, f64) -> (f64, f64)"
    outer = f"(f64, f64, {M}, {M}, index, f64) -> (f64, f64)"
    activity = ["active", "active", "const", "const", "const"]
    text = differentiate(
        program(seed, 9)
        + request("rev", "reverse", "f", inner, ACTIVE, ["active"])
        + GRADIENT
        + request("again", "reverse", "g", outer, activity, ["active"], ", autodiff.public")
    )
    gradient, again = Compiled(text, "g", 1), Compiled(text, "again", 2)
    x, y = np.linspace(0.6, 1.3, SIZE), np.linspace(1.2, 0.7, SIZE)

    def value(a: float, b: float) -> float:
        return gradient(a, b, x.copy(), y.copy(), TRIPS)[0]

    found = again(1.1, 0.9, x.copy(), y.copy(), TRIPS, 1.0)
    expected = [directional(value, (1.1, 0.9), d, 1e-4) for d in ((1.0, 0.0), (0.0, 1.0))]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)

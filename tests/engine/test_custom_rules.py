"""Functions with rules of their own, in every mode, as MLIR: rules that say something else than the body, so that it
shows which of the two was used; and true rules, held against the body's own derivative.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from dialects import pipeline
from dialects.custom.resolve import Config, Made
from dialects.errors import DerivativeError

from .harness import Compiled, differentiate, request

#: sin(x) y, with rules that are right but for a factor: 10 in forward mode, 100 in reverse mode.
SCALAR = """
func.func @f(%x: f64, %y: f64) -> f64 attributes {
    autodiff.forward_rule = @f_forward, autodiff.augment_rule = @f_augment, autodiff.reverse_rule = @f_reverse} {
  %s = math.sin %x : f64
  %r = arith.mulf %s, %y : f64
  return %r : f64
}
func.func @f_forward(%x: f64, %dx: f64, %y: f64, %dy: f64) -> (f64, f64) {
  %ten = arith.constant 10.0 : f64
  %s = math.sin %x : f64
  %c = math.cos %x : f64
  %r = arith.mulf %s, %y : f64
  %cy = arith.mulf %c, %y : f64
  %a = arith.mulf %cy, %dx : f64
  %b = arith.mulf %s, %dy : f64
  %t = arith.addf %a, %b : f64
  %dr = arith.mulf %ten, %t : f64
  return %r, %dr : f64, f64
}
func.func @f_augment(%x: f64, %y: f64) -> (f64, f64, f64) {
  %s = math.sin %x : f64
  %c = math.cos %x : f64
  %r = arith.mulf %s, %y : f64
  return %r, %s, %c : f64, f64, f64
}
func.func @f_reverse(%x: f64, %y: f64, %dr: f64, %s: f64, %c: f64) -> (f64, f64) {
  %hundred = arith.constant 100.0 : f64
  %d = arith.mulf %hundred, %dr : f64
  %cy = arith.mulf %c, %y : f64
  %dx = arith.mulf %d, %cy : f64
  %dy = arith.mulf %d, %s : f64
  return %dx, %dy : f64, f64
}
"""

#: f(f(f(x, y), y), y) by a loop, times x.
LOOP = """
func.func @g(%x: f64, %y: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %r = scf.for %i = %c0 to %c3 step %c1 iter_args(%v = %x) -> f64 {
    %w = func.call @f(%v, %y) : (f64, f64) -> f64
    scf.yield %w : f64
  }
  %p = arith.mulf %r, %x : f64
  return %p : f64
}
"""


def loop(x: float, y: float, factor: float) -> tuple[float, float, float]:
    """LOOP, and its derivatives where those of sin(x) y are multiplied by a factor."""
    v, dx, dy = x, 1.0, 0.0
    for _ in range(3):
        s, c = math.sin(v), math.cos(v)
        dx, dy = factor * c * y * dx, factor * (c * y * dy + s)
        v = s * y
    return v * x, dx * x + v, dy * x


def test_forward_in_a_loop() -> None:
    text = differentiate(
        SCALAR
        + LOOP
        + request(
            "dg",
            "forward",
            "g",
            "(f64, f64, f64, f64) -> (f64, f64)",
            ["duplicated"] * 2,
            ["duplicated"],
            ", autodiff.primal, autodiff.public",
        )
    )
    assert "autodiff." not in text
    value, dx, dy = loop(0.7, 1.3, 10)
    assert Compiled(text, "dg", 2)(0.7, 1.0, 1.3, 0.0) == pytest.approx((value, dx))
    assert Compiled(text, "dg", 2)(0.7, 0.0, 1.3, 1.0) == pytest.approx((value, dy))


def test_reverse_in_a_loop() -> None:
    text = differentiate(
        SCALAR
        + LOOP
        + request(
            "dg",
            "reverse",
            "g",
            "(f64, f64, f64) -> (f64, f64, f64)",
            ["active"] * 2,
            ["active"],
            ", autodiff.primal, autodiff.public",
        )
    )
    assert Compiled(text, "dg", 3)(0.7, 1.3, 1.0) == pytest.approx(loop(0.7, 1.3, 100))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_the_function_itself(mode: str) -> None:
    if mode == "forward":
        asked = request("df", mode, "f", "(f64, f64, f64) -> f64", ["duplicated", "const"], ["duplicated"])
        text, factor = differentiate(SCALAR + asked.replace("{", "{autodiff.public, ")), 10
    else:
        asked = request("df", mode, "f", "(f64, f64, f64) -> f64", ["active", "const"], ["active"])
        text, factor = differentiate(SCALAR + asked.replace("{", "{autodiff.public, ")), 100
    arguments = (0.7, 1.0, 1.3) if mode == "forward" else (0.7, 1.3, 1.0)
    assert Compiled(text, "df", 1)(*arguments) == pytest.approx((factor * math.cos(0.7) * 1.3,))


# true rules against the derivative of the body -----------------------------------------------------------------------
V = "memref<?xf64>"
#: Functions on memory. @dot reads; @square overwrites, its tape is a copy; @cubes returns new memory; @axpy reads and
#: writes what its reverse rule reads as the call left it.
MEMORY = f"""
func.func @dot(%x: {V}, %y: {V}) -> f64 attributes {{
    autodiff.forward_rule = @dot_forward, autodiff.reverse_rule = @dot_reverse}} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %x, %c0 : {V}
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %zero) -> f64 {{
    %a = memref.load %x[%i] : {V}
    %b = memref.load %y[%i] : {V}
    %p = arith.mulf %a, %b : f64
    %t = arith.addf %s, %p : f64
    scf.yield %t : f64
  }}
  return %r : f64
}}
func.func @dot_forward(%x: {V}, %dx: {V}, %y: {V}, %dy: {V}) -> (f64, f64) {{
  %r = func.call @dot(%x, %y) : ({V}, {V}) -> f64
  %a = func.call @dot(%dx, %y) : ({V}, {V}) -> f64
  %b = func.call @dot(%x, %dy) : ({V}, {V}) -> f64
  %t = arith.addf %a, %b : f64
  return %r, %t : f64, f64
}}
func.func @dot_reverse(%x: {V}, %dx: {V}, %y: {V}, %dy: {V}, %d: f64) {{
  func.call @axpy_plain(%d, %y, %dx) : (f64, {V}, {V}) -> ()
  func.call @axpy_plain(%d, %x, %dy) : (f64, {V}, {V}) -> ()
  return
}}
func.func private @axpy_plain(%a: f64, %x: {V}, %y: {V}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : {V}
  scf.for %i = %c0 to %n step %c1 {{
    %v = memref.load %x[%i] : {V}
    %w = memref.load %y[%i] : {V}
    %p = arith.mulf %a, %v : f64
    %t = arith.addf %w, %p : f64
    memref.store %t, %y[%i] : {V}
  }}
  return
}}
func.func @axpy(%a: f64, %x: {V}, %y: {V}) attributes {{
    autodiff.forward_rule = @axpy_forward, autodiff.reverse_rule = @axpy_reverse}} {{
  func.call @axpy_plain(%a, %x, %y) : (f64, {V}, {V}) -> ()
  return
}}
func.func @axpy_forward(%a: f64, %da: f64, %x: {V}, %dx: {V}, %y: {V}, %dy: {V}) {{
  func.call @axpy_plain(%a, %x, %y) : (f64, {V}, {V}) -> ()
  func.call @axpy_plain(%da, %x, %dy) : (f64, {V}, {V}) -> ()
  func.call @axpy_plain(%a, %dx, %dy) : (f64, {V}, {V}) -> ()
  return
}}
func.func @axpy_reverse(%a: f64, %x: {V}, %dx: {V}, %y: {V}, %dy: {V}) -> f64 {{
  func.call @axpy_plain(%a, %dy, %dx) : (f64, {V}, {V}) -> ()
  %da = func.call @dot(%x, %dy) : ({V}, {V}) -> f64
  return %da : f64
}}
func.func @square(%x: {V}) attributes {{autodiff.forward_rule = @square_forward,
    autodiff.augment_rule = @square_augment, autodiff.reverse_rule = @square_reverse}} {{
  func.call @times(%x, %x) : ({V}, {V}) -> ()
  return
}}
func.func private @times(%x: {V}, %y: {V}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : {V}
  scf.for %i = %c0 to %n step %c1 {{
    %v = memref.load %x[%i] : {V}
    %w = memref.load %y[%i] : {V}
    %p = arith.mulf %w, %v : f64
    memref.store %p, %x[%i] : {V}
  }}
  return
}}
func.func @square_forward(%x: {V}, %dx: {V}) {{
  %one = arith.constant 1.0 : f64
  func.call @times(%dx, %x) : ({V}, {V}) -> ()
  func.call @axpy_plain(%one, %dx, %dx) : (f64, {V}, {V}) -> ()
  func.call @square(%x) : ({V}) -> ()
  return
}}
func.func @square_augment(%x: {V}, %dx: {V}) -> ({V}, i1, f64) {{
  %c0 = arith.constant 0 : index
  %two = arith.constant 2.0 : f64
  %true = arith.constant true
  %n = memref.dim %x, %c0 : {V}
  %copy = memref.alloc(%n) : {V}
  memref.copy %x, %copy : {V} to {V}
  func.call @square(%x) : ({V}) -> ()
  return %copy, %true, %two : {V}, i1, f64
}}
func.func @square_reverse(%x: {V}, %dx: {V}, %copy: {V}, %yes: i1, %two: f64) {{
  %zero = arith.constant 0.0 : f64
  %factor = arith.select %yes, %two, %zero : f64
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : {V}
  scf.for %i = %c0 to %n step %c1 {{
    %v = memref.load %copy[%i] : {V}
    %d = memref.load %dx[%i] : {V}
    %p = arith.mulf %d, %v : f64
    %q = arith.mulf %factor, %p : f64
    memref.store %q, %dx[%i] : {V}
  }}
  return
}}
"""


def plain(text: str) -> str:
    """Without the rules: the body is differentiated."""
    return re.sub(r"attributes \{\s*autodiff\.(forward|reverse|augment)_rule[^}]*\} \{", "{", text)


def same(functions: str, asked: str, name: str, results: int, *arguments: Any) -> None:
    """The derivative by the rules gives and does to its arguments what that of the bodies does."""
    seen = []
    for text in (functions, plain(functions)):
        given = [np.array(a) if isinstance(a, np.ndarray) else a for a in arguments]
        seen.append([*Compiled(differentiate(text + asked), name, results)(*given), *given])
    assert plain(functions) != functions
    for found, expected in zip(*seen, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def vector(seed: int, n: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.5, n)


#: In turns: new local memory each time, memory that is overwritten in a loop, a branch, and the result of an axpy.
PROGRAM = f"""
func.func @g(%x: {V}, %y: {V}, %a: f64, %m: index) -> f64 {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %half = arith.constant 0.5 : f64
  %n = memref.dim %x, %c0 : {V}
  %r = scf.for %i = %c0 to %m step %c1 iter_args(%s = %zero) -> f64 {{
    %local = memref.alloc(%n) : {V}
    memref.copy %x, %local : {V} to {V}
    func.call @square(%local) : ({V}) -> ()
    func.call @axpy(%a, %local, %y) : (f64, {V}, {V}) -> ()
    %d = func.call @dot(%local, %y) : ({V}, {V}) -> f64
    %odd = arith.cmpf ogt, %d, %half : f64
    %e = scf.if %odd -> f64 {{
      func.call @square(%y) : ({V}) -> ()
      %u = func.call @dot(%y, %y) : ({V}, {V}) -> f64
      scf.yield %u : f64
    }} else {{
      scf.yield %s : f64
    }}
    %l = math.log1p %e : f64
    %h = arith.mulf %l, %half : f64
    memref.store %h, %y[%c0] : {V}
    %t = arith.addf %s, %h : f64
    scf.yield %t : f64
  }}
  %last = func.call @dot(%x, %y) : ({V}, {V}) -> f64
  %total = arith.addf %r, %last : f64
  return %total : f64
}}
"""
MOVING = ["duplicated", "duplicated", "duplicated", "const"]


def test_memory_forward() -> None:
    asked = request(
        "dg",
        "forward",
        "g",
        f"({V}, {V}, {V}, {V}, f64, f64, index) -> (f64, f64)",
        MOVING,
        ["duplicated"],
        ", autodiff.public, autodiff.primal",
    )
    same(MEMORY + PROGRAM, asked, "dg", 2, vector(1), vector(2), vector(3), vector(4), 0.7, 0.3, 3)


def test_memory_reverse() -> None:
    asked = request(
        "dg",
        "reverse",
        "g",
        f"({V}, {V}, {V}, {V}, f64, index, f64) -> (f64, f64)",
        [*MOVING[:2], "active", "const"],
        ["active"],
        ", autodiff.public, autodiff.primal",
    )
    same(MEMORY + PROGRAM, asked, "dg", 2, vector(1), vector(2), vector(3), vector(4), 0.7, 3, 1.0)
    same(MEMORY + PROGRAM, asked, "dg", 2, vector(1), vector(2), vector(3), vector(4), 0.7, 0, 1.0)


@pytest.mark.parametrize("turns", [0, 3])
def test_memory_in_three_directions(turns: int) -> None:
    """Each direction by a call of its own, between which memory that the call writes is put back."""
    three = f"{V}, {V}, {V}, {V}"
    forward = request(
        "dg",
        "forward",
        "g",
        f"({three}, {three}, f64, vector<3xf64>, index) -> (f64, vector<3xf64>)",
        MOVING,
        ["duplicated"],
        ", autodiff.primal, autodiff.width = 3 : i64",
    )
    reverse = request(
        "eg",
        "reverse",
        "g",
        f"({three}, {three}, f64, index, vector<3xf64>) -> (f64, vector<3xf64>)",
        [*MOVING[:2], "active", "const"],
        ["active"],
        ", autodiff.primal, autodiff.width = 3 : i64",
    )
    vectors = [f"%v{i}: {V}" for i in range(8)]
    names = ", ".join(f"%v{i}" for i in range(8))
    calls = f"""
    func.func @ends({", ".join(vectors)}, %a: f64, %m: index, %s: f64, %t: f64) -> (f64, f64, f64, f64) {{
      %d = vector.from_elements %s, %t, %s : vector<3xf64>
      DO
      %q = vector.extract %u[0] : f64 from vector<3xf64>
      %r = vector.extract %u[1] : f64 from vector<3xf64>
      %w = vector.extract %u[2] : f64 from vector<3xf64>
      return %p, %q, %r, %w : f64, f64, f64, f64
    }}"""
    does = {
        forward: f"%p, %u = func.call @dg({names}, %a, %d, %m) : "
        f"({three}, {three}, f64, vector<3xf64>, index) -> (f64, vector<3xf64>)",
        reverse: f"%p, %u = func.call @eg({names}, %a, %m, %d) : "
        f"({three}, {three}, f64, index, vector<3xf64>) -> (f64, vector<3xf64>)",
    }
    for asked, do in does.items():
        arguments = [vector(k) for k in range(8)]
        same(MEMORY + PROGRAM, asked + calls.replace("DO", do), "ends", 4, *arguments, 0.7, turns, 1.0, 0.4)


@pytest.mark.parametrize("outer", ["forward", "reverse"])
@pytest.mark.parametrize("inner", ["forward", "reverse"])
def test_memory_second_order(inner: str, outer: str) -> None:
    """A derivative of a derivative differentiates the rules (by the rules of what they call)."""
    asks = {
        "forward": request(
            "dg", "forward", "g", f"({V}, {V}, {V}, {V}, f64, f64, index) -> f64", MOVING, ["duplicated"]
        ),
        "reverse": request(
            "dg",
            "reverse",
            "g",
            f"({V}, {V}, {V}, {V}, f64, index, f64) -> f64",
            [*MOVING[:2], "active", "const"],
            ["active"],
        ),
    }
    call = {
        "forward": f"@dg(%x, %dx, %y, %dy, %a, %one, %m) : ({V}, {V}, {V}, {V}, f64, f64, index) -> f64",
        "reverse": f"@dg(%x, %dx, %y, %dy, %a, %m, %one) : ({V}, {V}, {V}, {V}, f64, index, f64) -> f64",
    }[inner]
    first = asks[inner] + (
        f"func.func @h(%x: {V}, %dx: {V}, %y: {V}, %dy: {V}, %a: f64, %m: index) -> f64 {{\n"
        f"  %one = arith.constant 1.0 : f64\n  %r = func.call {call}\n  return %r : f64\n}}\n"
    )
    eight = ", ".join([V] * 8)
    vectors = [vector(k) for k in range(8)]
    if outer == "forward":
        second = request(
            "ddg",
            "forward",
            "h",
            f"({eight}, f64, f64, index) -> f64",
            ["duplicated"] * 5 + ["const"],
            ["duplicated"],
            ", autodiff.public",
        )
        same(MEMORY + PROGRAM, first + second, "ddg", 1, *vectors, 0.7, 0.3, 2)
    else:
        second = request(
            "ddg",
            "reverse",
            "h",
            f"({eight}, f64, index, f64) -> f64",
            ["duplicated"] * 4 + ["active", "const"],
            ["active"],
            ", autodiff.public",
        )
        same(MEMORY + PROGRAM, first + second, "ddg", 1, *vectors, 0.7, 2, 1.0)


def test_memory_split() -> None:
    """The tape of the rules is on the tape between the two functions."""
    asked = request(
        "dg",
        "reverse",
        "g",
        f"({V}, {V}, {V}, {V}, f64, index, f64) -> (f64, f64)",
        [*MOVING[:2], "active", "const"],
        ["active"],
        ", autodiff.public, autodiff.primal, autodiff.split",
    )
    text = differentiate(MEMORY + PROGRAM + asked)
    assert "@dg.augment" in text and "@dg.pullback" in text


# functions that are only declared, and what rules say of themselves ---------------------------------------------------
#: C's cbrt, by rules under which its derivative is that of 2x.
EXTERNAL = """
func.func private @cbrt(f64) -> f64 attributes {
    autodiff.forward_rule = @cbrt_forward, autodiff.reverse_rule = @cbrt_reverse}
func.func @cbrt_forward(%x: f64, %dx: f64) -> (f64, f64) {
  %r = func.call @cbrt(%x) : (f64) -> f64
  %t = arith.addf %dx, %dx : f64
  return %r, %t : f64, f64
}
func.func @cbrt_reverse(%x: f64, %d: f64) -> f64 {
  %t = arith.addf %d, %d : f64
  return %t : f64
}
func.func @g(%x: f64) -> f64 {
  %r = func.call @cbrt(%x) : (f64) -> f64
  return %r : f64
}
"""


@pytest.mark.parametrize("callee", ["g", "cbrt"])
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_declared_function(mode: str, callee: str) -> None:
    kind = "duplicated" if mode == "forward" else "active"
    asked = request(
        "dg", mode, callee, "(f64, f64) -> (f64, f64)", [kind], [kind], ", autodiff.public, autodiff.primal"
    )
    text = differentiate(EXTERNAL + asked)
    assert Compiled(text, "dg", 2)(8.0, 3.0) == pytest.approx((2.0, 6.0))


def test_new_memory_is_returned_in_a_loop() -> None:
    """Results that are memrefs, and a tape that holds them: each is freed once."""
    text = f"""
    func.func @cubes(%x: {V}) -> {V} attributes {{
        autodiff.forward_rule = @cubes_forward,
        autodiff.augment_rule = @cubes_augment, autodiff.reverse_rule = @cubes_reverse}} {{
      %r = func.call @squares(%x) : ({V}) -> {V}
      func.call @times(%r, %x) : ({V}, {V}) -> ()
      return %r : {V}
    }}
    func.func private @squares(%x: {V}) -> {V} {{
      %c0 = arith.constant 0 : index
      %n = memref.dim %x, %c0 : {V}
      %r = memref.alloc(%n) : {V}
      memref.copy %x, %r : {V} to {V}
      func.call @times(%r, %x) : ({V}, {V}) -> ()
      return %r : {V}
    }}
    func.func @cubes_forward(%x: {V}, %dx: {V}) -> ({V}, {V}) {{
      %three = arith.constant 2.0 : f64
      %r = func.call @cubes(%x) : ({V}) -> {V}
      %d = func.call @squares(%x) : ({V}) -> {V}
      func.call @times(%d, %dx) : ({V}, {V}) -> ()
      %e = func.call @squares(%x) : ({V}) -> {V}
      func.call @times(%e, %dx) : ({V}, {V}) -> ()
      func.call @axpy_plain(%three, %e, %d) : (f64, {V}, {V}) -> ()
      return %r, %d : {V}, {V}
    }}
    func.func @cubes_augment(%x: {V}, %dx: {V}) -> ({V}, {V}, {V}) {{
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %zero = arith.constant 0.0 : f64
      %r = func.call @cubes(%x) : ({V}) -> {V}
      %squares = func.call @squares(%x) : ({V}) -> {V}
      %n = memref.dim %x, %c0 : {V}
      %d = memref.alloc(%n) : {V}
      scf.for %i = %c0 to %n step %c1 {{ memref.store %zero, %d[%i] : {V} }}
      return %r, %d, %squares : {V}, {V}, {V}
    }}
    func.func @cubes_reverse(%x: {V}, %dx: {V}, %r: {V}, %dr: {V}, %squares: {V}) {{
      %three = arith.constant 3.0 : f64
      func.call @times(%squares, %dr) : ({V}, {V}) -> ()
      func.call @axpy_plain(%three, %squares, %dx) : (f64, {V}, {V}) -> ()
      return
    }}
    func.func @g(%x: {V}, %y: {V}, %m: index) -> f64 {{
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %zero = arith.constant 0.0 : f64
      %r = scf.for %i = %c0 to %m step %c1 iter_args(%s = %zero) -> f64 {{
        %c = func.call @cubes(%y) : ({V}) -> {V}
        func.call @axpy(%s, %c, %y) : (f64, {V}, {V}) -> ()
        func.call @square(%c) : ({V}) -> ()
        %d = func.call @dot(%c, %x) : ({V}, {V}) -> f64
        %l = math.log %d : f64
        scf.yield %l : f64
      }}
      %c = func.call @cubes(%y) : ({V}) -> {V}
      %d = func.call @dot(%c, %x) : ({V}, {V}) -> f64
      %e = arith.addf %r, %d : f64
      return %e : f64
    }}
    """
    reverse = request(
        "dg",
        "reverse",
        "g",
        f"({V}, {V}, {V}, {V}, index, f64) -> f64",
        ["duplicated", "duplicated", "const"],
        ["active"],
        ", autodiff.public, autodiff.primal",
    )
    forward = request(
        "dg",
        "forward",
        "g",
        f"({V}, {V}, {V}, {V}, index) -> (f64, f64)",
        ["duplicated", "duplicated", "const"],
        ["duplicated"],
        ", autodiff.public, autodiff.primal",
    )
    vectors = [vector(k) for k in range(4)]
    same(MEMORY + text, reverse, "dg", 1, *vectors, 3, 1.0)
    same(MEMORY + text, forward, "dg", 2, *vectors, 3)


def test_constant_arguments_get_memory_to_throw_away() -> None:
    for kinds in ["duplicated", "const"], ["const", "duplicated"]:
        asked = request(
            "dd",
            "reverse",
            "dot",
            f"({', '.join([V] * 3)}, f64) -> f64",
            kinds,
            ["active"],
            ", autodiff.public, autodiff.primal",
        )
        same(MEMORY, asked, "dd", 1, vector(1), vector(2), vector(3), 1.0)


#: x y + x, whose rules for one moving argument are told from the full one by a factor.
SEVERAL = """
func.func @f(%x: f64, %y: f64) -> f64 attributes {
    autodiff.forward_rule = [@only_x, @full], autodiff.reverse_rule = [@back_x, @back]} {
  %p = arith.mulf %x, %y : f64
  return %p : f64
}
func.func @only_x(%x: f64, %dx: f64, %y: f64) -> (f64, f64) attributes {autodiff.activity = ["duplicated", "const"]} {
  %p = arith.mulf %x, %y : f64
  %ten = arith.constant 10.0 : f64
  %t = arith.mulf %dx, %ten : f64
  return %p, %t : f64, f64
}
func.func @full(%x: f64, %dx: f64, %y: f64, %dy: f64) -> (f64, f64) {
  %p = arith.mulf %x, %y : f64
  %t = arith.addf %dx, %dy : f64
  return %p, %t : f64, f64
}
func.func @back_x(%x: f64, %y: f64, %d: f64) -> f64 attributes {autodiff.activity = ["active", "const"]} {
  %ten = arith.constant 10.0 : f64
  %t = arith.mulf %d, %ten : f64
  return %t : f64
}
func.func @back(%x: f64, %y: f64, %d: f64) -> (f64, f64) {
  return %d, %d : f64, f64
}
"""


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_the_first_rule_that_covers_a_call(mode: str) -> None:
    kind = "duplicated" if mode == "forward" else "active"
    public = ", autodiff.public"
    one = request("df", mode, "f", "(f64, f64, f64) -> f64", [kind, "const"], [kind], public)
    other = request("df", mode, "f", "(f64, f64, f64) -> f64", ["const", kind], [kind], public)
    x = (2.0, 1.0, 3.0) if mode == "forward" else (2.0, 3.0, 1.0)
    assert Compiled(differentiate(SEVERAL + one), "df", 1)(*x) == (10.0,)
    assert Compiled(differentiate(SEVERAL + other), "df", 1)(2.0, 3.0, 1.0) == (1.0,)
    only = SEVERAL.replace("[@only_x, @full]", "@only_x").replace("[@back_x, @back]", "@back_x")
    with pytest.raises(DerivativeError, match=f"no {mode} rule of @f .* covers a call whose arguments are"):
        differentiate(only + other)


def test_a_rule_for_all_directions_at_once() -> None:
    text = """
    func.func @f(%x: f64) -> f64 attributes {autodiff.forward_rule = [@two, @one], autodiff.reverse_rule = @back} {
      return %x : f64
    }
    func.func @one(%x: f64, %dx: f64) -> (f64, f64) { return %x, %dx : f64, f64 }
    func.func @two(%x: f64, %dx: vector<2xf64>, %strong: i1) -> (f64, vector<2xf64>)
        attributes {autodiff.width = 2 : i64, autodiff.strong_zero} {
      %t = arith.addf %dx, %dx : vector<2xf64>
      %u = arith.select %strong, %t, %dx : vector<2xf64>
      return %x, %u : f64, vector<2xf64>
    }
    func.func @back(%x: f64, %d: vector<2xf64>) -> vector<2xf64> attributes {autodiff.width = 2 : i64} {
      %t = arith.addf %d, %d : vector<2xf64>
      return %t : vector<2xf64>
    }
    func.func @ends(%x: f64, %a: f64, %b: f64) -> (f64, f64) {
      %d = vector.from_elements %a, %b : vector<2xf64>
      %u = func.call @df(%x, %d) : (f64, vector<2xf64>) -> vector<2xf64>
      %q = vector.extract %u[0] : f64 from vector<2xf64>
      %r = vector.extract %u[1] : f64 from vector<2xf64>
      return %q, %r : f64, f64
    }
    """
    both = "(f64, vector<2xf64>) -> vector<2xf64>"
    width = ", autodiff.width = 2 : i64"
    weak = request("df", "forward", "f", both, ["duplicated"], ["duplicated"], width)
    strong = request("df", "forward", "f", both, ["duplicated"], ["duplicated"], f"{width}, autodiff.strong_zero")
    back = request("df", "reverse", "f", both, ["active"], ["active"], width)
    assert Compiled(differentiate(text + weak), "ends", 2)(1.0, 3.0, 4.0) == (3.0, 4.0)
    assert Compiled(differentiate(text + strong), "ends", 2)(1.0, 3.0, 4.0) == (6.0, 8.0)
    assert Compiled(differentiate(text + back), "ends", 2)(1.0, 3.0, 4.0) == (6.0, 8.0)


def test_an_inactive_function_is_called_and_has_no_derivative() -> None:
    text = f"""
    func.func private @weight(%x: {V}, %count: memref<1xi64>) -> f64 attributes {{autodiff.inactive}} {{
      %c0 = arith.constant 0 : index
      %one = arith.constant 1 : i64
      %n = memref.load %count[%c0] : memref<1xi64>
      %m = arith.addi %n, %one : i64
      memref.store %m, %count[%c0] : memref<1xi64>
      %v = memref.load %x[%c0] : {V}
      return %v : f64
    }}
    func.func @g(%x: {V}, %count: memref<1xi64>) -> f64 {{
      %c0 = arith.constant 0 : index
      %w = func.call @weight(%x, %count) : ({V}, memref<1xi64>) -> f64
      %v = memref.load %x[%c0] : {V}
      %p = arith.mulf %w, %v : f64
      return %p : f64
    }}
    """
    reverse = request(
        "dg",
        "reverse",
        "g",
        f"({V}, {V}, memref<1xi64>, f64) -> f64",
        ["duplicated", "const"],
        ["active"],
        ", autodiff.public, autodiff.primal",
    )
    forward = request(
        "dg",
        "forward",
        "g",
        f"({V}, {V}, memref<1xi64>) -> (f64, f64)",
        ["duplicated", "const"],
        ["duplicated"],
        ", autodiff.public, autodiff.primal",
    )
    x, dx, count = np.array([3.0]), np.zeros(1), np.zeros(1, np.int64)
    assert Compiled(differentiate(text + reverse), "dg", 1)(x, dx, count, 1.0) == (9.0,)
    assert (dx[0], count[0]) == (3.0, 1)
    assert Compiled(differentiate(text + forward), "dg", 2)(x, np.ones(1), count) == (9.0, 3.0)
    itself = request(
        "dw",
        "reverse",
        "weight",
        f"({V}, {V}, memref<1xi64>, f64) -> ()",
        ["duplicated", "const"],
        ["active"],
        ", autodiff.public",
    )
    dx[0] = 0
    Compiled(differentiate(text + itself), "dw", 0)(x, dx, count, 1.0)
    assert (dx[0], count[0]) == (0.0, 3)


def test_rules_made_on_demand() -> None:
    """The engine says what it needs a rule for, and takes just that."""
    text = """
    func.func @f(%x: f64, %y: f64) -> f64 attributes {
        autodiff.forward_rule, autodiff.augment_rule, autodiff.reverse_rule} {
      return %x : f64
    }
    """
    asked: list[tuple[str, str, Config]] = []
    made = {
        "forward": "func.func @made(%x: f64, %y: f64, %dy: f64) -> (f64, f64) { return %x, %dy : f64, f64 }",
        "reverse": "func.func @made(%x: f64, %y: f64, %d: f64) -> f64 { return %d : f64 }",
    }

    def make(function: str, part: str, config: Config) -> Made | None:
        asked.append((function, part, config))
        return Made(made[part], "made") if part in made else None

    for mode, kind in (("forward", "duplicated"), ("reverse", "active")):
        module = pipeline.parse(
            text + request("df", mode, "f", "(f64, f64, f64) -> f64", ["const", kind], [kind], ", autodiff.public")
        )
        pipeline.differentiate(module, make)
        assert Compiled(str(module), "df", 1)(2.0, 3.0, 5.0) == (5.0,)
        assert asked.pop() == ("f", mode, Config(("const", kind), (kind,), 1, False, (False, False), False))
        assert all(part == "augment" for _, part, _ in asked)
    module = pipeline.parse(
        text + request("df", "forward", "f", "(f64, f64, f64) -> f64", ["duplicated", "const"], ["duplicated"])
    )
    with pytest.raises(DerivativeError, match="made on demand, and nobody here makes it"):
        pipeline.differentiate(module)


# what is refused ------------------------------------------------------------------------------------------------------
def refused(text: str, mode: str = "reverse", asked: str | None = None) -> str:
    kind = "duplicated" if mode == "forward" else "active"
    whole = text + (asked or request("df", mode, "f", "(f64, f64) -> f64", [kind], [kind]))
    with pytest.raises(DerivativeError) as caught:
        differentiate(whole)
    assert caught.value.loc is None or caught.value.loc[1] > 0
    return caught.value.message


def one(attributes: str, rules: str) -> str:
    return f"func.func @f(%x: f64) -> f64 attributes {{{attributes}}} {{ return %x : f64 }}\n{rules}"


FORWARD = "func.func @g(%x: f64, %dx: f64) -> (f64, f64) { return %x, %dx : f64, f64 }"
REVERSE = "func.func @r(%x: f64, %d: f64) -> f64 { return %d : f64 }"


def test_a_missing_rule() -> None:
    message = refused(one("autodiff.forward_rule = @g", FORWARD))
    assert (
        message == "@f has no reverse rule: it has one for forward mode, and this derivative is taken in reverse mode"
    )
    message = refused(one("autodiff.reverse_rule = @r", REVERSE), "forward")
    assert (
        message == "@f has no forward rule: it has one for reverse mode, and this derivative is taken in forward mode"
    )
    assert "there is no function @r" in refused(one("autodiff.reverse_rule = @r", ""))
    assert 'autodiff.reverse_rule is "r"' in refused(one('autodiff.reverse_rule = "r"', REVERSE))


def test_a_rule_of_another_type() -> None:
    message = refused(one("autodiff.reverse_rule = @r", "func.func @r(%x: f64) -> f64 { return %x : f64 }"))
    assert message == "@r as the reverse rule of @f has type (f64, f64) -> f64; it is (f64) -> f64"
    wrong = "func.func @g(%x: f64, %dx: f64) -> f64 { return %x : f64 }"
    message = refused(one("autodiff.forward_rule = @g", wrong), "forward")
    assert message == "@g as the forward rule of @f has type (f64, f64) -> (f64, f64); it is (f64, f64) -> f64"
    tape = "func.func @a(%x: f64) -> (f64, i64) { %c = arith.constant 1 : i64\n return %x, %c : f64, i64 }"
    message = refused(one("autodiff.augment_rule = @a, autodiff.reverse_rule = @r", REVERSE + tape))
    assert message == "@r as the reverse rule of @f has type (f64, f64, i64) -> f64; it is (f64, f64) -> f64"


def test_memory_that_is_not_the_rules_own() -> None:
    asked = request("ds", "reverse", "square", f"({V}, {V}) -> ()", ["duplicated"], [])
    borrowed = MEMORY.replace("return %copy, %true", "return %x, %true")
    assert "@square_augment returns memory that is not its own" in refused(borrowed, asked=asked)
    # an output array, given as constant
    asked = request("da", "reverse", "axpy", f"(f64, {V}, {V}) -> f64", ["active", "const", "const"], [])
    assert "argument 2 is Const, but data that an active argument reaches is stored in it" in refused(
        MEMORY, asked=asked
    )


def test_an_inactive_function_may_not_write_active_memory() -> None:
    text = (
        f"func.func private @show({V}) attributes {{autodiff.inactive EXTRA}}"
        + f"""
    func.func @g(%x: {V}) -> f64 {{
      %c0 = arith.constant 0 : index
      func.call @show(%x) : ({V}) -> ()
      %v = memref.load %x[%c0] : {V}
      return %v : f64
    }}"""
    )
    asked = request("dg", "reverse", "g", f"({V}, {V}, f64) -> ()", ["duplicated"], ["active"])
    message = refused(text.replace("EXTRA", ""), asked=asked)
    assert message == "@show is inactive, but may write memory that holds active data"
    differentiate(text.replace("EXTRA", ", autodiff.writes = array<i64>") + asked)
    assert "names argument 3" in refused(text.replace("EXTRA", ", autodiff.writes = array<i64: 3>"), asked=asked)

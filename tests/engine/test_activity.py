"""Activity analysis by itself: the states that it writes on the IR, against those expected, and each case run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dialects import pipeline, show
from dialects.errors import DerivativeError

from .checks import filecheck, function
from .harness import MEMREF as M
from .harness import Compiled, differentiate, request

PUBLIC = ", autodiff.primal, autodiff.public"
HEAD = "%c0 = arith.constant 0 : index\n%c1 = arith.constant 1 : index\n"


def annotated(text: str) -> str:
    return show.activity(pipeline.parse(text))


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    return lambda text, patterns: filecheck(annotated(text), patterns, tmp_path, monkeypatch)


def reverse(signature: str, activity: list[str], returns: list[str], mode: str = "reverse") -> str:
    return request("df", mode, "f", signature, activity, returns, PUBLIC)


SCALARS = """
func.func @f(%a: f64, %b: f64) -> f64 {
  %v = math.exp %a : f64
  %u = math.sin %b : f64
  %p = arith.mulf %v, %u : f64
  %n = arith.fptosi %v : f64 to i64
  return %p : f64
}
"""


def test_scalars(check) -> None:  # type: ignore[no-untyped-def]
    """By a alone: what comes of it is active, what the product needs of b is useful only, integers are nothing."""
    check(
        SCALARS + reverse("(f64, f64, f64) -> (f64, f64)", ["active", "const"], ["active"]),
        """
        : autodiff.arguments = ["active", "const"], autodiff.returns = ["active"]
        -SAME: autodiff.states = ["active", "useful"]
        : math.exp {{.*}}{autodiff.active, autodiff.results = ["active"]}
        : math.sin {{.*}}{autodiff.results = ["useful"]}
        : arith.mulf {{.*}}{autodiff.active, autodiff.results = ["active"]}
        """,
    )
    text = differentiate(SCALARS + reverse("(f64, f64, f64) -> (f64, f64)", ["active", "const"], ["active"]))
    value, gradient = Compiled(text, "df", 2)(0.3, 0.7, 1.0)
    assert value == pytest.approx(np.exp(0.3) * np.sin(0.7)) == gradient


def test_varied_only(check) -> None:  # type: ignore[no-untyped-def]
    """What an active argument reaches but no result depends on is varied, not active."""
    text = f"""
func.func @f(%a: f64, %x: {M}) -> f64 {{
  {HEAD}
  %t = memref.alloc(%c1) : {M}
  %v = math.exp %a : f64
  memref.store %v, %t[%c0] : {M}
  %k = memref.load %t[%c0] : {M}
  %i = arith.cmpf olt, %k, %a : f64
  %one = arith.constant 1.0 : f64
  %w = scf.if %i -> (f64) {{
    scf.yield %one : f64
  }} else {{
    scf.yield %a : f64
  }}
  return %w : f64
}}
"""
    text += reverse(f"(f64, {M}, f64) -> (f64, f64)", ["active", "const"], ["active"])
    check(
        text,
        """
        : autodiff.states = ["active", "const"]
        : memref.alloc{{.*}}autodiff.results = ["varied"]
        -NOT: active
        : math.exp {{.*}}{autodiff.results = ["varied"]}
        : memref.store {{.*}}{autodiff.writes = ["varied"]}
        : arith.select {{.*}}{autodiff.active, autodiff.results = ["active"]}
        """,
    )
    assert Compiled(differentiate(text), "df", 2)(0.3, np.zeros(1), 1.0) == (0.3, 1.0)


def test_calls(check) -> None:  # type: ignore[no-untyped-def]
    """Activity passes through calls, by value and through memory that the callee writes (in a loop: what is stored at
    a known place and loaded again does not go through memory any more)."""
    text = f"""
func.func private @put(%t: {M}, %v: f64, %n: index) {{
  {HEAD}
  %w = arith.mulf %v, %v : f64
  scf.for %i = %c0 to %n step %c1 {{
    memref.store %w, %t[%i] : {M}
  }}
  return
}}
func.func @f(%a: f64, %n: index) -> f64 {{
  {HEAD}
  %t = memref.alloc(%n) : {M}
  func.call @put(%t, %a, %n) : ({M}, f64, index) -> ()
  %r = memref.load %t[%c0] : {M}
  return %r : f64
}}
"""
    text += reverse("(f64, index, f64) -> (f64, f64)", ["active", "const"], ["active"])
    check(
        text,
        """
        : memref.alloc{{.*}}autodiff.active, autodiff.results = ["active"]
        -NOT: func.call
        : arith.mulf {{.*}}autodiff.active
        : memref.store {{.*}}autodiff.active, autodiff.writes = ["active"]
        : memref.load {{.*}}autodiff.active
        """,
    )
    assert Compiled(differentiate(text), "df", 2)(3.0, 2, 1.0) == (9.0, 6.0)


def test_views(check) -> None:  # type: ignore[no-untyped-def]
    """A view of active memory is active; one of memory that only holds constants is not."""
    view = "memref<?xf64, strided<[1], offset: ?>>"
    text = f"""
func.func @f(%x: {M}, %y: {M}) -> f64 {{
  {HEAD}
  %s = memref.subview %x[%c1] [%c1] [1] : {M} to {view}
  %t = memref.subview %y[%c1] [%c1] [1] : {M} to {view}
  %a = memref.load %s[%c0] : {view}
  %b = memref.load %t[%c0] : {view}
  %r = arith.mulf %a, %b : f64
  return %r : f64
}}
"""
    text += reverse(f"({M}, {M}, {M}, f64) -> (f64)", ["duplicated", "const"], ["active"])
    check(
        text,
        """
        : autodiff.states = ["active", "useful"]
        : memref.subview %arg0{{.*}}{autodiff.active, autodiff.results = ["active"]}
        : memref.subview %arg1{{.*}}{autodiff.results = ["useful"]}
        : memref.load {{.*}}{autodiff.active
        : memref.load {{.*}}{autodiff.results = ["useful"]}
        """,
    )
    x, dx, y = np.array([1.0, 2.0]), np.zeros(2), np.array([5.0, 7.0])
    assert Compiled(differentiate(text), "df", 1)(x, dx, y, 1.0) == (14.0,)
    assert list(dx) == [0.0, 7.0]


def test_carried_memory(check) -> None:  # type: ignore[no-untyped-def]
    """Two buffers that a loop swaps (the iteration's number tells which is which): what is active in one is in both; a
    carried scalar has a state of its own."""
    text = f"""
func.func @f(%a: f64, %n: index) -> f64 {{
  {HEAD}
  %zero = arith.constant 0.0 : f64
  %p = memref.alloc(%c1) : {M}
  %q = memref.alloc(%c1) : {M}
  memref.store %a, %p[%c0] : {M}
  memref.store %zero, %q[%c0] : {M}
  %r:3 = scf.for %i = %c0 to %n step %c1 iter_args(%u = %p, %v = %q, %s = %a) -> ({M}, {M}, f64) {{
    %k = memref.load %u[%c0] : {M}
    %w = math.sin %k : f64
    memref.store %w, %v[%c0] : {M}
    %s1 = arith.mulf %s, %k : f64
    scf.yield %v, %u, %s1 : {M}, {M}, f64
  }}
  %o = memref.load %r#0[%c0] : {M}
  %t = arith.addf %o, %r#2 : f64
  return %t : f64
}}
"""
    text += reverse("(f64, index, f64) -> (f64, f64)", ["active", "const"], ["active"])
    check(
        text,
        """
        : memref.alloc{{.*}}autodiff.results = ["active"]
        : memref.alloc{{.*}}autodiff.results = ["active"]
        : scf.for
        : arith.select {{.*}}autodiff.results = ["active"]} : memref
        : arith.select {{.*}}autodiff.results = ["active"]} : memref
        : } {autodiff.active, autodiff.carried = ["active"], autodiff.results = ["active"]}
        """,
    )
    df = Compiled(differentiate(text), "df", 2)
    value, gradient = df(0.8, 2, 1.0)
    sines = np.sin(np.sin(0.8))
    assert value == pytest.approx(sines + 0.8 * 0.8 * np.sin(0.8))
    step = 1e-6
    assert gradient == pytest.approx((df(0.8 + step, 2, 1.0)[0] - df(0.8 - step, 2, 1.0)[0]) / (2 * step), rel=1e-8)


def test_stop(check) -> None:  # type: ignore[no-untyped-def]
    """Nothing passes autodiff.stop: what is before it is not useful, what is after it is not varied."""
    text = """
func.func @f(%a: f64) -> f64 {
  %v = math.exp %a : f64
  %s = "autodiff.stop"(%v) : (f64) -> f64
  %r = arith.mulf %s, %a : f64
  return %r : f64
}
"""
    text += reverse("(f64, f64) -> (f64, f64)", ["active"], ["active"])
    check(
        text,
        """
        : math.exp {{.*}}{autodiff.results = ["varied"]}
        : autodiff.stop{{.*}}autodiff.results = ["useful"]
        : arith.mulf {{.*}}{autodiff.active
        """,
    )
    value, gradient = Compiled(function(differentiate(text), "df"), "df", 2)(0.3, 1.0)
    assert gradient == pytest.approx(np.exp(0.3)) and value == pytest.approx(0.3 * np.exp(0.3))


def test_deterministic() -> None:
    """The same module gives the same text each time."""
    text = SCALARS + reverse("(f64, f64, f64) -> (f64, f64)", ["active", "const"], ["active"])
    assert len({annotated(text) for _ in range(5)}) == 1


def test_constant_target() -> None:
    """Active data in memory that has no shadow is an error at the store, which says which argument it is."""
    text = f"""
func.func @f(%a: f64, %x: {M}) -> f64 {{
  {HEAD}
  memref.store %a, %x[%c0] : {M}
  %r = memref.load %x[%c0] : {M}
  return %r : f64
}}
"""
    text += reverse(f"(f64, {M}, f64) -> (f64, f64)", ["active", "const"], ["active"])
    with pytest.raises(DerivativeError, match="argument 1 is Const") as caught:
        differentiate(text)
    assert caught.value.argument == 1 and caught.value.op_name == "memref.store" and caught.value.loc is not None

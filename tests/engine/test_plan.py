"""How the reverse sweep gets its values: what it tapes and why, and what it does with each loop; each case also run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Reverse
from tests.derivatives import check_derivatives


@dsl.kernel
def carried(x, n):
    for t in range(n):
        x = math.sin(x) + x * x
    return x


@dsl.kernel
def carried_linear(x, n):
    for t in range(n):
        x = 0.9 * x + 1.0
    return x


@dsl.kernel
def overwritten(x, n):
    for t in range(n):
        for i in range(1, len(x)):
            x[i] = x[i] * math.sin(x[i - 1])
    return x[len(x) - 1]


@dsl.kernel
def inner_result(x, y):
    s = 0.0
    for i in range(len(x)):
        q = 0.0
        for j in range(len(y)):
            q += x[i] * y[j]
        s += math.exp(-q)
    return s


@dsl.kernel
def root(a, x):
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


@dsl.kernel
def narrow(x, n):
    a = x
    b = x * 0.5
    c = x * 0.25
    d = 0.0
    for t in range(n):
        k = math.sin(a + b * c)
        d += k * k * k
        a, b, c = b + 0.1 * k, c + 0.2, a
    return d


@dsl.kernel
def swapped(x, n):
    a = dsl.zeros(3)
    for t in range(n):
        b = dsl.zeros(3)
        for i in range(3):
            b[i] = a[i] * x + math.sin(a[i]) + x
        a = b
    return a[0] + a[1]


@dsl.kernel
def branches(x, n):
    for t in range(n):
        if x > 0.5:
            x = math.sin(x)
        else:
            x = math.exp(x) * 0.4
    return x


def explained(kernel: Any, *values: Any) -> Any:
    marked = [
        Duplicated(v.copy(), np.zeros_like(v))
        if isinstance(v, np.ndarray)
        else Active(v)
        if type(v) is float
        else Const(v)
        for v in values
    ]
    return kernel.explain(Reverse, Active, *marked)


X = np.array([0.7, 0.9, 1.2, 0.8])
CASES: list[tuple[Any, tuple[Any, ...]]] = [
    (carried, (0.4, 5)),
    (carried_linear, (0.4, 5)),
    (overwritten, (X, 3)),
    (inner_result, (X, X[:3])),
    (narrow, (0.3, 4)),
    (swapped, (0.3, 4)),
    (branches, (0.3, 6)),
]


@pytest.mark.parametrize(("kernel", "values"), CASES, ids=[k.name for k, _ in CASES])
def test_numbers(kernel: Any, values: tuple[Any, ...]) -> None:
    check_derivatives(kernel, *values)


def reasons(explanation: Any) -> list[str]:
    return [value.reason for value in explanation.tape]


def line(kernel: Any, part: str) -> int:
    """The number of the kernel's line with this text."""
    source = kernel.source
    return source.line + next(i for i, text in enumerate(source.text.splitlines()) if part in text)


def test_carried() -> None:
    e = explained(carried, 0.4, 5)
    (value,) = e.tape
    assert (value.name, value.type, value.bytes, value.grows) == ("x", "float64", 40, False)
    assert value.reason == f"carried from one iteration to the next by the loop on line {line(carried, 'for t')}"


def test_linear_loops_tape_nothing() -> None:
    assert explained(carried_linear, 0.4, 5).bytes == 0


def test_overwritten() -> None:
    """Both loads, once: the replay of the outer loop reads them where the forward loop left them."""
    e = explained(overwritten, X, 3)
    assert sorted(v.name for v in e.tape) == ["x[i - 1]", "x[i]"] and e.bytes == 2 * 8 * 3 * 3
    store = line(overwritten, "x[i] =")
    assert set(reasons(e)) == {f"read from memory that line {store} overwrites"}
    notes = next(s.notes for s in e.lines if s.number == line(overwritten, "for t"))
    assert any("replayed" in n and f"line {store}" in n for n in notes)


def test_results_of_inner_loops_are_recomputed() -> None:
    """The sum q of a point is needed by exp; the point's iteration is run again for it."""
    e = explained(inner_result, X, X[:3])
    assert e.bytes == 0 and not e.tape
    (note,) = next(s.notes for s in e.lines if s.number == line(inner_result, "for i"))
    assert note == "no forward run; fused: each iteration is run just before its reverse"


def test_while() -> None:
    e = explained(root, 2.0, 1.0)
    (value,) = e.tape
    assert value.grows and value.name == "x" and value.bytes == 64 * 8 + 8 + 40  # first buffer, its count and its cell
    assert dsl.autodiff(Reverse, root, Active, Active(2.0), Const(1.0))[0][0] == pytest.approx(0.5 / math.sqrt(2.0))


def test_minimum_cut() -> None:
    """One value that is computed from three carried ones is taped in their place."""
    e = explained(narrow, 0.3, 4)
    names = {v.name: v for v in e.tape}
    assert "k" not in names or "minimum cut" in names["k"].reason
    assert e.bytes is not None and e.bytes <= 3 * 8 * 4


def test_arrays_that_travel() -> None:
    e = explained(swapped, 0.3, 4)
    assert any(v.what == "the shadow of" and v.grows for v in e.tape)
    assert any("does not have any more" in r for r in reasons(e))


def test_branches() -> None:
    (value,) = explained(branches, 0.3, 6).tape
    assert value.bytes == 48 and "carried" in value.reason


def test_reasons_are_there_without_values() -> None:
    e = carried.explain(Reverse, Active, Active[float], Const[int])
    assert e.bytes is None and [v.bytes for v in e.tape] == [None] and "carried" in e.tape[0].reason


def test_findings_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Expansion` itself has reasons and loops."""
    from dialects import pipeline

    from .harness import request

    text = """
func.func @f(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> (f64) {
    %s = math.sin %a : f64
    scf.yield %s : f64
  }
  return %r : f64
}
"""
    module = pipeline.parse(
        text + request("df", "reverse", "f", "(f64, index, f64) -> f64", ["active", "const"], ["active"])
    )
    (expansion,) = pipeline.differentiate(module)
    (taped,), (loop,) = expansion.taped, expansion.loops
    assert taped.reason.text == "carried from one iteration to the next by the loop on line N"
    assert taped.reason.place == taped.position == loop.position == taped.loops[0]
    assert taped.given is not None and taped.given[1] == taped.position[1] + 1
    assert taped.storage == "buffer" and not loop.replayed and loop.outermost

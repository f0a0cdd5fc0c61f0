"""`kernel.explain` and `kernel.tape_bytes`: what they say, for all kinds of arguments, and that they change nothing."""

from __future__ import annotations

import dataclasses
import io
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Forward, MixedDuplicated, Ref, Reverse, ReverseWithPrimal, errors
from dsl.explain import Explanation


@dsl.kernel
def rate(u):
    return u * math.sin(u)


@dsl.kernel
def walk(x, n):
    k = 3 * n
    for t in range(n):
        x = x + 0.1 * rate(x)
    return x


@dsl.kernel
def smooth(x, n):
    for t in range(n):
        for i in range(1, len(x)):
            x[i] = x[i] * math.sin(x[i - 1])
    return x[len(x) - 1]


@dataclasses.dataclass
class Params:
    w: np.ndarray
    b: float


@dsl.kernel
def model(p, x, n):
    s = p.b
    for t in range(n):
        s = math.tanh(s * p.w[t] + x[t])
    p.b = s
    return s


def row(explanation: Explanation, text: str) -> str:
    """The row of the printed listing with this source text."""
    return next(line for line in explanation.plain.splitlines() if text in line and "^" not in line)


def test_listing() -> None:
    e = walk.explain(Reverse, Active, Active(0.5), Const(6))
    assert e.plain.splitlines()[:2] == ["walk(x: Active, n: Const), Reverse", "tape: 1 value, 48 bytes"]
    assert row(e, "def walk").endswith("| def walk(x, n):")
    first = walk.loc.line
    assert row(e, "x = x + 0.1").split("|")[0].split() == [str(first + 3), "A"]
    assert row(e, "for t").split("|")[0].split() == [str(first + 2), "AT"]
    assert row(e, "k = 3 * n").split("|")[0].split() == [str(first + 1)]
    assert (
        "^ taped `x` (float64, 6 x 8 = 48 bytes, for each iteration of the loop on line "
        f"{first + 2}): carried from one iteration to the next by the loop on line {first + 2}" in e.plain
    )


def test_functions_that_are_called_are_listed() -> None:
    e = walk.explain(Reverse, Active, Active(0.5), Const(6))
    assert row(e, "return u * math.sin(u)").split("|")[0].split() == [str(rate.loc.line + 1), "A"]
    assert [lines[0].text for _, lines in e.listing] == ["def walk(x, n):", "def rate(u):"]


def test_values() -> None:
    e = walk.explain(Reverse, Active, Active(0.5), Const(6))
    (value,) = e.tape
    assert (value.name, value.line, value.bytes, value.grows) == ("x", walk.loc.line + 2, 48, False)
    assert str(value).startswith("`x` (float64, 48 bytes; a buffer sized before the loops): carried")
    assert e.bytes == 48 == walk.tape_bytes(Reverse, Active, Active(0.5), Const(6))


def test_types() -> None:
    """Without values there is nothing to run, and no bytes."""
    e = walk.explain(Reverse, Active, Active[float], Const[int])
    assert e.bytes is None and e.tape[0].bytes is None and "tape: 1 value\n" in e.plain
    assert "float64, 8 bytes, for each iteration of the loop" in e.plain
    with pytest.raises(errors.ArgumentError):
        walk.tape_bytes(Reverse, Active, Active[float], Const[int])


def test_forward_mode_has_no_tape() -> None:
    e = walk.explain(Forward, Duplicated(0.5, 1.0), Const(6))
    assert "tape" not in e.plain and not e.tape and row(e, "x = x + 0.1").split("|")[0].split()[1] == "A"
    assert walk.tape_bytes(Forward, Duplicated(0.5, 1.0), Const(6)) == 0


def test_nothing_of_the_users_changes() -> None:
    x, dx = np.linspace(0.5, 1.0, 5), np.zeros(5)
    before = x.copy()
    assert smooth.tape_bytes(Reverse, Active, Duplicated(x, dx), Const(3)) == 3 * 4 * 2 * 8
    smooth.explain(ReverseWithPrimal, Active, Duplicated(x, dx), Const(3))
    assert np.array_equal(x, before) and not dx.any()
    p, dp = Params(np.ones(3), 0.5), Ref(Params(np.zeros(3), 1.0))
    assert model.tape_bytes(Reverse, Active, MixedDuplicated(p, dp), Const(np.ones(3)), Const(3)) > 0
    assert (p.b, dp.value.b) == (0.5, 1.0) and not dp.value.w.any()


def test_strided_arrays() -> None:
    x, dx = np.linspace(0.5, 1.0, 10)[::2], np.zeros(10)[::2]
    assert smooth.tape_bytes(Reverse, Active, Duplicated(x, dx), Const(3)) == 3 * 4 * 2 * 8


def test_one_variant_for_many_sizes() -> None:
    sizes = [walk.tape_bytes(Reverse, Active, Active(0.5), Const(n)) for n in (0, 1, 10)]
    assert sizes == [0, 8, 80]


def test_refusals_and_errors_of_the_call_itself() -> None:
    x = np.ones(3)
    with pytest.raises(errors.ArgumentError, match=r"walk\.explain needs a mode first"):
        walk.explain(0.5, 6)  # type: ignore[arg-type]
    with pytest.raises(errors.ArgumentError, match=r"walk\.tape_bytes needs a mode first"):
        walk.tape_bytes(0.5, 6)  # type: ignore[arg-type]
    with pytest.raises(errors.DslError):
        smooth.tape_bytes(Reverse, Active, Duplicated(x, x), Const(3))
    checked = dsl.kernel(boundscheck=True)(smooth.fn)
    with pytest.raises(errors.DslError):
        checked.tape_bytes(Reverse, Active, Const(x))


def test_bounds_are_checked_in_the_counted_call() -> None:
    @dsl.kernel(boundscheck=True)
    def beyond(x, n):
        s = 0.0
        for i in range(n):
            s = math.sin(s + x[i])
        return s

    marked = [Active, Duplicated(np.ones(3), np.zeros(3))]
    assert beyond.tape_bytes(Reverse, *marked, Const(3)) >= 3 * 8
    with pytest.raises(IndexError, match=r"x\[i\]"):
        beyond.tape_bytes(Reverse, *marked, Const(4))


def test_kernel_of_a_text() -> None:
    k = dsl.kernel(source="def f(x, n):\n    for t in range(n):\n        x = x * x\n    return x\n")
    e = k.explain(Reverse, Active, Active(0.5), Const(4))
    assert e.tape[0].name == "x" and row(e, "x = x * x").startswith("3 A")


def test_lambda() -> None:
    e = dsl.kernel(lambda x: x * x).explain(Reverse, Active, Active(2.0))
    assert e.bytes == 0 and [line.state for line in e.lines] == ["active"]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    e = walk.explain(Reverse, Active, Active(0.5), Const(6))
    assert "\x1b[" not in str(e)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", _Terminal())
    text = str(e)
    monkeypatch.undo()
    assert "\x1b[" in text and "carried from one iteration" in text


def test_notebook() -> None:
    html = walk.explain(Reverse, Active, Active(0.5), Const(6))._repr_html_()
    assert html.startswith("<pre") and "<span" in html and "x = x + 0.1 * rate(x)" in html


def test_a_constant_buffer_is_refused_by_name() -> None:
    @dsl.kernel
    def scale(x, out, k):
        for i in range(len(x)):
            out[i] = k * x[i]
        return dsl.sum(out)

    x = np.ones(3)
    marked = [Active, Duplicated(x, np.zeros(3)), Const(np.zeros(3)), Const(2.0)]
    for refused in (lambda: scale.explain(Reverse, *marked), lambda: dsl.autodiff(Reverse, scale, *marked)):
        with pytest.raises(errors.DifferentiationError, match="`out` is Const") as caught:
            refused()
        assert caught.value.loc is not None and caught.value.loc.line == scale.loc.line + 2


def test_a_constant_field_is_refused_by_its_path() -> None:
    @dsl.kernel
    def put(p, x):
        p.w[0] = x * x
        return p.w[0]

    with pytest.raises(errors.DifferentiationError, match=r"`p\.w` is Const"):
        dsl.autodiff(Reverse, put, Active, Const(Params(np.ones(1), 1.0)), Active(2.0))


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    """The listing in docs/explain.md is the real one."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "explain.md").read_text()
    before, code, listing = page.split("```")[:2] + [page.split("```")[3]]
    file = tmp_path / "explain_page.py"
    file.write_text("\n" * before.count("\n") + code.removeprefix("python"))
    names: dict[str, Any] = {"__name__": "explain_page"}
    exec(compile(file.read_text(), str(file), "exec"), names)
    assert names["e"].plain.rstrip() == listing.removeprefix("text\n").rstrip()

"""`kernel.ir`: every stage, for values and for types, with the source line of each op; and how it is shown."""

from __future__ import annotations

import io
import pickle
import re
import sys

import numpy as np
import pytest

import dsl
from dsl import errors, types
from dsl.listing import IRText, with_source_lines

A1 = types.ArrayType(dsl.float64, 1)
STRIDED = types.ArrayType(dsl.float32, 2, contiguous=False)


@dsl.kernel
def power(x, y, n=2):
    s = y
    for i in range(n):
        s = s * x[i]
    return s


REVERSE = (dsl.Reverse, dsl.Active, dsl.Duplicated(np.ones(3), np.zeros(3)), dsl.Active(2.0), dsl.Const(3))


def test_tree() -> None:
    text = power.ir("tree")
    assert text.startswith("FunctionDef(name='power'") and "AugAssign" not in text and "For(target=Name(id='i')" in text


def test_mlir_shows_source_lines() -> None:
    text = power.ir("mlir", np.ones(3), 2.0)
    line = power.loc.line + 3
    assert f"// test_inspect.py:{line}  s = s * x[i]" in text
    assert re.search(rf"arith\.mulf .* : f64 +// {line}:13", text)
    assert "loc(" not in text
    parse(text)


def parse(text: str) -> None:
    from dialects.pipeline import parse

    parse(str(text))


def test_types_in_place_of_values() -> None:
    by_value = power.ir("mlir", np.ones(3), 2.0, 3)
    assert power.ir("mlir", A1, dsl.float64, dsl.int64) == by_value
    assert power.ir("mlir", A1, float, int) == by_value
    assert power.ir("mlir", A1, np.float64, np.int64) == by_value
    assert "strided<[?, ?], offset: ?>" in dsl.kernel(lambda x: x[0, 0]).ir("mlir", STRIDED)
    pair = dsl.kernel(lambda p: p[0] + p[1])
    assert pair.ir("mlir", types.TupleType((dsl.float64, dsl.float64))) == pair.ir("mlir", (1.0, 2.0))
    with pytest.raises(errors.ArgumentError, match="neither dtype nor rank"):
        power.ir("mlir", np.ndarray, 1.0)
    with pytest.raises(errors.ArgumentError, match="misses 1 argument: y"):
        power.ir("mlir", A1)


def test_derivative_stages() -> None:
    activity = power.ir("activity", *REVERSE)
    assert re.search(r"arith\.mulf .*autodiff\.active.* : f64 +// \d+:13", activity)
    assert "on the tape" in power.ir("plan", *REVERSE) and "f64: one buffer" in power.ir("plan", *REVERSE)
    derivative = power.ir("autodiff", *REVERSE)
    assert "s = s * x[i]" in derivative and "@derivative(" in derivative
    parse(derivative)
    of_types = (dsl.Reverse, dsl.Active, dsl.Duplicated[A1], dsl.Active[dsl.float64], dsl.Const[int])
    assert power.ir("autodiff", *of_types) == derivative
    forward = power.ir("autodiff", dsl.Forward, dsl.Const(np.ones(2)), dsl.Duplicated(2.0, 1.0))
    assert "@derivative(" in forward


@pytest.mark.parametrize("stage", ["llvm", "asm"])
def test_machine_stages(stage: str) -> None:
    sign = {"llvm": "define ", "asm": ".text"}[stage]
    assert sign in power.ir(stage, np.ones(3), 2.0)
    assert sign in power.ir(stage, *REVERSE)


def test_refused() -> None:
    with pytest.raises(errors.StageError, match="no stage 'ptxas'") as caught:
        power.ir("ptxas")
    assert "tree, mlir, activity, plan, autodiff, llvm, asm" in caught.value.hint
    with pytest.raises(errors.ArgumentError, match="needs a mode") as wrong:
        power.ir("autodiff", np.ones(3), 2.0)
    assert "dsl.Reverse" in wrong.value.hint
    with pytest.raises(errors.ArgumentError, match="without a mode"):
        power.ir("mlir", *REVERSE)
    with pytest.raises(errors.ActivityError):
        power.ir("autodiff", dsl.Reverse, dsl.Active, dsl.Active(np.ones(3)), dsl.Active(2.0))


# --- how it is shown ----------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = power.ir("mlir", np.ones(3), 2.0)
    terminal, redirected = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    print(text)
    monkeypatch.setattr(sys, "stdout", redirected)
    print(text)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", plain := Terminal())
    print(text)
    assert "\x1b[" in terminal.getvalue()
    assert re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).split() == redirected.getvalue().split()
    assert redirected.getvalue() == plain.getvalue() == text.plain + "\n"


@pytest.mark.parametrize("stage", ["tree", "mlir", "plan", "llvm", "asm"])
def test_notebook(stage: str) -> None:
    args = {"tree": (), "plan": REVERSE}.get(stage, (np.ones(3), 2.0))
    html = power.ir(stage, *args)._repr_html_()
    assert html.startswith("<div") and "<pre" in html


def test_it_is_a_string() -> None:
    text = power.ir("tree")
    assert isinstance(text, str) and text.plain == text and type(text.plain) is str
    again = pickle.loads(pickle.dumps(text))
    assert again == text and isinstance(again, IRText) and again.language == "python"


# --- locations ----------------------------------------------------------------------------------------------------


def test_with_source_lines() -> None:
    errors.register_source('a (b) "c".py', "first\nsecond loc(x)\n\nfourth\n")
    text = r"""#loc = loc(unknown)
#loc1 = loc("a (b) \"c\".py":1:1)
module {
  func.func @f(%arg0: f64 loc("x"(#loc1)), %arg1: f64 loc(#loc1)) -> f64 {
    %0 = "test.op"(%arg0) {text = " loc(\"no\") {"} : (f64) -> f64 loc(callsite(#loc3 at #loc1))
    %1 = scf.if %c -> (f64) {
      scf.yield %0 : f64 loc(#loc4)
    } else {
      scf.yield %0 : f64 loc(unknown)
    } {attribute} loc(#loc2)
    return %1 : f64 loc(#loc)
  } loc(#loc1)
} loc(#loc)
#loc2 = loc("a (b) \"c\".py":2:5)
#loc3 = loc("name"(#loc2))
#loc4 = loc(fused["a (b) \"c\".py":4:2, #loc1])
"""
    got = [re.sub(r"(\S) +//", r"\1 //", line) for line in with_source_lines(text).splitlines()]
    assert got == [
        "module {",
        "  // a (b) \"c\".py:1  first",
        "  func.func @f(%arg0: f64, %arg1: f64) -> f64 { // 1:1",
        "    // a (b) \"c\".py:2  second loc(x)",
        r'    %0 = "test.op"(%arg0) {text = " loc(\"no\") {"} : (f64) -> f64 // 2:5',
        "    %1 = scf.if %c -> (f64) { // 2:5",
        "      // a (b) \"c\".py:4  fourth",
        "      scf.yield %0 : f64 // 4:2",
        "    } else {",
        "      scf.yield %0 : f64",
        "    } {attribute}",
        "    return %1 : f64",
        "  }",
        "}",
    ]  # fmt: skip

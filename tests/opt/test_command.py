"""The command dsl-opt: what it prints, its exit codes, and that no input makes it end in another way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dialects.opt import main

ROOT = Path(__file__).parents[2]
GOOD = """func.func @f(%x: f64, %a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %y = memref.load %a[%c0] : memref<?xf64>
  %z = arith.mulf %x, %y : f64
  memref.store %z, %a[%c0] : memref<?xf64>
  return %z : f64
}
func.func private @df(f64, memref<?xf64>, memref<?xf64>, f64) -> f64 attributes {
  autodiff.reverse = @f, autodiff.activity = ["active", "duplicated"], autodiff.returns = ["active"], autodiff.public }
"""
IDENTITY = "func.func @f(%x: f64) -> f64 { return %x : f64 }\n"
ASK = "func.func private @df(f64, f64) -> f64 attributes {autodiff.reverse = "
REST = ', autodiff.activity = ["active"], autodiff.returns = ["active"]'

#: (text, pipeline, what the error says, where): wrong files and wrong pipelines.
WRONG = {
    "syntax": ("func.func @f(%x: f64) {\n  return %x f64\n}", None, "expected ':'", ":2:12: error:"),
    "type": (
        "func.func @f(%x: f64) {\n  %y = arith.addi %x, %x : f64\n  return\n}",
        None,
        "must be signless-integer-like",
        ":2:8: error:",
    ),
    "symbol": (
        "func.func @f() {\n  func.call @nope() : () -> ()\n  return\n}",
        None,
        "does not reference a valid function",
        ":2:3: error:",
    ),
    "operation": ("func.func @f() {\n  foo.bar\n  return\n}", None, "Dialect `foo' not found", ":2:3: error:"),
    "bytes": ("\x00\x01{{{", None, "error:", ":1:"),
    "pass": (IDENTITY, "canonicalise", "does not refer to a registered pass", "error:"),
    "our pass": (IDENTITY, "autodiff-nothing", "there is no pass 'autodiff-nothing'", "error:"),
    "nested": (IDENTITY, "func.func(autodiff-clean)", "cannot be nested", "error:"),
    "option": (IDENTITY, "autodiff-clean{fast}", "has no option 'fast'", "error:"),
    "bracket": (IDENTITY, "builtin.module(cse", "has no passes in parentheses", "error:"),
    "bracket inside": (IDENTITY, "builtin.module(func.func(cse)", "is not closed", "error:"),
    "comma": (IDENTITY, "cse,,cse", "an empty pass name", "error:"),
    "no function": (ASK + "@g" + REST + "}", "autodiff-pipeline", "there is no function @g", ":1:1: error:"),
    "itself": (ASK + "@df" + REST + "}", "autodiff-pipeline", "recursion", ":1:1: error:"),
    "no name": (
        IDENTITY + ASK + "3" + REST + "}",
        "autodiff-pipeline",
        "must be the name of a function",
        ":2:1: error:",
    ),
    "width": (
        IDENTITY + ASK + "@f" + REST + ", autodiff.width = 0.5}",
        "autodiff-pipeline",
        "must be an integer",
        ":2:1: error:",
    ),
    "unsuitable": (
        IDENTITY.replace("f64", "i32") + ASK + "@f" + REST + "}",
        "autodiff-pipeline",
        "cannot be active",
        ":2:1: error:",
    ),
}


def run(*arguments: str) -> int:
    return main(list(arguments))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "good.mlir"
    path.write_text(GOOD)
    return str(path)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text, pipeline, message, place = WRONG[name]
    path = tmp_path / "wrong.mlir"
    path.write_text(text)
    code = run(str(path), *([] if pipeline is None else [f"--pass-pipeline={pipeline}"]))
    out, err = capfd.readouterr()
    assert code == 1 and out == ""
    assert message in err and place in err
    assert "Traceback" not in err and "inside dsl-opt" not in err


def test_source_line_and_caret(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.mlir"
    path.write_text(WRONG["type"][0])
    assert run(str(path)) == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[1:3] == ["    %y = arith.addi %x, %x : f64", "         ^"]


@pytest.mark.parametrize("arguments", [["nothing.mlir"], ["/"]])
def test_unreadable_file(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 1
    assert "error: cannot open" in capfd.readouterr().err


def test_what_ends_mlir_is_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """MLIR's parser overflows its stack on this: the command does not."""
    path = tmp_path / "deep.mlir"
    depth = 200000
    path.write_text("func.func @f(%c: i1) {\n" + "scf.if %c {\n" * depth + "}\n" * depth + "return\n}\n")
    assert run(str(path)) == 1
    assert "error: reading the module was ended by SIG" in capfd.readouterr().err


def test_prints_what_it_read(file: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(file, "-o", str(tmp_path / "out.mlir")) == 0
    assert capfd.readouterr().out == ""
    assert run(str(tmp_path / "out.mlir"), "--mlir-print-debuginfo") == 0
    out = capfd.readouterr().out
    assert "autodiff.reverse = @f" in out and 'out.mlir":2:' in out


def test_standard_input() -> None:
    """As a command of its own, in a pipe."""
    command = [sys.executable, "-m", "dialects.opt", "--pass-pipeline=autodiff-pipeline", "--run", "@df"]
    done = subprocess.run(
        [*command, "--args", "2", "[3,4]", "[0,0]", "-1e0"], input=GOOD, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "result 0: f64 = -3.0" in done.stdout
    assert "argument 2: memref<?xf64> = [-2.0, 0.0]" in done.stdout
    wrong = subprocess.run(command[:3], input="func.func", cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stderr.startswith("<stdin>:1:10: error:")


def test_runs_a_function(file: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(file, "--run", "@f", "--args", "-2", "[3,4]") == 0
    assert capfd.readouterr().out == "result 0: f64 = -6.0\nargument 1: memref<?xf64> = [-6.0, 4.0]\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["1"], "takes 2 arguments (f64, memref<?xf64>), 1 are given"),
        (["[1]", "[2]"], "argument 0 has type f64: give a number"),
        (["1", "2"], "argument 1 has type memref<?xf64>: give an array"),
        (["1+2j", "[2]"], "argument 0 has type f64, which cannot hold 1+2j"),
        (["1", "[[2]]"], "an array of shape (1, 1) does not fit"),
        (["1", "[x]"], "cannot read the argument '[x]'"),
    ],
)
def test_wrong_arguments(file: str, given: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(file, "--run", "@f", "--args", *given) == 1
    assert message in capfd.readouterr().err


def test_checks_gradients(file: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(file, "--check-gradients", "@f", "--seed", "7", "--size", "3") == 0
    assert capfd.readouterr().out.count(" ok\n") == 4


def test_a_wrong_derivative_is_noticed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The derivative of a step is taken to be 0, but the differences here are not: the check has to fail."""
    path = tmp_path / "stop.mlir"
    path.write_text(
        'func.func @f(%x: f64) -> f64 {\n  %y = "autodiff.stop"(%x) : (f64) -> f64\n'
        "  %z = arith.mulf %x, %y : f64\n  return %z : f64\n}\n"
    )
    assert run(str(path), "--check-gradients", "@f") == 1
    assert "forward mode against differences" in (out := capfd.readouterr().out) and "WRONG" in out


def test_list(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    out = capfd.readouterr().out
    for name in ("activity{annotate}", "structure", "differentiate", "plan", "tape", "dead-code"):
        assert f"autodiff-{name}" in out


def test_traceback_is_shown_where_it_is_asked_for(tmp_path):
    wrong = tmp_path / "wrong.mlir"
    wrong.write_text(WRONG["syntax"][0])
    done = subprocess.run(
        [sys.executable, "-m", "dialects.opt", str(wrong), "--traceback"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1 and "Traceback" in done.stderr and "expected ':'" in done.stderr

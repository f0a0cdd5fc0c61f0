"""The examples run, and do what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def start(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run an example as a user does, in a folder of its own; the package need not be installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(EXAMPLES / command[0]), *command[1:]]
    return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)


def run(tmp_path: Path, *command: str) -> str:
    """The output of an example that must do well."""
    done = start(tmp_path, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_lynx_hare(tmp_path):
    output = run(tmp_path, "lynx_hare.py", "--out", "fit.png")
    assert "they agree" in output
    assert "misfit 2.0186612" in output
    for fitted in ("0.54016", "0.027165", "0.79639", "0.023695", "34.602", "5.8445"):
        assert fitted in output
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_lynx_hare_says_what_is_wrong_with_its_options(tmp_path):
    done = start(tmp_path, "lynx_hare.py", "--steps", "0")
    assert done.returncode == 2
    assert "--steps must be at least 1" in done.stderr


def test_gradient_descent(tmp_path):
    output = run(tmp_path, "gradient_descent.py")
    assert "step  200" in output
    assert "w = [ 1.5 -2.   0.5]" in output or "w = [ 1.499 -2" in output or "w = [ 1.501" in output


def test_first_steps(tmp_path):
    output = run(tmp_path, "first_steps.py")
    assert "lambda               = ((6.0,),)" in output


def test_faulty_kernels(tmp_path):
    output = run(tmp_path, "faulty_kernels.py")
    for fault, line in (("data race", 20), ("data race", 26), ("out of bounds", 33), ("divergent barrier", 41)):
        assert f"simulator: {fault}" in output and f"faulty_kernels.py:{line}:" in output


@pytest.mark.parametrize("example", sorted(p.name for p in EXAMPLES.glob("*.py")))
def test_every_example_is_tested(example):
    assert f'"{example}"' in Path(__file__).read_text()

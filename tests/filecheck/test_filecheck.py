"""Runs the RUN lines of the .mlir files beside this one. Text alone proves little: each file also checks gradients."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
TOOLS = {"dsl-opt": "dialects.opt", "filecheck": "filecheck"}


def commands(file: Path) -> list[str]:
    return re.findall(r"^// RUN: (.+)$", file.read_text(), re.M)


def run(command: str, file: Path) -> subprocess.CompletedProcess[str]:
    """A RUN line, with `%s` for the file and the tools of this checkout."""
    for name, module in TOOLS.items():
        command = re.sub(rf"\b{name} ", f"{shlex.quote(sys.executable)} -m {module} ", command)
    command = command.replace("%s", shlex.quote(str(file)))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.mlir")), ids=lambda file: file.stem)
def test_file(file: Path) -> None:
    lines = commands(file)
    assert any("filecheck" in line for line in lines)
    assert any("--check-gradients" in line for line in lines), "every file is run numerically, too"
    for line in lines:
        done = run(line, file)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_wrong_text_is_noticed(tmp_path: Path) -> None:
    """The collector itself: a CHECK line that does not match fails."""
    file = tmp_path / "wrong.mlir"
    file.write_text("// CHECK: arith.mulf\n// RIGHT: return\nfunc.func @f(%x: f64) -> f64 { return %x : f64 }\n")
    assert run("dsl-opt %s | filecheck %s", file).returncode != 0
    assert run("dsl-opt %s | filecheck %s --check-prefix=RIGHT", file).returncode == 0

"""Where the time goes: what the vectoriser says is shown on the lines of the source, and code is found in memory."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import profile
from benchmarks.measure import ROOT
from benchmarks.objectives import lse


def test_remarks_and_pieces(tmp_path):
    command = [sys.executable, "-m", "benchmarks.profiled", str(tmp_path), "lse", "test", "--remarks", "--count", "1"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "DSL_CACHE_DIR": str(tmp_path / "empty")}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-500:]
    source = Path(lse.__file__)
    remarks = profile.remarks_of(done.stderr, source)
    lines, first = inspect.getsourcelines(lse.logsumexp.fn)
    maximum = next(first + k for k, line in enumerate(lines) if "for i in range(1" in line)
    assert any(place[0] == "lse.py" and abs(place[1] - maximum) <= 1 for place in remarks)
    assert any("vectorized loop" in text for said in remarks.values() for text in said)
    if shutil.which("nm") and shutil.which("objdump") and shutil.which("addr2line"):
        ((path, base, size),) = profile._pieces(tmp_path)
        places = set(profile._places(path, list(range(0, size, 4)), source))
        assert ("lse.py", maximum) in places
        lines_of, outside = profile.by_lines([(base + 1, "x"), (1, "/lib/libm.so.6")], tmp_path, source)
        assert sum(lines_of.values()) + sum(share for _, share in outside) == pytest.approx(1.0)


def test_listing(tmp_path):
    source = tmp_path / "model.py"
    source.write_text("for i in range(n):\n    s += x[i]\n")
    text = (
        "remark: <unknown>:1:0: loop not vectorized: cannot prove it is safe to reorder floating-point operations\n"
        "remark: <unknown>:0:0: loop not vectorized\nremark: /a/model.py:1:3: loop not vectorized\n"
    )
    remarks = profile.remarks_of(text, source)
    assert set(remarks) == {("model.py", 1)}
    console = Console(width=120, record=True, file=open(os.devnull, "w"))
    console.print(profile.listing(source, remarks, {("model.py", 2): 0.75, ("model.py", 1): 0.001}))
    shown = console.export_text()
    assert "s += x[i]" in shown and "75%" in shown and "cannot prove" in shown and "0%" not in shown


def test_missing_tools_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    console = Console(width=120, record=True, file=open(os.devnull, "w"))
    assert profile.sample(1, tmp_path, console) == [] and "perf is not installed" in console.export_text()
    assert "valgrind is not installed" in profile.counted([], tmp_path)

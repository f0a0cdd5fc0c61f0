"""FileCheck on IR, and what else tests of the engine ask of a module."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

import pytest
from filecheck.matcher import Matcher
from filecheck.options import Options

from dialects import pipeline
from dialects.builder import walk
from dialects.stability import LOOPS
from lowering.deallocation import deallocate

#: The prefix is put before each line by `filecheck`: a test's pattern starts with what follows CHECK, such as `: text`
#: or `-NOT: text`.
PREFIX = "// CHECK"


def filecheck(ir: str, patterns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Match the lines of `patterns` (`: text`, `-NEXT: text`, `-NOT: text`, ...) against the IR."""
    lines = [line.strip() for line in patterns.strip().splitlines()]
    checks, text = tmp_path / "checks", tmp_path / "ir"
    checks.write_text("".join(f"{PREFIX}{line}\n" for line in lines))
    text.write_text(ir)
    output = StringIO()
    monkeypatch.setattr(sys, "stderr", output)
    status = Matcher.from_opts(Options(match_filename=str(checks), input_file=str(text))).run()
    monkeypatch.undo()
    assert status == 0, f"{output.getvalue()}\n{ir}"


def allocations_in_loops(text: str) -> list[str]:
    """The allocations that stand in loops once the lowering has placed all memory."""
    module = pipeline.parse(text)
    with module.context:
        deallocate(module, text)
        loops = [op for f in pipeline.walk_functions(module) for op in walk(f) if op.name in LOOPS]
        return [str(op) for loop in loops for op in walk(loop) if op.name == "memref.alloc"]


def count(text: str, what: str) -> int:
    """How many lines of the IR have an op of this name."""
    return sum(f" {what} " in f" {line.strip()} ".replace("(", " ") for line in text.splitlines())


def function(text: str, name: str) -> str:
    """A module's text with the function @name only."""
    start = text.rindex("func.func", 0, text.index(f" @{name}("))
    end = text.find("\n  func.func", start)
    return text[start:].rstrip().removesuffix("}") if end < 0 else text[start:end]

"""Functions in every upstream dialect: forward mode against differences, reverse mode against forward mode."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dialects import pipeline
from dialects.gradient_check import Check, Settings
from dialects.passes import run_pipeline

FOLDER = Path(__file__).parent / "programs"


def programs() -> list[pytest.param]:  # type: ignore[valid-type]
    """The parts of all files, by the name of their public function."""
    found = []
    for file in sorted(FOLDER.glob("*.mlir")):
        for part in file.read_text().split("// -----\n"):
            name = re.findall(r"^func\.func @(\w+)", part, re.M)[-1]
            found.append(pytest.param(name, part, id=f"{file.stem}-{name}"))
    return found


@pytest.mark.parametrize(("name", "text"), programs())
def test_gradients(name: str, text: str) -> None:
    low, high = 0.5, 1.5
    given = re.search(r"^// range: (\S+) (\S+)$", text, re.M)
    if given:
        low, high = float(given[1]), float(given[2])
    module = pipeline.parse(text)
    passed = re.search(r"^// pipeline: (\S+)$", text, re.M)  # where the lowering does not take the program itself
    if passed:
        run_pipeline(module, passed[1])
    rows = Check(module, name, Settings(seed=3, low=low, high=high)).run()
    assert all(row.is_right for row in rows), rows

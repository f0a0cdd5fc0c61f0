"""The command line: what `dsl doctor` and `dsl cache` say."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import dsl
from dsl.cli import _NEEDED, _USEFUL, _meets, app


def test_doctor_finds_a_working_installation(tmp_path, monkeypatch):
    monkeypatch.setenv("DSL_CACHE_DIR", str(tmp_path))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    for text in ("Python", "llvmlite", "vector functions", str(tmp_path), "compiled and right", "everything"):
        assert text in result.output
    assert not list(tmp_path.iterdir())  # its trial leaves nothing behind


def test_the_cache_can_be_cleared(tmp_path, monkeypatch):
    monkeypatch.setenv("DSL_CACHE_DIR", str(tmp_path))
    assert dsl.kernel(source="def twice(x):\n    return x + x\n")(2.0) == 4.0
    assert "1 entries" in CliRunner().invoke(app, ["cache"]).output
    assert "1 entries removed" in CliRunner().invoke(app, ["cache", "--clear"]).output
    assert "0 entries" in CliRunner().invoke(app, ["cache"]).output


@pytest.mark.parametrize(
    ("version", "requirement", "good"),
    [
        ("22.1.8.4", "==22.1.8.4", True),
        ("22.1.8.3", "==22.1.8.4", False),
        ("0.50.1", ">=0.50,<0.51", True),
        ("0.51.0rc1", ">=0.50,<0.51", False),
        ("2.0", ">=1.26,<3", True),
        ("1.25.9", ">=1.26,<3", False),
    ],
)
def test_versions_are_compared_by_number(version, requirement, good):
    assert _meets(version, requirement) is good


@pytest.mark.parametrize("requirement", [*_NEEDED, *_USEFUL])
def test_what_it_asks_for_is_what_the_project_declares(requirement):
    assert f'"{requirement}"' in (Path(__file__).parents[2] / "pyproject.toml").read_text()

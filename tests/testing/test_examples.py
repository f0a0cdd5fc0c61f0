"""The examples in the docstrings of dsl.testing and dsl.random."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["random", "functions", *(f"testing.{name}" for name in ("activities", "forward", "reverse", "verification"))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name, tmp_path):
    """In a file: kernels need source text."""
    module = importlib.import_module(f"dsl.{name}")
    cases = [case for case in doctest.DocTestFinder().find(module) if case.examples]
    assert cases
    for case in cases:
        space: dict[str, object] = {}
        for number, example in enumerate(case.examples):
            file = tmp_path / f"{case.name}_{number}.py"
            file.write_text(example.source)
            if example.want:
                value = eval(compile(example.source, str(file), "eval"), space)
                assert repr(value) == example.want.rstrip("\n"), example.source
            else:
                exec(compile(example.source, str(file), "exec"), space)

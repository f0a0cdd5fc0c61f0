"""The shrinker, on failures that are easy to name."""

from __future__ import annotations

from tests.generator.program import make_program
from tests.generator.shrink import shrink


def test_keeps_only_what_fails():
    program = next(p for p in map(make_program, range(100)) if "math.tanh" in p.source and "while" in p.source)
    small = shrink(program.source, lambda text: "math.tanh" in text and "def k" in text, seconds=20)
    assert "math.tanh" in small
    assert len(small.splitlines()) <= 3


def test_a_statement_gives_way_to_its_body():
    source = (
        "def k(x):\n    for i in range(3):\n        if x > 1:\n            y = x\n        else:\n            bad(x)\n"
    )
    assert shrink(source, lambda text: "bad(" in text and "def k" in text, seconds=5) == "def k(x):\n    bad(1.0)\n"


def test_stops_when_nothing_smaller_fails():
    source = "def k(x):\n    return x\n"
    assert shrink(source, lambda text: "return x" in text, seconds=5) == source

"""docs/functions.md names exactly the functions that there are."""

from __future__ import annotations

import re
from pathlib import Path

from dsl import library
from dsl.frontend import arrays, mathlib

PAGE = Path(__file__).parents[2] / "docs" / "functions.md"


def listed(after: str) -> list[str]:
    """The names in the paragraph behind a line of the page."""
    paragraph = PAGE.read_text().split(after, 1)[1].split("\n\n")[1]
    return re.findall(r"`(\w+)`", paragraph)


def test_names():
    assert listed("Python's own functions") == mathlib.known_names("builtins")
    assert listed("Of `math`:") == mathlib.known_names("math")
    assert listed("Of `cmath`:") == mathlib.known_names("cmath")
    assert listed("Of NumPy") == mathlib.known_names("np")
    assert listed("Written in the language itself") == library.names()
    assert listed("Dtypes are conversions") == sorted([*arrays._METHODS, *arrays._AS_FUNCTION])

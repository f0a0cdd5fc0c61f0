"""Derivatives of the corpus on the CPU."""

from __future__ import annotations

import pytest

from .corpus import CASES
from .differentiate import check


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.active])
def test_on_the_cpu(name):
    check(CASES[name])

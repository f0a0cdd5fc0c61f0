"""The corpus' primals: plain Python and the CPU against the NumPy oracles."""

import pytest

from .check import arrays_of, check
from .corpus import CASES


@pytest.mark.parametrize("name", CASES)
def test_in_plain_python(name):
    case = CASES[name]
    args = case.arguments()
    case.grid.python(*args)
    check(case, arrays_of(args))


@pytest.mark.parametrize("name", CASES)
def test_on_the_cpu(name):
    case = CASES[name]
    args = case.arguments()
    case.grid(*args)
    check(case, arrays_of(args))

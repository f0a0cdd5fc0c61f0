"""The corpus' primals: plain Python and the CPU against the NumPy oracles."""

import pytest

import dsl

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
    """And the same bits whatever the number of threads."""
    case, before, found = CASES[name], dsl.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            dsl.set_num_threads(count)
            args = case.arguments()
            case.grid(*args)
            found.append([a.tobytes() for a in arrays_of(args)])
    finally:
        dsl.set_num_threads(before)
    assert all(f == found[0] for f in found)
    check(case, arrays_of(args))

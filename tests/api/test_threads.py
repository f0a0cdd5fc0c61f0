"""The number of threads that launches use."""

from __future__ import annotations

import pytest

import dsl


def test_number_of_threads_is_kept():
    before = dsl.get_num_threads()
    try:
        dsl.set_num_threads(3)
        assert dsl.get_num_threads() == 3
    finally:
        dsl.set_num_threads(before)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True])
def test_number_that_is_none_is_refused(count):
    with pytest.raises(dsl.errors.ArgumentError, match="the number of threads is"):
        dsl.set_num_threads(count)

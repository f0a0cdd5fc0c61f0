"""Random kernels against the undecorated function: values, forward and reverse mode.

The seeds here are fixed, so that a run can be repeated; `python -m tests.generator --seed N --count M`.
DSL_GENERATOR_SEED and DSL_GENERATOR_COUNT choose others for this test too."""

from __future__ import annotations

import os

import pytest

from tests.generator.__main__ import shrunk, write
from tests.generator.check import check
from tests.generator.oracle import Unfair
from tests.generator.program import make_program

FIRST = int(os.environ.get("DSL_GENERATOR_SEED", "0"))
COUNT = int(os.environ.get("DSL_GENERATOR_COUNT", "30"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_generated(seed):
    program = make_program(seed, size=3 if seed % 4 == 0 else 2)
    for point in range(4):  # some points hang on a branch; there is nearly always one that does not
        try:
            failure = check(program, point)
        except Unfair:
            continue
        if failure is not None:
            small, failure = shrunk(program, point, failure, 30, check)
            file = write(small, point, failure)
            pytest.fail(f"seed {seed}: {failure.kind}; run {file}\n{small.source}\n{failure.detail}", pytrace=False)
        return
    # Nothing was checked: that no program can be tried is a matter for the test of the generator itself.

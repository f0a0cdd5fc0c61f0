"""Derivatives of random grid kernels on the CPU. More of them: python -m tests.gpu.random_kernels 0 1000."""

from __future__ import annotations

import pytest

from . import modes
from .differentiate import check
from .random_kernels import case


@pytest.mark.parametrize("seed", [2, 5, 9, 34])
def test_derivatives(seed):
    check(case(seed))


MODES = ("forward_width", "deferred_forward", "forward_over_reverse", "forward_over_deferred")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(500, 504))
def test_other_modes(seed, mode):
    made = case(seed)
    modes.check(modes.Modes(made), mode, modes.MODES[mode][1](modes.Modes(made)))

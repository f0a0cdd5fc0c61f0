"""Derivatives of random grid kernels on the CPU. More of them: python -m tests.gpu.random_kernels 0 1000."""

from __future__ import annotations

import pytest

from .differentiate import check
from .random_kernels import case


@pytest.mark.parametrize("seed", [2, 5, 9, 34])
def test_derivatives(seed):
    check(case(seed))

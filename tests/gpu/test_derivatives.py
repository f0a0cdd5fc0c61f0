"""Derivatives of the corpus: on the CPU, on the simulator, and what is in the PTX of the simplest."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, device, driver
from dsl import simulator as sim
from dsl.checks import call_request, derivative_request
from lowering.nvptx import tools

from .corpus import CASES
from .differentiate import check

DIFFERENTIABLE = [name for name, case in CASES.items() if case.active]
# One case a mechanism: atomics, barriers, shuffles, tapes of fixed and of counted size, the winner of a cell.
SIMULATED = [
    "saxpy", "square_in_place", "grid_stride", "heat_1d", "heat_1d_shared", "laplace_2d", "sum_shared", "sum_shuffle",
    "extrema", "scan", "weighted_histogram", "matmul_tiled", "spmv_csr",
]  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_on_the_cpu(name):
    check(CASES[name])


@pytest.mark.parametrize(
    ("name", "chip"), [*((n, "sm_80") for n in SIMULATED), *((n, "sm_90") for n in SIMULATED[3:6])]
)
def test_on_the_simulator(name, chip):
    on = sim.Device(chip)
    check(CASES[name], lambda array: sim.asarray(array, on), lambda array: array.get())


# (grid_stride counts first how many values each thread will put on the tape, by an atomic maximum; all threads of
# polynomial read the same coefficients.)
SHARING = ("grid_stride", "polynomial")


PLAIN = [n for n in DIFFERENTIABLE if CASES[n].kind == "elementwise" and n not in SHARING]
STENCILS = [n for n in DIFFERENTIABLE if CASES[n].kind == "stencil"]
CHIPS = ("sm_80", "sm_90", "sm_100")


def reverse_ptx(case, chip):
    """The PTX of the reverse with respect to arrays."""
    arguments = [
        Duplicated(v, np.zeros_like(v)) if isinstance(v, np.ndarray) and p in case.active else Const(v)
        for p, v in zip(case.kernel.params, case.arguments())
    ]
    host = case.grid.host
    request = derivative_request(dsl.Reverse, host, (Const, *arguments, *map(Const, case.grid.extents)))
    return device.lowered(driver.state_of(host), request, chip)[0].ptx


@pytest.mark.parametrize("name", PLAIN)
def test_reverse_of_elementwise_kernels_has_no_atomics_and_no_local_memory(name):
    case = CASES[name]
    text = reverse_ptx(case, "sm_80")
    assert "atom." not in text and "red." not in text
    # libdevice's sine has local memory of its own, for very large arguments.
    host = case.grid.host
    primal = device.lowered(driver.state_of(host), call_request(host, (*case.arguments(), *case.grid.extents)), "sm_80")
    assert ".local" not in text or ".local" in primal[0].ptx


@pytest.mark.parametrize(
    ("name", "chip"), [(name, CHIPS[k % 3]) for k, name in enumerate([*PLAIN[::3], *STENCILS, "binned_bfloat16"])]
)
@pytest.mark.skipif(tools.find("ptxas") is None, reason="ptxas is not installed: skipped")
def test_reverse_kernels_are_assembled_and_do_not_spill(name, chip):
    text = reverse_ptx(CASES[name], chip)
    assert ".extern .func" not in text and f".target {chip}" in text
    for used in tools.resources(text, chip):
        assert used.spill_stores == used.spill_loads == 0

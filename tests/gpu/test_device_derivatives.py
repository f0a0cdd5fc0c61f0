"""Derivatives of the corpus as PTX on the simulator. A few in each run, all of them in those of slow tests."""

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Forward, Reverse
from dsl import simulator as sim

from .corpus import CASES
from .differentiate import check

# A scalar's gradient and sums, shared memory, gathers, atomics, shuffles, counted loops, local arrays, 16 bits,
# structs, the winner of a cell in shared memory, arrays that change places, views,
# warps.
QUICK = (
    "saxpy",
    "half_storage",
    "heat_1d_shared",
    "sum_shared",
    "extrema",
    "spmv_csr",
    "newton",
    "sort_rows",
    "dense_layer",
)
ALL = [name for name, case in CASES.items() if case.active]


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in ALL])
def test_on_the_simulator(name):
    check(CASES[name], sim.asarray, lambda array: array.get())


def test_plain_reverse_kernels_have_neither_atomics_nor_local_memory():
    case = CASES["branches"]
    x, y = case.arguments()
    text = case.grid.ir("ptx", Reverse, Const, Duplicated(x, x.copy()), Duplicated(y, y.copy()))
    assert "atom" not in text and "red." not in text and ".local" not in text


@dsl.kernel
def doubled(x, y):
    y[:] = 2 * x


def test_array_expressions_of_host_code():
    on = [sim.asarray(a) for a in (np.arange(5.0), np.arange(1.0, 6.0), np.zeros(5), np.zeros(5))]
    dsl.autodiff(Forward, doubled, Const, Duplicated(on[0], on[1]), Duplicated(on[2], on[3]))
    np.testing.assert_array_equal(on[2].get(), 2 * np.arange(5.0))
    np.testing.assert_array_equal(on[3].get(), 2 * np.arange(1.0, 6.0))

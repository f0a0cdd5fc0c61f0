"""Grid kernels as PTX: run on the simulator against the oracles, and judged by ptxas."""

import numpy as np
import pytest

import dsl
from dsl import device, driver, errors
from dsl import simulator as sim
from dsl.checks import call_request
from lowering.nvptx import tools

from .check import check
from .corpus import CASES
from .test_language import saxpy

needs_ptxas = pytest.mark.skipif(tools.find("ptxas") is None, reason="ptxas is not installed: skipped")


def moved(value, on):
    """An argument with its arrays on a simulated device."""
    if isinstance(value, np.ndarray):
        return sim.asarray(value, on)
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(moved(part, on) for part in value)
    if hasattr(value, "__dataclass_fields__"):
        return type(value)(**{n: moved(getattr(value, n), on) for n in value.__dataclass_fields__})
    return value


def fetched(value):
    """Its arrays back on the host, in order."""
    if isinstance(value, sim.Array):
        return [value.get()]
    if hasattr(value, "__dataclass_fields__"):
        return [a for name in value.__dataclass_fields__ for a in fetched(getattr(value, name))]
    return [a for part in value for a in fetched(part)] if isinstance(value, tuple) else []


def ptx_of(case, chip):
    """The text that a call of the case has run."""
    request = call_request(case.grid.host, (*case.arguments(), *case.grid.extents))
    return device.find(driver.state_of(case.grid.host), request, chip).loaded.ptx


def chips():
    """Two for each case; the oldest and the newest one for some cases, in thorough runs for all."""
    for k, name in enumerate(CASES):
        for chip, part in (("sm_70", 0), ("sm_80", None), ("sm_90", None), ("sm_100", 2)):
            quick = part is None or k % 4 == part
            yield pytest.param(name, chip, marks=() if quick else pytest.mark.thorough)


@pytest.mark.parametrize(("name", "chip"), list(chips()))
def test_on_the_simulator(name, chip):
    case = CASES[name]
    args = moved(case.arguments(), sim.Device(chip))
    case.grid(*args)
    check(case, fetched(args))
    text = ptx_of(case, chip)
    assert ".extern .func" not in text and f".target {chip}" in text
    assert any(".file" in line and "tests/gpu/" in line for line in text.splitlines()) and "\t.loc\t" in text
    if tools.find("ptxas") is None:
        pytest.skip("ptxas is not installed: its judgement is skipped")
    if not tools.takes(chip):
        pytest.skip(f"this ptxas does not know {chip}: its judgement is skipped")
    (used,) = tools.resources(text, chip)
    if case.kind in ("elementwise", "stencil"):
        assert used.spill_stores == used.spill_loads == 0


# --- host code


@dsl.kernel
def smoothed(x, n):
    y = dsl.zeros(len(x))
    for _ in range(n):
        t = dsl.empty(len(x))
        t[:] = 2 * y
        saxpy.forall(len(x))(0.5, x, t)
        saxpy[(len(x) + 31) // 32, 32](0.25, t, y)
        x[:] = y
    return n * 1.5


def test_host_code():
    x = np.arange(40.0)
    want, on_device = x.copy(), sim.asarray(x)
    smoothed(want, 3)
    assert smoothed(on_device, 3) == 4.5
    np.testing.assert_allclose(on_device.get(), want, rtol=1e-15)


@dsl.kernel(strict_aliasing=False)
def peeks(x):
    saxpy[1, 32](0.5, x, x)
    if x[0] > 1:
        saxpy[1, 32](0.5, x, x)
        x[1] = x[0] + 1


def test_host_code_that_looks_at_elements():
    x = np.arange(1.0, 5.0)
    want, on_device = x.copy(), sim.asarray(x)
    peeks(want)
    peeks(on_device)
    np.testing.assert_array_equal(on_device.get(), want)


def test_arrays_in_two_places_are_refused():
    with pytest.raises(errors.ArgumentError, match="arrays of the simulator and of the host"):
        saxpy[1, 32](0.5, sim.asarray(np.ones(4)), np.ones(4))
    with pytest.raises(errors.ArgumentError, match="arrays of two devices of the simulator"):
        saxpy[1, 32](0.5, sim.asarray(np.ones(4)), sim.asarray(np.ones(4), sim.Device()))


def test_views_and_strides():
    x, y = np.arange(24.0), np.zeros((4, 6))
    on_x, on_y = sim.asarray(x), sim.asarray(y)
    saxpy[1, 32](2.0, x[::6], y[1:, 2][::-1])
    saxpy[1, 32](2.0, on_x[::6], on_y[1:, 2][::-1])
    np.testing.assert_array_equal(on_y.get(), y)
    assert y.any()


@dsl.kernel(boundscheck=True)
def checked(x):
    x[dsl.grid(1)] = 1.0


def test_a_failing_thread():
    with pytest.raises(IndexError, match=r"out of bounds(.|\n)*x\[dsl.grid\(1\)\] = 1.0"):
        checked[1, 32](sim.asarray(np.zeros(31)))
    x = sim.asarray(np.zeros(32))
    checked[1, 32](x)
    assert x.get().all()


class OnAGpu:
    """What CuPy, torch and Numba have in common."""

    __cuda_array_interface__ = {"shape": (3,), "typestr": "<f8", "data": (4096, False), "version": 3}


def test_without_a_gpu():
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeError, match=r"CuPy is needed(.|\n)*simulator"):
            saxpy[1, 32](0.5, OnAGpu(), OnAGpu())
    else:
        pytest.skip("CuPy is installed")

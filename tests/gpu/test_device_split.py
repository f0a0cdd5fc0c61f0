"""Split mode on devices: the tape is in the device's memory, and is given back; thunks run where the arrays are."""

import gc

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    Reverse,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    autodiff_thunk,
)
from dsl import simulator as sim
from lowering.simulator import Device

from .places import same
from .test_host_derivatives import energy, mul_kernel, simulate

rng = np.random.default_rng(5)


def n(*shape):
    return rng.normal(size=shape)


def moving(x):
    return Duplicated(x, n(*x.shape))


def split(f, returns, given, *seed, keep=False, rtol=1e-12):
    """Both halves; what the arrays hold is lost in between."""

    def call(*arguments):
        forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, f, returns, *arguments)
        tape, value, shadow = forward(Const(f), *arguments)
        assert (tape.driver is None) == isinstance(arguments[0].val, np.ndarray)
        if returns is Duplicated:
            shadow[...] = 0.5
        if keep:
            tape.keep()
            reverse(Const(f), *arguments, *seed, tape)
        found = reverse(Const(f), *arguments, *seed, tape)
        return (value, *found)

    return same(call, *given, rtol=rtol)


@pytest.mark.parametrize("keep", [False, True])
def test_grids(keep):
    split(mul_kernel[1, 32], Const, [moving(n(32)) for _ in range(3)], keep=keep)


def test_time_loops():
    split(simulate, Active, [moving(n(100) * 0.5), moving(n(100)), Const(2)], 2.0)


def test_loops_of_unknown_length():
    split(energy, Active, [moving(n(100) * 0.5), Const(1.0)], 2.0, keep=True)


@dsl.kernel
def turned(x, a):
    y = np.empty_like(x)
    mul_kernel[1, len(x)](x, x, y)
    return np.sin(y) * a


def test_returned_arrays():
    split(turned, Duplicated, [moving(n(4)), Active(2.0)])


def test_width():
    x, y, z = (BatchDuplicated(n(32), (n(32), n(32))) for _ in range(3))
    split(mul_kernel[1, 32], Const, [x, y, z])


def test_what_arrays_hold_may_change():
    A, B, C, seed = n(4, 32)
    on = [Duplicated(sim.asarray(v), sim.asarray(d)) for v, d in ((A, 0 * A), (B, 0 * B), (C, seed))]
    forward, reverse = autodiff_thunk(ReverseSplitNoPrimal, mul_kernel[1, 32], Const, *on)
    tape, _, _ = forward(Const(mul_kernel[1, 32]), *on)
    on[0].val.set(0)
    reverse(Const(mul_kernel[1, 32]), *on, tape)
    np.testing.assert_allclose(on[1].dval.get(), A * seed)
    np.testing.assert_allclose(on[0].dval.get(), B * seed)


def test_the_tape_owns_its_memory():
    device = Device()
    on = [Duplicated(sim.asarray(v, device), sim.asarray(v, device)) for v in n(3, 32)]
    before = len(device._own)
    f = mul_kernel[1, 32]
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, f, Const, *on)
    tape, _, _ = forward(Const(f), *on)
    assert len(device._own) > before and tape.nbytes >= 2 * 32 * 8
    reverse(Const(f), *on, tape)
    assert len(device._own) == before
    tape, _, _ = forward(Const(f), *on)
    del tape
    gc.collect()
    assert len(device._own) == before


def test_a_tape_of_another_place_is_refused():
    given = [moving(v) for v in n(3, 32)]
    f = mul_kernel[1, 32]
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, f, Const, *given)
    tape, _, _ = forward(Const(f), *given)
    on = [Duplicated(sim.asarray(d.val), sim.asarray(d.dval)) for d in given]
    with pytest.raises(dsl.errors.ArgumentError, match="the tape and the arrays are in different places"):
        reverse(Const(f), *on, tape)
    reverse(Const(f), *given, tape)


def test_thunks_run_where_the_arrays_are():
    array = Duplicated[dsl.types.ArrayType(dsl.float64, 1)]
    thunk = autodiff_thunk(Forward, mul_kernel[1, 32], Const, array, array, array)
    same(lambda *given: thunk(Const(mul_kernel[1, 32]), *given), *(moving(v) for v in n(3, 32)))


def test_explained_as_on_the_host():
    given = [moving(v) for v in n(3, 32)]
    on = [Duplicated(sim.asarray(d.val), sim.asarray(d.dval)) for d in given]
    f = mul_kernel[1, 32]
    assert f.explain(Reverse, Const, *on).plain == f.explain(Reverse, Const, *given).plain
    mode = ReverseSplitNoPrimal
    assert str(dsl.tape_type(mode, f, Const, *on)) == str(dsl.tape_type(mode, f, Const, *given)) != ""

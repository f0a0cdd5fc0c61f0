"""Split mode: the two calls give what one gives, whatever happens to the arrays in between; the tape and its memory."""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
from dataclasses import dataclass

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    Const,
    Duplicated,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseSplitModified,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    autodiff,
    autodiff_thunk,
    tape_type,
)
from dsl.errors import ActivityError, ArgumentError


@dsl.kernel
def weighted(A, v):
    s = 0.0
    for i in range(len(A)):
        s += np.sin(A[i]) * A[i] * v
    return s


@dsl.kernel
def until(x, limit):
    """A while loop: its tape grows."""
    s = x
    n = 0
    while s < limit:
        s = s * x + np.sin(s) ** 2
        n = n + 1
    return s


@dsl.kernel
def in_place(y, x, a):
    for i in range(len(x)):
        y[i] = np.exp(y[i] * a) * x[i]
    for i in range(len(x)):
        y[i] = y[i] * y[i]


@dsl.kernel
def local_arrays(x):
    t = dsl.zeros(len(x))
    for k in range(3):
        for i in range(len(x)):
            t[i] = np.sin(t[i] + x[i])
    return dsl.sum(t * t)


@dataclass
class Params:
    w: np.ndarray
    b: float
    count: int = 2


@dsl.kernel
def moved(p, x):
    p.b = p.b * p.b + x
    s = 0.0
    for i in range(len(p.w)):
        s += np.sin(p.w[i]) * p.b * p.count
    return s


def nan(*arrays: np.ndarray) -> None:
    for array in arrays:
        array[...] = np.nan


# --- the two calls give what one gives


def test_the_row_of_the_table() -> None:
    A, dA = np.array([0.5, 1.0, 2.0]), np.zeros(3)
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, weighted, Active, Duplicated[A], Active[float])
    tape, primal, shadow = fwd(Const(weighted), Duplicated(A, dA), Active(3.0))
    assert primal == weighted(A, 3.0) and shadow is None
    np.testing.assert_array_equal(dA, 0.0)
    result = rev(Const(weighted), Duplicated(A, dA), Active(3.0), 1.0, tape)
    expected = np.zeros(3)
    assert result == autodiff(Reverse, weighted, Active, Duplicated(A, expected), Active(3.0))
    assert type(result) is tuple and type(result[0]) is tuple and result[0][0] is None
    np.testing.assert_allclose(dA, expected, rtol=1e-14)


def test_arrays_may_be_overwritten_between_the_passes() -> None:
    A, dA, expected = np.array([0.5, 1.0, 2.0]), np.zeros(3), np.zeros(3)
    ((_, dv),) = autodiff(Reverse, weighted, Active, Duplicated(A, expected), Active(3.0))
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, weighted, Active, Duplicated(A, dA), Active(3.0))
    tape, primal, _ = fwd(Const(weighted), Duplicated(A, dA), Active(3.0))
    assert primal is None
    nan(A)
    assert rev(Const(weighted), Duplicated(A, dA), Active(3.0), 1.0, tape) == ((None, pytest.approx(dv)),)
    np.testing.assert_allclose(dA, expected, rtol=1e-14)


def test_the_seed_scales_the_gradient_and_may_be_nan() -> None:
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, until, Active, Active[float], Const[float])
    (plain,) = autodiff(Reverse, until, Active, Active(1.3), Const(40.0))
    for seed in (2.0, 3, np.float32(0.5)):
        tape, _, _ = fwd(Const(until), Active(1.3), Const(40.0))
        assert rev(Const(until), Active(1.3), Const(40.0), seed, tape) == ((pytest.approx(plain[0] * seed), None),)
    tape, _, _ = fwd(Const(until), Active(1.3), Const(40.0))
    assert np.isnan(rev(Const(until), Active(1.3), Const(40.0), float("nan"), tape)[0][0])


def test_an_in_place_kernel_takes_its_seed_from_the_shadow() -> None:
    y, x = np.array([0.1, 0.2]), np.array([1.0, 2.0])
    dy, dx = np.array([1.0, 0.5]), np.zeros(2)
    y1, dy1, dx1 = y.copy(), dy.copy(), dx.copy()
    expected = autodiff(Reverse, in_place, Const, Duplicated(y1, dy1), Duplicated(x, dx1), Active(0.7))
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, in_place, Const, Duplicated[y], Duplicated[x], Active[float])
    tape, _, _ = fwd(Const(in_place), Duplicated(y, dy), Duplicated(x, dx), Active(0.7))
    np.testing.assert_allclose(y, y1, rtol=1e-14)
    nan(y, x)
    assert rev(Const(in_place), Duplicated(y, dy), Duplicated(x, dx), Active(0.7), tape) == (
        (None, None, pytest.approx(expected[0][2])),
    )
    np.testing.assert_allclose([*dy, *dx], [*dy1, *dx1], rtol=1e-13)


def test_local_arrays_are_on_the_tape() -> None:
    x, dx, expected = np.linspace(0.1, 1.0, 5), np.zeros(5), np.zeros(5)
    autodiff(Reverse, local_arrays, Active, Duplicated(x, expected))
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, local_arrays, Active, Duplicated[x])
    tape, value, _ = fwd(Const(local_arrays), Duplicated(x, dx))
    assert value == local_arrays(x)
    nan(x)
    rev(Const(local_arrays), Duplicated(x, dx), 1.0, tape)
    np.testing.assert_allclose(dx, expected, rtol=1e-13)


def test_fields_that_the_kernel_assigns() -> None:
    """The pullback goes on from the numbers that the forward pass found, not from those it left."""
    p, dp = Params(np.array([0.3, 0.4]), 1.5), Params(np.zeros(2), 0.0)
    p1, dp1 = copy.deepcopy(p), copy.deepcopy(dp)
    expected = autodiff(Reverse, moved, Active, Duplicated(p1, dp1), Active(0.2))
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, moved, Active, Duplicated(p, dp), Active[float])
    tape, primal, _ = fwd(Const(moved), Duplicated(p, dp), Active(0.2))
    assert primal is None and p.b == p1.b and dp.b == 0.0
    p.b, p.count = 99.0, 7
    nan(p.w)
    assert rev(Const(moved), Duplicated(p, dp), Active(0.2), 1.0, tape) == ((None, pytest.approx(expected[0][1])),)
    assert dp.b == pytest.approx(dp1.b)
    np.testing.assert_allclose(dp.w, dp1.w, rtol=1e-13)


def test_mixed_duplicated() -> None:
    @dsl.kernel
    def scaled(p):
        return np.sin(p[0]) * dsl.sum(p[1] * p[1])

    p, ref, ref1 = (0.5, np.array([1.0, 2.0])), Ref((0.0, np.zeros(2))), Ref((0.0, np.zeros(2)))
    autodiff(Reverse, scaled, Active, MixedDuplicated(p, ref1))
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, scaled, Active, MixedDuplicated(p, ref))
    tape, _, _ = fwd(Const(scaled), MixedDuplicated(p, ref))
    nan(p[1])
    assert rev(Const(scaled), MixedDuplicated(p, ref), 1.0, tape) == ((None,),)
    assert ref.value[0] == pytest.approx(ref1.value[0])
    np.testing.assert_allclose(ref.value[1], ref1.value[1], rtol=1e-14)


def test_a_returned_array_is_the_callers_also_if_it_is_taped() -> None:
    """Writing into what f returned changes nothing on the tape."""

    @dsl.kernel
    def squares(x, out):
        t = dsl.zeros(len(x))
        for i in range(len(x)):
            t[i] = np.exp(x[i])
        for i in range(len(x)):
            out[i] = t[i] * t[i]
        return t

    x, out = np.array([0.1, 0.2]), np.zeros(2)
    dx, dout = np.zeros(2), np.ones(2)
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, squares, Const, Duplicated[x], Duplicated[out])
    tape, t, _ = fwd(Const(squares), Duplicated(x, dx), Duplicated(out, dout))
    np.testing.assert_allclose(t, np.exp([0.1, 0.2]))
    nan(t, x, out)
    rev(Const(squares), Duplicated(x, dx), Duplicated(out, dout), tape)
    np.testing.assert_allclose(dx, 2 * np.exp([0.2, 0.4]))


def test_float32_and_strided_arrays() -> None:
    A = np.arange(1, 9, dtype=np.float32)[::2]
    dA, expected = np.zeros(4, np.float32), np.zeros(4, np.float32)
    autodiff(Reverse, weighted, Active, Duplicated(A, expected[::1]), Active(np.float32(2)))
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, weighted, Active, Duplicated(A, dA), Active[np.float32])
    tape, _, _ = fwd(Const(weighted), Duplicated(A, dA), Active(np.float32(2)))
    rev(Const(weighted), Duplicated(A, dA), Active(np.float32(2)), 1.0, tape)
    np.testing.assert_allclose(dA, expected, rtol=1e-6)


def test_errors_of_the_kernel_come_from_the_forward_pass() -> None:
    @dsl.kernel(boundscheck=True)
    def pick(x, k):
        return x[k] * x[k]

    x, dx = np.array([1.0, 2.0]), np.zeros(2)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, pick, Active, Duplicated[x], Const[int])
    with pytest.raises(IndexError):
        fwd(Const(pick), Duplicated(x, dx), Const(5))
    tape, _, _ = fwd(Const(pick), Duplicated(x, dx), Const(1))
    nan(x)
    rev(Const(pick), Duplicated(x, dx), Const(1), 1.0, tape)
    np.testing.assert_array_equal(dx, [0.0, 4.0])


def test_code_comes_from_the_cache_on_disk() -> None:
    def make():
        @dsl.kernel
        def cubed(x):
            return dsl.sum(x * x * x)

        return cubed

    for kernel in (make(), make()):
        x, dx = np.array([1.0, 2.0]), np.zeros(2)
        fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, kernel, Active, Duplicated[x])
        tape, value, _ = fwd(Const(kernel), Duplicated(x, dx))
        rev(Const(kernel), Duplicated(x, dx), 1.0, tape)
        assert value == 9.0
        np.testing.assert_array_equal(dx, [3.0, 12.0])


# --- what is taped


def test_what_will_not_be_overwritten_is_not_taped() -> None:
    A, dA = np.array([0.5, 1.0, 2.0]), np.zeros(3)
    annotations = (Active, Duplicated[A], Active[float])
    assert tape_type(ReverseSplitNoPrimal, weighted, *annotations).itemsizes == (8,)
    for flags in ((False, False), (False, False, False)):  # with the function first, or without
        mode = ReverseSplitModified(ReverseSplitNoPrimal, flags)
        assert tape_type(mode, weighted, *annotations).parts == ()
        fwd, rev = autodiff_thunk(mode, weighted, *annotations)
        tape, _, _ = fwd(Const(weighted), Duplicated(A, dA), Active(3.0))
        assert tape.nbytes == 0
        dA[:] = 0
        rev(Const(weighted), Duplicated(A, dA), Active(3.0), 1.0, tape)
        np.testing.assert_allclose(dA, 3 * (np.sin(A) + A * np.cos(A)))
    with pytest.raises(ActivityError, match="has 4 flags, weighted has 2 parameters"):
        autodiff_thunk(ReverseSplitModified(ReverseSplitNoPrimal, (True,) * 4), weighted, *annotations)


def test_another_array_is_refused_where_it_is_read_again() -> None:
    A, dA = np.ones(3), np.zeros(3)
    mode = ReverseSplitModified(ReverseSplitNoPrimal, (False, False))
    fwd, rev = autodiff_thunk(mode, weighted, Active, Duplicated[A], Active[float])
    tape, _, _ = fwd(Const(weighted), Duplicated(A, dA), Active(3.0))
    with pytest.raises(ArgumentError, match="`A` is another array"):
        rev(Const(weighted), Duplicated(A.copy(), dA), Active(3.0), 1.0, tape)
    np.testing.assert_array_equal(dA, 0.0)
    rev(Const(weighted), Duplicated(A, dA), Active(3.0), 1.0, tape)


def test_tape_type_and_nbytes() -> None:
    A, dA = np.ones(1000), np.zeros(1000)
    layout = tape_type(ReverseSplitNoPrimal, weighted, Active, Duplicated[A], Active[float])
    assert str(layout) == "memref<?xf64>: 8 bytes an element"
    fwd, _ = autodiff_thunk(ReverseSplitNoPrimal, weighted, Active, Duplicated[A], Active[float])
    tape, _, _ = fwd(Const(weighted), Duplicated(A, dA), Active(3.0))
    assert tape.nbytes == 8000
    growing = tape_type(ReverseSplitNoPrimal, until, Active, Active[float], Const[float])
    assert any(part.growing for part in growing.parts) and "for each value" in str(growing)
    assert str(tape_type(ReverseSplitNoPrimal, lambda x: 2.0 * x, Active, Active[float])) == "nothing is taped"
    with pytest.raises(ActivityError, match="no tape between two calls"):
        tape_type(Reverse, until, Active, Active[float], Const[float])


# --- the tape as an object


def forward_of_until():
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, until, Active, Active[float], Const[float])
    return fwd(Const(until), Active(1.3), Const(40.0))[0], rev


def test_a_tape_is_used_once() -> None:
    tape, rev = forward_of_until()
    assert not tape.used and "unused" in repr(tape)
    rev(Const(until), Active(1.3), Const(40.0), 1.0, tape)
    assert tape.used
    with pytest.raises(ArgumentError, match=r"has been used.*\n.*tape\.keep"):
        rev(Const(until), Active(1.3), Const(40.0), 1.0, tape)
    with pytest.raises(ArgumentError, match="has been used"):
        tape.keep()


@pytest.mark.parametrize("kernel", [weighted, until, local_arrays, in_place])
def test_a_kept_tape_gives_the_same_each_time(kernel) -> None:
    x = np.linspace(0.2, 0.9, 70)
    annotated, returns = {
        weighted: ((Duplicated(x.copy(), np.zeros(70)), Active(2.0)), Active),
        until: ((Active(1.001), Const(1e30)), Active),  # many rounds: the tape has grown
        local_arrays: ((Duplicated(x.copy(), np.zeros(70)),), Active),
        in_place: ((Duplicated(x.copy(), np.zeros(70)), Duplicated(x.copy(), np.zeros(70)), Active(0.5)), Const),
    }[kernel]
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, kernel, returns, *annotated)
    tape, _, _ = fwd(Const(kernel), *annotated)
    assert tape.keep() is tape and "kept" in repr(tape)
    found = []
    for _ in range(3):
        for annotation in annotated:
            if isinstance(annotation, Duplicated):
                annotation.val[:] = np.nan
                annotation.dval[:] = 1.0
        seed = (1.0,) if returns is Active else ()
        (gradients,) = rev(Const(kernel), *annotated, *seed, tape)
        found.append([gradients, *(a.dval.copy() for a in annotated if isinstance(a, Duplicated))])
    assert not tape.used
    for other in found[1:]:
        assert other[0] == found[0][0]
        for a, b in zip(other[1:], found[0][1:], strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.isfinite(a).all()


def test_a_tape_is_not_copied_or_pickled() -> None:
    tape, _ = forward_of_until()
    for work in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a tape holds memory"):
            work(tape)


def _allocated() -> int:
    """The bytes that malloc has handed out, in its arenas and as mappings of their own."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("the C library does not count its memory")

    class Info(ctypes.Structure):
        _fields_ = [
            (name, ctypes.c_size_t)
            for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
        ]

    libc.mallinfo2.restype = Info
    gc.collect()
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd


@pytest.mark.parametrize("fate", ["used", "dropped", "kept", "failed"])
@pytest.mark.parametrize("kernel", [weighted, until, local_arrays])
def test_no_memory_is_lost(kernel, fate: str) -> None:
    x, dx = np.linspace(0.2, 0.9, 4000), np.zeros(4000)
    annotated = {
        weighted: (Duplicated(x, dx), Active(2.0)),
        until: (Active(1.0002), Const(1e6)),
        local_arrays: (Duplicated(x, dx),),
    }[kernel]
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, kernel, Active, *annotated)
    size = fwd(Const(kernel), *annotated)[0].nbytes
    assert size > 20_000

    def once() -> None:
        tape, _, _ = fwd(Const(kernel), *annotated)
        if fate == "kept":
            tape.keep()
        for _ in range({"used": 1, "kept": 2}.get(fate, 0)):
            rev(Const(kernel), *annotated, 1.0, tape)
        if fate == "failed":
            with pytest.raises(ArgumentError):
                rev(Const(kernel), *annotated, "one", tape)

    for _ in range(3):
        once()
    before = _allocated()
    for _ in range(40):
        once()
    assert _allocated() - before < 4 * size


# --- what is refused


def test_a_tape_of_another_thunk_is_refused() -> None:
    tape, _ = forward_of_until()
    A, dA = np.ones(3), np.zeros(3)
    _, rev = autodiff_thunk(ReverseSplitNoPrimal, weighted, Active, Duplicated[A], Active[float])
    with pytest.raises(ArgumentError, match=r"tape of until, .*made by another thunk"):
        rev(Const(weighted), Duplicated(A, dA), Active(3.0), 1.0, tape)
    _, narrow = autodiff_thunk(ReverseSplitNoPrimal, until, Active, Active[np.float32], Const[float])
    with pytest.raises(ArgumentError, match="made by another thunk"):
        narrow(Const(until), Active(np.float32(1.3)), Const(40.0), 1.0, tape)
    assert not tape.used


def test_what_has_changed_since_the_forward_pass_is_refused() -> None:
    A, dA = np.ones(3), np.zeros(3)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, weighted, Active, Duplicated[A], Active[float])
    tape, _, _ = fwd(Const(weighted), Duplicated(A, dA), Active(3.0))
    with pytest.raises(ArgumentError, match="`v` has another value"):
        rev(Const(weighted), Duplicated(A, dA), Active(4.0), 1.0, tape)
    with pytest.raises(ArgumentError, match=r"`A` has shape \(4,\), in the forward pass \(3,\)"):
        rev(Const(weighted), Duplicated(np.ones(4), np.zeros(4)), Active(3.0), 1.0, tape)
    np.testing.assert_array_equal(dA, 0.0)
    rev(Const(weighted), Duplicated(A, dA), Active(3.0), 1.0, tape)
    assert dA.all()


def test_calls_of_a_wrong_form() -> None:
    A, dA = np.ones(3), np.zeros(3)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, weighted, Active, Duplicated[A], Active[float])
    given = (Duplicated(A, dA), Active(3.0))
    tape, _, _ = fwd(Const(weighted), *given)
    for args, message in (
        ((Const(weighted), *given, tape), "the seed, .* is missing"),
        ((Const(weighted), *given, "one", tape), "the seed is 'one'"),
        ((Const(weighted), *given, True, tape), "the seed is True"),
        ((Const(weighted), *given, 1.0), "the last argument is the tape, found is float"),
        ((), "the first argument of .* is the function"),
        ((*given, 1.0, tape), "the first argument of .* is the function"),
        ((Const(until), *given, 1.0, tape), "the first argument of .* is the function"),
        ((Const(weighted), given[0], 1.0, tape), "1 argument is given, weighted has 2 parameters"),
        ((Const(weighted), *given, Const(1), 1.0, tape), "3 arguments are given"),
        ((Const(weighted), Duplicated(A, dA), Const(3.0), 1.0, tape), r"expected \(.*Active\[float64\].*got \(.*Const"),
    ):
        with pytest.raises(ArgumentError, match=message):
            rev(*args)
    assert not tape.used
    np.testing.assert_array_equal(dA, 0.0)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, in_place, Const, Duplicated[A], Duplicated[A], Active[float])
    given = (Duplicated(A, dA), Duplicated(A.copy(), dA.copy()), Active(1.0))
    tape, _, _ = fwd(Const(in_place), *given)
    with pytest.raises(ArgumentError, match="the result is Const, so there is no seed"):
        rev(Const(in_place), *given, 1.0, tape)


def test_results_that_cannot_be_duplicated() -> None:
    x = np.ones(2)
    with pytest.raises(ActivityError, match="a number has no shadow to be filled"):
        autodiff_thunk(ReverseSplitWithPrimal, local_arrays, Duplicated, Duplicated[x])
    with pytest.raises(ActivityError, match="which has no derivative"):
        autodiff_thunk(ReverseSplitWithPrimal, lambda x: np.argmax(x), Duplicated, Duplicated[x])
    with pytest.raises(ActivityError, match="annotated MixedDuplicated"):
        autodiff_thunk(ReverseSplitWithPrimal, local_arrays, MixedDuplicated, Duplicated[x])
    with pytest.raises(ActivityError, match=r"takes two calls.*\n.*autodiff_thunk"):
        autodiff(ReverseSplitWithPrimal, until, Active, Active(1.0), Const(2.0))

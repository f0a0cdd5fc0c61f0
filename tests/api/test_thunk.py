"""Thunks of forward and combined reverse mode: what `autodiff` gives, compiled beforehand, for these types only."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
)
from dsl.errors import ActivityError, ArgumentError
from dsl.thunk import Thunk


@dsl.kernel
def square(x):
    return x * x


@dsl.kernel
def sum_of_squares(A):
    return dsl.sum(A**2)


@dsl.kernel
def pair_into(y, x):
    y[0] = x[0] ** 2 + x[1]
    y[1] = x[0] * x[1]


def test_forward() -> None:
    tangent = autodiff_thunk(Forward, square, Duplicated[float])
    assert tangent(Const(square), Duplicated(3.0, 1.0)) == (6.0,)
    assert tangent(square, Duplicated(5.0, 2.0)) == (20.0,)
    both = autodiff_thunk(ForwardWithPrimal, square, Duplicated, Duplicated(1.0, 1.0))
    assert both(Const(square), Duplicated(3.0, 1.0)) == (9.0, 6.0)
    assert autodiff_thunk(Forward, square, Const, Duplicated[float])(Const(square), Duplicated(3.0, 1.0)) == ()


def test_reverse() -> None:
    gradient = autodiff_thunk(Reverse, square, Active, Active[float])
    assert gradient(Const(square), Active(3.0)) == ((6.0,),)
    assert autodiff_thunk(ReverseWithPrimal, square, Active[float])(Const(square), Active(3.0)) == (9.0, (6.0,))
    A, dA = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    gradient = autodiff_thunk(Reverse, sum_of_squares, Active, Duplicated[A])
    assert gradient(Const(sum_of_squares), Duplicated(A, dA)) == ((None,),)
    np.testing.assert_array_equal(dA, [2.0, 4.0, 6.0])
    longer = np.zeros(7)
    gradient(Const(sum_of_squares), Duplicated(np.arange(7.0), longer))
    np.testing.assert_array_equal(longer, 2 * np.arange(7.0))


def test_plain_functions_and_lambdas() -> None:
    def cube(x):
        return x * x * x

    assert autodiff_thunk(Reverse, cube, Active, Active[float])(Const(cube), Active(2.0)) == ((12.0,),)
    thunk = autodiff_thunk(Forward, Const(cube), Duplicated[float])
    assert thunk(Const(dsl.as_kernel(cube)), Duplicated(2.0, 1.0)) == (12.0,)


@pytest.mark.parametrize(
    "given",
    [
        Duplicated[dsl.types.ArrayType(dsl.float64, 1)],
        Duplicated[np.ones(9)],
        Duplicated(np.ones(2), np.zeros(2)),
        Duplicated[dsl.types.typeof(np.ones(4))],
    ],
    ids=["type", "value in brackets", "values", "type of a value"],
)
def test_ways_to_give_a_type(given) -> None:
    x, dx = np.array([1.0, 2.0]), np.zeros(2)
    autodiff_thunk(Reverse, sum_of_squares, Active, given)(Const(sum_of_squares), Duplicated(x, dx))
    np.testing.assert_array_equal(dx, [2.0, 4.0])


@pytest.mark.parametrize("scalar", [float, np.float64, dsl.float64, 1.5, np.float64(1.5)], ids=str)
def test_a_python_float_and_numpys_are_the_same_type(scalar) -> None:
    gradient = autodiff_thunk(Reverse, square, Active, Active[scalar])
    assert gradient(Const(square), Active(3.0)) == ((6.0,),)
    assert gradient(Const(square), Active(np.float64(3.0))) == ((6.0,),)


def test_structs_by_example() -> None:
    p = (0.5, np.array([1.0, 2.0]))

    @dsl.kernel
    def scaled(p):
        return p[0] * dsl.sum(p[1])

    ref = Ref((0.0, np.zeros(2)))
    autodiff_thunk(Reverse, scaled, Active, MixedDuplicated[p])(Const(scaled), MixedDuplicated(p, ref))
    assert ref.value[0] == 3.0
    np.testing.assert_array_equal(ref.value[1], [0.5, 0.5])


def test_nothing_runs_before_the_call() -> None:
    y, x, dy, dx = np.zeros(2), np.ones(2), np.ones(2), np.zeros(2)
    thunk = autodiff_thunk(Reverse, pair_into, Const, Duplicated(y, dy), Duplicated(x, dx))
    np.testing.assert_array_equal([*y, *x, *dy, *dx], [0, 0, 1, 1, 1, 1, 0, 0])
    thunk(Const(pair_into), Duplicated(y, dy), Duplicated(x, dx))
    np.testing.assert_array_equal([*y, *dx], [2, 1, 3, 2])


SCALE = 2.0


def test_a_global_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    @dsl.kernel
    def scaled(x):
        return SCALE * x

    gradient = autodiff_thunk(Reverse, scaled, Active, Active[float])
    fwd, rev = autodiff_thunk(dsl.ReverseSplitWithPrimal, scaled, Active, Active[float])
    assert gradient(Const(scaled), Active(1.0)) == ((2.0,),)
    tape, _, _ = fwd(Const(scaled), Active(1.0))
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert gradient(Const(scaled), Active(1.0)) == ((5.0,),)
    assert fwd(Const(scaled), Active(1.0))[1] == 5.0
    assert rev(Const(scaled), Active(1.0), 1.0, tape) == ((2.0,),)  # of the function as the forward pass ran it


def test_an_int_is_promoted_with_a_warning_each_time() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradient = autodiff_thunk(Reverse, square, Active, Active[float])
    for _ in range(2):
        with pytest.warns(dsl.TypeWarning):
            assert gradient(Const(square), Active(3)) == ((6.0,),)


# --- what is refused


def test_other_types_are_refused_with_expected_and_got() -> None:
    x, dx = np.ones(2), np.zeros(2)
    gradient = autodiff_thunk(Reverse, sum_of_squares, Active, Duplicated[x])
    for other in (np.ones(2, np.float32), np.ones((2, 2)), np.ones(4)[::2]):
        with pytest.raises(ArgumentError, match=r"expected \(Duplicated\[.*\), got \(Duplicated\[") as info:
            gradient(Const(sum_of_squares), Duplicated(other, np.zeros_like(other)))
        assert "-->" in str(info.value) and "help: call it with these types" in str(info.value)
    with pytest.raises(ArgumentError, match=r"got \(Const\["):
        gradient(Const(sum_of_squares), Const(x))
    with pytest.raises(ActivityError, match="shares memory"):
        gradient(Const(sum_of_squares), Duplicated(x, x))
    np.testing.assert_array_equal(dx, 0.0)


def test_the_function_comes_first() -> None:
    gradient = autodiff_thunk(Reverse, square, Active, Active[float])
    for args in (
        (),
        (Active(3.0),),
        (Const(sum_of_squares), Active(3.0)),
        (Const(3), Active(3.0)),
        (Const, Active(1.0)),
    ):
        with pytest.raises(ArgumentError, match=r"the first argument of <thunk \(Reverse\) of square> is the function"):
            gradient(*args)


def test_what_is_given_to_autodiff_thunk() -> None:
    assert isinstance(autodiff_thunk(Forward, square, Duplicated[float]), Thunk)
    for args, message in (
        ((square, Active, Active[float]), "the mode is"),
        ((Reverse, 3, Active), "not a kernel or a function"),
        ((Reverse, sum_of_squares, Active, Duplicated[np.ndarray]), "neither dtype nor rank"),
        ((Reverse, square, Active, Active), "is the class Active, without a value"),
        ((Reverse, square, Active), "0 arguments are given"),
        ((Reverse, square, Active, Active[str]), "Active"),
        ((Forward, square, dsl.BatchDuplicated[float]), "how many shadows"),
        ((Forward, square, Active[float]), "Active in forward mode"),
    ):
        with pytest.raises((ArgumentError, ActivityError), match=message):
            autodiff_thunk(*args)


def test_autodiff_itself_takes_no_types() -> None:
    with pytest.raises(ArgumentError, match="types are for autodiff_thunk"):
        autodiff(Reverse, square, Active, Active[float])

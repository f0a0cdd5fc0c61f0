"""Calls refused before anything runs: which error, what it names, and that nothing of the caller's has changed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    BatchDuplicated,
    BatchMixedDuplicated,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Forward,
    ForwardWithPrimal,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseWithPrimal,
    autodiff,
)
from dsl.errors import ActivityError, ArgumentError

from .refusing import (
    A,
    Frozen,
    Named,
    Params,
    Z,
    both,
    doubled,
    refused,
    rounded,
    square,
    use,
    use_scalar,
    use_tuple,
    weigh,
)

# --- the form of the call -----------------------------------------------------------------------------------------


def test_wrong_numbers_of_arguments():
    refused(
        ArgumentError,
        r"1 arguments? .*weigh has 2 parameters \(A, w\).*annotate w",
        Reverse,
        weigh,
        Active,
        Duplicated(A, Z),
    )
    refused(
        ArgumentError,
        r"2 arguments? .*square has 1 parameter.*\(x\)",
        Reverse,
        square,
        Active,
        Active(1.0),
        Active(2.0),
    )
    refused(ArgumentError, r"0 arguments? .*square has 1", Reverse, square)


def test_arguments_without_annotation():
    refused(ArgumentError, r"argument 0 \(`x`\) is not annotated: float.*Active\(x\)", Reverse, square, Active, 3.0)
    refused(ArgumentError, r"argument 0 \(`x`\) is the class Active, without a value", Reverse, square, Active, Active)
    refused(ArgumentError, r"argument 1 \(`w`\) is not annotated: int", Forward, weigh, Duplicated(A, Z), 3)
    refused(ArgumentError, r"is the type Duplicated\[float\]", Forward, square, Duplicated[float])


def test_what_is_no_function():
    refused(ArgumentError, "is 3.0 .float., which is not a kernel or a function", Reverse, 3.0, Active, Active(1.0))
    refused(ArgumentError, "not a kernel or a function", Reverse, Reverse, Active, Active(1.0))
    refused(ArgumentError, "not a Python function", Reverse, np.sin, Active, Active(1.0))
    refused(ActivityError, "the function is annotated Active", Reverse, Active(square), Active, Active(1.0))
    assert autodiff(Reverse, Const(square), Active, Active(3.0)) == ((6.0,),)


def test_what_is_no_mode():
    refused(ArgumentError, "the mode is 'reverse'", "reverse", square, Active, Active(1.0))
    refused(ArgumentError, "the mode is .*Mode|the mode is <dsl.kernel", square, Reverse, Active, Active(1.0))


def test_annotated_arguments_belong_to_autodiff():
    with pytest.raises(ArgumentError, match="annotated"):
        square(Active(3.0))


# --- activities ---------------------------------------------------------------------------------------------------


def test_active_array():
    refused(
        ActivityError,
        r"argument 0 \(`A`\) is Active, but it is array.*Duplicated\(x, dx\)",
        Reverse,
        weigh,
        Active,
        Active(A),
        Const(1.0),
    )
    refused(ActivityError, "is Active, but it is .*MixedDuplicated", Reverse, use, Active, Active(Params(1.0, A)))


def test_active_in_forward_mode():
    refused(ActivityError, r"argument 0 \(`x`\) is Active in forward mode.*Duplicated", Forward, square, Active(1.0))
    refused(ActivityError, "the result is Active in forward mode", Forward, square, Active, Duplicated(1.0, 1.0))
    refused(ActivityError, "the result is Active in forward mode", ForwardWithPrimal, square, Active, Const(1.0))


@pytest.mark.parametrize("returns", [Duplicated, DuplicatedNoNeed, MixedDuplicated, BatchDuplicated])
def test_duplicated_result_in_combined_reverse(returns):
    refused(
        ActivityError,
        f"the result is annotated {returns.__name__} in combined reverse",
        Reverse,
        square,
        returns,
        Active(1.0),
    )
    refused(ActivityError, "combined reverse", ReverseWithPrimal, doubled, returns, Duplicated(A, Z))


def test_array_result_in_reverse():
    refused(ActivityError, "the result is array.*jacobian", Reverse, doubled, Duplicated(A, Z))
    refused(ActivityError, "the result is array", ReverseWithPrimal, doubled, Active, Duplicated(A, Z))
    found = autodiff(ReverseWithPrimal, doubled, Const, Duplicated(A, Z.copy()))
    np.testing.assert_array_equal(found[0], 2 * A)


def test_results_that_have_no_one_derivative():
    refused(
        ActivityError,
        r"the result is \(float64, float64\): reverse mode differentiates a scalar",
        Reverse,
        both,
        Active(1.0),
    )
    refused(ActivityError, "differentiates a scalar", Reverse, both, Active, Active(1.0))
    refused(ActivityError, "is Active, but it is of type int64", Reverse, rounded, Active, Active(1.0))
    assert autodiff(Reverse, rounded, Active(1.5)) == ((0.0,),)
    refused(ActivityError, "complex", Reverse, square, Active, Const(1j))


def test_active_of_what_has_no_derivative():
    refused(ActivityError, "it is a bool", Reverse, square, Active, Active(True))
    refused(ActivityError, "complex: its gradient is ambiguous", Reverse, square, Active, Active(1j))
    refused(ActivityError, "holds no float", Reverse, lambda t: 1.0 * t[0], Active, Active((1, 2)))
    refused(ActivityError, "holds nothing that has a derivative", Forward, square, Duplicated(3, 1))
    refused(
        ActivityError,
        "holds nothing that has a derivative",
        Reverse,
        lambda a: 1.0 * a[0],
        Duplicated(np.arange(3), np.arange(3)),
    )


def test_active_int_is_promoted_with_a_warning():
    for _ in range(3):  # each time
        with pytest.warns(dsl.TypeWarning, match=r"argument 0 \(`x`\) of square is an Active int, 3, .* write 3.0"):
            assert autodiff(Reverse, square, Active, Active(3)) == ((6.0,),)
    quiet = dsl.kernel(square.fn, type_warning=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert autodiff(Reverse, quiet, Active, Active(3)) == ((6.0,),)
        assert autodiff(ReverseWithPrimal, square, Active, Active(3.0)) == (9.0, (6.0,))
    with pytest.warns(dsl.TypeWarning) as caught:
        autodiff(Reverse, square, Active, Active(np.int32(3)))
    assert caught[0].filename == __file__


def test_an_int_where_a_float_is_declared_is_promoted_too():
    shadow = Params(0, np.zeros(3))
    with pytest.warns(dsl.TypeWarning, match="`p.w` of use is an int in a field that Params declares a float, 2"):
        autodiff(Reverse, use, Active, Duplicated(Params(2, A + 1), shadow))
    assert shadow.w == 2.0 and shadow.b[0] == 2.0
    with pytest.warns(dsl.TypeWarning):
        assert autodiff(Reverse, use_scalar, Active, Active(Frozen(3))) == ((Frozen(6.0),),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # by what is Const there is no derivative anyway
        autodiff(Reverse, lambda p, x: p.w * x, Active, Const(Frozen(3)), Active(2.0))


def test_numbers_are_not_duplicated_in_reverse():
    refused(
        ActivityError,
        r"argument 1 \(`w`\) is Duplicated, but it is a float:.*Active\(w\)",
        Reverse,
        weigh,
        Active,
        Const(A),
        Duplicated(1.0, 0.0),
    )


def test_numbers_in_what_is_immutable_need_a_ref():
    refused(
        ActivityError,
        r"`p\[0\]` is a number in a tuple.*MixedDuplicated\(p, Ref\(dp\)\)",
        Reverse,
        use_tuple,
        Active,
        Duplicated((2.0, A), (0.0, Z)),
    )
    refused(
        ActivityError, "`p.w` is a number in a Named", Reverse, use, Active, Duplicated(Named(2.0, A), Named(0.0, Z))
    )
    refused(
        ActivityError,
        "`p.w` is a number in a Frozen",
        Reverse,
        use_scalar,
        Active,
        Duplicated(Frozen(2.0), Frozen(0.0)),
    )
    refused(
        ActivityError,
        "MixedDuplicated in forward mode",
        Forward,
        use,
        MixedDuplicated(Params(2.0, A), Ref(Params(1.0, Z))),
    )
    with pytest.raises(ActivityError, match="is a Ref, not Params"):
        MixedDuplicated(Params(2.0, A), Params(0.0, Z))


# --- batches ------------------------------------------------------------------------------------------------------


def test_widths():
    with pytest.raises(ActivityError, match="BatchDuplicated of width 0"):
        BatchDuplicated(3.0, ())
    with pytest.raises(ActivityError, match="are a tuple, not float"):
        BatchDuplicated(3.0, 1.0)
    with pytest.raises(ActivityError, match="are Refs"):
        BatchMixedDuplicated(3.0, (1.0,))
    refused(
        ActivityError, "different widths in one call .`x`: 2, `y`: 3",
        Forward, lambda x, y: x * y, BatchDuplicated(1.0, (1.0, 0.0)), BatchDuplicated(2.0, (1.0, 0.0, 0.0)),
    )  # fmt: skip
    refused(
        ActivityError,
        "different widths",
        Forward,
        lambda x, y: x * y,
        BatchDuplicated(1.0, (1.0, 0.0)),
        Duplicated(2.0, 1.0),
    )


def test_what_is_not_there_yet_says_so():
    refused(ActivityError, "ReverseSplit.*two calls", dsl.ReverseSplitWithPrimal, square, Active, Active(3.0))


def test_nan_and_infinity_are_allowed():
    assert np.isnan(autodiff(Forward, square, Duplicated(3.0, np.nan))[0])
    shadow = np.array([np.nan, 1.0, np.inf])
    autodiff(Reverse, weigh, Active, Duplicated(A, shadow), Const(1.0))
    assert np.isnan(shadow[0]) and shadow[1] == 5.0 and shadow[2] == np.inf

"""The interface of derivatives, row by row: what is called, and exactly what comes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    BatchDuplicated,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Forward,
    ForwardWithPrimal,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseHolomorphic,
    ReverseSplitModified,
    ReverseSplitNoPrimal,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_deferred,
    autodiff_thunk,
    tape_type,
)


@dsl.kernel
def square(x):
    return x * x


@dsl.kernel
def sum_of_squares(A):
    return dsl.sum(A**2)


@dsl.kernel
def scaled_square(x, c):
    return c * x * x


@dsl.kernel
def pair(x):
    return [x[0] ** 2 + x[1], x[0] * x[1]]


@dsl.kernel
def pair_into(y, x):
    y[0] = x[0] ** 2 + x[1]
    y[1] = x[0] * x[1]


def exactly(got, want):
    """Equal in value and in form: tuples are tuples, None is None, numbers are floats."""
    assert type(got) is type(want)
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want):
            exactly(g, w)
    elif isinstance(want, np.ndarray):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    else:
        assert got == want


def test_reverse():
    exactly(autodiff(Reverse, square, Active, Active(3.0)), ((6.0,),))


def test_reverse_with_primal():
    exactly(autodiff(ReverseWithPrimal, square, Active, Active(3.0)), (9.0, (6.0,)))


def test_forward():
    exactly(autodiff(Forward, square, Duplicated(3.0, 1.0)), (6.0,))


def test_forward_with_primal():
    exactly(autodiff(ForwardWithPrimal, square, Duplicated(3.0, 1.0)), (9.0, 6.0))


def test_forward_with_the_return_annotated():
    exactly(autodiff(Forward, square, Duplicated, Duplicated(3.0, 0.5)), (3.0,))


def test_reverse_of_an_array_is_added_to_its_shadow():
    A, dA = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    exactly(autodiff(Reverse, sum_of_squares, Active, Duplicated(A, dA)), ((None,),))
    assert dA.tolist() == [2, 4, 6]
    autodiff(Reverse, sum_of_squares, Active, Duplicated(A, dA))
    assert dA.tolist() == [4, 8, 12]
    assert A.tolist() == [1, 2, 3]


def test_const_arguments_have_an_empty_slot():
    exactly(autodiff(Reverse, scaled_square, Active, Active(2.0), Const(3.0)), ((12.0, None),))
    exactly(autodiff(Reverse, scaled_square, Active, Const(2.0), Active(3.0)), ((None, 4.0),))
    exactly(autodiff(Reverse, scaled_square, Active, Active(2.0), Active(3.0)), ((12.0, 4.0),))
    exactly(autodiff(ReverseWithPrimal, scaled_square, Active, Const(2.0), Const(3.0)), (12.0, (None, None)))


def test_the_return_annotation_left_out():
    exactly(autodiff(Reverse, square, Active(3.0)), ((6.0,),))
    exactly(autodiff(ReverseWithPrimal, square, Active(3.0)), (9.0, (6.0,)))
    y, dy = np.zeros(2), np.array([1.0, 0.0])
    x, dx = np.array([2.0, 3.0]), np.zeros(2)
    exactly(autodiff(Reverse, pair_into, Duplicated(y, dy), Duplicated(x, dx)), ((None, None),))
    assert dx.tolist() == [4, 1]


def test_forward_of_a_returned_array_is_the_product_with_the_jacobian():
    x, v = np.array([2.0, 3.0]), np.array([1.0, 0.0])
    exactly(autodiff(Forward, pair, Duplicated(x, v)), (np.array([4.0, 3.0]),))
    exactly(autodiff(ForwardWithPrimal, pair, Duplicated(x, v)), (np.array([7.0, 6.0]), np.array([4.0, 3.0])))


def test_reverse_of_a_kernel_that_writes_its_result():
    y, dy = np.zeros(2), np.array([1.0, 0.0])
    x, dx = np.array([2.0, 3.0]), np.zeros(2)
    exactly(autodiff(Reverse, pair_into, Const, Duplicated(y, dy), Duplicated(x, dx)), ((None, None),))
    assert dx.tolist() == [4, 1]
    assert dy.tolist() == [0, 0]
    assert y.tolist() == [7, 6]


def test_forward_with_a_const_return():
    exactly(autodiff(Forward, square, Const, Duplicated(3.0, 1.0)), ())
    y, dy = np.zeros(2), np.zeros(2)
    exactly(
        autodiff(Forward, pair_into, Const, Duplicated(y, dy), Duplicated(np.array([2.0, 3.0]), np.array([1.0, 0.0]))),
        (),
    )
    assert dy.tolist() == [4, 3]


def test_plain_functions_and_lambdas_are_taken_as_kernels():
    def cube(x):
        return x**3

    exactly(autodiff(Reverse, cube, Active, Active(2.0)), ((12.0,),))
    exactly(autodiff(Reverse, lambda x: x * x, Active, Active(3.0)), ((6.0,),))


def test_float32_stays_float32():
    value, (slope,) = autodiff(ReverseWithPrimal, square, Active, Active(np.float32(3.0)))
    assert (value, slope) == (9.0, 6.0)
    A, dA = np.array([1, 2, 3], dtype=np.float32), np.zeros(3, dtype=np.float32)
    autodiff(Reverse, sum_of_squares, Active, Duplicated(A, dA))
    assert dA.tolist() == [2, 4, 6]


@dataclass
class Parameters:
    w: np.ndarray
    b: np.ndarray


@dataclass
class Data:
    x: np.ndarray
    y: np.ndarray


@dsl.kernel
def loss(params, data):
    pred = data.x * params.w + params.b
    return dsl.sum((pred - data.y) ** 2)


def test_duplicated_of_structs_leaf_by_leaf():
    params = Parameters(np.array([2.0]), np.array([1.0]))
    dparams = Parameters(np.zeros(1), np.zeros(1))
    data = Data(np.array([1.0, 2.0]), np.array([2.0, 7.0]))
    exactly(autodiff(ReverseWithPrimal, loss, Active, Duplicated(params, dparams), Const(data)), (5.0, (None, None)))
    # residuals 1 and -2: 2 * (1 * 1 - 2 * 2) and 2 * (1 - 2)
    assert dparams.w.tolist() == [-6]
    assert dparams.b.tolist() == [-2]


def test_several_directions_at_once():
    exactly(autodiff(Forward, square, BatchDuplicated(3.0, (1.0, 2.0))), ((6.0, 12.0),))
    exactly(autodiff(ForwardWithPrimal, square, BatchDuplicated(3.0, (1.0, 2.0))), (9.0, (6.0, 12.0)))
    x, (dx1, dx2) = np.array([2.0, 3.0]), np.zeros((2, 2))
    y, seeds = np.zeros(2), (np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    given = BatchDuplicated(y, seeds), BatchDuplicated(x, (dx1, dx2))
    exactly(autodiff(Reverse, pair_into, Const, *given), ((None, None),))
    assert (dx1.tolist(), dx2.tolist(), y.tolist()) == ([4, 1], [3, 2], [7, 6])
    assert not any(map(np.any, seeds))


@dsl.kernel
def squares_into(y, x):
    for i in range(len(y)):
        y[i] = x[i] * x[i]


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=repr)
def test_what_is_not_needed_is_not_computed(mode):
    def code(annotation):
        given = annotation(np.zeros(2), np.zeros(2)), Duplicated(np.zeros(2), np.zeros(2))
        return squares_into.ir("autodiff", mode, Const, *given)

    stores = lambda text: sum("memref.store" in line and "%arg0[" in line for line in text.splitlines())
    assert (stores(code(Duplicated)), stores(code(DuplicatedNoNeed))) == (1, 0)
    x, dx, dy = np.array([2.0, 3.0]), np.ones(2), np.ones(2)
    autodiff(mode, squares_into, Const, DuplicatedNoNeed(np.zeros(2), dy), Duplicated(x, dx))
    assert (dy.tolist(), dx.tolist()) == (([4, 6], [1, 1]) if mode is Forward else ([0, 0], [5, 7]))


@dsl.kernel
def read_back(y, x):
    y[0] = x[0] * x[0]
    return y[0] * y[0]


def test_what_is_not_needed_but_read_is_computed():
    dx = np.zeros(1)
    given = DuplicatedNoNeed(np.zeros(1), np.zeros(1)), Duplicated(np.array([3.0]), dx)
    exactly(autodiff(ReverseWithPrimal, read_back, Active, *given), (81.0, (None, None)))
    assert dx[0] == 4 * 27


@dataclass(frozen=True)
class Frozen:
    scale: float
    inner: Parameters


@dsl.kernel
def scaled_loss(p, data):
    return p[0] * p[1].scale * loss(p[1].inner, data)


def test_mixed_duplicated_of_tuples_and_nested_dataclasses():
    inner, data = Parameters(np.array([2.0]), np.array([1.0])), Data(np.array([1.0, 2.0]), np.array([2.0, 7.0]))
    shadow = Parameters(np.ones(1), np.ones(1))
    given, ref = (3.0, Frozen(10.0, inner)), Ref((0.5, Frozen(0.25, shadow)))
    exactly(autodiff(Reverse, scaled_loss, Active, MixedDuplicated(given, ref), Const(data)), ((None, None),))
    assert (ref.value[0], ref.value[1].scale) == (50.5, 15.25)
    assert ref.value[1].inner.w is shadow.w
    assert (shadow.w.tolist(), shadow.b.tolist()) == ([1 - 180], [1 - 60])
    with pytest.raises(dsl.DslError, match="MixedDuplicated"):
        autodiff(Reverse, scaled_loss, Active, Duplicated(given, ref.value), Const(data))


@dsl.kernel
def weighted(A, v):
    return dsl.sum(A * A) * v


@pytest.mark.parametrize(
    "types", [(Duplicated[np.ones(2)], Active[float]), (Duplicated(np.ones(2), np.ones(2)), Active(0.5))], ids=str
)
@pytest.mark.parametrize("mode", [ReverseSplitWithPrimal, ReverseSplitNoPrimal], ids=repr)
def test_split_mode(mode, types):
    A, dA = np.array([1.0, 2.0]), np.zeros(2)
    fwd, rev = autodiff_thunk(mode, weighted, Active, *types)
    tape, primal, shadow = fwd(Const(weighted), Duplicated(A, dA), Active(3.0))
    exactly((primal, shadow), (15.0 if mode.primal else None, None))
    exactly(rev(Const(weighted), Duplicated(A, dA), Active(3.0), 2.0, tape), ((None, 10.0),))
    assert dA.tolist() == [12, 24]


def test_split_mode_that_knows_what_is_overwritten():
    types = Active, Duplicated[np.ones(2)], Active[float]
    tapes = [
        tape_type(ReverseSplitModified(ReverseSplitNoPrimal, flags), weighted, *types)
        for flags in ((True, True), (False, False))
    ]
    assert [len(tape.parts) for tape in tapes] == [2, 1]  # the array and the sum; the sum
    assert tapes[1].parts[0].itemsize == 8


def test_thunks_of_other_modes():
    thunk = autodiff_thunk(Forward, square, Duplicated, Duplicated[float])
    exactly(thunk(Const(square), Duplicated(3.0, 1.0)), (6.0,))
    thunk = autodiff_thunk(ReverseWithPrimal, square, Active, Active[float])
    exactly(thunk(Const(square), Active(3.0)), (9.0, (6.0,)))


@dsl.kernel
def slope(x):
    return autodiff(Reverse, square, Active, Active(x))[0][0]


@dsl.kernel
def deferred_slope(x):
    return autodiff_deferred(Forward, square, Duplicated(x, 1.0))[0]


@pytest.mark.parametrize("kernel", [slope, deferred_slope], ids=lambda k: k.__name__)
def test_derivatives_inside_kernels(kernel):
    assert kernel(3.0) == 6.0
    exactly(autodiff(ReverseWithPrimal, kernel, Active, Active(3.0)), (6.0, (2.0,)))


def test_complex_numbers():
    exactly(autodiff(Forward, square, Duplicated(3.0 + 1.0j, 1.0j)), (6.0j - 2.0,))
    exactly(autodiff(ReverseHolomorphic, square, Active, Active(3.0 + 1.0j)), ((6.0 + 2.0j,),))
    with pytest.raises(dsl.DslError, match=r"ambiguous[\s\S]*use dsl.ReverseHolomorphic"):
        autodiff(Reverse, square, Active, Active(3.0 + 1.0j))


@pytest.mark.parametrize(
    "call",
    [
        lambda A, dA: autodiff(Reverse, sum_of_squares, Active, Active(A)),
        lambda A, dA: autodiff(Forward, square, Active(3.0)),
        lambda A, dA: autodiff(Forward, square, Active, Duplicated(3.0, 1.0)),
        lambda A, dA: autodiff(Reverse, square, Duplicated, Active(3.0)),
        lambda A, dA: autodiff(Reverse, pair, Duplicated(A, dA)),
        lambda A, dA: autodiff(Reverse, sum_of_squares, Active, Duplicated(A, dA[:2])),
        lambda A, dA: autodiff(Reverse, sum_of_squares, Active, Duplicated(A, A)),
        lambda A, dA: autodiff(Reverse, sum_of_squares, Active, Duplicated(A, dA), Const(1.0)),
        lambda A, dA: autodiff(Reverse, scaled_square, Active, Active(1.0)),
        lambda A, dA: autodiff(Reverse, sum_of_squares, Active, A),
        lambda A, dA: autodiff(Reverse, sum_of_squares, Active, Duplicated(A, [0.0, 0.0, 0.0])),
    ],
    ids=[
        "active array",
        "active in forward mode",
        "active return in forward mode",
        "duplicated return in reverse mode",
        "array return without annotation",
        "short shadow",
        "shadow that is its primal",
        "too many arguments",
        "too few arguments",
        "no annotation",
        "shadow that is a list",
    ],
)
def test_refused_and_nothing_changed(call):
    A, dA = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    with pytest.raises(dsl.DslError):
        call(A, dA)
    assert A.tolist() == [1, 2, 3]
    assert dA.tolist() == [0, 0, 0]

"""The interface of derivatives, row by row: what is called, and exactly what comes back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    Reverse,
    ReverseWithPrimal,
    autodiff,
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

"""Several shadows in one call: what comes back, where gradients go, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from pytest import approx

import dsl
from dsl import (
    Active,
    BatchDuplicated,
    BatchDuplicatedNoNeed,
    BatchMixedDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    Ref,
    Reverse,
    ReverseWithPrimal,
    autodiff,
)
from dsl.errors import ActivityError, ArgumentError


@dsl.kernel
def square(x):
    return x * x


@dsl.kernel
def weighted(a, c):
    return dsl.sum(a**2) * c


@dsl.kernel
def into(y, x):
    y[0] = x[0] ** 2 + x[1]
    y[1] = x[0] * x[1]


@dsl.kernel
def vector(x):
    return [x[0] ** 2 + x[1], x[0] * x[1]]


class Pair(NamedTuple):
    w: Any
    b: Any


@dataclass
class Cell:
    w: Any
    b: float


@dsl.kernel
def affine(p, x):
    return p.w[0] * x + p.w[1] * p.b


@dsl.kernel
def pair_of(x):
    return x * x, 3.0 * x


@dsl.kernel
def advance(p):
    p.b = p.b * p.b * p.w[0]


def test_scalar() -> None:
    assert autodiff(Forward, square, BatchDuplicated(3.0, (1.0, 2.0))) == ((6.0, 12.0),)
    assert autodiff(ForwardWithPrimal, square, BatchDuplicated(3.0, (1.0, 2.0))) == (9.0, (6.0, 12.0))
    assert autodiff(Forward, square, BatchDuplicated, BatchDuplicated(3.0, (1.0, 2.0, 4.0))) == ((6.0, 12.0, 24.0),)
    assert autodiff(Forward, square, BatchDuplicated(3.0, (1.0,))) == ((6.0,),)
    assert autodiff(Forward, square, Const, BatchDuplicated(3.0, (1.0, 2.0))) == ()
    assert autodiff(Forward, square, BatchDuplicatedNoNeed(3.0, (1.0, 2.0))) == ((6.0, 12.0),)


def test_again_by_the_runner() -> None:
    for v in (1.0, 5.0):
        assert autodiff(Forward, square, BatchDuplicated(v, (1.0, 2.0))) == ((2 * v, 4 * v),)
    assert autodiff(Forward, square, BatchDuplicated(3.0, (1.0, 2.0, 3.0))) == ((6.0, 12.0, 18.0),)


def test_single_precision() -> None:
    x = np.float32(3)
    ((a, b),) = autodiff(Forward, square, BatchDuplicated(x, (np.float32(1), np.float32(2))))
    assert (a, b) == (6, 12)
    assert type(a) is np.float32


def test_array_in_reverse() -> None:
    a, d1, d2 = np.array([1.0, 2.0, 3.0]), np.zeros(3), np.ones(3)
    found = autodiff(ReverseWithPrimal, weighted, Active, BatchDuplicated(a, (d1, d2)), Active(2.0))
    assert found == (28.0, (None, (14.0, 14.0)))
    np.testing.assert_array_equal(d1, 4 * a)
    np.testing.assert_array_equal(d2, 1 + 4 * a)


def test_batched_seeds() -> None:
    y, x = np.zeros(2), np.array([2.0, 3.0])
    seeds, rows = np.eye(2), np.zeros((2, 2))
    found = autodiff(Reverse, into, Const, BatchDuplicated(y, tuple(seeds)), BatchDuplicated(x, tuple(rows)))
    assert found == ((None, None),)
    np.testing.assert_array_equal(rows, [[4, 1], [3, 2]])
    np.testing.assert_array_equal(seeds, np.zeros((2, 2)))
    np.testing.assert_array_equal(y, [7, 6])


def test_array_result_in_forward() -> None:
    x = np.array([2.0, 3.0])
    ((first, second),) = autodiff(Forward, vector, BatchDuplicated(x, ([*np.eye(2)])))
    np.testing.assert_array_equal(first, [4, 3])
    np.testing.assert_array_equal(second, [1, 2])


def test_tuple_result() -> None:
    assert autodiff(Forward, pair_of, BatchDuplicated(2.0, (1.0, 10.0))) == (((4.0, 3.0), (40.0, 30.0)),)


def test_struct_leaf_by_leaf() -> None:
    w = np.array([2.0, 3.0])
    p = Pair(w, 5.0)
    refs = tuple(Ref(Pair(np.zeros(2), 1.0)) for _ in range(2))
    found = autodiff(Reverse, affine, Active, BatchMixedDuplicated(p, refs), Active(7.0))
    assert found == ((None, (2.0, 2.0)),)
    for ref in refs:
        np.testing.assert_array_equal(ref.value.w, [7, 5])
        assert ref.value.b == 4.0
    tangents = tuple(Pair(np.array([1.0, k]), 0.5) for k in (0.0, 1.0))
    ((first, second),) = autodiff(Forward, affine, BatchDuplicated(p, tangents), Const(7.0))
    assert (first, second) == (7 + 1.5, 7 + 5 + 1.5)


def test_mutable_struct() -> None:
    p = Cell(np.array([2.0, 3.0]), 5.0)
    shadows = Cell(np.zeros(2), 0.0), Cell(np.zeros(2), 1.0)
    autodiff(Reverse, affine, Active, BatchDuplicated(p, shadows), Const(7.0))
    for k, shadow in enumerate(shadows):
        np.testing.assert_array_equal(shadow.w, [7, 5])
        assert shadow.b == 3.0 + k


def test_assigned_field() -> None:
    """The field's shadow is the seed in reverse mode, and the new tangent in forward mode: for each lane."""
    p = Cell(np.array([2.0]), 3.0)
    moved = Cell(np.array([1.0]), 0.0), Cell(np.array([0.0]), 1.0)
    autodiff(Forward, advance, BatchDuplicated(p, moved))
    assert p.b == 18.0
    assert [m.b for m in moved] == [9.0, 12.0]
    p = Cell(np.array([2.0]), 3.0)
    seeded = Cell(np.zeros(1), 1.0), Cell(np.zeros(1), 10.0)
    autodiff(Reverse, advance, Const, BatchDuplicated(p, seeded))
    assert [(s.w[0], s.b) for s in seeded] == [(9.0, 12.0), (90.0, 120.0)]


def test_no_need() -> None:
    y, x = np.zeros(2), np.array([2.0, 3.0])
    seeds, rows = np.eye(2), np.zeros((2, 2))
    autodiff(Reverse, into, Const, BatchDuplicatedNoNeed(y, tuple(seeds)), BatchDuplicated(x, tuple(rows)))
    np.testing.assert_array_equal(rows, [[4, 1], [3, 2]])


def test_refused() -> None:
    a, d1, d2 = np.ones(3), np.zeros(3), np.zeros(3)
    with pytest.raises(ActivityError, match="width 0"):
        BatchDuplicated(a, ())
    with pytest.raises(ActivityError, match=r"different widths in one call \(`a`: 2, `c`: 3\)"):
        autodiff(Forward, weighted, BatchDuplicated(a, (d1, d2)), BatchDuplicated(1.0, (1.0, 2.0, 3.0)))
    with pytest.raises(ActivityError, match="different widths"):
        autodiff(Forward, weighted, BatchDuplicated(a, (d1, d2)), Duplicated(1.0, 1.0))
    with pytest.raises(ActivityError, match="shares memory"):
        autodiff(Reverse, weighted, Active, BatchDuplicated(a, (d1, d1)), Const(1.0))
    with pytest.raises(ArgumentError, match=r"shadow 1 of argument 0 \(`a`\) has shape"):
        autodiff(Reverse, weighted, Active, BatchDuplicated(a, (d1, np.zeros(2))), Const(1.0))
    with pytest.raises(ActivityError, match="the result is BatchDuplicated, but no argument"):
        autodiff(Forward, square, BatchDuplicated, Duplicated(3.0, 1.0))
    ref = Ref(Pair(np.zeros(2), 1.0))
    with pytest.raises(ActivityError, match="shares memory"):
        autodiff(Reverse, affine, Active, BatchMixedDuplicated(Pair(np.ones(2), 5.0), (ref, ref)), Active(7.0))
    assert not d1.any()


@dsl.kernel
def through_complex(x):
    z = complex(x, 1.0)
    return abs(z * z)


def test_complex_numbers_inside() -> None:
    """|(x + i)^2| = x^2 + 1."""
    assert autodiff(Forward, through_complex, BatchDuplicated(1.5, (1.0, 2.0))) == ((approx(3.0), approx(6.0)),)


@dsl.kernel
def mixed_complex(z, w):
    s = w
    for i in range(len(z)):
        s = s * z[i] + np.exp(z[i]) / (s + 2.0)
    return s


def test_complex_arguments() -> None:
    z = np.array([0.3 + 0.4j, -0.2 + 0.9j, 1.0 - 0.5j])
    tangents = (np.array([1j, 0.0, 1.0]), np.array([0.5, 1.0 + 1j, 0.0]), np.array([0.0, 0.0, 2j]))
    ds = (1.0 + 0j, 2j, 0j)
    (batch,) = autodiff(Forward, mixed_complex, BatchDuplicated(z, tangents), BatchDuplicated(0.5 + 0.1j, ds))
    assert len(batch) == 3
    for tangent, d, found in zip(tangents, ds, batch, strict=True):
        (one,) = autodiff(Forward, mixed_complex, Duplicated(z, tangent), Duplicated(0.5 + 0.1j, d))
        assert found == approx(one)
        step = 1e-6
        far, near = (mixed_complex(z + h * tangent, 0.5 + 0.1j + h * d) for h in (step, -step))
        assert found == approx((far - near) / (2 * step), rel=1e-7)


def test_complex_shadows_in_reverse() -> None:
    """Seeds of several directions in the shadows of an array that is written."""

    def into(y, x):
        for i in range(len(x)):
            y[i] = np.sin(x[i]) * complex(x[i], 1.0).real * abs(complex(x[i], 2.0))

    y, x = np.zeros(2), np.array([0.5, 1.5])
    seeds, rows = (np.array([1.0, 0.0]), np.array([0.0, 3.0])), (np.zeros(2), np.zeros(2))
    autodiff(Reverse, into, Const, BatchDuplicated(y, seeds), BatchDuplicated(x, rows))
    for k, factor in ((0, 1.0), (1, 3.0)):
        one = np.zeros(2)
        autodiff(Reverse, into, Const, Duplicated(y, factor * np.eye(2)[k]), Duplicated(x, one))
        np.testing.assert_allclose(rows[k], one, rtol=1e-13)
        assert one[k] != 0 and one[1 - k] == 0


def test_several_holomorphic_gradients() -> None:
    z = np.array([0.3 + 0.4j, -0.2 + 0.9j])
    shadows, one = (np.zeros(2, complex), np.zeros(2, complex)), np.zeros(2, complex)
    (slots,) = autodiff(dsl.ReverseHolomorphic, mixed_complex, Active, BatchDuplicated(z, shadows), Active(0.5 + 0.1j))
    ((_, dw),) = autodiff(dsl.ReverseHolomorphic, mixed_complex, Active, Duplicated(z, one), Active(0.5 + 0.1j))
    assert slots[1] == (approx(dw), approx(dw))
    np.testing.assert_allclose(shadows, [one, one], rtol=1e-13)

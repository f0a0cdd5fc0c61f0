"""Shadows that do not fit their arguments: refused before anything runs, with nothing of the caller's changed."""

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
    MixedDuplicated,
    Ref,
    Reverse,
    autodiff,
)
from dsl.errors import ActivityError, ArgumentError

from .refusing import (
    A,
    Named,
    Params,
    Z,
    product,
    refused,
    scale,
    square,
    use,
    use_scalar,
    use_tuple,
    weigh,
)

# --- shadows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Reverse, Forward])
@pytest.mark.parametrize(
    ("shadow", "pattern"),
    [
        (np.zeros(3, np.float32), "dtype float32; expected is float64"),
        (np.zeros(3, int), "dtype int64; expected is float64"),
        (np.zeros((3, 1)), "rank 2; expected is 1"),
        (np.zeros(()), "rank 0; expected is 1"),
        (np.zeros(2), r"shape \(2,\); expected is \(3,\)"),
        (np.zeros(4), r"shape \(4,\); expected is \(3,\)"),
        (np.zeros(6)[::2], "another layout"),
        (np.ma.zeros(3), "MaskedArray"),
        ([0.0, 0.0, 0.0], "of type list"),
        (1.0, "expected is an array"),
        (None, "of type NoneType"),
        (np.zeros(3).astype(">f8"), "dtype >f8"),
        (np.frombuffer(bytearray(25), np.float64, 3, 1), "not aligned"),
    ],
)
def test_shadows_that_do_not_fit(mode, shadow, pattern):
    refused(ArgumentError, rf"shadow of argument 0 \(`A`\).*{pattern}", mode, weigh, Duplicated(A, shadow), Const(2.0))


def test_shadows_of_another_order():
    @dsl.kernel
    def corner(M):
        return M[0, 1]

    M = np.ones((3, 4))
    refused(ArgumentError, "layout", Reverse, corner, Active, Duplicated(M, np.asfortranarray(np.zeros((3, 4)))))
    refused(ArgumentError, "shape", Reverse, corner, Active, Duplicated(M, np.zeros((4, 3))))
    # a strided array takes any shadow of its shape
    for shadow in (np.zeros((4, 3)), np.zeros((3, 4)).T, np.zeros((8, 3))[::2]):
        autodiff(Reverse, corner, Active, Duplicated(M.T, shadow))
        assert shadow[0, 1] == 1.0 and shadow.sum() == 1.0


def test_shadows_that_share_memory():
    x = np.arange(10.0)
    refused(
        ActivityError,
        r"shadow of argument 0 \(`A`\) shares memory with argument 0",
        Reverse,
        weigh,
        Duplicated(x, x),
        Const(1.0),
    )
    refused(ActivityError, "shares memory", Reverse, weigh, Duplicated(x[:4], x[3:7]), Const(1.0))
    refused(ActivityError, "shares memory", Forward, weigh, Duplicated(x[:4], x[3:7]), Const(1.0))
    d = np.zeros(5)
    refused(
        ActivityError,
        r"shadow of argument 1 \(`B`\) shares memory with the shadow of argument 0 \(`A`\)",
        Reverse, product, Duplicated(x[:5], d), Duplicated(x[5:], d),
    )  # fmt: skip
    refused(
        ActivityError,
        r"argument 1 \(`B`\) shares memory with the shadow of",
        Reverse,
        product,
        Duplicated(x[:5], x[5:]),
        Const(x[5:]),
    )
    # neighbours, and every second element, do not share
    autodiff(Reverse, weigh, Active, Duplicated(x[:5], x[5:]), Const(0.5))
    np.testing.assert_array_equal(x[5:], [5, 7, 9, 11, 13])
    autodiff(Reverse, weigh, Active, Duplicated(x[::2], x[1::2]), Const(0.0))


def test_the_same_holds_on_the_quick_way():
    autodiff(Reverse, weigh, Active, Duplicated(A, Z.copy()), Const(2.0))  # now there is a runner
    refused(ActivityError, "shares memory", Reverse, weigh, Active, Duplicated(A, A), Const(2.0))
    refused(ArgumentError, "shape", Reverse, weigh, Active, Duplicated(A, np.zeros(2)), Const(2.0))
    refused(ArgumentError, "dtype", Reverse, weigh, Active, Duplicated(A, np.zeros(3, np.float32)), Const(2.0))
    refused(ArgumentError, "layout", Reverse, weigh, Active, Duplicated(A, np.zeros(6)[::2]), Const(2.0))
    refused(ActivityError, "Active", Reverse, weigh, Active, Active(A), Const(2.0))
    autodiff(Forward, weigh, Duplicated(A, Z.copy()), Const(2.0))
    refused(ActivityError, "shares memory", Forward, weigh, Duplicated(A, A), Const(2.0))


def test_read_only_shadows():
    shadow = np.zeros(3)
    shadow.flags.writeable = False
    refused(
        ArgumentError, r"shadow of argument 0 \(`A`\) is read-only", Reverse, weigh, Duplicated(A, shadow), Const(2.0)
    )
    # a tangent is only read, unless the kernel writes to its primal
    assert autodiff(Forward, weigh, Duplicated(A, shadow), Const(2.0)) == (0.0,)
    refused(ArgumentError, "shadow .*read-only.*writes", Forward, scale, Duplicated(A.copy(), shadow), Const(2.0))
    frozen = A.copy()
    frozen.flags.writeable = False
    autodiff(Reverse, weigh, Active, Duplicated(frozen, Z.copy()), Const(2.0))
    refused(
        ArgumentError,
        "argument 0 .`A`. is read-only, and its derivative writes",
        Reverse,
        scale,
        Duplicated(frozen, Z.copy()),
        Const(2.0),
    )


def test_scalar_tangents_of_another_type():
    refused(ArgumentError, "shadow .*expected is a float64", Forward, square, Duplicated(3.0, np.float32(1.0)))
    refused(ArgumentError, "shadow .*expected is a float64", Forward, square, Duplicated(3.0, 1j))
    refused(ArgumentError, "shadow .*expected is a float64", Forward, square, Duplicated(3.0, None))
    refused(
        ArgumentError, "shadow .*expected is a float32", Forward, square, Duplicated(np.float32(3.0), np.float64(1.0))
    )
    refused(ArgumentError, "shadow .*expected is a float64", Forward, square, Duplicated(3.0, Z))
    assert autodiff(Forward, square, Duplicated(3.0, 1)) == (6.0,)
    assert autodiff(Forward, square, Duplicated(np.float32(3.0), 1.0)) == (6.0,)


def test_shadows_of_another_form():
    p = Params(2.0, A)
    refused(ArgumentError, "expected is a Params", Reverse, use, Active, Duplicated(p, Named(0.0, Z)))
    refused(
        ArgumentError,
        r"shadow of argument 0 \(`p`\) at `p.b`.*shape",
        Reverse,
        use,
        Active,
        Duplicated(p, Params(0.0, np.zeros(2))),
    )
    refused(ArgumentError, r"at `p.w`.*expected is a float64", Reverse, use, Active, Duplicated(p, Params(None, Z)))
    refused(ArgumentError, "a tuple of 2", Forward, use_tuple, Duplicated((2.0, A), (1.0,)))
    refused(ActivityError, "shares memory", Reverse, use, Active, Duplicated(p, Params(0.0, A)))
    refused(ActivityError, "shares memory", Reverse, use_scalar, Active, Duplicated(p, p))


def test_one_shadow_for_two_structs():
    @dataclass
    class Cell:
        w: float

    @dsl.kernel
    def times(p, q):
        return p.w * q.w

    d = Cell(0.0)
    refused(ArgumentError, "one object", Reverse, times, Active, Duplicated(d, d), Const(Cell(1.0)))
    autodiff(Reverse, times, Active, Duplicated(Cell(2.0), Cell(0.0)), Duplicated(Cell(3.0), Cell(0.0)))
    refused(ArgumentError, "one object", Reverse, times, Active, Duplicated(Cell(2.0), d), Duplicated(Cell(3.0), d))
    r = Ref(d)
    refused(
        ArgumentError,
        "the same Ref",
        Reverse,
        times,
        Active,
        MixedDuplicated(Cell(2.0), r),
        MixedDuplicated(Cell(3.0), r),
    )
    assert d.w == 0.0

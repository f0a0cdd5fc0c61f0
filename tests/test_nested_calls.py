"""`autodiff` called inside kernels: what it returns, nesting in all orders, and what is refused by place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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
    Reverse,
    ReverseWithPrimal,
    autodiff,
    autodiff_deferred,
)
from dsl.errors import ActivityError, KernelTypeError, UnsupportedSyntax


@dsl.kernel
def f(x, c):
    return c * math.sin(x) * x * x


@dsl.kernel
def energy(a):
    total = 0.0
    for i in range(a.shape[0] - 1):
        total += (a[i + 1] - a[i] ** 2) ** 2
    return total


@dsl.kernel
def slope(x, c):
    ((dx, _),) = autodiff(Reverse, f, Active, Active(x), Const(c))
    return dx


@dsl.kernel
def slope_forward(x, c):
    return autodiff(Forward, f, Duplicated(x, 1.0), Const(c))[0]


@dsl.kernel
def deferred(x, c):
    value, grads = autodiff_deferred(ReverseWithPrimal, f, Active, Active(x), Active(c))
    return value, grads[0], grads[1]


@dsl.kernel
def gradient(a, da):
    autodiff(Reverse, energy, Active, Duplicated(a, da))


@dsl.kernel
def descend(a, rate, steps):
    g = dsl.zeros_like(a)
    for _ in range(steps):
        g[:] = 0.0
        autodiff(Reverse, energy, Duplicated(a, g))
        a -= rate * g
    return energy(a)


def first(x: float, c: float) -> float:
    return c * (math.cos(x) * x * x + 2 * x * math.sin(x))


def second(x: float, c: float) -> float:
    return c * (-math.sin(x) * x * x + 4 * x * math.cos(x) + 2 * math.sin(x))


def third(x: float, c: float) -> float:
    return c * (-math.cos(x) * x * x - 6 * x * math.sin(x) + 6 * math.cos(x))


def energy_gradient(a: np.ndarray) -> np.ndarray:
    r = a[1:] - a[:-1] ** 2
    g = np.zeros_like(a)
    g[1:] += 2 * r
    g[:-1] -= 4 * r * a[:-1]
    return g


def energy_hessian(a: np.ndarray) -> np.ndarray:
    n = len(a)
    h = np.zeros((n, n))
    for i in range(n - 1):
        h[i + 1, i + 1] += 2
        h[i, i] += 12 * a[i] ** 2 - 4 * a[i + 1]
        h[i, i + 1] -= 4 * a[i]
        h[i + 1, i] -= 4 * a[i]
    return h


A = np.array([0.3, -0.7, 1.1, 0.4])


def test_values() -> None:
    assert slope(1.3, 2.0) == pytest.approx(first(1.3, 2.0), rel=1e-14)
    assert slope_forward(1.3, 2.0) == pytest.approx(first(1.3, 2.0), rel=1e-14)
    value, dx, dc = deferred(1.3, 2.0)
    assert value == f(1.3, 2.0)
    assert dx == pytest.approx(first(1.3, 2.0), rel=1e-14)
    assert dc == pytest.approx(f(1.3, 1.0), rel=1e-14)


def test_arrays() -> None:
    g = np.zeros(4)
    gradient(A, g)
    np.testing.assert_allclose(g, energy_gradient(A), rtol=1e-13)
    gradient(A, g)  # it is added to
    np.testing.assert_allclose(g, 2 * energy_gradient(A), rtol=1e-13)


def test_in_a_loop() -> None:
    a, b = A.copy(), A.copy()
    value = descend(a, 0.01, 20)
    for _ in range(20):
        b -= 0.01 * energy_gradient(b)
    np.testing.assert_allclose(a, b, rtol=1e-12)
    assert value == pytest.approx(energy.fn(b))


@dsl.kernel
def forward_of_reverse(x, c):
    return autodiff(Forward, slope, Duplicated(x, 1.0), Const(c))[0]


@dsl.kernel
def reverse_of_forward(x, c):
    return autodiff(Reverse, slope_forward, Active(x), Const(c))[0][0]


@dsl.kernel
def reverse_of_reverse(x, c):
    return autodiff(Reverse, slope, Active(x), Const(c))[0][0]


@dsl.kernel
def forward_of_forward(x, c):
    return autodiff(Forward, slope_forward, Duplicated(x, 1.0), Const(c))[0]


SECOND = [forward_of_reverse, reverse_of_forward, reverse_of_reverse, forward_of_forward]


@pytest.mark.parametrize("kernel", SECOND, ids=lambda k: k.name)
def test_second_order(kernel: Any) -> None:
    assert kernel(1.3, 2.0) == pytest.approx(second(1.3, 2.0), rel=1e-13)


@pytest.mark.parametrize("kernel", SECOND, ids=lambda k: k.name)
def test_third_order(kernel: Any) -> None:
    """Three deep: the outermost from Python."""
    expected = pytest.approx(third(1.3, 2.0), rel=1e-12)
    assert autodiff(Forward, kernel, Duplicated(1.3, 1.0), Const(2.0))[0] == expected
    assert autodiff(Reverse, kernel, Active(1.3), Const(2.0))[0][0] == expected


@dsl.kernel
def hessian_product(a, v, da, hv):
    autodiff(Forward, gradient, Duplicated(a, v), Duplicated(da, hv))


@dsl.kernel
def dotted(a, v):
    da = dsl.zeros_like(a)
    autodiff(Reverse, energy, Duplicated(a, da))
    return dsl.sum(da * v)


def test_array_second_order() -> None:
    v = np.array([0.5, -1.0, 2.0, 0.25])
    expected = energy_hessian(A) @ v
    g, hv = np.zeros(4), np.zeros(4)
    hessian_product(A, v, g, hv)
    np.testing.assert_allclose(g, energy_gradient(A), rtol=1e-13)
    np.testing.assert_allclose(hv, expected, rtol=1e-12)
    found = np.zeros(4)  # reverse over reverse
    autodiff(Reverse, dotted, Duplicated(A, found), Const(v))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    ((e0, e1),) = autodiff(Forward, dotted, BatchDuplicated(A, (np.eye(4)[0], np.eye(4)[1])), Const(v))
    np.testing.assert_allclose([e0, e1], expected[:2], rtol=1e-12)


@dsl.kernel
def both_lanes(x):
    ((a, b),) = autodiff(Forward, f, BatchDuplicated(x, (1.0, 10.0)), Const(2.0))
    return a + b


@dsl.kernel
def batched_reverse(a, d1, d2, seeds):
    autodiff(Reverse, into, Const, BatchDuplicated(seeds[0], (seeds[1], seeds[2])), BatchDuplicated(a, (d1, d2)))


@dsl.kernel
def into(y, x):
    y[0] = x[0] ** 2 + x[1]
    y[1] = x[0] * x[1]


def test_batched() -> None:
    assert both_lanes(1.3) == pytest.approx(11 * first(1.3, 2.0), rel=1e-13)
    d1, d2 = np.zeros(2), np.zeros(2)
    batched_reverse(np.array([2.0, 3.0]), d1, d2, np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_array_equal([d1, d2], [[4, 1], [3, 2]])


@dataclass
class Params:
    w: Any
    b: float


@dsl.kernel
def model(p, x):
    return (p.w[0] * x + p.b) ** 2


@dsl.kernel
def fit_gradient(p, dp, x):
    autodiff(Reverse, model, Duplicated(p, dp), Const(x))


@dsl.kernel
def tangent_of_struct(p, dp, x):
    return autodiff(ForwardWithPrimal, model, Duplicated(p, dp), DuplicatedNoNeed(x, 0.0))


@dsl.kernel
def of_tuple(x, y):
    return autodiff(Reverse, product, Active((x, y)))[0][0]


@dsl.kernel
def product(t):
    return t[0] * t[0] * t[1]


def test_structs_and_tuples() -> None:
    p, dp = Params(np.array([2.0]), 1.0), Params(np.zeros(1), 0.5)
    fit_gradient(p, dp, 3.0)
    assert dp.w[0] == 42.0
    assert dp.b == 14.5
    assert tangent_of_struct(p, Params(np.array([1.0]), 2.0), 3.0) == (49.0, 14 * 5.0)
    assert of_tuple(3.0, 5.0) == (30.0, 9.0)


@dsl.kernel
def array_result(x):
    return [x[0] ** 2 + x[1], x[0] * x[1]]


@dsl.kernel
def jvp(x, v):
    return autodiff(Forward, array_result, Duplicated(x, v))[0]


def test_array_result() -> None:
    np.testing.assert_array_equal(jvp(np.array([2.0, 3.0]), np.array([1.0, 0.0])), [4, 3])
    x = np.array([2.0, 3.0])
    (hvp,) = autodiff(Forward, jvp, Duplicated(x, np.array([0.0, 1.0])), Const(np.array([1.0, 0.0])))
    np.testing.assert_array_equal(hvp, [0, 1])


@dsl.kernel
def inner_error(a, i):
    return a[i] ** 2


@dsl.kernel(boundscheck=True)
def raising(a, da, i):
    autodiff(Reverse, inner_error, Duplicated(a, da), Const(i))
    return da[0]


def test_errors_of_the_inner_kernel_come_out() -> None:
    assert raising(np.ones(2), np.zeros(2), 0) == 2.0
    with pytest.raises(IndexError):
        raising(np.ones(2), np.zeros(2), 7)


@dsl.kernel
def active_array(a):
    return autodiff(Reverse, energy, Active(a))


@dsl.kernel
def active_forward(x):
    return autodiff(Forward, f, Active(x), Const(1.0))


@dsl.kernel
def not_annotated(x):
    return autodiff(Reverse, f, x, 1.0)


@dsl.kernel
def no_mode(x):
    return autodiff(f, Active(x), Const(1.0))


@dsl.kernel
def scalar_duplicated(x):
    return autodiff(Reverse, f, Duplicated(x, 0.0), Const(1.0))


@dsl.kernel
def own_shadow(a):
    autodiff(Reverse, energy, Duplicated(a, a))


@dsl.kernel
def other_shadow(a):
    autodiff(Reverse, energy, Duplicated(a, 1.0))


@dsl.kernel
def widths(x, c):
    return autodiff(Forward, f, BatchDuplicated(x, (1.0, 2.0)), Duplicated(c, 1.0))


@dsl.kernel
def array_in_reverse(x):
    return autodiff(Reverse, array_result, Duplicated(x, dsl.zeros_like(x)))


@pytest.mark.parametrize(
    ("kernel", "args", "error", "message"),
    [
        (active_array, (A,), ActivityError, "`a` is Active"),
        (active_forward, (1.0,), ActivityError, "Active in forward mode"),
        (not_annotated, (1.0,), ActivityError, "argument 0 is not annotated"),
        (no_mode, (1.0,), KernelTypeError, "the mode of autodiff"),
        (scalar_duplicated, (1.0,), ActivityError, "nothing can be added in place"),
        (own_shadow, (A,), ActivityError, "given twice"),
        (other_shadow, (A,), ActivityError, "expected is"),
        (widths, (1.0, 2.0), ActivityError, "different widths"),
        (array_in_reverse, (A,), ActivityError, "reverse mode differentiates a scalar"),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_refused(kernel: Any, args: tuple[Any, ...], error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        kernel(*args)
    assert f"{__file__}:" in str(caught.value)
    assert "^" in str(caught.value)


@dsl.kernel
def aware(x):
    if dsl.within_autodiff():
        return 10.0 * x
    return x


@dsl.kernel
def through_a_call(x):
    return aware(x) * x


@dsl.kernel
def both_sides(x):
    return aware(x), autodiff(ForwardWithPrimal, aware, Duplicated(x, 1.0))


def test_within_autodiff() -> None:
    assert aware(3.0) == 3.0
    assert dsl.within_autodiff() is False
    assert autodiff(ForwardWithPrimal, aware, Duplicated(3.0, 1.0)) == (30.0, 10.0)
    assert autodiff(ReverseWithPrimal, aware, Active(3.0)) == (30.0, (10.0,))
    assert through_a_call(3.0) == 9.0
    assert autodiff(Reverse, through_a_call, Active(3.0)) == ((60.0,),)
    assert both_sides(3.0) == (3.0, (30.0, 10.0))


@dsl.kernel
def returns_annotation(x):
    return x, Active(x)


def test_annotations_are_not_returned() -> None:
    with pytest.raises(UnsupportedSyntax, match="returns an annotation"):
        returns_annotation(1.0)


@dsl.kernel
def doubled(a):
    total = 0.0
    for i in range(len(a)):
        total += a[i] ** 3
        a[i] = 2.0 * a[i]
    return total


@dsl.kernel
def through_two_names(a, b):
    a[0] = a[0] * a[1]
    return b[0] ** 2


@dsl.kernel
def pieces(u, a, b, c, d):
    autodiff(Reverse, energy, Active, Duplicated(u[a:b], u[c:d]))
    return u[c] * u[d - 1]


@dsl.kernel
def columns(m, i, j, w):
    autodiff(Reverse, doubled_columns, Active, Duplicated(m[:, i : i + w], m[:, j : j + w]))
    return m[0, j] + m[1, j]


@dsl.kernel
def doubled_columns(m):
    total = 0.0
    for i in range(m.shape[0]):
        total += doubled(m[i])
    return total


@dsl.kernel
def rows_of_callers(m, i, j):
    return gradient_into_row(m[i], m[j])


@dsl.kernel
def gradient_into_row(x, dx):
    autodiff(Reverse, energy, Active, Duplicated(x, dx))
    return dx[0] * dx[1]


@dsl.kernel
def two_names(u, du, i):
    autodiff(Reverse, through_two_names, Active, Duplicated(u[0:2], du[0:2]), Duplicated(u[i:], du[i:]))
    return du[0]


@pytest.mark.parametrize(
    ("kernel", "apart", "meeting"),
    [
        (pieces, [(0, 4, 4, 8), (4, 8, 0, 4), (0, 0, 0, 8)], [(0, 4, 3, 7), (2, 6, 0, 4), (1, 5, 1, 5)]),
        (columns, [(0, 1, 1), (2, 0, 1), (0, 2, 2), (2, 0, 2)], [(1, 1, 1), (0, 1, 2), (2, 1, 2)]),
        (rows_of_callers, [(0, 1), (3, 1)], [(0, 0), (2, 2)]),
    ],
)
def test_shadows_among_views_of_one_array_share_nothing(kernel, apart, meeting):
    rng = np.random.default_rng(5)
    x = rng.uniform(0.5, 1.5, 8 if kernel is pieces else (4, 4))
    direction = rng.uniform(-1, 1, x.shape)
    for numbers in meeting:
        with pytest.raises(ValueError, match=r"overlap(.|\n)*Duplicated\("):
            kernel(x.copy(), *numbers)
    for numbers in apart[:2]:
        at = lambda t, n=numbers: kernel(x + t * direction, *n)
        expected = (8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4
        rest = [Const(n) for n in numbers]
        (tangent,) = autodiff(Forward, kernel, Duplicated(x.copy(), direction.copy()), *rest)
        assert tangent == pytest.approx(expected, rel=1e-8)
        gradient = np.zeros_like(x)
        autodiff(Reverse, kernel, Active, Duplicated(x.copy(), gradient), *rest)
        assert np.sum(gradient * direction) == pytest.approx(tangent, rel=1e-12)
    for numbers in apart[2:]:
        kernel(x.copy(), *numbers)


def test_an_overwritten_argument_shares_nothing_with_another_one():
    u, du = np.array([2.0, 3.0, 5.0, 7.0]), np.zeros(4)
    two_names(u.copy(), du, 2)
    assert du.tolist() == [0.0, 0.0, 10.0, 0.0]
    with pytest.raises(ValueError, match="overwritten"):
        two_names(u.copy(), np.zeros(4), 0)

"""Derivatives by complex numbers: ReverseHolomorphic against Forward and against differences; what is not holomorphic
is refused.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    Const,
    Duplicated,
    Forward,
    Reverse,
    ReverseHolomorphic,
    ReverseHolomorphicWithPrimal,
    autodiff,
    autodiff_thunk,
)
from dsl.errors import ActivityError, DifferentiationError

Z, W = 0.3 + 0.7j, -0.2 + 1.1j

SCALAR: list[Callable[..., Any]] = [
    lambda z, w: z * w + z,
    lambda z, w: z / w - w * w,
    lambda z, w: cmath.exp(z * w) / (z + 2.0),
    lambda z, w: cmath.sin(z) * cmath.cos(w) + cmath.tanh(z),
    lambda z, w: cmath.log(z + 1.0) * cmath.sqrt(w),
    lambda z, w: z**3 + z**w,
    lambda z, w: 2.0 * z if z.real > w.real else w,  # the parts may be looked at, where no derivative passes
]


def along(f: Callable[..., complex], *point: complex, step: float = 1e-4) -> list[complex]:
    """The derivative by each argument, by central differences of order 4 along 1."""
    found = []
    for k in range(len(point)):

        def at(t: float, k: int = k) -> complex:
            return f(*(p + t * (i == k) for i, p in enumerate(point)))

        found.append((8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step))
    return found


@pytest.mark.parametrize("f", SCALAR)
def test_numbers(f: Callable[..., complex]) -> None:
    primal, gradients = autodiff(ReverseHolomorphicWithPrimal, f, Active, Active(Z), Active(W))
    assert primal == pytest.approx(f(Z, W))
    assert gradients == pytest.approx(along(f, Z, W), rel=1e-8)
    (left,), (right,) = (
        autodiff(Forward, f, Duplicated(Z, 1.0 + 0.0j), Const(W)),
        autodiff(Forward, f, Const(Z), Duplicated(W, 1.0 + 0.0j)),
    )
    assert gradients == pytest.approx((left, right), rel=1e-13)
    assert autodiff(Forward, f, Duplicated(Z, 1.0j), Const(W))[0] == pytest.approx(1j * left)
    assert autodiff(ReverseHolomorphic, f, Const(Z), Active(W))[0] == (None, pytest.approx(gradients[1]))


def test_single_precision_and_real_numbers() -> None:
    square = dsl.kernel(lambda z: z * z)
    ((slope,),) = autodiff(ReverseHolomorphic, square, Active, Active(np.complex64(3 + 1j)))
    assert type(slope) is np.complex64 and slope == 6 + 2j
    assert autodiff(ReverseHolomorphic, square, Active, Active(3.0)) == ((6.0,),)


def filled_body(x, y):
    s = 0.0j
    for i in range(len(x)):
        y[i] = x[i] * x[i] * y[i] + x[0]
        s += cmath.sin(y[i]) * x[i]
    return s


filled = dsl.kernel(filled_body)


def test_arrays() -> None:
    """Shadows hold d/dz too: those of what is read gain it, those of what is overwritten give the seed."""
    rng = np.random.default_rng(3)
    x, y, dx, dy = (rng.uniform(-1, 1, 3) + 1j * rng.uniform(-1, 1, 3) for _ in range(4))
    before, seed, point = dx.copy(), dy.copy(), (x.copy(), y.copy())

    def whole(*entries: complex) -> complex:
        a, b = np.array(entries[:3]), np.array(entries[3:])
        return filled_body(a, b) + seed @ b

    expected = along(whole, *point[0], *point[1])
    autodiff(ReverseHolomorphic, filled, Active, Duplicated(x, dx), Duplicated(y, dy))
    np.testing.assert_allclose(dx - before, expected[:3], rtol=1e-7)
    np.testing.assert_allclose(dy, expected[3:], rtol=1e-7)


def test_in_thunks_and_kernels() -> None:
    cube = dsl.kernel(lambda z, c: c * z * z * z)

    @dsl.kernel
    def slope(z):
        return autodiff(ReverseHolomorphic, cube, Active, Active(z), Const(2.0))[0][0]

    assert slope(Z) == pytest.approx(6 * Z * Z)
    assert autodiff(Forward, slope, Duplicated(Z, 1.0 + 0.0j))[0] == pytest.approx(12 * Z)
    thunk = autodiff_thunk(ReverseHolomorphic, cube, Active, Active[complex], Const[float])
    assert thunk(Const(cube), Active(Z), Const(2.0))[0][0] == pytest.approx(6 * Z * Z)


def test_through_easy_rules() -> None:
    power = dsl.kernel(lambda z: z * z)
    dsl.rules.easy(power)(marked_partial)
    outer = dsl.kernel(lambda z: power(z) * 1j)
    assert autodiff(ReverseHolomorphic, outer, Active, Active(Z)) == ((pytest.approx(1j * (3 + 4j) * Z),),)
    assert autodiff(Forward, outer, Duplicated(Z, 1.0 + 0.0j))[0] == pytest.approx(1j * (3 + 4j) * Z)


def marked_partial(z):
    return (3.0 + 4.0j) * z


@pytest.mark.parametrize(
    ("f", "op"),
    [
        (lambda z: z * np.conj(z), "complex.conj"),
        (lambda z: z * abs(z), "complex.abs"),
        (lambda z: z.real, "complex.re"),
        (lambda z: complex(1.0, z.imag), "complex.(im|create)"),
    ],
)
def test_what_is_not_holomorphic(f: Callable[..., Any], op: str) -> None:
    with pytest.raises(DifferentiationError, match=f"(?s){op} has no derivative by a complex number.*along 1 and 1j"):
        autodiff(ReverseHolomorphic, f, Active, Active(Z))
    # forward mode, along 1 and 1j, has it: df/dz = (df/dx - i df/dy) / 2
    by_x, by_y = (autodiff(Forward, f, Duplicated(Z, t))[0] for t in (1.0 + 0.0j, 1.0j))
    step = 1e-5
    assert by_x == pytest.approx((f(Z + step) - f(Z - step)) / (2 * step), rel=1e-7)
    assert by_y == pytest.approx((f(Z + 1j * step) - f(Z - 1j * step)) / (2 * step), rel=1e-7, abs=1e-9)


def test_a_real_argument_of_a_complex_result() -> None:
    f = dsl.kernel(lambda z, x: z * x)
    assert autodiff(ReverseHolomorphic, f, Active, Active(Z), Const(2.0)) == ((2.0, None),)
    with pytest.raises(DifferentiationError, match=r"complex\.create has no derivative by a complex number"):
        autodiff(ReverseHolomorphic, f, Active, Active(Z), Active(2.0))


def test_a_real_result_by_a_complex_array_in_plain_reverse() -> None:
    @dsl.kernel
    def energy(x):
        s = 0.0
        for i in range(len(x)):
            s += abs(x[i]) ** 2 + x[i].imag
        return s

    x, dx = np.array([Z, W]), np.zeros(2, complex)
    autodiff(Reverse, energy, Active, Duplicated(x, dx))
    np.testing.assert_allclose(dx, 2 * x + 1j)
    with pytest.raises(DifferentiationError, match="not holomorphic"):
        autodiff(ReverseHolomorphic, energy, Active, Duplicated(x, dx))


def test_plain_reverse_is_ambiguous() -> None:
    f = dsl.kernel(lambda z: z * z)
    with pytest.raises(ActivityError, match=r"(?s)its gradient is ambiguous.*use dsl.ReverseHolomorphic for d/dz"):
        autodiff(Reverse, f, Active, Active(Z))
    with pytest.raises(ActivityError, match=r"(?s)a complex result is ambiguous.*use dsl.ReverseHolomorphic for d/dz"):
        autodiff(Reverse, f, Active, Const(Z))

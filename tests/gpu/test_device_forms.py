"""Derivatives on devices in several directions at once, of derivatives, and by structs; arrays in several places."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    BatchDuplicated,
    BatchMixedDuplicated,
    Const,
    Duplicated,
    Forward,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseWithPrimal,
    autodiff,
)
from dsl import simulator as sim

from .places import derivative, same

rng = np.random.default_rng(6)


def n(*shape):
    return rng.normal(size=shape)


def moving(x):
    return Duplicated(x, n(*x.shape))


def wide(x):
    return BatchDuplicated(x, (n(*x.shape), n(*x.shape)))


@dsl.kernel
def cubes(y, x):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = x[i] ** 3 * x[(i + 1) % len(x)]


@dsl.kernel
def launches(x, a):
    y = np.empty_like(x)
    cubes[1, 32](y, x)
    return np.sum(y * y) * a


def test_several_directions():
    derivative(Forward, cubes[1, 32], Const, wide(n(6)), wide(n(6)))
    derivative(Reverse, cubes[1, 32], Const, wide(n(6)), wide(n(6)))
    derivative(ReverseWithPrimal, launches, Active, wide(n(6)), Active(2.0))


@dsl.kernel
def gradient(x, dx):
    autodiff(Reverse, launches, Active, Duplicated(x, dx), Const(2.0))


@dsl.kernel
def cubed(y, x):
    cubes[1, 32](y, x)


@dsl.kernel
def along(y, dy, x, dx):
    autodiff(Forward, cubed, Const, Duplicated(y, dy), Duplicated(x, dx))


@pytest.mark.parametrize("mode", [Forward, Reverse])
def test_derivatives_of_derivatives(mode):
    derivative(mode, gradient, Const, moving(n(6)), moving(n(6)))
    derivative(mode, along, Const, *(moving(n(6)) for _ in range(4)))


@dsl.kernel
def scaled(y, x, a):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = a * x[i] ** 3 * x[(i + 1) % len(x)]


@dsl.kernel
def of_grid(y, dy, x, dx, blocks):
    ((_, _, da),) = autodiff(Reverse, scaled[blocks, 32], Const, Duplicated(y, dy), Duplicated(x, dx), Active(2.0))
    return da


@dsl.kernel
def of_threads(y, dy, x, dx):
    autodiff(Forward, scaled.forall(len(x)), Const, Duplicated(y, dy), Duplicated(x, dx), Const(2.0))


def test_derivatives_of_grids_in_host_code():
    y, dy, x, dx = n(4, 6)
    here, there = [v.copy() for v in (y, dy, x, dx)], [v.copy() for v in (y, dy, x, dx)]
    found = of_grid(*here, 1)
    shadows = Duplicated(there[0], there[1]), Duplicated(there[2], there[3]), Active(2.0)
    assert autodiff(Reverse, scaled[1, 32], Const, *shadows) == ((None, None, found),)
    assert all(map(np.array_equal, here, there))
    derivative(Forward, of_grid, Duplicated, *(moving(n(6)) for _ in range(4)), Const(1))
    derivative(Reverse, of_threads, Const, *(moving(n(6)) for _ in range(4)))


@dataclass
class Weights:
    w: np.ndarray
    b: float
    n: int


class Pair(NamedTuple):
    w: np.ndarray
    b: float


@dsl.kernel
def use(p, y):
    i = dsl.grid(1)
    if i < len(y):
        y[i] += p.w[i] * p.b


@dsl.kernel
def uses(p, y):
    use[1, 32](p, y)
    return np.sum(y * p.w) * p.b


def weights():
    return Duplicated(Weights(n(5), 2.0, 3), Weights(n(5), 0.1, 0))


def test_structs():
    derivative(Reverse, use[1, 32], Const, weights(), moving(n(5)))
    derivative(Forward, uses, Duplicated, weights(), moving(n(5)))
    derivative(Reverse, uses, Active, MixedDuplicated(Pair(n(5), 2.0), Ref(Pair(n(5), 0.5))), moving(n(5)))
    shadows = tuple(Ref(Pair(n(5), 0.5)) for _ in range(2))
    derivative(Reverse, use[1, 32], Const, BatchMixedDuplicated(Pair(n(5), 2.0), shadows), wide(n(5)))


@dsl.kernel
def changes(p):
    p.b = np.sum(p.w) * p.b
    p.w[:] = 2 * p.w
    return Pair(p.w + 1, p.b), Weights(p.w, 1.0, 2)


def test_structs_that_change_and_are_returned():
    same(changes, Weights(n(5), 2.0, 3))
    derivative(Reverse, changes, Const, weights())


@pytest.mark.parametrize("other", ["host", "device"])
def test_arrays_in_two_places(other):
    here = sim.asarray(n(5))
    there = n(5) if other == "host" else sim.asarray(n(5), sim.Device())
    shadow = Ref(Pair(there, 1.0))
    calls = [
        lambda: cubes[1, 32](here, there),
        lambda: uses(Weights(there, 1.0, 2), here),
        lambda: autodiff(Forward, cubes[1, 32], Const, Duplicated(here, there), Const(here)),
        lambda: autodiff(Reverse, uses, Active, MixedDuplicated(Pair(here, 1.0), shadow), Const(here)),
        lambda: dsl.gradient(Reverse, uses, Pair(there, 1.0), here),
    ]
    for call in calls:
        place = r"--> .*\.py(.|\n)*\| +def \w+\([a-z, ]+\):"
        message = rf"arrays of .* are passed together(.|\n)*{place}(.|\n)*bring all arrays"
        with pytest.raises(dsl.errors.ArgumentError, match=message):
            call()

"""Derivatives by arguments of every form: structs, fields that are assigned to, Refs, tuples; results of all kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
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
from dsl.errors import ActivityError


@dataclass
class Layer:
    w: np.ndarray
    b: float
    n: int


@dataclass
class Net:
    first: Layer
    gain: float


class Point(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True)
class Ball:
    centre: Point
    r: float
    label: int


@dsl.kernel
def run_net(net, x):
    s = net.first.b
    for i in range(net.first.n):
        s += net.first.w[i] * x
    return net.gain * s * s


def a_net(scale=1.0):
    return Net(Layer(scale * np.array([1.0, 2.0]), scale * 0.5, 2), scale * 3.0)


def test_nested_dataclasses_get_gradients_leaf_by_leaf():
    net, shadow = a_net(), Net(Layer(np.zeros(2), 0.0, 0), 0.0)
    for k in (1, 2):  # it is added
        assert autodiff(Reverse, run_net, Active, Duplicated(net, shadow), Active(2.0)) == (
            (None, 2 * 3.0 * 6.5 * 3.0),
        )
        np.testing.assert_allclose(shadow.first.w, k * 2 * 3.0 * 6.5 * np.array([2.0, 2.0]))
        assert shadow.first.b == k * 2 * 3.0 * 6.5 and shadow.gain == k * 6.5**2 and shadow.first.n == 0
    assert (net.gain, net.first.b, net.first.n) == (3.0, 0.5, 2)


def test_nested_dataclasses_have_tangents_leaf_by_leaf():
    tangent = Net(Layer(np.array([1.0, -1.0]), 2.0, 0), 0.5)
    value, slope = autodiff(ForwardWithPrimal, run_net, Duplicated(a_net(), tangent), Duplicated(2.0, 1.0))
    assert value == 3.0 * 6.5**2
    assert slope == pytest.approx(0.5 * 6.5**2 + 2 * 3.0 * 6.5 * (2.0 * (1 - 1) + 2.0 + 3.0 * 1.0))
    assert tangent.gain == 0.5


def test_mixed_duplicated_accumulates_scalars_in_its_ref():
    ref = Ref(Net(Layer(np.zeros(2), 1.0, 7), 1.0))
    old, array = ref.value, ref.value.first.w
    result = autodiff(ReverseWithPrimal, run_net, Active, MixedDuplicated(a_net(), ref), Const(2.0))
    assert result == (3.0 * 6.5**2, (None, None))
    assert ref.value.first.w is array and array[0] == 78.0
    assert (ref.value.first.b, ref.value.gain, ref.value.first.n) == (40.0, 43.25, 7)
    assert (old.first.b, old.gain) == (1.0, 1.0)  # the Ref has a new one


def test_mixed_duplicated_of_a_tuple():
    @dsl.kernel
    def f(p):
        return p[0] * p[1][0] + p[2].x * p[2].y

    ref = Ref((0.0, np.zeros(2), Point(0.0, 0.0)))
    point = (2.0, np.array([3.0, 1.0]), Point(4.0, 5.0))
    for k in (1.0, 2.0):
        assert autodiff(Reverse, f, Active, MixedDuplicated(point, ref)) == ((None,),)
        assert ref.value[0] == 3.0 * k and ref.value[2] == Point(5.0 * k, 4.0 * k)
        np.testing.assert_array_equal(ref.value[1], [2.0 * k, 0.0])


def test_active_structs_come_back_as_structs():
    @dsl.kernel
    def volume(ball, t):
        return ball.r**3 * ball.label + ball.centre.x * t[0] + ball.centre.y * t[1]

    ball = Ball(Point(1.0, 2.0), 2.0, 3)
    gradients = autodiff(Reverse, volume, Active, Active(ball), Active((5.0, 7)))
    assert gradients == ((Ball(Point(5.0, 7.0), 36.0, 0), (1.0, 0)),)
    assert autodiff(Reverse, volume, Active, Active(ball), Const((5.0, 7)))[0][1] is None


def test_gradients_have_the_type_of_their_argument():
    @dsl.kernel
    def f(x, y):
        return x * y

    gx, gy = autodiff(Reverse, f, Active, Active(np.float32(3.0)), Active(2.0))[0]
    assert (type(gx), gx, type(gy), gy) == (np.float32, 2.0, float, 3.0)


# --- fields that the kernel assigns to ----------------------------------------------------------------------------


@dataclass
class State:
    x: float
    v: float
    steps: int


@dsl.kernel
def swing(state, h, n):
    for _ in range(n):
        state.v = state.v - h * state.x * state.x
        state.x = state.x + h * state.v
        state.steps += 1
    return state.x * state.v


def by_hand(x, v, h, n):
    for _ in range(n):
        v = v - h * x * x
        x = x + h * v
    return x, v


def difference(i, out, at=(1.0, 0.5), n=5):
    """Of output `out` by input `i`, centrally."""
    low, high = list(at), list(at)
    low[i] -= 1e-6
    high[i] += 1e-6
    return (out(*by_hand(*high, 0.1, n)) - out(*by_hand(*low, 0.1, n))) / 2e-6


def test_assigned_fields_and_their_tangents_move():
    state, tangent = State(1.0, 0.5, 0), State(1.0, 0.0, 0)
    slope = autodiff(Forward, swing, Duplicated(state, tangent), Const(0.1), Const(5))
    x, v = by_hand(1.0, 0.5, 0.1, 5)
    assert (state.x, state.v, state.steps) == (pytest.approx(x), pytest.approx(v), 5)
    assert tangent.x == pytest.approx(difference(0, lambda x, v: x))
    assert tangent.v == pytest.approx(difference(0, lambda x, v: v))
    assert slope == (pytest.approx(difference(0, lambda x, v: x * v)),)


@pytest.mark.parametrize("mode", [Reverse, ReverseWithPrimal])
def test_assigned_fields_take_their_shadow_as_seed(mode):
    state, shadow = State(1.0, 0.5, 0), State(0.25, 2.0, 0)
    result = autodiff(mode, swing, Active, Duplicated(state, shadow), Const(0.1), Const(5))
    x, v = by_hand(1.0, 0.5, 0.1, 5)
    assert (state.x, state.v, state.steps) == (pytest.approx(x), pytest.approx(v), 5)
    for i, field in enumerate("xv"):
        expected = difference(i, lambda x, v: x * v + 0.25 * x + 2.0 * v)
        assert getattr(shadow, field) == pytest.approx(expected)
    assert result == ((None,) * 3,) if mode is Reverse else (pytest.approx(x * v), (None,) * 3)


def test_assigned_fields_of_what_is_const_are_refused():
    state = State(1.0, 0.5, 0)
    for mode, h in ((Reverse, Active(0.1)), (Forward, Duplicated(0.1, 1.0))):
        with pytest.raises(ActivityError, match=r"assigns to `state.x`, but argument 0 \(`state`\) is Const"):
            autodiff(mode, swing, Const(state), h, Const(5))
    assert state == State(1.0, 0.5, 0)


# --- results ------------------------------------------------------------------------------------------------------


def test_tangents_of_tuples_and_structs():
    @dsl.kernel
    def f(x, a):
        return Point(x * x, 3.0), a * x, 7, (x > 1.0, np.float32(x))

    a = np.array([1.0, 2.0])
    (tangent,) = autodiff(Forward, f, Duplicated(3.0, 1.0), Const(a))
    assert type(tangent[0]) is Point and tangent[0] == Point(6.0, 0.0)
    np.testing.assert_array_equal(tangent[1], a)
    assert tangent[2:] == (0, (0, 1.0)) and type(tangent[3][1]) is np.float32
    primal, tangent = autodiff(ForwardWithPrimal, f, Duplicated(3.0, 1.0), Const(a))
    assert primal[0] == Point(9.0, 3.0) and primal[2:] == (7, (True, 3.0))
    np.testing.assert_array_equal(primal[1], 3 * a)
    np.testing.assert_array_equal(tangent[1], a)


def test_the_result_may_be_left_out_or_const():
    @dsl.kernel
    def count(x):
        return int(x) + 1

    @dsl.kernel
    def store(a, x):
        a[0] = x * x

    assert autodiff(Forward, count, Duplicated(2.5, 1.0)) == ()
    assert autodiff(ForwardWithPrimal, count, Duplicated(2.5, 1.0)) == (3,)
    assert autodiff(ReverseWithPrimal, count, Active(2.5)) == (3, (0.0,))
    a, da = np.zeros(1), np.ones(1)
    assert autodiff(Reverse, store, Duplicated(a, da), Active(3.0)) == ((None, 6.0),)
    assert a[0] == 9.0 and da[0] == 0.0
    da[0] = 1.0
    assert autodiff(ReverseWithPrimal, store, Const, Duplicated(a, da), Active(3.0)) == (None, (None, 6.0))
    assert autodiff(Forward, lambda x: x * x, Const, Duplicated(3.0, 1.0)) == ()
    assert autodiff(ForwardWithPrimal, lambda x: x * x, Const, Duplicated(3.0, 1.0)) == (9.0,)


def test_complex_numbers_forward():
    @dsl.kernel
    def f(z):
        return z * z

    value, slope = autodiff(ForwardWithPrimal, f, Duplicated(1.0 + 2j, 1j))
    assert value == (1 + 2j) ** 2 and slope == 2 * (1 + 2j) * 1j


def test_no_need():
    @dsl.kernel
    def f(y, x):
        for i in range(len(x)):
            y[i] = x[i] * x[i]

    x, dx, y, dy = np.array([2.0, 3.0]), np.zeros(2), np.zeros(2), np.array([1.0, 10.0])
    autodiff(Reverse, f, Const, DuplicatedNoNeed(y, dy), Duplicated(x, dx))
    np.testing.assert_array_equal(dx, [4.0, 60.0])
    np.testing.assert_array_equal(dy, 0.0)


def test_default_arguments_are_const():
    @dsl.kernel
    def f(x, c=3.0, n=2):
        return c * x**n

    assert autodiff(Reverse, f, Active, Active(2.0)) == ((12.0,),)
    assert autodiff(Reverse, f, Active, Active(2.0), Active(5.0)) == ((20.0, 4.0),)
    assert f(2.0) == 12.0 and f(2.0, n=3) == 24.0


def test_compile_time_arguments():
    @dsl.kernel
    def apply(g, x, how, nothing):
        if how == "twice":
            return g(g(x))
        return g(x)

    def cube(x):
        return x * x * x

    assert autodiff(Reverse, apply, Active, Const(cube), Active(2.0), Const("once"), Const(None)) == (
        (None, 12.0, None, None),
    )
    assert autodiff(Reverse, apply, Active, Const(cube), Active(1.0), Const("twice"), Const(None)) == (
        (None, 9.0, None, None),
    )
    assert apply(lambda x: x + 1.0, 1.0, "twice", None) == 3.0


# --- errors of the kernel -----------------------------------------------------------------------------------------


@dsl.kernel(boundscheck=True)
def pick(a, i):
    assert i != 3, "three is not allowed"
    return a[i] * a[i]


def test_errors_of_the_kernel_are_raised_with_their_line():
    a, da = np.arange(3.0), np.zeros(3)
    line = pick.fn.__code__.co_firstlineno
    for call in (
        lambda i: pick(a, i),
        lambda i: autodiff(Reverse, pick, Active, Duplicated(a, da), Const(i)),
        lambda i: autodiff(Forward, pick, Duplicated(a, da), Const(i)),
    ):
        call(2)
        for _ in range(3):
            with pytest.raises(IndexError, match=rf"(?s){__file__}:{line + 3}:.*a\[i\]"):
                call(5)
            with pytest.raises(AssertionError, match=rf"(?s)three is not allowed.*:{line + 2}:"):
                call(3)
            call(1)  # an error leaves nothing behind
        call(-3)


def test_memory_that_is_not_there():
    @dsl.kernel
    def grab(n):
        a = dsl.zeros(n)
        return a

    with pytest.raises(MemoryError, match="grab"):
        grab(2**50)
    with pytest.raises(ValueError, match="negative"):
        grab(-1)
    assert len(grab(3)) == 3


def test_what_has_no_derivative_is_named():
    @dsl.kernel
    def into(scratch, x):
        scratch[0] = x
        return scratch[0] * scratch[0]

    from dsl.errors import DifferentiationError

    scratch = np.zeros(1)
    with pytest.raises(DifferentiationError, match=r"scratch|Const") as caught:
        autodiff(Reverse, into, Active, Const(scratch), Active(3.0))
    assert caught.value.loc is not None and caught.value.loc.file == __file__
    assert scratch[0] == 0.0
    assert autodiff(Reverse, into, Active, Duplicated(scratch, np.zeros(1)), Active(3.0)) == ((None, 6.0),)


def test_strong_zero():
    @dsl.kernel
    def f(x, y):
        return np.sqrt(x) * y

    assert np.isnan(autodiff(Forward, f, Duplicated(0.0, 0.0), Const(1.0))[0])
    assert autodiff(Forward.with_strong_zero(), f, Duplicated(0.0, 0.0), Const(1.0)) == (0.0,)

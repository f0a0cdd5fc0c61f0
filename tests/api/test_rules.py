"""Rules of one's own: true ones against the kernel's body without rules, others (by a factor) to see which one was
used.
"""

from __future__ import annotations

import ctypes
import math
import pickle
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    AugmentedReturn,
    BatchDuplicated,
    Const,
    Duplicated,
    Forward,
    ForwardWithPrimal,
    MixedDuplicated,
    Ref,
    Reverse,
    ReverseSplitWithPrimal,
    ReverseWithPrimal,
    autodiff,
    autodiff_thunk,
)
from dsl.errors import ArgumentError, DifferentiationError

VECTOR = dsl.types.ArrayType(dsl.float64, 1)


# numbers --------------------------------------------------------------------------------------------------------------
def sine_body(x, y):
    return math.sin(x) * y


plain_sine = dsl.kernel(sine_body)
sine = dsl.kernel(sine_body)  # with rules that are right
marked = dsl.kernel(sine_body)  # with rules that are right but for a factor, ten forward and a hundred in reverse


@dsl.rules.forward(sine)
def sine_forward(config, func, RT, x, y):
    tangent = 0.0
    if isinstance(x, Duplicated):
        tangent += math.cos(x.val) * y.val * x.dval
    if isinstance(y, Duplicated):
        tangent += math.sin(x.val) * y.dval
    if not config.needs_primal:
        return tangent
    return Duplicated(func.val(x.val, y.val), tangent)


@dsl.rules.augmented_primal(sine)
def sine_augmented(config, func, RT, x, y):
    primal = func.val(x.val, y.val) if config.needs_primal else None
    return AugmentedReturn(primal, None, (math.cos(x.val), math.sin(x.val)))


@dsl.rules.reverse(sine)
def sine_reverse(config, func, dret, tape, x, y):
    cosine, sine_ = tape
    dx = None if isinstance(x, Const) else cosine * y.val * dret.val
    dy = None if isinstance(y, Const) else sine_ * dret.val
    return dx, dy


@dsl.rules.forward(marked)
def marked_forward(config, func, RT, x: Duplicated, y: Const):
    return func.val(x.val, y.val), 10.0 * math.cos(x.val) * y.val * x.dval


@dsl.rules.forward(marked)
def marked_forward_both(config, func, RT, x: Const | Duplicated, y: Duplicated):
    return func.val(x.val, y.val), 20.0


@dsl.rules.reverse(marked)
def marked_reverse(config, func, dret, tape, x, y):
    return 100.0 * math.cos(x.val) * y.val * dret.val, 100.0 * math.sin(x.val) * dret.val


def iterate(kernel):
    @dsl.kernel
    def program(x, n):
        s = x
        for i in range(n):
            if s < 0.4:
                s = s + kernel(s, x * i)
            else:
                s = s * kernel(x, s)
        return s

    return program


def test_a_call_in_a_kernel_is_carried_out_by_the_rules() -> None:
    with_rules, without = iterate(sine), iterate(plain_sine)
    for mode, arguments in (
        (ForwardWithPrimal, (Duplicated(0.7, 1.5), Const(6))),
        (ReverseWithPrimal, (Active, Active(0.7), Const(6))),
        (Forward, (BatchDuplicated(0.7, (1.0, 2.0)), Const(6))),
    ):
        found, expected = autodiff(mode, with_rules, *arguments), autodiff(mode, without, *arguments)
        np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-13)
    assert with_rules(0.7, 6) == without(0.7, 6)


def flat(value: Any) -> list[float]:
    if isinstance(value, tuple):
        return [x for v in value for x in flat(v)]
    return [] if value is None else [float(value)]


def test_the_kernel_itself() -> None:
    c, s = math.cos(0.5), math.sin(0.5)
    assert flat(autodiff(Forward, marked, Duplicated(0.5, 1.0), Const(2.0))) == pytest.approx([20 * c])
    assert flat(autodiff(Forward, marked, Duplicated(0.5, 1.0), Duplicated(2.0, 1.0))) == [20.0]
    found = autodiff(ReverseWithPrimal, marked, Active, Active(0.5), Active(2.0))
    assert flat(found) == pytest.approx([2 * s, 200 * c, 100 * s])
    assert flat(autodiff(Reverse, marked, Active, Const(0.5), Active(2.0))) == pytest.approx([100 * s])
    assert autodiff(Forward, marked, Const, Const(0.5), Const(2.0)) == ()


def test_in_thunks_split_mode_transforms_and_nested() -> None:
    thunk = autodiff_thunk(Reverse, marked, Active, Active[float], Const[float])
    assert flat(thunk(Const(marked), Active(0.5), Const(2.0))) == pytest.approx([200 * math.cos(0.5)])
    forward, reverse = autodiff_thunk(ReverseSplitWithPrimal, marked, Active, Active[float], Active[float])
    tape, primal, _ = forward(Const(marked), Active(0.5), Active(2.0))
    gradients = reverse(Const(marked), Active(0.5), Active(2.0), 3.0, tape)
    assert primal == plain_sine(0.5, 2.0)
    assert flat(gradients) == pytest.approx([600 * math.cos(0.5), 300 * math.sin(0.5)])
    assert dsl.gradient(Reverse, lambda x: marked(x, 2.0), 0.5) == pytest.approx(200 * math.cos(0.5))

    def both(kernel):
        @dsl.kernel
        def slope(x, y):
            return autodiff(Reverse, kernel, Active, Active(x), Active(y))[0][0] * x

        return slope

    for mode, arguments in (
        (Forward, (Duplicated(0.5, 1.0), Duplicated(2.0, 3.0))),
        (Reverse, (Active, Active(0.5), Active(2.0))),
    ):
        found, expected = autodiff(mode, both(sine), *arguments), autodiff(mode, both(plain_sine), *arguments)
        np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-13)


def test_the_rules_are_python_too() -> None:
    config = dsl.rules.Config(True, True, 1, (False, False, False), False, False)
    made = sine_forward(config, Const(sine), Duplicated, Duplicated(0.5, 1.0), Const(2.0))
    assert (made.val, made.dval) == (sine(0.5, 2.0), pytest.approx(2 * math.cos(0.5)))


def test_a_second_thought_changes_the_derivative() -> None:
    """The rules are part of what compiled code, in memory and on disk, is known by."""
    kernel = dsl.kernel(sine_body)
    outer = dsl.kernel(lambda x: 2.0 * kernel(x, 1.0))
    arguments = (Duplicated(0.5, 1.0),)
    before = dsl.constants.fingerprint(outer)
    assert flat(autodiff(Forward, outer, *arguments)) == pytest.approx([2 * math.cos(0.5)])
    dsl.rules.forward(kernel)(marked_forward_both)
    assert flat(autodiff(Forward, kernel, Const(0.5), Duplicated(1.0, 1.0))) == [20.0]
    dsl.rules.forward(kernel)(marked_forward)
    assert flat(autodiff(Forward, outer, *arguments)) == pytest.approx([20 * math.cos(0.5)])
    assert dsl.constants.fingerprint(outer) != before


# arrays ---------------------------------------------------------------------------------------------------------------
class Kept(NamedTuple):
    two: float
    squares: np.ndarray
    count: int
    nothing: None


def blend_body(y, x, a):
    s = 0.0
    for i in range(len(x)):
        y[i] = a * x[i] * x[i] + y[i]
        s += y[i]
    return s


plain_blend, blend = dsl.kernel(blend_body), dsl.kernel(blend_body)


@dsl.rules.forward(blend)
def blend_forward(config, func, RT, y, x, a):
    da = 0.0 if isinstance(a, Const) else a.dval
    total = 0.0
    for i in range(len(x.val)):
        d = da * x.val[i] ** 2
        if isinstance(x, Duplicated):
            d += 2 * a.val * x.val[i] * x.dval[i]
        if isinstance(y, Duplicated):
            y.dval[i] += d
            total += y.dval[i]
    return Duplicated(func.val(y.val, x.val, a.val), total)


@dsl.rules.augmented_primal(blend)
def blend_augmented(config, func, RT, y, x, a):
    tape = Kept(2.0, x.val * x.val, len(x.val), None)
    return AugmentedReturn(func.val(y.val, x.val, a.val), None, tape)


@dsl.rules.reverse(blend)
def blend_reverse(config, func, dret, tape, y, x, a):
    seed = dret.val  # zero where only what is written matters
    da = 0.0
    for i in range(tape.count):
        if isinstance(y, Duplicated):
            y.dval[i] += seed
            da += y.dval[i] * tape.squares[i]
            if isinstance(x, Duplicated):
                x.dval[i] += tape.two * y.dval[i] * a.val * x.val[i]
    return None, None, (None if isinstance(a, Const) else da)


def around(kernel):
    @dsl.kernel
    def program(y, x, a, n):
        t = 0.0
        for j in range(n):
            z = x * (1.0 + 0.1 * j)
            w = y.copy()
            t = t + math.sin(kernel(w, z, a + t))
            x[0] = t
            y[:] = w * 0.5
        return t

    return program


def vectors(seed: int, count: int = 4) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=3) for _ in range(count)]


PAIRS = [(blend, plain_blend), (around(blend), around(plain_blend))]


@pytest.mark.parametrize("which", [0, 1], ids=["itself", "in a loop"])
def test_arrays_in_place(which: int) -> None:
    more = (Const(3),) * which
    seen = []
    for kernel in PAIRS[which]:
        found: list[Any] = []
        y, x, dy, dx = vectors(1)
        result = autodiff(ReverseWithPrimal, kernel, Active, Duplicated(y, dy), Duplicated(x, dx), Active(0.7), *more)
        found += [flat(result), y, x, dy, dx]
        y, x, dy, dx = vectors(2)
        result = autodiff(ForwardWithPrimal, kernel, Duplicated(y, dy), Duplicated(x, dx), Duplicated(0.7, 0.3), *more)
        found += [flat(result), y, x, dy, dx]
        y, x, *shadows = vectors(3, 6)
        dys, dxs = tuple(shadows[:2]), tuple(shadows[2:])
        moving = BatchDuplicated(y, dys), BatchDuplicated(x, dxs)
        found += [flat(autodiff(Forward, kernel, *moving, BatchDuplicated(0.7, (0.3, 0.1)), *more)), y, x, *shadows]
        found += [flat(autodiff(Reverse, kernel, Active, *moving, Active(0.7), *more)), y, x, *shadows]
        forward, reverse = autodiff_thunk(
            ReverseSplitWithPrimal, kernel, Active, Duplicated[VECTOR], Duplicated[VECTOR], Active[float],
            *(Const[int],) * which,
        )  # fmt: skip
        y, x, dy, dx = vectors(4)
        call = (Const(kernel), Duplicated(y, dy), Duplicated(x, dx), Active(0.7), *more)
        tape, primal, _ = forward(*call)
        y += 1.0
        x *= 2.0
        found += [primal, flat(reverse(*call, 1.5, tape)), y, x, dy, dx]
        seen.append(found)
    for with_rules, without in zip(*seen, strict=True):
        np.testing.assert_allclose(with_rules, without, rtol=1e-12)


def squares_body(x):
    return x * x


plain_squares, squares = dsl.kernel(squares_body), dsl.kernel(squares_body)


@dsl.rules.forward(squares)
def squares_forward(config, func, RT, x):
    return Duplicated(x.val * x.val, 2.0 * x.val * x.dval)


@dsl.rules.augmented_primal(squares)
def squares_augmented(config, func, RT, x):
    return AugmentedReturn(x.val * x.val, dsl.zeros_like(x.val), x.val)  # a tape that is the argument: copied


@dsl.rules.reverse(squares)
def squares_reverse(config, func, dret, tape, x):
    for i in range(len(tape)):
        x.dval[i] += 2.0 * tape[i] * dret.dval[i]
        dret.dval[i] = 0.0
    return (None,)


def returned(kernel):
    @dsl.kernel
    def program(x, n):
        t = 0.0
        for j in range(n):
            s = kernel(x)
            r = kernel(s)
            x[j] = r[0] + s[1]
            t += dsl.sum(r)
        return t

    return program


def test_arrays_that_are_returned() -> None:
    seen = []
    for kernel in (returned(squares), returned(plain_squares)):
        x, dx, *_ = vectors(5)
        found = [flat(autodiff(ReverseWithPrimal, kernel, Active, Duplicated(x, dx), Const(3))), x, dx]
        x, dx, *_ = vectors(6)
        found += [flat(autodiff(ForwardWithPrimal, kernel, Duplicated(x, dx), Const(3))), x, dx]
        seen.append(found)
    x, dx, *_ = vectors(7)
    for mode in (Forward, ForwardWithPrimal):
        found, expected = (autodiff(mode, kernel, Duplicated(x, dx)) for kernel in (squares, plain_squares))
        seen[0].append(np.array(found))
        seen[1].append(np.array(expected))
    for with_rules, without in zip(*seen, strict=True):
        np.testing.assert_allclose(with_rules, without, rtol=1e-12)


class Point(NamedTuple):
    x: float
    label: int
    y: float


@dsl.kernel
def turn(p, angle):
    return p.x * angle + p.label, p.y * angle


@dsl.rules.forward(turn)
def turn_forward(config, func, RT, p, angle):
    tangent = (p.dval.x * angle.val, p.dval.y * angle.val) if isinstance(p, Duplicated) else (0.0, 0.0)
    return func.val(p.val, angle.val), tangent


@dsl.rules.reverse(turn)
def turn_reverse(config, func, dret, tape, p, angle):
    du, dv = dret.val
    return Point(du * angle.val, 0, dv * angle.val), du * p.val.x + dv * p.val.y


def test_structs_and_tuples() -> None:
    @dsl.kernel
    def whole(p, angle):
        u, v = turn(p, angle)
        return u * v

    p = Point(2.0, 5, 3.0)
    (gradients,) = autodiff(Reverse, whole, Active, Active(p), Active(0.5))
    u, v = 6.0, 1.5
    assert gradients[0] == (v * 0.5, 0, u * 0.5)
    assert gradients[1] == v * 2 + u * 3
    assert autodiff(Forward, whole, Duplicated(p, Point(1.0, 0, 0.0)), Const(0.5)) == (v * 0.5,)


# what a rule is told --------------------------------------------------------------------------------------------------
@dsl.kernel
def told(x, y):
    return x[0] * y


@dsl.rules.forward(told, batched=True)
def told_forward(config, func, RT, x, y: BatchDuplicated | Const):
    answer = 1000.0 * config.width + 100.0 * config.needs_primal + 10.0 * config.needs_shadow + config.strong_zero
    return BatchDuplicated(0.0, (answer, y.dval[1] if isinstance(y, BatchDuplicated) else 0.5))


@dsl.rules.forward(told)
def told_forward_one(config, func, RT, x, y):
    answer = 1000.0 * config.width + 100.0 * config.needs_primal + 10.0 * config.needs_shadow + config.strong_zero
    return (0.0, answer) if config.needs_primal else answer


@dsl.rules.augmented_primal(told)
def told_augmented(config, func, RT, x, y):
    return AugmentedReturn(func.val(x.val, y.val), None, None)


@dsl.rules.reverse(told)
def told_reverse(config, func, dret, tape, x, y):
    return None, 100.0 * config.overwritten[0] + 10.0 * config.overwritten[1] + config.overwritten[2]


@dsl.kernel
def told_then_changed(x, y):
    r = told(x, y)
    x[0] = 1.0
    return r


def test_what_a_rule_is_told() -> None:
    x = np.ones(1)
    strong = Forward.with_strong_zero()
    assert autodiff(Forward, told, Const(x), Duplicated(1.0, 1.0)) == (1010.0,)
    assert autodiff(ForwardWithPrimal, told, Const(x), Duplicated(1.0, 1.0)) == (0.0, 1110.0)
    assert autodiff(strong, told, Const(x), Duplicated(1.0, 1.0)) == (1011.0,)
    assert autodiff(Forward, told, Const(x), BatchDuplicated(1.0, (1.0, 7.0))) == ((2010.0, 7.0),)
    assert autodiff(Reverse, told, Active, Const(x), Active(1.0)) == ((None, 0.0),)
    assert autodiff(Reverse, told_then_changed, Active, Const(x), Active(1.0)) == ((None, 10.0),)


def test_a_rule_of_a_kernel_that_may_fail() -> None:
    @dsl.kernel
    def root(x):
        assert x >= 0.0, "negative"
        return math.sqrt(x)

    @dsl.rules.forward(root)
    def root_forward(config, func, RT, x):
        assert x.val != 0.0, "no slope at zero"
        return func.val(x.val), x.dval / (2.0 * math.sqrt(x.val))

    @dsl.kernel
    def summed(x, n):
        s = 0.0
        for i in range(n):
            s += root(x - i)
        return s

    assert autodiff(Forward, root, Duplicated(4.0, 1.0)) == (0.25,)
    with pytest.raises(AssertionError, match="negative"):
        autodiff(Forward, root, Duplicated(-4.0, 1.0))
    with pytest.raises(AssertionError, match="no slope at zero"):
        autodiff(Forward, summed, Duplicated(2.0, 1.0), Const(3))
    with pytest.raises(AssertionError, match="negative"):
        autodiff(Forward, summed, Duplicated(2.5, 1.0), Const(4))
    assert summed(2.0, 3) == pytest.approx(math.sqrt(2) + 1)


def test_pickled_with_its_rules() -> None:
    copy = pickle.loads(pickle.dumps(sine))
    assert len(copy.rules) == 3
    local = dsl.kernel(lambda x: x * x)
    dsl.rules.forward(local)(local_forward)
    copy = pickle.loads(pickle.dumps(local))
    assert autodiff(Forward, copy, Duplicated(3.0, 1.0)) == (77.0,)


def local_forward(config, func, RT, x):
    return func.val(x.val), 77.0


# easy rules and inactive kernels --------------------------------------------------------------------------------------
def polar_body(r, angle, n):
    return r * math.cos(angle) ** n, r * math.sin(angle)


def power_body(x, y):
    return x**y


plain_polar, polar = dsl.kernel(polar_body), dsl.kernel(polar_body)
plain_power, power = dsl.kernel(power_body), dsl.kernel(power_body)


@dsl.rules.easy(polar)
def polar_partials(r, angle, n):
    c, s = math.cos(angle), math.sin(angle)
    return (c**n, -r * n * s * c ** (n - 1), None), (s, r * c, 0)


@dsl.rules.easy(power)
def power_partials(x, y, result):
    return result * y / x, result * math.log(x)


def easily(polar, power):
    @dsl.kernel
    def program(x, n):
        s = 0.0
        for i in range(n):
            a, b = polar(x, s + 0.1 * i, 2)
            s += power(1.5 + a, x) * b
        return s

    return program


def test_easy_rules() -> None:
    with_rules, without = easily(polar, power), easily(plain_polar, plain_power)
    for dtype, tolerance in ((float, 1e-12), (np.float32, 2e-5)):
        x = dtype(0.7)
        for mode, arguments in (
            (ForwardWithPrimal, (Duplicated(x, dtype(1.5)), Const(4))),
            (ReverseWithPrimal, (Active, Active(x), Const(4))),
            (Forward, (BatchDuplicated(x, (dtype(1.0), dtype(2.0))), Const(4))),
        ):
            found, expected = autodiff(mode, with_rules, *arguments), autodiff(mode, without, *arguments)
            np.testing.assert_allclose(flat(found), flat(expected), rtol=tolerance)

    def slope(program):
        return dsl.kernel(lambda x: autodiff(Reverse, program, Active, Active(x), Const(3))[0][0])

    for mode, arguments in ((Forward, (Duplicated(0.7, 1.0),)), (Reverse, (Active, Active(0.7)))):
        found, expected = (flat(autodiff(mode, slope(p), *arguments)) for p in (with_rules, without))
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    # what the partial derivatives are computed from is at hand: nothing is taped but what the loop carries
    plan = dsl.kernel(lambda x: polar(x, x, 2)[0]).ir("plan", Reverse, Active, Active(1.0))
    assert "no values on the tape" in str(plan)


@dsl.kernel
def steep(x):
    return math.sqrt(x)


@dsl.rules.easy(steep)
def steep_partials(x, result):
    return 0.5 / result


def test_strong_zero_of_an_easy_rule() -> None:
    flat_ = dsl.kernel(lambda x: steep(x) * 0.0)
    for mode in (Forward, Reverse):
        arguments = (Duplicated(0.0, 1.0),) if mode is Forward else (Active, Active(0.0))
        weak = flat(autodiff(mode, flat_, *arguments))
        strong = flat(autodiff(mode.with_strong_zero(), flat_, *arguments))
        assert math.isnan(weak[0]) or mode is Forward
        assert strong == [0.0] or mode is Forward
    assert flat(autodiff(Forward.with_strong_zero(), steep, Duplicated(0.0, 0.0))) == [0.0]
    assert math.isnan(flat(autodiff(Forward, steep, Duplicated(0.0, 0.0)))[0])


def test_easy_rules_of_complex_numbers() -> None:
    body = lambda z, w: z * z * w
    plain, ruled = dsl.kernel(body), dsl.kernel(body)
    dsl.rules.easy(ruled)(product_partials)
    for kernel in (plain, ruled):
        whole = dsl.kernel(lambda x, y: (kernel(x + 1j * y, 2.0 - 1j) * (3.0 + 1j)).real)
        assert flat(autodiff(Reverse, whole, Active, Active(0.5), Active(0.7))) == pytest.approx(
            [((6.0 + 2.0j) * (2 - 1j) * (0.5 + 0.7j)).real, ((6.0j - 2.0) * (2 - 1j) * (0.5 + 0.7j)).real]
        )
        tangent = autodiff(Forward, kernel, Duplicated(0.5 + 0.7j, 1j), Const(2.0 - 1j))[0]
        assert tangent == pytest.approx(2 * (0.5 + 0.7j) * 1j * (2 - 1j))


def product_partials(z, w):
    return 2.0 * z * w, z * z


def test_inactive() -> None:
    @dsl.rules.inactive
    @dsl.kernel
    def scale(x, calls):
        calls[0] += 1
        return 1.0 + math.sin(x[0])

    @dsl.kernel
    def scaled(x, calls):
        return scale(x, calls) * x[0]

    x, dx, calls = np.array([0.5]), np.zeros(1), np.zeros(1, np.int64)
    autodiff(Reverse, scaled, Active, Duplicated(x, dx), Const(calls))
    assert (dx[0], calls[0]) == (1.0 + math.sin(0.5), 1)
    assert autodiff(Forward, scaled, Duplicated(x, np.ones(1)), Const(calls)) == (1.0 + math.sin(0.5),)
    assert calls[0] == 2
    dx[0] = 0.0
    autodiff(Reverse, scale, Active, Duplicated(x, dx), Const(calls))
    assert (dx[0], calls[0]) == (0.0, 3)

    @dsl.rules.inactive
    @dsl.kernel
    def clear(x):
        x[:] = 0.0

    @dsl.kernel
    def cleared(x):
        clear(x)
        return x[0]

    with pytest.raises(DifferentiationError, match="is inactive, but writes memory that holds active data"):
        autodiff(Reverse, cleared, Active, Duplicated(x, dx))


# what is refused ------------------------------------------------------------------------------------------------------
def refused(rules: dict[str, Any], mode: Any, *arguments: Any) -> DifferentiationError:
    kernel = dsl.kernel(sine_body)
    for part, rule in rules.items():
        getattr(dsl.rules, part)(kernel)(rule)
    with pytest.raises(DifferentiationError) as caught:
        autodiff(mode, kernel, *arguments)
    return caught.value


FORWARD = (Forward, Duplicated(0.5, 1.0), Const(2.0))
REVERSE = (Reverse, Active, Active(0.5), Const(2.0))


def no_tangent(config, func, RT, x, y):
    return func.val(x.val, y.val)


def text_tangent(config, func, RT, x, y):
    return Duplicated(1.0, "one")


def complex_gradient(config, func, dret, tape, x, y):
    return 1j, None


def one_gradient(config, func, dret, tape, x, y):
    return 1.0


def gradient_of_array(config, func, dret, tape, x):
    return (x.dval,)


def plain_return(config, func, RT, x, y):
    return func.val(x.val, y.val)


def asserting(config, func, RT, x, y):
    assert x.val > 0.0
    return 1.0, 1.0


def only_const(config, func, RT, x: Const, y):
    return 1.0, 1.0


def looks_for_shadow(config, func, RT, x, y):
    return AugmentedReturn(func.val(x.val, y.val), None, y.dval)


def line_of(function: Any, offset: int = 0) -> int:
    return function.__code__.co_firstlineno + offset


def test_rules_that_are_missing() -> None:
    error = refused({"forward": sine_forward}, *REVERSE)
    assert "has no reverse rule: it has one for forward mode, and this derivative is taken in reverse mode" in str(
        error
    )
    error = refused({"reverse": sine_reverse}, *FORWARD)
    assert "has no forward rule" in str(error)
    error = refused({"forward": only_const}, *FORWARD)
    assert "no forward rule of sine_body takes (x: Duplicated, y: Const) -> Duplicated" in error.message
    assert error.loc is not None and error.loc.line == line_of(only_const)

    def calls(x):
        return ruled(x, 2.0)

    ruled = dsl.kernel(sine_body)
    dsl.rules.forward(ruled)(sine_forward)
    with pytest.raises(DifferentiationError, match="no reverse rule") as caught:
        autodiff(Reverse, calls, Active, Active(0.5))
    assert caught.value.loc is not None and caught.value.loc.line == line_of(calls, 1)


@pytest.mark.parametrize(
    ("part", "rule", "call", "expected"),
    [
        ("forward", no_tangent, ForwardWithPrimal, "returns float; expected is Duplicated(value, tangent)"),
        ("forward", text_tangent, Forward, "expected is a tangent of type float"),
        ("reverse", complex_gradient, Reverse, "returns complex; expected is a gradient for `x` of type float"),
        ("reverse", one_gradient, Reverse, "returns float; expected is (dx, None), one element for each argument"),
        ("augmented_primal", plain_return, Reverse, "expected is AugmentedReturn(primal, shadow, tape)"),
        ("augmented_primal", looks_for_shadow, Reverse, "Const has no `dval`"),
        ("forward", asserting, Forward, "may raise an exception, but sine_body itself does not"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_rules_that_return_the_wrong_thing(part: str, rule: Any, call: Any, expected: str) -> None:
    rules = {part: rule}
    if part == "augmented_primal":
        rules["reverse"] = sine_reverse
    kernel = dsl.kernel(sine_body)
    for each, function in rules.items():
        getattr(dsl.rules, each)(kernel)(function)
    arguments = (Active, Active(0.5), Const(2.0)) if call is Reverse else (Duplicated(0.5, 1.0), Const(2.0))
    with pytest.raises(dsl.DslError) as caught:
        autodiff(call, kernel, *arguments)
    assert expected in caught.value.message
    first, last = line_of(rule), line_of(rule) + 2
    assert caught.value.loc is not None and first <= caught.value.loc.line <= last


def test_rules_of_another_shape() -> None:
    with pytest.raises(ArgumentError) as caught:
        dsl.rules.reverse(dsl.kernel(sine_body))(gradient_of_array)
    assert caught.value.message == (
        "rules.reverse of sine_body takes 6 parameters: (config, func, dret, tape, x, y); gradient_of_array has 5: "
        "(config, func, dret, tape, x)"
    )
    assert caught.value.loc is not None and caught.value.loc.line == line_of(gradient_of_array)
    with pytest.raises(ArgumentError, match="takes 2 parameters"):
        dsl.rules.easy(dsl.kernel(sine_body))(gradient_of_array)
    with pytest.raises(ArgumentError, match="has a rule of another kind"):
        dsl.rules.inactive(sine)
    with pytest.raises(ArgumentError, match="cannot make a kernel of"):
        dsl.rules.forward(3.0)


def test_what_a_kernel_with_rules_may_not_do() -> None:
    @dsl.kernel
    def same(x):
        return x

    @dsl.rules.forward(same)
    def same_forward(config, func, RT, x):
        return Duplicated(x.val, x.dval)

    outer = dsl.kernel(lambda x: same(x)[0])
    with pytest.raises(DifferentiationError, match="hands out an array or struct of its caller's"):
        outer(np.ones(2))
    twice = dsl.kernel(lambda x: blend(x, x, 2.0))
    x, dx, *_ = vectors(14)
    for mode, arguments in ((Forward, (Duplicated(x, dx),)), (Reverse, (Active, Duplicated(x, dx)))):
        with pytest.raises(DifferentiationError, match="gets an array twice, and may write to it"):
            autodiff(mode, twice, *arguments)


# external functions ---------------------------------------------------------------------------------------------------
@ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.POINTER(ctypes.c_double), ctypes.POINTER(ctypes.c_double))
def scale_three(a: float, x: Any, y: Any) -> float:
    for k in range(3):
        y[k] = a * x[k]
    return y[0]


def scale_body(a, x, y):
    for k in range(3):
        y[k] = a * x[k]
    return y[0]


def scale_forward(config, func, RT, a, x, y):
    r = func.val(a.val, x.val, y.val)
    for k in range(3):
        d = 0.0 if isinstance(a, Const) else a.dval * x.val[k]
        if isinstance(x, Duplicated):
            d += a.val * x.dval[k]
        y.dval[k] = d
    return r, y.dval[0]


def scale_reverse(config, func, dret, tape, a, x, y):
    if isinstance(dret, Active):
        y.dval[0] += dret.val
    da = 0.0
    for k in range(3):
        da += y.dval[k] * x.val[k]
        if isinstance(x, Duplicated):
            x.dval[k] += y.dval[k] * a.val
        y.dval[k] = 0.0
    return (None if isinstance(a, Const) else da), None, None


def scaling(scale):
    @dsl.kernel
    def program(a, x, n):
        s = 0.0
        y = dsl.zeros(3)
        for _ in range(n):
            s += scale(a + s, x, y)
            x[:] = x * y
        return s + y[2]

    return program


def test_an_external_function_with_rules() -> None:
    external = dsl.extern("scale_three", scale_three, "(float64, const float64[:], float64[:]) -> float64")
    with pytest.raises(DifferentiationError, match="derivative rule"):
        autodiff(Forward, scaling(external), Duplicated(0.7, 1.0), Duplicated(np.ones(3), np.ones(3)), Const(2))
    dsl.rules.forward(external)(scale_forward)
    dsl.rules.reverse(external)(scale_reverse)
    seen = []
    for scale in (external, dsl.kernel(scale_body)):
        x, dx, *_ = vectors(8)
        found = [flat(autodiff(Forward, scaling(scale), Duplicated(0.7, 0.5), Duplicated(x, dx), Const(3))), x, dx]
        x, dx, *_ = vectors(9)
        result = autodiff(ReverseWithPrimal, scaling(scale), Active, Active(0.7), Duplicated(x, dx), Const(3))
        seen.append([*found, flat(result), x, dx])
    for with_rules, without in zip(*seen, strict=True):
        np.testing.assert_allclose(with_rules, without, rtol=1e-12)


# the rest -------------------------------------------------------------------------------------------------------------
def total_body(x):
    s = 0.0
    for i in range(len(x)):
        s += x[i] ** 2
    return s


plain_total, total = dsl.kernel(total_body), dsl.kernel(total_body)


@dsl.rules.augmented_primal(total)
def total_augmented(config, func, RT, x):
    """Looks at the shadow, which therefore has to be there in the forward sweep already."""
    seen = 0.0 if isinstance(x, Const) else x.dval[0] * 0.0 + len(x.dval)
    return AugmentedReturn(func.val(x.val), None, (2.0 * x.val, seen))


@dsl.rules.reverse(total)
def total_reverse(config, func, dret, tape, x):
    doubled, seen = tape
    for i in range(int(seen)):
        x.dval[i] += doubled[i] * dret.val
    return (None,)


def totals(kernel):
    @dsl.kernel
    def program(x, n):
        s = 1.0
        k = 0
        while k < n:
            y = s * x
            if k % 2 == 0:
                y[0] = kernel(y)
            s = math.log1p(kernel(y))
            k += 1
        return s

    return program


def test_shadows_that_the_augmented_primal_looks_at() -> None:
    seen = []
    for kernel in (totals(total), totals(plain_total)):
        x, *shadows = vectors(11, 3)
        (first,) = autodiff(Reverse, kernel, Active, Duplicated(x, shadows[0]), Const(5))
        autodiff(Reverse, kernel, Active, BatchDuplicated(x, tuple(shadows)), Const(4))
        assert first == (None, None)
        seen.append(shadows)
    np.testing.assert_allclose(*seen, rtol=1e-12)


def half(x):
    return 0.5 * x


@dsl.rules.easy(half)
def half_partial(x):
    return 7.0


def test_a_plain_function_with_rules() -> None:
    assert autodiff(Reverse, half, Active, Active(1.0)) == ((7.0,),)
    assert autodiff(Forward, lambda x: half(x) * 2.0, Duplicated(1.0, 1.0)) == (14.0,)


def test_rules_that_call_rules() -> None:
    @dsl.kernel
    def outer(x):
        return sine(x, 2.0) + 1.0

    @dsl.rules.reverse(outer)
    def outer_reverse(config, func, dret, tape, x):
        return (autodiff(Forward, sine, Duplicated(x.val, dret.val), Const(2.0))[0] * 10.0,)

    assert flat(autodiff(Reverse, outer, Active, Active(0.5))) == pytest.approx([20 * math.cos(0.5)])
    twice = dsl.kernel(lambda x: autodiff(Reverse, outer, Active, Active(x))[0][0])
    assert flat(autodiff(Reverse, twice, Active, Active(0.5))) == pytest.approx([-20 * math.sin(0.5)])


def test_what_is_shown() -> None:
    x, dx, *_ = vectors(12)
    program = returned(squares)
    assert "autodiff.reverse_rule" in program.ir("mlir", x, 2).plain
    assert "autodiff." not in program.ir("llvm", Reverse, Active, Duplicated(x, dx), Const(2)).plain
    shown = str(program.explain(Reverse, Active, Duplicated(x, dx), Const(2)))
    assert "for its reverse rule" in shown


def kept_memory() -> int:
    """The bytes that the C library's allocator has given out."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Heap
    heap = libc.mallinfo2()
    return heap.uordblks + heap.hblkhd


class Heap(ctypes.Structure):
    """What glibc's mallinfo2 tells."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads glibc's mallinfo2")
def test_what_rules_allocate_is_freed() -> None:
    """Tapes, shadows of results, and copies of memory that is overwritten, in loops."""
    y, x, dy, dx = (np.full(20_000, 0.5) for _ in range(4))
    arrays, place, watching = returned(squares), around(blend), totals(total)

    def run() -> None:
        autodiff(Reverse, arrays, Active, Duplicated(x, dx), Const(5))
        autodiff(Reverse, place, Active, Duplicated(y, dy), Duplicated(x, dx), Active(0.1), Const(5))
        autodiff(Reverse, watching, Active, Duplicated(x, dx), Const(5))
        autodiff(Forward, arrays, Duplicated(x, dx), Const(5))

    for _ in range(3):
        run()
    before = kept_memory()
    for _ in range(5):
        run()
    assert kept_memory() - before < x.nbytes


def nested_body(kernel):
    @dsl.kernel
    def program(x, n):
        t = 0.0
        for i in range(len(x)):
            v = x[i]
            for _ in range(n):
                v = v + kernel(v, t + 0.5)
            x[i] = v * 0.25
            t += v * v
        return t

    return program


def test_a_loop_is_run_again_with_its_rules() -> None:
    """The inner loop's tape lives in one iteration of the outer one: calls of functions of numbers are made again."""
    seen = []
    for kernel in (sine, plain_sine):
        x, dx, *_ = vectors(13)
        program = nested_body(kernel)
        seen.append([*flat(autodiff(ReverseWithPrimal, program, Active, Duplicated(x, dx), Const(4))), *x, *dx])
        shown = str(program.explain(Reverse, Active, Duplicated(x, dx), Const(4)))
        assert "run again" in shown or "replay" in shown
    np.testing.assert_allclose(*seen, rtol=1e-12)


@pytest.mark.parametrize("kernel", [sine, plain_sine], ids=["rules", "none"])
def test_in_a_grid_kernel(kernel: Any) -> None:
    @dsl.kernel
    def each(X, Y):
        i = dsl.grid(1)
        if i < len(X):
            Y[i] = kernel(X[i], 2.0) * X[i]

    @dsl.kernel
    def launch(X, Y):
        each[(len(X) + 31) // 32, 32](X, Y)

    X, Y, dX, dY = np.linspace(0.0, 1.0, 40), np.zeros(40), np.zeros(40), np.ones(40)
    autodiff(Reverse, launch, Const, Duplicated(X, dX), Duplicated(Y, dY))
    np.testing.assert_allclose(dX, 2 * (np.sin(X) + X * np.cos(X)), rtol=1e-12)
    autodiff(Forward, launch, Const, Duplicated(X, np.ones(40)), Duplicated(Y, dY))
    np.testing.assert_allclose(dY, dX, rtol=1e-12)


# annotations that are returned where rules may fail, and arguments of scalars and arrays ------------------------------
@dsl.kernel
def scaled(x, a):
    assert a > 0.0
    return x * a


@dsl.rules.forward(scaled)
def scaled_forward(config, func, RT, x, a):
    assert a.val < 10.0
    if a.val > 5.0:
        return Duplicated(x.val * a.val, 100.0 * x.dval)
    y = x.val * a.val
    return Duplicated(y, x.dval * a.val)


@dsl.kernel
def scaled_sum(x, a):
    return dsl.sum(scaled(x, a) ** 2)


def test_a_forward_rule_that_may_fail_returns_an_annotation() -> None:
    x, dx = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    for call in (lambda a: autodiff(Forward, scaled_sum, Duplicated(x, dx), Const(a)),
                 lambda a: (autodiff(Forward, scaled, Duplicated(x, dx), Const(a))[0] @ (2 * a * x),)):  # fmt: skip
        assert call(2.0) == (2.0 * 11.0 * 4.0,)
        assert call(6.0) == (100.0 * 2.0 * 6.0 * 11.0,)
        with pytest.raises(AssertionError, match=r"assert a\.val < 10"):
            call(20.0)


@dsl.kernel
def affine(p, s):
    w, b = p
    return dsl.sum(w * w) * s + b * b


@dsl.rules.augmented_primal(affine)
def affine_augmented(config, func, RT, p: MixedDuplicated, s):
    return AugmentedReturn(func.val(p.val, s.val), None, None)


@dsl.rules.reverse(affine)
def affine_reverse(config, func, dret, tape, p: MixedDuplicated, s):
    w, b = p.val
    dw, _ = p.dval
    dw += 20.0 * w * s.val * dret.val
    return (w, 20.0 * b * dret.val), 10.0 * dsl.sum(w * w) * dret.val


@dsl.kernel
def affine_squared(w, b, s):
    return affine((w, b), s) ** 2


def test_a_reverse_rule_of_an_argument_of_scalars_and_arrays() -> None:
    w, shadows = np.array([1.0, 2.0]), (np.zeros(2), np.ones(2))
    value = 5.0 * 0.5 + 9.0
    _, db, ds = autodiff(Reverse, affine_squared, Active, Duplicated(w, shadows[0]), Active(3.0), Active(0.5))[0]
    assert (db, ds) == (20.0 * value * 6.0, 20.0 * value * 5.0)
    np.testing.assert_allclose(shadows[0], 20.0 * value * w, rtol=1e-14)
    shadows[0][:] = 0.0
    found = autodiff(Reverse, affine_squared, Active, BatchDuplicated(w, shadows), Active(3.0), Active(0.5))[0]
    assert found == (None, (db, db), (ds, ds))
    np.testing.assert_allclose(shadows, [20.0 * value * w, 20.0 * value * w + 1.0], rtol=1e-14)
    ref = Ref((np.zeros(2), 1.0))
    assert autodiff(Reverse, affine, Active, MixedDuplicated((w, 3.0), ref), Active(0.5)) == ((None, 50.0),)
    assert ref.value[1] == 61.0 and ref.value[0].tolist() == [10.0, 20.0]

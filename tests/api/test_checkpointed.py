"""`dsl.checkpointed` in kernels: the same derivatives in all modes from less memory, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Active, BatchDuplicated, Const, Duplicated, Reverse, autodiff

EXACT = {"contract": False, "vector_math": False}


@dsl.kernel(**EXACT)
def swapped(u, v, c, n):
    for t in range(n):
        for i in range(1, len(u) - 1):
            v[i] = u[i] + c * (u[i - 1] - 2.0 * u[i] + u[i + 1]) - 0.1 * u[i] * (u[i + 1] - u[i - 1])
        u, v = v, u
    return np.sum(u * u)


@dsl.kernel(**EXACT)
def swapped_checkpointed(u, v, c, n):
    for t in dsl.checkpointed(range(n), slots=3):
        for i in range(1, len(u) - 1):
            v[i] = u[i] + c * (u[i - 1] - 2.0 * u[i] + u[i + 1]) - 0.1 * u[i] * (u[i + 1] - u[i - 1])
        u, v = v, u
    return np.sum(u * u)


@dsl.kernel(**EXACT)
def made_anew(u, v, c, n):
    for t in range(n):
        u = u + c * np.sin(u) * v[t % 2]
    return np.sum(u)


@dsl.kernel(**EXACT)
def made_anew_checkpointed(u, v, c, n):
    for t in dsl.checkpointed(range(n)):
        u = u + c * np.sin(u) * v[t % 2]
    return np.sum(u)


@dsl.kernel(**EXACT)
def nested(u, v, c, n):
    for j in range(3):
        for t in range(j, n, 2):
            c = np.sin(c) + u[t % 3] * v[j]
            u[t % 4] = c * u[t % 4]
        c *= u[j]
    return c + np.sum(u)


@dsl.kernel(**EXACT)
def nested_checkpointed(u, v, c, n):
    for j in dsl.checkpointed(range(3), slots=2):
        for t in dsl.checkpointed(range(j, n, 2), slots=n // 3 + 1):
            c = np.sin(c) + u[t % 3] * v[j]
            u[t % 4] = c * u[t % 4]
        c *= u[j]
    return c + np.sum(u)


PAIRS = [(swapped, swapped_checkpointed), (made_anew, made_anew_checkpointed), (nested, nested_checkpointed)]
IDS = [plain.name for plain, _ in PAIRS]


def data():
    return np.linspace(0.2, 1.0, 9) ** 2, np.linspace(0.5, 1.5, 9)


@pytest.mark.parametrize(("plain", "kernel"), PAIRS, ids=IDS)
@pytest.mark.parametrize("n", [0, 1, 2, 7, 20])
def test_reverse(plain, kernel, n):
    results = []
    for k in (plain, kernel):
        (u, v), du, dv = data(), np.zeros(9), np.zeros(9)
        value, (_, _, dc, _) = autodiff(
            dsl.ReverseWithPrimal, k, Active, Duplicated(u, du), Duplicated(v, dv), Active(0.2), Const(n)
        )
        results.append(np.array([value, dc, *u, *v, *du, *dv]))
    assert results[0].tobytes() == results[1].tobytes()


@pytest.mark.parametrize(("plain", "kernel"), PAIRS, ids=IDS)
def test_other_modes(plain, kernel):
    """A plain call, forward mode, split mode and three cotangents at once."""
    results = []
    for k in (plain, kernel):
        found = [k(*data(), 0.2, 7)]
        u, v = data()
        found += autodiff(
            dsl.Forward, k, Duplicated(u, np.cos(u)), Duplicated(v, np.sin(v)), Duplicated(0.2, 1.0), Const(7)
        )
        (u, v), du, dv = data(), np.zeros(9), np.zeros(9)
        arguments = (Const(k), Duplicated(u, du), Duplicated(v, dv), Active(0.2), Const(7))
        forward, back = dsl.autodiff_thunk(dsl.ReverseSplitWithPrimal, k, Active, *arguments[1:])
        tape, value, _ = forward(*arguments)
        ((_, _, dc, _),) = back(*arguments, 1.0, tape)
        found += [value, dc, *du, *dv]
        u, v = data()
        shadows = [np.zeros(9) for _ in range(6)]
        autodiff(
            Reverse, k, Active, BatchDuplicated(u, shadows[:3]), BatchDuplicated(v, shadows[3:]), Const(0.2), Const(7)
        )
        results.append(np.array([*found, *np.concatenate(shadows)]))
    np.testing.assert_array_equal(results[0], results[1])


def test_python():
    assert list(dsl.checkpointed(range(3), slots=2)) == [0, 1, 2]
    assert nested_checkpointed.__wrapped__(*data(), 0.2, 7) == pytest.approx(nested(*data(), 0.2, 7), rel=1e-12)
    with pytest.raises(ValueError, match="at least one"):
        dsl.checkpointed(range(3), slots=0)


@dsl.kernel
def product(x, n):
    p = 1.0
    for t in dsl.checkpointed(range(n), slots=2):
        p = p * math.sin(x[t % 3]) + x[(t + 1) % 3] ** 2
    return p


@dsl.kernel
def gradient_of_product(x, d, n):
    autodiff(Reverse, product, Active, Duplicated(x, d), Const(n))
    return d[0] + 2.0 * d[2]


def test_second_order():
    """Forward over reverse and reverse over reverse against differences."""
    x, n = np.array([0.4, 0.7, 0.9]), 8

    def value(x):
        return gradient_of_product(x.copy(), np.zeros(3), n)

    expected = [(value(x + e) - value(x - e)) / 2e-6 for e in 1e-6 * np.eye(3)]
    back = np.zeros(3)
    autodiff(
        Reverse, gradient_of_product, Active, Duplicated(x.copy(), back), Duplicated(np.zeros(3), np.zeros(3)), Const(n)
    )
    ahead = [
        autodiff(
            dsl.Forward, gradient_of_product, Duplicated(x.copy(), e), Duplicated(np.zeros(3), np.zeros(3)), Const(n)
        )[0]
        for e in np.eye(3)
    ]
    np.testing.assert_allclose(back, expected, rtol=1e-6)
    np.testing.assert_allclose(ahead, back, rtol=1e-12)


def test_tape():
    """The tape does not grow with the number of iterations, and explain says what it is."""
    u, v = np.zeros(100), np.zeros(100)
    of = [
        swapped_checkpointed.tape_bytes(
            Reverse, Active, Duplicated(u, u + 0), Duplicated(v, v + 0), Const(0.2), Const(n)
        )
        for n in (10, 1000)
    ]
    assert of[0] == of[1] < 3 * 2 * 800 + 4 * 800
    text = str(
        swapped_checkpointed.explain(Reverse, Active, Duplicated(u, u + 0), Duplicated(v, v + 0), Const(0.2), Const(20))
    )
    assert "checkpointed, 3 snapshots of 1608 bytes, about 2.45 times the forward steps" in text


# what is refused -----------------------------------------------------------------------------------------------------


@dsl.kernel
def left(x, n):
    for t in dsl.checkpointed(range(n)):
        x = x * x
        if x > 10.0:
            break
    return x


@dsl.kernel
def in_while(x, n):
    while dsl.checkpointed(x < 3.0):
        x = x * x
    return x


@dsl.kernel
def in_tuple(x, n):
    for t in dsl.checkpointed((1.0, 2.0)):
        x = x * t
    return x


@dsl.kernel
def inside_out(x, n):
    for i, t in enumerate(dsl.checkpointed(range(n))):
        x = x * t
    return x


@dsl.kernel
def no_slots(x, n):
    for t in dsl.checkpointed(range(n), slots=0):
        x = x * t
    return x


@dsl.kernel
def half_slots(x, n):
    for t in dsl.checkpointed(range(n), slots=1.5):
        x = x * t
    return x


@dsl.kernel
def some_slots(x, n):
    for t in dsl.checkpointed(range(4), slots=n):
        x = x * x
    return x


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (left, "not left by `break` or `return`"),
        (in_while, "a `while` loop cannot be checkpointed"),
        (in_tuple, "a loop over a tuple is unrolled"),
        (inside_out, "stands around everything else"),
        (no_slots, "with 0 slots"),
        (half_slots, "the number of slots is an integer"),
        (some_slots, "needs at least one slot"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_refused(kernel, message):
    with pytest.raises((dsl.DslError, ValueError), match=message):
        kernel(1.5, 0)


@dsl.kernel
def shrinking(x, n):
    for t in dsl.checkpointed(range(n)):
        x = x[1:] * 2.0
    return x[0]


@dsl.kernel
def also_written(x, n):
    for t in dsl.checkpointed(range(n)):
        x[0] = 1.0
        x = x * 2.0
    return x[0]


@pytest.mark.parametrize(
    ("kernel", "message"),
    [(shrinking, "whose shape may change"), (also_written, "passes on an array that is written here")],
    ids=["shrinking", "also_written"],
)
def test_not_checkpointed(kernel, message):
    """Loops that are right without checkpoints; each is refused by its place, and nothing else is."""
    x = np.arange(1.0, 6.0)
    assert kernel(x.copy(), 2) == kernel.__wrapped__(x.copy(), 2)
    with pytest.raises(dsl.DslError, match=message) as error:
        autodiff(Reverse, kernel, Active, Duplicated(x, np.zeros(5)), Const(2))
    assert error.value.loc is not None and "test_checkpointed.py" in error.value.loc.file

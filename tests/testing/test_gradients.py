"""The tests that users get: they pass on what is right, and name what is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import dsl
import dsl.testing.forward
import dsl.testing.reverse
from dsl import (
    Active,
    BatchDuplicated,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    MixedDuplicated,
    Ref,
)
from dsl.errors import ArgumentError
from dsl.testing import check_gradients, differences, test_forward, test_reverse

X, Y = np.array([0.3, 0.4, 0.5]), np.array([1.0, 2.0, 3.0])


@dsl.kernel
def in_place(x, y, c):
    s = 0.0
    for i in range(len(x)):
        y[i] = np.sin(x[i]) * c * y[i]
        s += y[i] * y[i]
    return s


@dsl.kernel
def product(A, B):
    return A @ B


@dataclass
class Params:
    w: np.ndarray
    b: float
    n: int


class Pair(NamedTuple):
    w: np.ndarray
    b: float


@dsl.kernel
def fields(p, q):
    p.b = p.b * q.b
    return q.w[0] * p.w[0] ** p.n + p.b


@dsl.kernel
def several(t, x):
    return t[0] * x, (t[1][0] * x[0], len(x))


@dsl.kernel
def turned(z, w):
    return np.exp(z * w)


# --- what is right passes


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_and_numbers(dtype):
    widths = (1, 2) if dtype is np.float64 else (1,)
    check = check_gradients(in_place, X.astype(dtype), Y.astype(dtype), Const(dtype(2.0)), widths=widths, quiet=True)
    assert check.passed and bool(check) and not check.failures
    check.raise_failures()
    outcomes = {(r.mode, r.returns, r.annotations): r.outcome for r in check.rows}
    assert outcomes["Reverse", "Active", ("Duplicated", "Duplicated", "Const")] == "passed"
    if dtype is np.float64:
        assert outcomes["Forward", "BatchDuplicated", ("BatchDuplicated", "BatchDuplicated", "Const")] == "passed"
        assert len(outcomes) == 2 * 2 * (4 + 3)  # modes, results, activities: of one shadow and of two
    # y holds what x reaches
    assert outcomes["Reverse", "Active", ("Duplicated", "Const", "Const")] == "refused"
    refused = next(r for r in check.rows if r.outcome == "refused")
    assert "`y` is Const" in refused.message


def test_the_table():
    check = check_gradients(lambda x, c: c * x * x, 2.0, Const(3.0), widths=(1,), quiet=True)
    assert {r.annotations[1] for r in check.rows} == {"Const"}
    text = str(check)
    assert "Derivatives of" in text and "Reverse" in text and "passed" in text
    check = check_gradients(in_place, X, Const(Y), Const(2.0), widths=(1,), quiet=True)
    assert "refused (1)" in str(check) and "(1) `y` is Const" in str(check)


def test_it_is_printed(capsys):
    check_gradients(lambda x, c: c * x * x, 2.0, Const(3.0), widths=(1,))
    assert "passed" in capsys.readouterr().out


def test_matrices():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    test_forward(product, Duplicated, (A, Duplicated), (B, Duplicated))
    test_forward(product, BatchDuplicated, (A, BatchDuplicated), Const(B), width=3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_structs(dtype):
    p, q = Params(np.array([2.0, 3.0], dtype), 1.5, 3), Pair(np.array([0.2], dtype), 0.7)
    test_forward(fields, Duplicated, (p, Duplicated), (q, Duplicated))
    test_reverse(fields, Active, (p, Duplicated), (q, MixedDuplicated))
    test_reverse(fields, None, (p, Duplicated), MixedDuplicated(q, Ref(Pair(np.ones(1, dtype), 0.5))))
    assert (p.b, q.b) == (1.5, 0.7)


def test_returned_arrays_and_several_seeds_in_split_mode():
    rng = np.random.default_rng(0)
    A, B = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    test_reverse(product, Duplicated, (A, Duplicated), (B, Duplicated))
    test_reverse(in_place, Active, (X, BatchDuplicated), (Y, BatchDuplicated), (2.0, Active), width=3)


def test_tuples_and_ints():
    test_forward(several, Duplicated, ((2.0, np.array([1.0])), Duplicated), (X, Duplicated))
    test_forward(several, BatchDuplicated, Const((2.0, np.array([1.0]))), BatchDuplicated(X, (Y, X.copy())))


def test_complex_numbers():
    test_forward(turned, Duplicated, (0.5 + 1j, Duplicated), (0.25 - 0.5j, Duplicated))

    @dsl.kernel
    def size(z):
        s = 0.0
        for i in range(len(z)):
            s += abs(np.exp(z[i]) * 1j * z[i])
        return s

    test_reverse(size, Active, (np.array([0.5 + 1j, -0.25j]), Duplicated))


@pytest.mark.parametrize("view", [np.s_[::2], np.s_[::-1]])
def test_strided_arrays_stay_so(view):
    x, y = np.arange(1.0, 7.0)[view], np.arange(2.0, 8.0)[view]
    test_reverse(in_place, Active, (x, Duplicated), (y, Duplicated), (0.5, Active))
    assert y.base.tolist() == np.arange(2.0, 8.0).tolist()


def test_given_shadows_are_used_and_kept():
    dx = np.array([1.0, 0.0, 0.0])
    test_forward(in_place, None, Duplicated(X, dx), (Y, Duplicated), Const(2.0))
    test_reverse(in_place, Active, Duplicated(X, dx), DuplicatedNoNeed(Y, np.zeros(3)), (2.0, Active))
    assert dx.tolist() == [1, 0, 0] and Y.tolist() == [1, 2, 3]


def test_half_precision():
    test_forward(lambda x, y: x * x * y, None, (np.float16(1.5), Duplicated), (np.float16(0.5), Duplicated))
    test_reverse(lambda x, y: x * x * y, Active, (np.float16(1.5), Active), (np.float16(0.5), Active))


def test_large_arrays_are_tested_along_random_directions():
    test_reverse(lambda a: np.sum(np.sin(a) * a), Active, (np.linspace(0.0, 3.0, 10_000), Duplicated))


def test_empty_arrays_and_functions_without_derivatives():
    test_reverse(lambda a: np.sum(a), Active, (np.zeros(0), Duplicated))
    check = check_gradients(lambda n: n + 1, 3, quiet=True)
    assert not check.failures


def test_differences_are_of_fourth_order():
    steps = (0.5, 0.25)
    errors = [abs(differences._at(lambda t: [np.array(math.exp(t))], h)[0] - 1.0) for h in steps]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.05)
    (found,), (spread,) = differences.along(lambda t: [np.array([math.sin(3 * t), 0.0])])
    np.testing.assert_allclose(found, [3.0, 0.0], rtol=1e-11)
    assert spread < 1e-9


# --- what is wrong is named


def wrong(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let `autodiff` return `change(mode, args, result)` in the tests."""
    right = dsl.autodiff

    def autodiff(mode: Any, f: Any, *args: Any) -> Any:
        return change(mode, args, right(mode, f, *args))

    for module in (dsl.testing.forward, dsl.testing.reverse):
        monkeypatch.setattr(module, "autodiff", autodiff)


def forward() -> None:
    test_forward(in_place, Duplicated, (X, Duplicated), (Y, Duplicated), (2.0, Duplicated))


def reverse() -> None:
    test_reverse(in_place, Active, (X, Duplicated), (Y, Duplicated), (2.0, Active))


def changed(index: int, shadow: bool, by: float) -> Any:
    """One entry of an argument, or of its shadow, is off."""

    def change(mode: Any, args: Any, result: Any) -> Any:
        given = [a for a in args if not isinstance(a, type)][index]
        (given.dval if shadow else given.val)[1] += by
        return result

    return change


@pytest.mark.parametrize(
    "test, change, message",
    [
        (forward, lambda m, a, r: (*r[:-1], r[-1] * (1 + 1e-6)), "the tangent of the result: expected"),
        (forward, lambda m, a, r: (r[0] * (1 + 1e-9), *r[1:]), "ForwardWithPrimal: the value: expected"),
        (forward, lambda m, a, r: r if m.primal else (), r"Forward: the result is \(\); expected is a tuple of 1"),
        (forward, lambda m, a, r: (*r[:-1], (r[-1],)), r"the tangent is \(.*tuple\); expected is a float"),
        (forward, changed(0, True, 1e-5), r"the tangent of `x` after the call\[1\]: expected"),
        (forward, changed(1, False, 1e-6), r"after the call, `y`\[1\]: expected"),
        (forward, changed(0, False, 1e-6), r"after the call, `x`\[1\]: expected 0.4, got"),
        (reverse, lambda m, a, r: (*r[:-1], (None, None, r[-1][2] + 1e-5)), "ReverseWithPrimal: the gradient by `c`"),
        (reverse, lambda m, a, r: (*r[:-1], (None, None, None)), "the gradient by `c` is None"),
        (reverse, lambda m, a, r: (*r[:-1], (0.0, None, r[-1][2])), "the slot of `x` is 0.0; expected is None"),
        (reverse, lambda m, a, r: (*r[:-1], r[-1][:2]), "the gradients are .*; expected is a tuple of 3"),
        (reverse, lambda m, a, r: r[1:] if m.primal else r, "expected is a tuple of 2"),
        (reverse, changed(0, True, 1e-5), r"the gradient by `x\[1\]`: expected"),
        (reverse, changed(1, True, -1e-5), r"the gradient by `y\[1\]`: expected"),
        (reverse, changed(1, False, 1e-6), r"after the call, `y`\[1\]: expected"),
    ],
)
def test_wrong_results_are_named(monkeypatch, test, change, message):
    wrong(monkeypatch, change)
    with pytest.raises(AssertionError, match=message) as caught:
        test()
    assert "of `in_place`, " in str(caught.value) and f"--> {__file__}:" in str(caught.value)


def test_shadows_that_are_overwritten_instead_of_added_to_are_found(monkeypatch):
    """With shadows of zeros this would pass."""

    def change(mode, args, result):
        args[1].dval[...] -= before[0]
        return result

    dx = np.array([0.5, 0.25, 0.125])
    before = [dx.copy()]
    wrong(monkeypatch, change)
    with pytest.raises(AssertionError, match=r"the gradient by `x\[0\]`"):
        test_reverse(in_place, Active, Duplicated(X, dx), (Y, Duplicated), Const(2.0))


def test_lanes_that_are_swapped_are_found(monkeypatch):
    wrong(monkeypatch, lambda m, a, r: (*r[:-1], r[-1][::-1]))
    with pytest.raises(AssertionError, match="the tangent number 0"):
        test_forward(lambda x: x * x, BatchDuplicated, (3.0, BatchDuplicated))


def test_single_precision_is_tested_sharply(monkeypatch):
    """Against differences in double precision: those in single precision would not see this."""
    wrong(monkeypatch, lambda m, a, r: (*r[:-1], np.float32(r[-1] * 1.001)))
    with pytest.raises(AssertionError, match="the tangent"):
        test_forward(lambda x: np.sin(x) * x, Duplicated, (np.float32(1.5), Duplicated))


@pytest.fixture
def a_wrong_rule(monkeypatch, tmp_path):
    """sin' = 1.001 cos, in a cache of its own."""
    from dialects.rules import table
    from dialects.rules.expr import fn, x0
    from dialects.rules.rule import row

    monkeypatch.setenv("DSL_CACHE_DIR", str(tmp_path))
    monkeypatch.setitem(table.RULES, "math.sin", row(1.001 * fn("cos", x0)))


def test_a_wrong_rule_is_found(a_wrong_rule):
    @dsl.kernel
    def mine(x, y):
        return np.sin(x) * y

    with pytest.raises(AssertionError, match="the tangent"):
        test_forward(mine, Duplicated, (0.5, Duplicated), Const(2.0))
    with pytest.raises(AssertionError, match=r"the gradient by `x`: expected 1\.755\d+, got 1\.756"):
        test_reverse(mine, Active, (0.5, Active), (2.0, Active))
    check = check_gradients(mine, 0.5, 2.0, quiet=True)
    assert not check and check.failures and {r.outcome for r in check.rows} == {"passed", "failed"}
    # by y alone the rule is not used
    assert all(r.annotations[0] != "Const" for r in check.failures)
    assert "failed (" in str(check)
    with pytest.raises(AssertionError, match="Forward, Duplicated, Duplicated, Duplicated: "):
        check.raise_failures()


def test_a_kink_is_said_to_be_wrong():
    """Differences have no answer there, and the message shows both numbers."""
    with pytest.raises(AssertionError, match=r"expected 0\.5, got [01]\.0"):
        test_forward(lambda x: max(x, 0.0), Duplicated, Duplicated(0.0, 1.0))


def test_arguments_without_annotation():
    with pytest.raises(ArgumentError, match=r"argument 0 \(`x`\) of the test is 3.0"):
        test_forward(lambda x: x, Duplicated, 3.0)

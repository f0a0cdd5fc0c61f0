"""Errors: those of compiling, with their place and what to do, and those that a kernel records when it runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dsl import errors

from .running import check, lowered, run

X = np.array([2.0, 3.0, -1.0, 4.0, 0.5])


def line_of(function, text):
    import inspect

    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


def raised(function, *args, error, match=".", at=None, **options):
    """The kernel raises as it runs, at the line that has `at`."""
    with pytest.raises(error) as caught:
        run(function, *args, **options)
    message, line, col = caught.value.args
    import re

    assert re.search(match, message), message
    if at is not None:
        assert line == line_of(function, at), (line, col)
    return caught.value


def refused(function, *args, error=errors.CompileError, match=".", at=None):
    """The kernel does not compile; the message has the line that has `at`, with a caret."""
    with pytest.raises(error, match=match) as caught:
        lowered(function, *args)
    text = str(caught.value)
    assert caught.value.loc is not None, text
    assert "^" in text
    if at is not None:
        assert caught.value.loc.line == line_of(function, at), text
    return text


# --- at run time


def checked(x, n):
    assert n >= 0, "n must not be negative"
    s = 0.0
    for i in range(n):
        assert x[i] > 0
        s += x[i]
        x[i] = 0.0
    return s


def test_assert():
    assert check(checked, X, 2) == 5.0
    raised(checked, X.copy(), -1, error=AssertionError, match="n must not be negative", at="n >= 0")
    x = X.copy()
    raised(checked, x, 4, error=AssertionError, match="^$|.", at="x[i] > 0")
    assert list(x) == [0.0, 0.0, -1.0, 4.0, 0.5]  # nothing runs after it


def test_assert_in_callee_and_while():
    def inner(x, i):
        assert i < 3, "too far"
        return x[i]

    def outer(x):
        i = 0
        while inner(x, i) != 100:
            x[i] = 7.0
            i += 1
        x[:] = 0.0
        return i

    x = X.copy()
    with pytest.raises(AssertionError):
        run(outer, x)
    assert list(x) == [7.0, 7.0, 7.0, 4.0, 0.5]


def test_zero_step():
    def kernel(n, step):
        s = 0
        for i in range(0, n, step):
            s += i
        return s

    check(kernel, 10, 3)
    raised(kernel, 10, 0, error=ValueError, match="must not be zero", at="range(")


def test_unbound_local():
    def kernel(x, limit):
        for i in range(len(x)):
            if x[i] > limit:
                found = x[i]
        return found

    check(kernel, X, 1.0)
    raised(kernel, X, 10.0, error=UnboundLocalError, match="found", at="return found")


def test_unbound_loop_variable():
    def kernel(n):
        for i in range(n):
            pass
        return i

    check(kernel, 3)
    raised(kernel, 0, error=UnboundLocalError, match="'i'")


def test_unbound_array():
    def kernel(x, c):
        if c > 0:
            y = x * 2
        return y[3]

    check(kernel, X, 1)
    raised(kernel, X, 0, error=UnboundLocalError, match="y")


def test_shapes_leave_at_once():
    def kernel(x, y):
        x[0] = 1.0
        z = x + y
        x[0] = 2.0
        return z[2]

    x = X.copy()
    raised(kernel, x, np.ones(3), error=ValueError, at="x + y")
    assert x[0] == 1.0
    check(kernel, X, np.ones(5))


def test_negative_size():
    def kernel(n):
        a = np.zeros(n)
        return a[0]

    check(kernel, 3)
    raised(kernel, -3, error=ValueError, at="np.zeros")


def test_bounds():
    def kernel(x, n):
        s = 0.0
        for i in range(n):
            s += x[i]
        x[n - 1] = s
        return s

    check(kernel, X, 3, boundscheck=True)
    raised(kernel, X.copy(), 7, error=IndexError, at="s += x[i]", boundscheck=True)
    raised(kernel, X.copy(), -9, error=IndexError, at="x[n - 1]", boundscheck=True)


def test_bounds_do_not_loop_for_ever():
    def kernel(x):
        i = 0
        while x[i] != 100:
            i += 0 if i > 10 else 1
        return i

    raised(kernel, X, error=IndexError, at="while", boundscheck=True)


def test_division_by_zero():
    def kernel(a, b):
        return a // b + a % b

    check(kernel, 7, 2)
    assert run(kernel, 7, 0) == 0
    raised(kernel, 7, 0, error=ZeroDivisionError, boundscheck=True)
    assert run(kernel, -(2**63), -1) == -(2**63)  # wraps around, and does not kill the process


def test_first_error_wins():
    def kernel(x, n):
        a = x[n]
        assert a > 100, "second"
        return a

    raised(kernel, X, 77, error=IndexError, boundscheck=True)


def test_kernel_without_checks_takes_no_cell():
    def kernel(x):
        return x * 2

    made = lowered(kernel, 1.0)
    assert made.errors == []
    assert "memref<1xi64>" not in made.module_text


# --- when compiling


def test_join():
    def kernel(x, c):
        if c > 0:
            y = x
        else:
            y = 1.0
        return y

    text = refused(kernel, X, 1, error=errors.JoinError, match="`y` is array", at="return y")
    assert f":{line_of(kernel, 'y = x')}:" in text
    assert f":{line_of(kernel, 'y = 1.0')}:" in text


def test_join_in_loop():
    def kernel(x):
        y = 1.0
        for i in range(3):
            y = y + x
        return y

    refused(kernel, X, error=errors.JoinError, match="`y`")


def test_join_of_unused_is_no_error():
    def kernel(x, c):
        if c > 0:
            y = x
            s = y[0]
        else:
            y = 1.0
            s = y
        y = 3
        return s + y

    check(kernel, X, 1)
    check(kernel, X, 0)


def test_missing_return():
    def kernel(x):
        if x > 0:
            return x

    refused(kernel, 1.0, error=errors.JoinError, match="returns .* on one path and")


def test_unassigned():
    def kernel(x):
        y = x + z  # noqa: F821
        z = 1
        return y

    refused(kernel, 1.0, error=errors.KernelNameError, match="`z`", at="x + z")


def test_undefined():
    def kernel(x):
        return x + nowhere  # noqa: F821

    refused(kernel, 1.0, error=errors.KernelNameError, match="nowhere", at="nowhere")


def test_closure_array():
    def kernel(x):
        return x + X[0]

    refused(kernel, 1.0, error=errors.ClosureConstantError, match="X")


@pytest.mark.parametrize("text,match", [
    ("x.nothing", "nothing"),
    ("np.nothing(x)", "nothing"),
    ("x[0][1]", "no elements"),
    ("print(x)", "print"),
    ("len(3)", "no len"),
    ("(1, 2)[len(x)]", "known when compiling"),
    ("(1, 2)[5]", "out of range"),
    ("range(3)", "range"),
    ("x if x else x", "truth|ambiguous"),
    ("x < x < x", "truth value"),
    ("math.nothing", "nothing"),
    ("x()", "cannot be called"),
    ("sorted(x)", "sorted"),
    ("x.append(1)", "append"),
    ("1 in x", "in"),
    ("'a' + x", "."),
    ("None + 1", "None"),
    ("x is 3", "is"),
    ("...", "."),
])  # fmt: skip
def test_expressions(text, match):
    from dsl.syntax.given import define

    refused(define(f"def kernel(x):\n    return {text}\n", None, {"np": np, "math": math}), X, match=match)


def test_missing_unpacked():
    def kernel(x):
        a, b = (x, x, x)
        return a

    refused(kernel, 1.0, match="3 values")


def test_unpacking_arrays():
    def kernel(x):
        a, b, c = x
        return a + b * c

    check(kernel, X[:3])
    raised(kernel, X[:2], error=ValueError, match="3 elements")


def test_nothing_of_the_statement_is_seen_after_a_failure():
    def fails(x):
        assert x[0] > 100, "small"
        x[1] = 50.0
        return 1

    def later(x):
        x[2] = 60.0
        return 2.0

    def stored(x):
        x[0] = fails(x)

    def updated(x):
        x[fails(x)] += later(x)

    def in_place(x):
        x += fails(x) + later(x)

    def two_calls(x):
        return fails(x) + later(x)

    def deep(x):
        return x[fails(x) + 10**12] + np.zeros(fails(x))[10**12]

    def tuple_of(x):
        x[0], x[1] = fails(x), later(x)

    def in_condition(x):
        if fails(x) and later(x):
            x[0] = 1.0
        while later(x) > fails(x):
            x[0] = 1.0

    for kernel in (stored, updated, in_place, two_calls, deep, tuple_of, in_condition):
        x = X.copy()
        with pytest.raises(AssertionError):
            run(kernel, x)
        assert list(x) == list(X), kernel.__name__


def test_an_element_of_a_sum_that_fails():
    def kernel(x, y):
        return (x + y)[10**13]

    raised(kernel, X, np.ones(3), error=ValueError)

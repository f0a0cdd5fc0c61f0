"""Functions in a kernel, comprehensions, generators, `:=`, `*` and raise, against the undecorated function."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import errors
from tests.derivatives import check_derivatives

X = np.linspace(0.5, 2.0, 6)


def twice(g, v):
    return g(v) * 2


def simpson(g, a, b, n):
    h = (b - a) / n
    s = g(a) + g(b)
    for i in range(1, n):
        s += (4 if i % 2 else 2) * g(a + i * h)
    return s * h / 3


# --- functions that read what is around them


def late(x):
    k = 1.0
    g = lambda t: t * k
    first = g(x[0])
    k = x[1]
    return first + g(x[2])


def passed(x):
    w = x[0] * x[1]
    return simpson(lambda t: math.sin(w * t) + x[2] * t, 0.0, x[3], 10)


def within(x):
    def g(t):
        u = t * x[0]

        def h(s):
            return s * u + x[1]

        return h(t) + h(2 * t)

    s = 0.0
    for v in x:
        s += twice(g, v)
    return s


def in_a_loop(x):
    s = 0.0
    for i in range(len(x)):
        scale = x[i]
        g = lambda t: t * i + scale
        s += g(x[i]) ** 2
    return s + g(1.0)


def changed_later(x):
    w = x[1] if x[0] > 0.4 else x[2]
    f = lambda t: t * w
    total = 0.0
    while total < 5.0:
        total += f(x[3])
        w = w * 1.1
    return total


def in_a_tuple(x):
    w = x[0]
    functions = (lambda t: t * w, lambda t: t + x[1])
    w = w * x[3]
    s = 0.0
    for f in functions:
        s += f(x[2])
    return s


def leaves_early(x):
    def find(t):
        for v in x:
            if v > t:
                return v
        return 0.0

    return find(1.0) * find(0.2)


def changes_an_array(x):
    z = x.copy()

    def scale(c):
        for i in range(len(z)):
            z[i] *= c

    scale(x[1])
    scale(2.0)
    return np.sum(z)


def names_and_defaults(x):
    def g(a, /, b=2.0, *, c=3):
        return a * b + c

    return g(x[0]) + g(x[1], x[2], c=1) + g(x[3], b=x[4])


def takes_functions(x):
    add = lambda a, b: a + b
    mul = lambda a, b: add(a, 0.0) * b
    fold = lambda f: f(f(x[0], x[1]), x[2])
    return fold(add) * fold(mul)


def own_name(x):
    def g(x):
        x = x * 2
        return x

    return g(x[0]) * x[1]


# --- comprehensions


def elements(x):
    z = [v * v for v in x]
    return z[0] + z[-1] * len(z)


def positions(x):
    z = np.array([v * i for i, v in enumerate(x)])
    return np.sum(z * z)


def same_name(x):
    z = [x * 2 for x in x]
    return np.sum(np.array(z) * x)


def filtered(x):
    z = [v * v for v in x if v > 1.0 if v < 1.9]
    s = 0.0
    for v in z:
        s += v
    return s * len(z)


def nothing_left(x):
    z = [v for v in x if v > 100]
    return sum(z) + len(z) + x[0]


def nested(x):
    z = [a * b for i, a in enumerate(x) if i != 2 for b in x[i:] if b > 0.6]
    return sum(z) / len(z)


def table(x):
    m = np.array([[math.sin(a * b) for b in x] for a in x])
    return np.sum(m @ x)


def rows(x):
    m = np.array([x[i : i + 3] * i for i in range(3)])
    return np.sum(m**2)


def over_a_tuple(x):
    a, b, c = [v * v for v in (x[0], x[1], 2.0)]
    return a * b + c


def calls_inner(x):
    square = lambda t: t * t
    return np.sum(np.array([square(v) for v in x]))


def sums(x):
    return sum(v * w for v, w in zip(x, reversed(x))) * sum(1 for v in x if v > 1)


def questions(x):
    if all(v > 0 for v in x) and any(v > 1.9 for v in x) and not any(v > 7 for v in x):
        return x[0] ** 2
    return x[1]


def only_where_asked(x):
    """The comprehension is not computed where the first operand decides."""
    return x[0] if len(x) < 3 or sum(v for v in x) > 2 else x[1]


def extremes(x):
    return max(abs(v - 1) for v in x) * min([v for v in x]) + math.prod(v for v in x)


def tuples(x):
    a, b = tuple(v * v for v in (x[0], x[1]))
    return a * b


def of_rows(x):
    m = np.zeros((2, 3))
    for i in range(6):
        m[i // 3, i % 3] = x[i]
    return sum(math.sqrt(sum(v * v for v in row)) for row in m)


# --- `:=`, `*`


def bound(x):
    s = 0.0
    i = 0
    while (v := x[i]) < 1.5:
        s += v * v
        i += 1
    if s > 0 and (q := s * v) > 0.1:
        s += q
    return s


def bound_until(x):
    t, n = x[0], 0
    while abs((new := 0.5 * (t + x[1] / t)) - t) > 1e-12:
        t = new
        n += 1
        if n > 50:
            break
    else:
        n = -1
    return new + t * (n < 0)


def starred(x):
    a, *middle, c = (x[0], x[1], x[2], x[3])
    rest = (*middle, c)
    return a * rest[0] + math.hypot(*middle) * rest[2]


FUNCTIONS = [
    late, passed, within, in_a_loop, changed_later, in_a_tuple, leaves_early, changes_an_array, names_and_defaults,
    takes_functions, own_name, elements, positions, same_name, filtered, nothing_left, nested, table, rows,
    over_a_tuple, calls_inner, sums, questions, only_where_asked, extremes, tuples, of_rows, bound, bound_until,
    starred,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_derivatives(function):
    kernel = dsl.kernel(function)
    assert kernel(X) == pytest.approx(function(X), rel=1e-13)
    gradient = dsl.gradient(dsl.Reverse, kernel, X)
    step = 1e-6
    for i in range(len(X)):
        moved = [X.copy(), X.copy()]
        moved[0][i] += step
        moved[1][i] -= step
        assert gradient[i] == pytest.approx((function(moved[0]) - function(moved[1])) / (2 * step), rel=1e-6, abs=1e-7)
    tangent = np.cos(np.arange(6.0))
    along = dsl.autodiff(dsl.Forward, kernel, dsl.Duplicated(X, tangent))[0]
    assert along == pytest.approx(gradient @ tangent, rel=1e-12)


def test_of_numbers():
    """Scalars and arrays in all modes, by dual numbers, and second order."""

    @dsl.kernel
    def energy(x, k):
        spring = lambda d: 0.5 * k * d * d
        total = sum(spring(x[i + 1] - x[i]) for i in range(len(x) - 1))
        return total + math.sin(total)

    check_derivatives(energy, X, 1.7)
    v, h = np.cos(np.arange(6.0)), 1e-6
    along = [dsl.gradient(dsl.Reverse, energy, X + s * h * v, dsl.Const(1.7))[0] for s in (1, -1)]
    product = dsl.hvp(energy, X, v, 1.7)
    np.testing.assert_allclose(product, (along[0] - along[1]) / (2 * h), rtol=1e-7, atol=1e-8)


def test_dtypes():
    @dsl.kernel
    def kinds(x):
        return [v > 1 for v in x], [i for i in range(3)], [2 * v for v in x], [1j * v for v in x]

    x = np.array([0.5, 2.0], np.float32)
    found = kinds(x)
    assert [a.dtype for a in found] == [np.bool_, np.int64, np.float32, np.complex64]
    np.testing.assert_array_equal(found[2], 2 * x)


def test_evaluated_once():
    """What the first `for` runs over is computed once, and the element once for each."""

    @dsl.kernel
    def counted(log):
        def source():
            log[0] += 1
            return log

        def element(v):
            log[1] += 1
            return v

        z = [element(v) * 1.0 for v in source() if v >= 0]
        return len(z) + sum(1 for v in log)

    log = np.zeros(3)
    assert counted(log) == 6
    np.testing.assert_array_equal(log, [1, 3, 0])


@pytest.mark.parametrize("text", ["[row(i) for i in range(3)]", "list(number(v) for v in (1.0, 2.0, 3.0))"])
def test_each_element_once(text):
    """Also the first row, which tells the shape, and those of a tuple."""
    kernel = dsl.kernel(
        source=f"""
def made(log):
    def row(i):
        log[i] += 1
        return log[:2] * 1.0

    def number(v):
        log[0] += v
        return v

    return np.sum(np.array({text}))
"""
    )
    expected, log = np.zeros(3), np.zeros(3)
    assert kernel(log) == kernel.fn(expected)
    np.testing.assert_array_equal(log, expected)


def test_rows_of_one_shape():
    @dsl.kernel
    def ragged(x):
        return np.sum(np.array([x[: i + 1] for i in range(2)]))

    with pytest.raises(ValueError, match="not of one shape"):
        ragged(X)


def test_raise():
    @dsl.kernel
    def root(x):
        if x < 0:
            raise ValueError(f"no root of {x}")
        if x > 100:
            raise OverflowError
        return math.sqrt(x)

    assert root(4.0) == 2.0
    with pytest.raises(ValueError, match=r"(?s)no root of \{x\}.*raise ValueError"):
        root(-1.0)
    with pytest.raises(OverflowError):
        root(101.0)
    with pytest.raises(ValueError):
        dsl.autodiff(dsl.Reverse, root, dsl.Active, dsl.Active(-1.0))
    assert dsl.autodiff(dsl.Reverse, root, dsl.Active, dsl.Active(4.0)) == ((0.25,),)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("def f(x):\n    return lambda t: t", errors.UnsupportedSyntax, "cannot be returned"),
        ("def f(x):\n    def g(t):\n        return g(t - 1)\n    return g(x)", errors.RecursionRefused, "calls itself"),
        ("def f(x):\n    a = x\n    g = lambda t, a=a: t\n    return g(x)", errors.UnsupportedSyntax, "default"),
        ("def f(x):\n    g = lambda t: t\n    return g(x, x)", errors.CompileError, "takes 1 positional"),
        ("def f(x):\n    g = lambda t: t\n    return g + x", errors.CompileError, "Closure"),
        ("def f(x):\n    g = (v for v in (1, 2))\n    return x", errors.UnsupportedSyntax, "stands alone in a call"),
        ("def f(x):\n    return sum((y := v) for v in (x, x))", errors.UnsupportedSyntax, ":="),
        ("def f(x):\n    y = f'{x}'\n    return x", errors.UnsupportedSyntax, "f-string"),
        ("def f(x):\n    raise KeyError(x)", errors.CompileError, "known when compiling"),
        ("def f(x):\n    raise x", errors.UnsupportedSyntax, "cannot be raised"),
        ("def f(x):\n    return max(*x)", errors.CompileError, "`*` unpacks"),
        ("def f(x):\n    a, *b, c = (x,)\n    return a", errors.KernelValueError, "cannot be unpacked"),
        ("def f(x):\n    return [(x, x) for i in range(3)]", errors.CompileError, "array of numbers"),
        ("def f(x):\n    return 2 * [x * i for i in range(3)]", errors.CompileError, "of a list is not arithmetic"),
        ("def f(x):\n    g = lambda: y\n    return g()", errors.KernelNameError, "y"),
    ],
)
def test_refused(text, error, message):
    kernel = dsl.kernel(source=text)
    with pytest.raises(error, match=message) as caught:
        kernel(2.0)
    assert caught.value.loc is not None


def test_not_for_grids():
    @dsl.kernel
    def thread(out, g):
        out[dsl.thread_idx.x] = g(1.0)

    @dsl.kernel
    def host(out):
        thread[1, 2](out, lambda t: t)

    with pytest.raises(errors.UnsupportedSyntax, match="not given to a grid"):
        host(np.zeros(2))


def test_in_a_thread():
    """Functions and reductions need no memory: threads have them too."""

    @dsl.kernel
    def thread(out, x):
        i = dsl.thread_idx.x
        weight = lambda t: t * x[i]
        out[i] = sum(weight(x[k]) for k in range(len(x))) if any(v > 1 for v in x) else 0.0

    out = np.zeros(6)
    thread[1, 6](out, X)
    np.testing.assert_allclose(out, X * X.sum(), rtol=1e-14)
    shadow, dx = np.ones(6), np.zeros(6)
    dsl.autodiff(dsl.Reverse, thread[1, 6], dsl.Duplicated(out, shadow), dsl.Duplicated(X, dx))
    np.testing.assert_allclose(dx, 2 * X.sum(), rtol=1e-14)


def test_in_a_parallel_loop():
    @dsl.kernel
    def parallel(x):
        total = 0.0
        scale = x[0]
        f = lambda v: v * scale
        for i in dsl.prange(len(x)):
            total += f(x[i])
        return total

    assert parallel(X) == pytest.approx(X[0] * X.sum())

    @dsl.kernel
    def reads_the_sum(x):
        total = 0.0
        f = lambda v: v + total
        for i in dsl.prange(len(x)):
            total += f(x[i])
        return total

    with pytest.raises(errors.UnsupportedSyntax, match="goes from one iteration"):
        reads_the_sum(X)

"""Calls of kernels and functions, tuples, dataclasses and NamedTuples, against plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import dsl.types as dt
from dsl import errors
from dsl.kernel import Kernel

from .running import check, lowered, run

X = np.array([2.0, 3.0, -1.0, 4.0, 0.5])


@dataclass
class Params:
    w: float
    b: np.ndarray
    n: int = 3

    def norm(self):
        return math.sqrt(np.sum(self.b * self.b)) + self.w

    def shift(self, by):
        self.w += by
        self.b[0] = self.w

    @property
    def twice(self):
        return self.w * 2


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 1.0

    def dot(self, other):
        return self.x * other.x + self.y * other.y


class Pair(NamedTuple):
    a: float
    p: Point


@dataclass
class Net:
    first: Params
    origin: Point
    scale: float


def make_params():
    return Params(1.5, np.array([1.0, 2.0, 3.0]))


def make_net():
    return Net(make_params(), Point(0.5), 2.0)


# --- callees


def square(x):
    return x * x


def power(x, n=2, *, offset=0.0):
    p = 1.0
    for _ in range(n):
        p *= x
    return p + offset


def first_positive(x):
    for i in range(len(x)):
        if x[i] > 0:
            return i, x[i]
    return -1, 0.0


def bump(x, i):
    x[i] += 1


def same_array(x):
    return x


def tail(x):
    return x[1:]


def fresh(x):
    return x * 2


def sum_point(p):
    return p.x + p.y


def move(p, by):
    return Point(p.x + by, p.y - by)


def step_params(p, by):
    p.w = p.w + by
    p.b[1] = p.w
    return p.w


def make(w, b):
    return Params(w, b)


def give_back(p):
    return p


SCALE = 2.5
MODE = "double"
POINT = Point(3.0, 4.0)
SIZES = (1, 2, 3)
helper = Kernel(square, {})


# --- kernels


def calls(x):
    return square(x[0]) + square(2) + power(x[1]) + power(x[0], 3) + power(x[1], offset=1, n=1)


def call_of_tuple(x):
    i, v = first_positive(x)
    return i * 10 + v


def call_in_loop(x):
    for i in range(len(x)):
        if square(x[i]) > 8:
            bump(x, i)
    return np.sum(x)


def aliases(x):
    a = same_array(x)
    a[0] = 100.0
    b = tail(x)
    b[0] = -5.0
    c = fresh(x)
    c[0] = 7.0
    return x[0] + c[0] + b[0]


def returns_argument(x):
    return x


def returns_view(x):
    return x[1:3], x[0]


def constants(x):
    if MODE == "double":
        y = x[0] * 2
    else:
        y = x.undefined_attribute
    s = y * SCALE + math.pi
    for n in SIZES:
        s += n
    return s + POINT.x * POINT.y


def dtype_of_argument(x):
    if x.dtype == np.float64 and x.ndim == 1 and len(SIZES) == 3:
        return 1.0
    return "no number"


def points(x):
    p = Point(x[0], x[1])
    q = move(p, x[2])
    if x[3] > 0:
        q = move(q, 1.0)
    for i in range(3):
        q = Point(q.x * 0.5, q.y + i)
    return q, sum_point(q) + p.dot(q), Point(1.0).y


def pairs(x):
    pair = Pair(x[0], Point(x[1]))
    a, p = pair
    return pair, a + p.x, pair[0], len(pair), pair._replace(a=5.0).a


def object_fields(p):
    p.w = p.w * 2
    p.b[0] = p.w
    if p.n > 2:
        p.w += p.n
    for i in range(3):
        p.w += p.b[i]
        if p.w > 12:
            break
    return p.w + p.twice


def object_calls(p):
    a = step_params(p, 0.5)
    q = p
    q.w += 1
    b = step_params(q, p.w)
    p.shift(2)
    same = give_back(p)
    same.w += 0.25
    return a, b, p.w, p.norm(), q.b[0], q is p


def object_local(p):
    local = Params(p.w, p.b, 1)
    local.w = 3
    local.b[2] = 9.0
    other = make(local.w * 2, p.b * 2)
    other.w += 1
    alias = other
    alias.w += 1
    return local.w + other.w, p.w, other.b


def object_return_early(p):
    for i in range(3):
        p.w += 1
        if p.b[i] > 1.5:
            p.n = i
            return p.w
    p.w = -1
    return p.w


def object_returned(p):
    q = Params(p.w + 1, p.b * 2, 7)
    q.w *= 2
    return q


def nested_objects(net):
    net.first.w = net.origin.x + net.scale
    net.scale = net.first.w * 2
    net.first.b[:] = 1.0
    total = 0.0
    for v in net.first.b:
        total += v
    return total + net.first.norm()


def objects_in_branch(p):
    if p.w > 1:
        p.w = 0.5
        p.n += 1
    else:
        p.b[0] = 0.0
    while p.w < 10:
        p.w = p.w * 2 + 1
        if p.w > 6:
            p.n = 100
            continue
        p.n += 1
    return p.n


@pytest.mark.parametrize("kernel", [
    calls, call_of_tuple, call_in_loop, aliases, returns_argument, returns_view, constants, dtype_of_argument, points,
    pairs,
], ids=lambda k: k.__name__)  # fmt: skip
def test_on_array(kernel):
    check(kernel, X)


@pytest.mark.parametrize("kernel", [
    object_fields, object_calls, object_local, object_return_early, object_returned, objects_in_branch,
], ids=lambda k: k.__name__)  # fmt: skip
def test_on_object(kernel):
    check(kernel, make_params())


def test_nested_objects():
    check(nested_objects, make_net())


def test_kernels_call_kernels():
    def kernel(x):
        return helper(x) + square(x)

    assert run(kernel, 3.0) == 18.0


def test_same_object_twice():
    def both(p, q):
        p.w = 1
        q.w += 1
        return p.w

    def twice(p):
        return both(p, p)

    check(twice, make_params())


def test_writebacks_are_named_by_leaf():
    def change(x, net):
        net.first.w = x
        net.scale = 2 * x

    made = lowered(change, 1.0, make_net())
    # x, first.w, first.b, first.n, origin.x, origin.y, scale
    assert made.writebacks == (1, 6)


def test_callee_is_specialised_once_for_each_types():
    def many(x, n):
        return square(x) + square(2 * x) + square(n) + square(n + 1)

    text = lowered(many, 1.0, 2).module_text
    assert text.count("func.func private @square") == 2


def refused(kernel, *args, error=errors.CompileError, match="."):
    with pytest.raises(error, match=match) as caught:
        lowered(kernel, *args)
    assert caught.value.loc is not None
    assert f"{caught.value.loc}" in str(caught.value)
    return caught.value


def test_recursion():
    def ping(x):
        return pong(x) + 1

    def pong(x):
        return ping(x) - 1

    refused(ping, 1.0, error=errors.RecursionRefused, match="ping -> pong -> ping")


def test_frozen():
    def kernel(p):
        p.x = 1.0

    refused(kernel, Point(1.0), error=errors.KernelAttributeError, match="frozen")


def test_argument_field_keeps_its_type():
    def kernel(p):
        p.n = 1.5

    refused(kernel, make_params(), match="does not fit field `n`")


def test_argument_array_field_is_not_replaced():
    def kernel(p):
        p.b = p.b * 2

    refused(kernel, make_params(), match="belongs to the caller")


@dataclass
class Body:
    x: float
    v: float


def step(s, dt_):
    return Body(s.x + dt_ * s.v, s.v - dt_ * s.x)


def simulate(s, n):
    for i in range(n):
        s = step(s, 0.1)
        if s.x > 1.4:
            break
        s.v *= 0.99
    return s, s.x


def chosen(p, q, c):
    r = p if c > 0 else q
    if c > 1:
        s = p
    else:
        s = q
    return r.w + s.b[0]


def made_in_branch(c):
    if c > 0:
        b = Body(c, 1)
    else:
        b = Body(2, c)
    b.x += 1
    while b.x < 10:
        t = Body(b.x * 2, b.v)
        t.v += 1
        b = t
    return b


def linked(p, n):
    a = Body(0.0, 1.0)
    holder = Net(p, Point(1.0), 2.0)
    for i in range(n):
        a = Body(a.x + holder.first.w, a.v)
        holder = Net(Params(holder.first.w * 0.5, p.b), holder.origin, holder.scale + 1)
    return a, holder.first.w, holder.scale, holder.first.b


def returned_early(p, c):
    if c > 0:
        return Body(c, 2.0)
    a = Body(p.w, 3.0)
    a.x -= 1
    return a


def test_objects_that_depend_on_the_path():
    for n in (0, 1, 30):
        check(linked, make_params(), n)
    for c in (-1.0, 0.5, 2.0):
        check(chosen, make_params(), Params(7.0, np.array([9.0])), c)
        check(made_in_branch, c)
        check(returned_early, make_params(), c)


def test_an_object_in_a_loop():
    def kernel(n):
        s = Body(1.0, 0.5)
        s.v += 0.1
        return simulate(s, n)

    for n in (0, 1, 50):
        check(kernel, n)


def test_object_perhaps_unassigned():
    def kernel(c):
        if c > 0:
            b = Body(c, 1.0)
        return b.x

    check(kernel, 1.0)
    with pytest.raises(UnboundLocalError):
        run(kernel, -1.0)


def test_what_may_be_two_objects_is_not_written_to():
    def through_the_choice(p, q, c):
        r = p if c > 0 else q
        r.w = 5.0
        return p.w

    def through_the_original(p, q, c):
        r = p if c > 0 else q
        p.w = 5.0
        return r.w

    def through_a_callee(p, q, c):
        r = p if c > 0 else q
        step_params(p, 1.0)
        return r.w

    def compared(p, q, c):
        r = p if c > 0 else q
        return r is p

    for kernel in (through_the_choice, through_the_original, through_a_callee, compared):
        refused(kernel, make_params(), make_params(), 1.0, match="depend")


def test_wrong_arguments():
    def too_many(x):
        return square(x, x)

    def unknown(x):
        return power(x, m=1)

    def missing(x):
        return power(n=2)

    def keyword_only(x):
        return power(x, 2, 3.0)

    for kernel in (too_many, unknown, missing, keyword_only):
        refused(kernel, 1.0, error=errors.KernelTypeError)


def test_error_in_callee_names_the_call():
    def inner(x):
        return x.nothing

    def outer(x):
        return inner(x + 1)

    error = refused(outer, 1, match="has no attribute")
    assert "inner" in str(error)


def test_annotations():
    def converts(x: dt.float32, n: float, k: int):
        return x * 0.1, n / 2, k

    got = run(converts, 0.3, 3, 4)
    assert got[0] == np.float32(np.float32(0.3) * np.float32(0.1))
    assert got[0].dtype == np.float32
    assert got[1:] == (1.5, 4)
    refused(converts, X, 3, 4, match="annotated")
    refused(converts, 1.0, 3, 4.5, match="without loss")


def test_weak_numbers_keep_float32():
    x = np.array([1.0, 2.0, 3.0], np.float32)

    def mean_square(x):
        s = 0.0
        for i in range(len(x)):
            s += 0.1 * x[i] ** 2
        return s / len(x)

    got = check(mean_square, x)
    assert got.dtype == np.float32

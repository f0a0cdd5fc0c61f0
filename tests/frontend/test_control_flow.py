"""Control flow against plain Python: loops, branches, and every way to leave them, alone and nested."""

from __future__ import annotations

import numpy as np
import pytest

from dsl.syntax.given import define

from .running import check

X = np.array([2.0, 3.0, -1.0, 4.0, 0.5])


def total(x):
    s = 0
    for i in range(len(x)):
        s += x[i]
    return s


def product(x):
    p = 1
    for i in range(x.shape[0]):
        p = p * x[i]
    return p


def square_until(x):
    p = x
    while p < 100:
        p = p * p
    return p


def stop_at_negative(x):
    s = 0.0
    for i in range(len(x)):
        if x[i] < 0:
            break
        s += x[i] ** 2
    return s


def running_maximum(x):
    m = x[0]
    for i in range(len(x)):
        if x[i] < m:
            continue
        m = x[i]
    return m * m


def branch_on_carried(x):
    s = 0.0
    for i in range(len(x)):
        s += x[i]
        if s > 2:
            s *= 0.5
    return s


def nested_sum(x):
    s = 1.0
    a = 0.5
    for i in range(len(x)):
        for j in range(len(x)):
            s += x[j] * a
        a = s * 0.01
    return s


def carried_index(x):
    k = 0
    y = 0.0
    for i in range(len(x)):
        y += x[k] * (i + 1)
        k = (k + 2) % 3
    return y


def loop_variable_after(x):
    for i in range(len(x)):
        if x[i] < 0:
            break
    return i * 10 + x[i]


def variable_after_plain(x):
    for i in range(3, 0, -1):
        pass
    return i


def assigned_in_loop(x):
    for i in range(len(x)):
        t = x[i] * 2
    return t


def return_in_nested(x):
    for i in range(len(x)):
        for j in range(len(x)):
            if x[i] + x[j] > 6:
                return i * 10 + j
            if x[j] < 0:
                break
    return -1.5


def nested_continue_break(x):
    count = 0
    for i in range(len(x)):
        j = 0
        while True:
            j += 1
            if j == 2:
                continue
            if j > i:
                break
            if x[j % len(x)] < 0:
                continue
            count += i * j
        if count > 40:
            break
    return count, i, j


def for_else(x):
    for i in range(len(x)):
        if x[i] > 5:
            s = x[i]
            break
        if x[i] == 0:
            return -7.0
    else:
        s = 100.0
    return s * x[0]


def loops_with_else_within_each_other(x):
    s = 0.0
    for i in range(len(x)):
        j = 0
        while j < i:
            if x[j] < 0:
                break
            for k in range(3):
                if x[k % len(x)] > 4:
                    break
                s += k
            else:
                s += 1.5
                if s > 50:
                    break
                j += 1
                continue
            j += 1
        else:
            s += x[i]
            if x[i] > 7:
                break
            continue
        s *= 0.5
    else:
        s -= 1
    return s


def while_with_else_paths(x):
    i = 0
    s = 0.0
    while i < len(x) and x[i] > 0:
        s += x[i]
        i += 1
    return s + i


def early_return_types(x):
    if x[0] > 100:
        return 1
    if x[0] > 1:
        if x[1] > 2:
            return 2.5
        s = 3
    else:
        s = True
    return s


def shadowed(x):
    len_ = 3
    x = x[0] + len_
    for x_ in range(3):
        x += x_
    return x


def reassigned_loop_variable(x):
    s = 0
    for i in range(5):
        i = i * 2
        s += i
    return s, i


def after_if_both(x):
    if x[0] > 1:
        a = 1
    else:
        a = x[1]
    return a


def sequential_returns(x):
    for i in range(len(x)):
        v = x[i]
        if v == 4:
            return v
        if v < 0:
            continue
        if v > 100:
            break
    else_ = v
    return else_ + 100


def tuple_loop(x):
    s = 0.0
    for a, b in ((1, 2), (x[0], 0.5), (True, x[1])):
        s += a * b
    return s


def tuple_loop_exits(x):
    s = 0.0
    for v in (x[0], 7, x[2], 3.5):
        if v == 7:
            continue
        if v == 3.5:
            break
        s += v
        if s > 1000:
            return -s, 0
    return s, v


def while_true_return(x):
    i = 0
    while True:
        if x[i] < 0:
            return i
        i += 1


def previous_value(x):
    s = 0.0
    for i in range(len(x)):
        if i > 0:
            s += previous * x[i]  # noqa: F821
        previous = x[i]
    return s


def swap_in_loop(x):
    a = 0
    b = 1
    for i in range(10):
        a, b = b, a + b
    return a, b


def chained(x):
    n = 0
    for i in range(len(x)):
        if 0 < x[i] <= 3 != n:
            n += 1
    return n


def conditional_expressions(x):
    return (x[0] if x[1] > 2 else 1) + (5 if x[0] < 0 else x[2] * 2) + (1 if x[0] > 0 else 2)


def short_circuit(x):
    s = 0
    for i in range(8):
        if i < len(x) and x[i] > 0:
            s += 1
        if i >= len(x) or x[i] < 1:
            s += 10
    return s


def or_value(x):
    n = 0
    m = n or 5
    k = x[0] and x[1]
    return m, k, not n


def enumerated(x):
    s = 0.0
    for i, v in enumerate(x):
        s += i * v
    for i, v in enumerate(x, 10):
        s += i * v
    for a, b in zip(x, x[1:]):  # noqa: RUF007
        s += a * b
    for v in reversed(x):
        s = s * 0.5 + v
    for i in reversed(range(1, 4)):
        s = s * i - 1
    return s


def arrays_in_loop(x):
    y = x * 1
    z = x * 2
    for i in range(3):
        y[0] += 1
        y, z = z, y
    return y[0], z[0], y[1]


def loop_of_loops(x):
    s = 0
    for i in range(4):
        for j in range(i):
            for k in range(j, 6, 2):
                if (i + j + k) % 3 == 0:
                    continue
                if k > 4:
                    break
                s += i * 100 + j * 10 + k
    return s


def return_none(x):
    x[0] = 5.0
    if x[1] > 100:
        return
    x[1] = 6.0


def deep_exit(x):
    s = 0.0
    for i in range(3):
        if i == 1:
            if x[0] > 1:
                if x[1] > 1:
                    continue
                s += 100
            s += 10
        for j in range(3):
            if j == i:
                if x[j] > 2:
                    break
                continue
            s += x[j]
        s += 1
    return s


def guarded_while(x):
    n = 0
    i = 0
    while i < len(x) and not x[i] < 0:
        if x[i] > 2.5:
            n += 1
            if n == 2:
                return i
        i += 1
    return n * 1000 + i


KERNELS = [
    total, product, stop_at_negative, running_maximum, branch_on_carried, nested_sum, carried_index,
    loop_variable_after, variable_after_plain, assigned_in_loop, return_in_nested, nested_continue_break,
    for_else, loops_with_else_within_each_other, while_with_else_paths, early_return_types, shadowed,
    reassigned_loop_variable, after_if_both,
    sequential_returns, tuple_loop, tuple_loop_exits, while_true_return, previous_value, swap_in_loop, chained,
    conditional_expressions, short_circuit, or_value, enumerated, arrays_in_loop, loop_of_loops, return_none,
    deep_exit, guarded_while,
]  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_as_python(kernel):
    check(kernel, X)


def test_while_of_scalar():
    for x in (2.0, 150.0, 1.5):
        check(square_until, x)


@pytest.mark.parametrize("start,stop,step", [
    (0, 10, 3), (0, 9, 3), (10, 0, -3), (10, 0, -1), (0, 0, 1), (5, 0, 1), (0, 5, -1), (3, 4, 100), (-3, 4, 2),
    (4, -3, -7),
])  # fmt: skip
def test_ranges(start, stop, step):
    def dynamic(a, b, c):
        n = 0
        s = 0
        for i in range(a, b, c):
            n += 1
            s += i * n
        return n, s

    check(dynamic, start, stop, step)
    text = f"def fixed(a, b):\n    s = 0\n    for i in range(a, b, {step}):\n        s = s * 3 + i\n    return s\n"
    check(define(text, "fixed", {}), start, stop)

"""Expressions and assignments against plain Python: what the visitor itself decides, over the types of the language."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

import dsl.types as dt
from dsl.syntax.given import define

from .running import check, lowered, run

NAMES = {"np": np, "math": math, "cmath": cmath, "dt": dt, "K": 7, "NAME": "relu", "PAIR": (1, 2.5)}
A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
V = np.array([0.5, -1.5, 2.0])
N = np.array([3, -1, 4, 1], np.int32)
Z = np.array([1 + 2j, -0.5j, 3.0])


def made(body, params="x, y"):
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    return define(f"def kernel({params}):\n{lines}\n", None, dict(NAMES))


@pytest.mark.parametrize("text", [
    "x + y * 2 - 1", "x / y", "x // y", "x % y", "x ** 2", "abs(x) ** y", "-x + +y", "2 ** 3 + K", "x < y", "x < y < 3",
    "x == y or x > 2", "not x", "x and y", "x or y", "x if x > y else y", "abs(x)", "min(x, y)", "max(x, y, 0)",
    "round(x)", "pow(x, 2)", "float(x) + int(y)", "bool(x)", "math.sin(x) + math.pi", "np.exp(x)",
    "(x, y)[1] + (x, y)[-2]", "(x, (y, 2))[1][1]", "(x, y, 3)[1:]", "(x, y) + (1,)", "(x,) * 3", "len((x, y))",
    "x in (1, 2.5, y)", "x not in (1, 2.5)", "NAME == 'relu'", "x if NAME == 'relu' else y", "PAIR[0] * x",
    "(x, y) == (y, x)", "(x, y) != (y, x)", "x is None", "None is None", "isinstance(x, float)",
    "1 if x > 0 else 2.5", "(x > 0) + (y > 0)", "(x > 0) * y", "True + True", "x - True", "3 // 2 * x",
    "float('inf') if False else x", "math.floor(x) + math.ceil(y)", "1_000 * x", "0x10 + x",
    "x if x > y else (y if y > 0 else -y)", "dt.float64(x)", "complex(x, y)", "complex(x, y) * 1j",
    "complex(x, y).real", "complex(x, y).imag + complex(x, y).conjugate().imag", "abs(complex(x, y))",
    "min((x, y))", "divmod(x, y)[0]", "math.hypot(x, y)",
    "np.maximum(x, y)", "x.real if True else y", "math.fmod(x, y)",
])  # fmt: skip
def test_on_scalars(text):
    kernel = made(f"return {text}")
    for x, y in ((3.5, 2.0), (-1.5, 2.5), (2.0, -3.0)):
        check(kernel, x, y)


@pytest.mark.parametrize("text", [
    "x + y", "x / y", "x // y", "x % y", "x * y - 1", "x & y | 1", "x ^ y", "x << 2", "x >> 1", "~x", "-x", "x ** 2",
    "x ** 3 % 5", "x < y", "x == 3", "abs(x)", "min(x, y)", "float(x)", "x / 2 * 2", "x and y", "x or y", "not x",
    "x if y > 0 else 0.5", "1 << (y & 3)", "divmod(x, y)", "round(x)", "pow(x, 2)", "-7 // y", "bool(x & 1)",
])  # fmt: skip
def test_on_ints(text):
    kernel = made(f"return {text}")
    for x, y in ((7, 2), (-7, 2), (7, -2), (0, 5), (2**20, 3)):
        check(kernel, x, y)


@pytest.mark.parametrize("text", [
    "x + 1", "x * 2.5", "x[0, 1] + x[-1, -1]", "x[1]",
    "x[:, 1]", "x[0, ::-1]", "x.shape[0] + x.size + x.ndim", "len(x)",
    "np.sum(x)", "np.sum(x, axis=0)", "x @ y", "x * y + x[0]", "x[..., 0]", "x > 2", "np.where(x > 2, x, 0.0)",
    "[x[0, 0], y[0] * 2]", "[x[0, 0] ** 2, 1, 2.5]", "x.sum() + y.max()", "x.T @ x", "(x + y)[1, 2]", "x[1:, :2]",
    "-x", "np.sin(x) * y", "x[len(x) - 1][0]", "np.zeros((2, 3)) + x", "np.ones(3) * y", "y[None, :] * x", "x.copy()",
])  # fmt: skip
def test_on_arrays(text):
    check(made(f"return {text}"), A, V)


@pytest.mark.parametrize("body", [
    "x += 1\nreturn x",
    "y = x\ny += 1\nreturn x[0]",
    "y = x + 0\ny += 1\nreturn y[0] - x[0]",
    "a = x[1:]\na[0] = 100.0\nreturn np.sum(x)",
    "x[0], x[2] = x[2], x[0]\nreturn x",
    "x[:], y[:] = y + 0, x + 0\nreturn x",
    "x, y = y, x\nx[0] = 50.0\nreturn x[0] + y[0]",
    "a = b = x\na[0] = 9.0\nreturn b[0]",
    "a = b = 3\na += 1\nreturn a, b",
    "(a, b), c = (x[0], 2), 3\nreturn a + b + c",
    "[a, b] = x[0], y[0]\nreturn a - b",
    "a, b, c = x\nreturn a * b - c",
    "x[1:] = x[:-1] * 2\nreturn x",
    "x[1:] += x[:-1]\nreturn x",
    "x[0] **= 2\nx[1] //= 2\nx[2] %= 0.7\nreturn x",
    "x[x > 0] if False else x\nreturn x[0]",
    "i = 2\nx[i] = i\nx[-i] = x[i] / 2\nreturn x",
    "for x[0] in range(3):\n    y[0] += x[0]\nreturn x",
    "a: float = 3\nb: int = 2\nreturn a / b",
    "s = 0\nfor v in x:\n    s += v\nreturn s",
    "s = 0\nfor i, v in enumerate(x):\n    if i == 1:\n        continue\n    s += v * i\nreturn s, i",
    "a = [x[0], y[1], 3]\na[2] += 1\nreturn a",
    "a = [[1, 2], [3, 4]]\nreturn a[1][0]",
    "a = np.zeros(4)\nfor i in range(len(a)):\n    a[i] = i\nb = a[::2]\nb[:] = 7.0\nreturn a",
    "t = (x, y)\nt[0][1] = 3.5\nreturn x[1]",
    "'a docstring'\nreturn x[0]",
    "if x[0] > 0:\n    a = x\nelse:\n    a = y\na[0] = 77.0\nreturn x[0] + y[0]",
    "a = x if x[0] > 100 else y\na[0] = 77.0\nreturn x[0] + y[0]",
    "while x[0] < 100:\n    x = x * 3\nreturn x",
    "a = x\nfor i in range(3):\n    a = a[::-1]\n    a[0] += i\nreturn a, x",
    "a = x\nfor i in range(2):\n    a = a[:-1]\nreturn a",
    "a = 0\nwhile True:\n    a += 1\n    if a > 5:\n        break\n    x[a % 3] += a\nreturn a",
    "p = 1\nfor i in range(3):\n    p, q = p * x[i], p\nreturn p, q",
    "t = (0, 1.0)\nfor i in range(3):\n    t = (t[1], t[0] + x[i])\nreturn t",
    "t = (0, x)\nfor i in range(2):\n    t = (t[0] + i, t[1])\nreturn t[0] + t[1][0]",
    "m = -math.inf\nfor v in x:\n    m = max(m, v)\nreturn m",
    "k = 0\nfor i in range(len(x)):\n    if x[i] > x[k]:\n        k = i\nreturn k",
    "c = 0j\nfor v in x:\n    c = c * 1j + v\nreturn c",
    "pass\nreturn None",
])  # fmt: skip
def test_statements(body):
    check(made(body), np.array([0.5, 1.5, 2.0]), np.array([3.0, -4.0, 5.0]))


@pytest.mark.parametrize("text", [
    "x[0] * x[1]", "x + 1", "abs(x)", "x.real + 1",
    "x.imag + 1", "x[0].conjugate()", "np.sum(x)", "x[0] ** 2", "x[0] / x[1]",
    "cmath.exp(x[0])", "np.conj(x)", "x[0] == x[1]",
    "np.abs(x[0])", "x[0].real * 2", "-x", "x[0] if x[0].real > 5 else x[1]",
])  # fmt: skip
def test_on_complex(text):
    check(made(f"return {text}", "x"), Z)


@pytest.mark.parametrize("dtype", [
    np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float16, np.float32,
    np.float64, np.complex64, np.complex128,
])  # fmt: skip
def test_elements_of_every_type(dtype):
    def kernel(x, y):
        a = x[0]
        for i in range(len(x)):
            y[i] = x[len(x) - 1 - i]
            if x[i] != a:
                a = x[i]
        return a, x[0] == a

    x = np.array([0, 1, 1], dtype)
    got = check(kernel, x, np.zeros(3, dtype))
    assert got[0].dtype == dtype


@pytest.mark.parametrize("x", [A, A.T, A[:, ::2], A[1:], A[:0], np.asfortranarray(A)], ids=str)
def test_layouts(x):
    def kernel(x, n):
        s = 0.0
        b = x
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                s += x[i, j] * (i + 2 * j + 1)
        if n > 0:
            b = x[:n]
        return s, b

    check(kernel, x, 0)
    check(kernel, x, 1)


def test_zero_dimensional():
    def kernel(x, y):
        y[()] = x[()] * 2
        return x[()] + 1

    check(kernel, np.array(3.0), np.array(0.0))


def test_operands_run_once_and_in_order():
    def note(log, k, value):
        n = int(log[0])
        log[0] = n + 1
        log[n + 1] = k
        return value

    def kernel(log):
        a = note(log, 1, 1.0) + note(log, 2, 2.0) * note(log, 3, 3.0)
        b = note(log, 4, 1.0) < note(log, 5, 2.0) < note(log, 6, 1.5) < note(log, 7, 9.0)
        c = note(log, 8, 0.0) and note(log, 9, 1.0)
        d = note(log, 10, 5.0) or note(log, 11, 1.0)
        e = note(log, 12, 1.0) if note(log, 13, 0.0) else note(log, 14, 2.0)
        log[int(note(log, 15, 30.0))] += note(log, 16, 1.0)
        for i in range(int(note(log, 17, 0.0)), int(note(log, 18, 2.0))):
            note(log, 19, 0.0)
        while note(log, 20, log[0]) < 24:
            pass
        return a, b, c, d, e

    check(kernel, np.zeros(40))


def test_literals_are_weak():
    def kernel(x, n):
        return x * 2.0, x + 1, x * n, n + 1, n * 0.5, 2.0 * 3, x + math.pi

    got = check(kernel, np.float32(1.5), np.int8(3))
    assert [v.dtype.name for v in got] == ["float32", "float32", "float32", "int8", "float64", "float64", "float32"]


def test_large_constants():
    assert run(made("return 2**62 + 2**61 + x"), 0, 0) == 2**62 + 2**61
    from dsl import errors

    with pytest.raises(errors.KernelValueError, match="does not fit"):
        lowered(made("return 2**70 + x"), 0, 0)


def test_values_are_those_of_their_time():
    def zero(a):
        a[0] = 0.0
        return 1

    def kernel(x, y):
        a = x * 2 + zero(x)
        y[zero(x)] = x[1] + 1
        x[0] = 3.0
        y[zero(x) :] = x[:2] + zero(x)
        x[0] = 4.0
        b = np.sum(x * 3 + zero(x))
        x[0] = 5.0
        c = (x * 2 > zero(x) + 7)[0]
        return a, b, c

    check(kernel, V, np.zeros(3))


def test_arguments_of_callees_may_overlap():
    def reverse(a, b):
        for i in range(len(a)):
            a[i] = b[len(b) - 1 - i]

    def kernel(x):
        reverse(x, x)
        reverse(x[:2], x[1:])
        return x

    check(kernel, np.arange(7.0))


@pytest.mark.parametrize("body", [
    "for v in [1, 2.5, x[0]]:\n    y[0] += v\nreturn y",
    "a, b = [1, x[0]]\nreturn a, b",
    "return 2 in [1, 2], x[0] in [x[1], 3.0]",
    "return x == None, None == None, x is not None",
])  # fmt: skip
def test_lists_taken_apart(body):
    if "None" in body:
        check(made(body), 1.0, 2.0)
    else:
        check(made(body), V, V + 1)

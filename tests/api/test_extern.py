"""dsl.extern: C functions by pointer. The C functions are ctypes callbacks, and those of the C library."""

from __future__ import annotations

import ctypes
import pickle
import subprocess
import sys
from ctypes import CFUNCTYPE, POINTER, c_bool, c_double, c_float, c_int8, c_int16, c_int32, c_int64, c_uint8, c_uint16

import numpy as np
import pytest

import dsl
from dsl.errors import ArgumentError, DifferentiationError, KernelTypeError
from dsl.signature import parse


@CFUNCTYPE(c_double, c_double, c_int32, c_float)
def _scale(x, n, shift):
    return x * n + shift


@CFUNCTYPE(c_int8, c_int8, c_uint8, c_int16, c_uint16, c_bool)
def _narrow(a, b, c, d, e):
    return a + b - c - d + e


@CFUNCTYPE(c_bool, c_int64)
def _odd(n):
    return n % 2


@CFUNCTYPE(None, c_double, POINTER(c_double), POINTER(c_double), c_int64)
def _axpy(a, x, y, n):
    for i in range(n):
        y[i] += a * x[i]


@CFUNCTYPE(c_float, POINTER(c_float), c_int64)
def _total(x, n):
    return sum(x[i] for i in range(n))


scale = dsl.extern("scale", _scale, "(float64, int32, float32) -> float64")
narrow = dsl.extern("narrow", _narrow, "(int8, uint8, int16, uint16, bool) -> int8")
odd = dsl.extern("odd", _odd, ((dsl.int64,), dsl.bool_))
axpy = dsl.extern("axpy", _axpy, "(float64, const float64[:], float64[:], int64) -> None")
total = dsl.extern("total", _total, [[dsl.float32[:, :], dsl.int64], dsl.float32])
cosine = dsl.extern("cos", "m", "(dsl.float64) -> dsl.float64")


@dsl.kernel
def numbers(x, n):
    return scale(x, n, dsl.float32(x)), odd(n), odd(n + 1), cosine(x) * 2


@dsl.kernel
def small():
    return narrow(dsl.int8(-3), dsl.uint8(200), dsl.int16(-5), dsl.uint16(200), True)


@dsl.kernel
def arrays(x, y, A):
    axpy(2.0, x, y, len(x))
    axpy(1.0, x * 3, y, x.size)
    return total(A, A.size) + total(A[1:] + 1, A[1:].size)


def test_numbers():
    assert numbers(3.5, 5) == numbers.fn(3.5, 5) == (21.0, True, False, 2 * np.cos(3.5))
    assert small() == small.fn() == 3


def test_arrays():
    A = np.arange(6, dtype=np.float32).reshape(2, 3)
    results = []
    for run in (arrays, arrays.fn):
        x, y = np.arange(3.0), np.ones(3)
        x.flags.writeable = False  # `const`
        results.append((run(x, y, A), y.tolist()))
    assert results[0] == results[1] == (15.0 + 15.0, [1.0, 6.0, 11.0])


def test_written_arrays_are_checked():
    @dsl.kernel
    def add(x, y):
        axpy(1.0, x, y, len(x))

    y = np.ones(3)
    y.flags.writeable = False
    with pytest.raises(ArgumentError, match="read-only"):
        add(np.ones(3), y)
    with pytest.raises(ArgumentError, match="read-only"):
        axpy(1.0, np.ones(3), y, 3)


def test_address():
    address = ctypes.cast(_odd, ctypes.c_void_p)
    for where in (address, address.value):
        f = dsl.extern("odd_by_address", where, "(int64) -> bool")
        assert dsl.kernel(lambda n: f(n))(3) is True


def test_another_address_by_the_same_name():
    """The kernel's code is the same, and is found in the cache; the address is the new one."""
    makers = [CFUNCTYPE(c_double, c_double)(lambda x, k=k: x + k) for k in (1, 2)]
    found = []
    for maker in makers:
        f = dsl.extern("plus_something", maker, "(float64) -> float64")
        k = dsl.kernel(source="def k(x): return f(x)", constants={"f": f})
        found.append(k(10.0))
    assert found == [11.0, 12.0]


def test_two_with_one_name():
    f = dsl.extern("same", _odd, "(int64) -> bool")
    g = dsl.extern("same", CFUNCTYPE(c_bool, c_int64)(lambda n: False), "(int64) -> bool")
    with pytest.raises(ArgumentError, match=r"two foreign functions .* have the name same"):
        dsl.kernel(lambda n: f(n) and g(n))(1)
    h = dsl.extern("same", _odd, "(int32) -> bool")
    with pytest.raises(KernelTypeError, match=r"a kernel calls dsl\.extern\.same as"):
        dsl.kernel(lambda n: f(n) and h(dsl.int32(1)))(1)


_WARM = """
import dsl, sys
from ctypes import CFUNCTYPE, c_double
padding = [CFUNCTYPE(c_double)(lambda: 0.0) for _ in range(int(sys.argv[1]))]
f = dsl.extern("twice", CFUNCTYPE(c_double, c_double)(lambda x: 2 * x), "(float64) -> float64")
k = dsl.kernel(source="def k(x): return f(x) + 1", constants={"f": f})
print(k(3.0), "mlir" in sys.modules)
"""


def test_cached_code_takes_the_new_address(tmp_path):
    import os

    environment = {**os.environ, "DSL_CACHE_DIR": str(tmp_path)}
    for number, compiled in (("0", True), ("7", False)):
        done = subprocess.run(
            [sys.executable, "-c", _WARM, number], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["7.0", str(compiled)]


def test_pickling():
    assert pickle.loads(pickle.dumps(cosine))(0.0) == 1.0
    with pytest.raises(TypeError, match="address in this process"):
        pickle.dumps(odd)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("float64 -> float64", "is no signature"),
        ("(float64) -> ", "is no signature"),
        ("(float) -> float64", "`float` has another meaning in C"),
        ("(int) -> float64", "`int` has another meaning in C"),
        ("(float63) -> float64", "there is no type `float63`"),
        ("(const float64) -> None", "passed by value"),
        ("(float64[x]) -> None", "is no type"),
        ("(complex128) -> float64", "complex128 cannot be passed or returned by value"),
        ("(float16) -> float64", "float16 cannot be passed"),
        ("(float64) -> float64[:]", "cannot return an array"),
        ((dsl.float64, dsl.float64), "is no signature"),
        (((object,), None), "is no type"),
        (3, "is no signature"),
    ],
)
def test_bad_signature(signature, message):
    with pytest.raises(ArgumentError, match=message):
        dsl.extern("f", _odd, signature)


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("f", "/no/such/library.so", "cannot be opened"),
        ("no_such_function", "m", "there is no function no_such_function in m"),
        ("no_such_function", None, "in this process"),
        ("f", 0, "the address of f"),
        ("f", -1, "the address of f"),
        ("f", 1.5, "is to be found in 1.5"),
        ("f", True, "is to be found in"),
        ("a b", "m", "the name of an external function"),
    ],
)
def test_bad_place(name, where, message):
    with pytest.raises(ArgumentError, match=message):
        dsl.extern(name, where, "(float64) -> float64")


@pytest.mark.parametrize(
    ("kernel", "args", "message"),
    [
        (lambda x: cosine(x, x), (1.0,), "takes 1 arguments, 2 given"),
        (lambda x: odd(x), (1.5,), "argument 0 of odd.. is float, expected is int64"),
        (lambda x: cosine(x), (np.ones(2),), "argument 0 of cos"),
        (lambda x: total(x, 1), (np.ones((1, 1)),), r"array.float64, 2d., expected is float32\[:, :\]"),
        (lambda x: total(x[:, ::2], 1), (np.ones((2, 2), np.float32),), "a view whose elements may not lie in order"),
        (lambda x: cosine(x=x), (1.0,), "by position"),
    ],
)
def test_bad_call(kernel, args, message):
    with pytest.raises(KernelTypeError, match=message):
        dsl.kernel(kernel)(*args)


def test_bad_call_from_python():
    for args, message in [
        ((), "takes 1 argument, 0 given"),
        ((1j,), "cannot take 1j"),
        (("x",), "cannot take 'x'"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            cosine(*args)
    with pytest.raises(ArgumentError, match=r"cannot take 1\.5"):
        odd(1.5)
    with pytest.raises(ArgumentError, match="expected is array"):
        total(np.ones((2, 2)), 4)
    with pytest.raises(ArgumentError, match="strided"):
        total(np.ones((2, 4), np.float32)[:, ::2], 4)


def test_no_rule():
    with pytest.raises(DifferentiationError, match="cos"):
        dsl.gradient(dsl.Reverse, lambda x: cosine(x), 1.0)
    assert dsl.gradient(dsl.Reverse, lambda x: x * cosine(dsl.ignore_derivatives(x)), 0.0) == 1.0


def test_signature_text():
    text = "(float64, const float32[:, :], bool) -> None"
    assert str(parse(text, "f")) == text
    assert str(parse(((dsl.float64[:],), dsl.int8), "f")) == "(float64[:]) -> int8"
    assert str(parse("()->int64", "f")) == "() -> int64"

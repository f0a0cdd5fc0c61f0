"""Kernels that the tests of refused calls share, and the test that nothing has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import dsl
from dsl import autodiff
from dsl.errors import DslError


@dsl.kernel
def square(x):
    return x * x


@dsl.kernel
def weigh(A, w):
    s = 0.0
    for i in range(len(A)):
        s += A[i] * A[i] * w
    return s


@dsl.kernel
def product(A, B):
    s = 0.0
    for i in range(len(A)):
        s += A[i] * B[i]
    return s


@dsl.kernel
def scale(A, c):
    for i in range(len(A)):
        A[i] *= c


@dsl.kernel
def doubled(A):
    return A * 2.0


@dsl.kernel
def both(x):
    return x, 2.0 * x


@dsl.kernel
def rounded(x):
    return int(x)


@dataclass
class Params:
    w: float
    b: np.ndarray


@dataclass(frozen=True)
class Frozen:
    w: float


class Named(NamedTuple):
    w: float
    b: np.ndarray


@dsl.kernel
def use(p):
    return p.w * p.b[0]


@dsl.kernel
def use_scalar(p):
    return p.w * p.w


@dsl.kernel
def use_tuple(p):
    return p[0] * p[1][0]


def refused(error, pattern, mode, f, *args):
    """The call is refused with this error, and every array in it holds what it held."""

    def contents():
        found = []
        for arg in args:
            for value in (getattr(arg, "val", None), getattr(arg, "dval", None)):
                if isinstance(value, np.ndarray):
                    found.append(value.tobytes())
        return found

    before = contents()
    with pytest.raises(error, match=f"(?s){pattern}") as caught:
        autodiff(mode, f, *args)
    assert isinstance(caught.value, DslError)
    assert contents() == before
    if caught.value.hint:
        assert f"help: {caught.value.hint}" in str(caught.value)


A = np.arange(1.0, 4.0)
Z = np.zeros(3)

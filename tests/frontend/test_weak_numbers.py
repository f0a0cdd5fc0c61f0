"""Python numbers as arguments are weak, as NumPy's promotion has them: they take the type of the sized number they
meet.
"""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Reverse


@dsl.kernel
def scaled(x, a):
    return dsl.sum(x * a)


@dsl.kernel
def shifted(x, n):
    return [x[0] + n, x[1] * n]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int32, np.complex64])
@pytest.mark.parametrize("number", [3, 2.5])
def test_the_array_decides(dtype: type, number: float) -> None:
    x = np.array([1, 2], dtype)
    expected = np.array([x[0] + number, x[1] * number])
    found = shifted(x, number)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_a_sized_number_is_not_weak() -> None:
    x = np.ones(3, np.float32)
    assert type(scaled(x, 2.5)) is np.float32
    assert type(scaled(x, np.float64(2.5))) is float
    assert np.asarray(scaled(x, np.float64(2.5))).dtype == np.sum(x * np.float64(2.5)).dtype


def test_gradients_follow() -> None:
    x, dx = np.ones(3, np.float32), np.zeros(3, np.float32)
    assert dsl.autodiff(Reverse, scaled, Active, Duplicated(x, dx), Active(2.5)) == ((None, 3.0),)
    np.testing.assert_array_equal(dx, np.float32(2.5))
    assert dsl.autodiff(Reverse, scaled, Active, Duplicated(x, dx), Const(1.0)) == ((None, None),)

"""Arguments and results of kernels as they pass through the slots: every type, layout and form."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import NamedTuple

import ml_dtypes
import numpy as np
import pytest

import dsl
from dsl.errors import ArgumentError


@dsl.kernel
def same(x):
    return x


@dsl.kernel
def second(a, x, b):
    return x


INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
FLOATS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


@pytest.mark.parametrize("type_", INTEGERS, ids=lambda t: t.__name__)
def test_integers_pass_at_both_ends_of_their_range(type_):
    info = np.iinfo(type_)
    for value in (info.min, info.max, 0, 1):
        result = second(type_(1), type_(value), type_(2))
        assert result == value
        assert type(result) is (int if type_ is np.int64 else type_)


@pytest.mark.parametrize("type_", FLOATS, ids=lambda t: t.__name__)
def test_floats_pass_with_every_special_value(type_):
    for value in (0.0, -0.0, 1.5, -3.25, np.inf, -np.inf, np.nan):
        result = second(type_(1), type_(value), type_(2))
        assert type(result) is (float if type_ is np.float64 else type_)
        assert np.array(result, type_).tobytes() == np.array(value, type_).tobytes()


@pytest.mark.parametrize("type_", [np.complex64, np.complex128])
def test_complex_numbers_pass_in_two_words(type_):
    result = second(1.0, type_(1.5 - 2j), 2.0)
    assert result == 1.5 - 2j
    assert type(result) is (complex if type_ is np.complex128 else type_)


def test_python_numbers_come_back_as_such():
    assert same(True) is True and same(False) is False
    assert same(7) == 7 and type(same(7)) is int
    assert same(2.5) == 2.5 and type(same(2.5)) is float
    assert same(1j) == 1j and type(same(1j)) is complex
    assert type(same(np.bool_(True))) is bool


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_int_that_int64_does_not_hold_is_refused(value):
    assert same(2**63 - 1) == 2**63 - 1
    with pytest.raises(ArgumentError, match="does not fit int64"):
        same(value)


@dsl.kernel
def fold(a):
    s = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            s = s * 0.5 + a[i, j]
    return s


BASE = np.arange(120.0).reshape(10, 12) + 0.5
LAYOUTS = {
    "contiguous": BASE,
    "transposed": BASE.T,
    "fortran": np.asfortranarray(BASE),
    "rows backwards": BASE[::-1],
    "all backwards": BASE[::-1, ::-1],
    "every third column": BASE[:, ::3],
    "window": BASE[2:5, 3:7],
    "one column": BASE[:, 4:5],
    "one row": BASE[3:4],
    "empty": BASE[:0],
    "no columns": BASE[:, :0],
    "broadcast": np.broadcast_to(BASE[0], (4, 12)),
    "diagonal": np.lib.stride_tricks.as_strided(BASE, (5, 2), (13 * 8, 8)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_arrays_are_read_where_they_lie(name):
    array = LAYOUTS[name]
    assert fold(array) == fold.fn(array)


@dsl.kernel
def mark(a):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            a[i, j] = 10.0 * i + j


@pytest.mark.parametrize(
    "name", ["transposed", "rows backwards", "every third column", "window", "one column", "empty"]
)
def test_arrays_are_written_where_they_lie(name):
    found, expected = BASE.copy(), BASE.copy()
    views = {
        "transposed": lambda a: a.T,
        "rows backwards": lambda a: a[::-1],
        "every third column": lambda a: a[:, ::3],
        "window": lambda a: a[2:5, 3:7],
        "one column": lambda a: a[:, 4:5],
        "empty": lambda a: a[:0],
    }
    mark(views[name](found))
    mark.fn(views[name](expected))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("type_", [np.bool_, *INTEGERS, *FLOATS, np.complex64, np.complex128], ids=lambda t: t.__name__)
def test_arrays_of_every_type(type_):
    @dsl.kernel
    def reverse(a, b):
        for i in range(len(a)):
            b[i] = a[len(a) - 1 - i]

    a = np.array([0, 1, 1, 0, 1]).astype(type_)
    b = np.zeros(5, type_)
    reverse(a, b)
    np.testing.assert_array_equal(b, a[::-1])
    reverse(a[::2], b[1:4])
    np.testing.assert_array_equal(b[1:4], a[::2][::-1])


def test_zero_dimensional_arrays():
    @dsl.kernel
    def double(a):
        a[()] = 2.0 * a[()]

    a = np.array(4.0)
    double(a)
    assert a == 8.0


def test_arrays_that_kernels_cannot_read_are_refused_with_a_remedy():
    fields = np.zeros(3, [("a", np.complex128), ("b", np.float64)])
    with pytest.raises(ArgumentError, match=r"(?s)strides \(24,\) that are not multiples.*help: pass x.copy"):
        same(fields["a"])
    assert same(fields["b"]).shape == (3,)
    with pytest.raises(ArgumentError, match="swapped bytes"):
        same(np.zeros(3).astype(">f8"))
    misaligned = np.frombuffer(bytes(8 * 6 + 1), np.float64, 6, 1).reshape(2, 3)
    with pytest.raises(ArgumentError, match="not aligned"):
        fold(misaligned)
    with pytest.raises(ArgumentError, match="MaskedArray"):
        fold(np.ma.zeros((2, 3)))
    with pytest.raises(ArgumentError, match="list"):
        fold([[1.0]])
    with pytest.raises(ArgumentError, match="dtype"):
        same(fields)
    with pytest.raises(ArgumentError, match="dtype"):
        same(np.array(["text"]))
    with pytest.raises(ArgumentError, match="dict"):
        same({})


def test_an_array_in_a_file():
    import tempfile

    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, np.float64, "w+", shape=(10, 12))
        mapped[:] = BASE
        assert fold(mapped) == fold.fn(BASE)


def test_read_only_arrays_are_read_but_not_written():
    array = BASE.copy()
    array.flags.writeable = False
    assert fold(array) == fold.fn(BASE)
    with pytest.raises(ArgumentError, match=r"argument 0 \(`a`\) is read-only"):
        mark(array)
    mark(BASE.copy())  # the refusal holds on the quick way, too
    with pytest.raises(ArgumentError, match="read-only"):
        mark(array)
    np.testing.assert_array_equal(array, BASE)


def test_an_array_whose_elements_are_one_place_is_not_written():
    array = np.lib.stride_tricks.as_strided(np.zeros(1), (2, 3), (0, 0))
    assert array.flags.writeable
    with pytest.raises(ArgumentError, match="one place in memory"):
        mark(array)


# --- overlap ------------------------------------------------------------------------------------------------------


@dsl.kernel
def add_to(a, b):
    for i in range(len(a)):
        a[i] += b[i]


@dsl.kernel
def dot(a, b):
    s = 0.0
    for i in range(len(a)):
        s += a[i] * b[i]
    return s


def test_a_written_array_must_not_overlap_with_another():
    x = np.arange(10.0)
    add_to(x[:5], x[5:])
    np.testing.assert_array_equal(x[:5], [5, 7, 9, 11, 13])
    for a, b in ((x[:5], x[4:9]), (x, x), (x[2:6], x[:4]), (x[::2], x[:5])):
        before = x.copy()
        with pytest.raises(ArgumentError, match=r"argument 1 \(`b`\) overlaps with argument 0 \(`a`\)"):
            add_to(a, b)
        np.testing.assert_array_equal(x, before)


def test_interleaved_arrays_share_no_element():
    x = np.arange(10.0)
    add_to(x[::2], x[1::2])
    np.testing.assert_array_equal(x, [1, 1, 5, 3, 9, 5, 13, 7, 17, 9])


def test_arrays_that_are_only_read_may_overlap():
    x = np.arange(4.0)
    assert dot(x, x) == 14.0
    assert dot(x[:3], x[1:]) == 8.0


def test_overlap_is_compiled_for_on_demand():
    loose = dsl.kernel(add_to.fn, strict_aliasing=False)
    found, expected = np.arange(100.0), np.arange(100.0)
    loose(found[1:], found[:-1])
    add_to.fn(expected[1:], expected[:-1])
    np.testing.assert_array_equal(found, expected)


def test_many_arrays_are_told_apart():
    @dsl.kernel
    def gather(out, a, b, c, d, e):
        for i in range(len(out)):
            out[i] = a[i] + b[i] + c[i] + d[i] + e[i]

    x = np.arange(30.0)
    out = np.zeros(5)
    gather(out, x[:5], x[:5], x[10:15], x[3:8], x[20:25])
    np.testing.assert_array_equal(out, x[:5] * 2 + x[10:15] + x[3:8] + x[20:25])
    with pytest.raises(ArgumentError, match=r"argument 5 \(`e`\) overlaps with argument 0 \(`out`\)"):
        gather(x[26:], x[:4], x[:4], x[:4], x[:4], x[23:27])


# --- tuples and structs -------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    left: float
    right: np.ndarray


@dataclass
class Model:
    scale: float
    pair: Pair
    count: int


@dataclass(frozen=True)
class Fixed:
    a: float
    shape: float  # a field with the name of an array's attribute
    a_shape: float


def test_nested_structs_pass_leaf_by_leaf():
    @dsl.kernel
    def total(m, t):
        s = m.scale * m.pair.left + m.count * t[1]
        for i in range(len(m.pair.right)):
            s += m.pair.right[i] * t[0][0]
        return s

    m = Model(2.0, Pair(3.0, np.arange(4.0)), 5)
    t = ((0.5,), 7)
    assert total(m, t) == total.fn(m, t) == 44.0
    assert total(Model(2.0, Pair(3.0, np.arange(8.0)[::2]), 5), t) == 47.0


def test_structs_come_back_as_their_classes():
    @dsl.kernel
    def make(x, a):
        return Pair(x, a * 2.0), Fixed(x, 2 * x, 3 * x), (x, (True, 7))

    pair, fixed, rest = make(1.5, np.arange(3.0))
    assert type(pair) is Pair and pair.left == 1.5
    np.testing.assert_array_equal(pair.right, [0, 2, 4])
    assert fixed == Fixed(1.5, 3.0, 4.5)
    assert rest == (1.5, (True, 7))


def test_field_names_do_not_meet():
    @dsl.kernel
    def weigh(f, a):
        return f.a + 10 * f.shape + 100 * f.a_shape + a[0]

    assert weigh(Fixed(1.0, 2.0, 3.0), np.ones(2)) == 322.0


def test_fields_that_a_kernel_assigns_to_change():
    @dsl.kernel
    def step(m, k):
        m.scale = m.scale * k
        m.count += 1

    m = Model(2.0, Pair(3.0, np.arange(4.0)), 5)
    pair = m.pair
    step(m, 4.0)
    step(m, 0.5)
    assert (m.scale, m.count) == (4.0, 7) and m.pair is pair


def test_a_struct_that_is_assigned_to_is_passed_once():
    @dsl.kernel
    def step(m, n):
        m.scale = m.scale + n.scale

    m, n = Model(2.0, Pair(3.0, np.zeros(1)), 5), Model(2.0, Pair(3.0, np.zeros(1)), 5)
    step(m, n)
    assert m.scale == 4.0
    with pytest.raises(ArgumentError, match="one object"):
        step(m, m)
    assert m.scale == 4.0


def test_tuples_of_another_length_are_compiled_for_anew():
    @dsl.kernel
    def total(t):
        s = 0.0
        for x in t:
            s += x
        return s

    assert total((1.0, 2.0)) == 3.0
    assert total((1.0, 2.0, 3.0)) == 6.0
    assert total((1.0, 2.0)) == 3.0
    assert total(()) == 0.0


# --- results that own memory --------------------------------------------------------------------------------------


def test_arrays_that_are_returned_own_their_memory():
    @dsl.kernel
    def powers(x, n):
        out = dsl.zeros((n, 2))
        p = 1.0
        for i in range(n):
            out[i, 0] = p
            out[i, 1] = -p
            p *= x
        return out

    kept = [powers(2.0, n) for n in range(20)]
    gc.collect()
    for n, array in enumerate(kept):
        assert array.shape == (n, 2) and array.flags.writeable
        np.testing.assert_array_equal(array, powers.fn(2.0, n))
    view = kept[10][::3]
    del kept
    gc.collect()
    np.testing.assert_array_equal(view[:, 0], [1, 8, 64, 512])


@pytest.mark.parametrize("type_", [np.bool_, *INTEGERS, *FLOATS, np.complex64, np.complex128], ids=lambda t: t.__name__)
def test_arrays_of_every_type_are_returned(type_):
    @dsl.kernel
    def copied(a):
        return a.copy()

    a = np.array([[1, 0, 1], [1, 1, 0]]).astype(type_)
    found = copied(a)
    assert found.dtype == a.dtype
    np.testing.assert_array_equal(found, a)


def test_two_results_that_are_one_array():
    @dsl.kernel
    def twice(n):
        a = dsl.zeros(n)
        return a, a[1:], a

    for _ in range(50):
        a, tail, again = twice(4)
        a[:] = 1.0
        del a
        gc.collect()
        assert tail.sum() in (0.0, 3.0) and again.shape == (4,)


def test_an_argument_that_is_returned_is_a_copy():
    x = np.arange(3.0)
    y = same(x)
    y[0] = 7.0
    assert x[0] == 0.0


def test_memory_comes_back():
    @dsl.kernel
    def big(n):
        return dsl.zeros(n)

    import resource

    big(10)
    for _ in range(5):
        big(4_000_000)[0] = 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(100):
        big(4_000_000)[::512] = 1  # 32 MB each, touched
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000

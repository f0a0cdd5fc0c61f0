"""Loads, stores and views against NumPy's indexing."""

from __future__ import annotations

import numpy as np
import pytest

from dsl import types
from dsl.frontend import arrays, elementwise, indexing
from dsl.frontend.values import ELLIPSIS, NEWAXIS, SliceValue, constant

from .harness import Compiled, run, typeof
from .numbers import assert_same


def as_index(item):
    """A Python index as the visitor gives it."""
    if isinstance(item, slice):
        parts = (item.start, item.stop, item.step)
        return SliceValue(*(None if p is None else constant(p) for p in parts))
    if item is Ellipsis:
        return ELLIPSIS
    return NEWAXIS if item is None else constant(item)


def load(index):
    index = index if isinstance(index, tuple) else (index,)
    return lambda b, a: arrays.load(b, a, [as_index(i) for i in index])


S = slice
MATRIX = [
    (0, 0), (-1, -2), (2, 3), 1, -1, (S(None), 2), (S(1, 3), 2), (S(None, None, 2),), (S(None), S(None, None, -1)),
    (S(-2, None), S(1, -1)), (S(3, 1), S(None)), (S(None, None, -2), S(4, 0, -2)), (Ellipsis, 0), (Ellipsis,), (),
    (0, Ellipsis), (None, 0), (S(None), None), (None, S(1, 2), None, 3), (S(100, None),), (S(-100, 2),),
        (S(5, None, -1),),
    (S(None), S(None), None, None), (None, Ellipsis, None),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "bool", "int8", "complex128"])
def test_matrix(dtype, rng):
    a = rng.integers(0, 3, (4, 5)).astype(dtype)
    for index, actual in zip(MATRIX, run(lambda b, x: [load(i)(b, x) for i in MATRIX], a)):
        assert_same(actual, np.array(a[index]) if np.ndim(a[index]) else a[index], what=index)


def test_views_of_views(rng):
    a = rng.standard_normal((6, 7, 4))

    def nested(b, x):
        x = arrays.load(b, x, [as_index(i) for i in (S(None, None, -1), S(1, 6, 2))])
        x = arrays.load(b, x, [as_index(i) for i in (S(None), -1, S(None, None, 3))])
        return arrays.load(b, x, [as_index(S(1, -1))])

    assert_same(run(nested, a), a[::-1, 1:6:2][:, -1, ::3][1:-1])
    assert_same(run(nested, np.asfortranarray(a)), a[::-1, 1:6:2][:, -1, ::3][1:-1])


def test_slices_with_bounds_known_at_run_time():
    a = np.arange(7.0)
    by_bounds = Compiled(lambda b, x, i, j: arrays.load(b, x, [SliceValue(i, j, None)]), [typeof(v) for v in (a, 0, 0)])
    by_step = Compiled(
        lambda b, x, i, j, k: arrays.load(b, x, [SliceValue(i, j, k)]), [typeof(v) for v in (a, 0, 0, 0)]
    )
    negative = Compiled(
        lambda b, x, i, j: arrays.load(b, x, [SliceValue(i, j, constant(-2))]), [typeof(v) for v in (a, 0, 0)]
    )
    forward = Compiled(
        lambda b, x, i, j: arrays.load(b, x, [SliceValue(i, j, constant(3))]), [typeof(v) for v in (a, 0, 0)]
    )
    only_step = Compiled(lambda b, x, k: arrays.load(b, x, [SliceValue(None, None, k)]), [typeof(v) for v in (a, 0)])
    bounds = [-100, -8, -7, -6, -1, 0, 1, 3, 6, 7, 8, 100, 2**62, -(2**62)]
    for i in bounds:
        for j in bounds:
            for x in (a, a[:0], a[:1]):
                assert_same(by_bounds(x, i, j), x[i:j])
                assert_same(negative(x, i, j), x[i:j:-2])
                assert_same(forward(x, i, j), x[i:j:3])
                for k in (1, 2, -1, -3, 100, -(2**63)):
                    assert_same(by_step(x, i, j, k), x[i:j:k], what=(i, j, k, len(x)))
    for k in (1, -1, 2, -2, 50, -50):
        assert_same(only_step(a, k), a[::k])
    with pytest.raises(ValueError, match="step cannot be zero"):
        only_step(a, 0)


def test_index_known_at_run_time():
    a = np.arange(12.0).reshape(3, 4)
    element = Compiled(lambda b, x, i, j: arrays.load(b, x, [i, j]), [typeof(v) for v in (a, 0, 0)])
    row = Compiled(lambda b, x, i: arrays.load(b, x, [i]), [typeof(v) for v in (a, 0)])
    for i in range(-3, 3):
        assert_same(row(a, i), a[i])
        for j in range(-4, 4):
            assert element(a, i, j) == a[i, j]
    for dtype in ("int8", "uint8", "int32", "uint64"):
        assert run(lambda b, x, i: arrays.load(b, x, [i]), np.arange(250.0), np.dtype(dtype).type(100)) == 100.0
    assert run(lambda b, x, i: arrays.load(b, x, [i]), np.arange(250.0), np.uint8(200)) == 200.0


def test_bounds_checked():
    a = np.arange(6.0).reshape(2, 3)
    element = Compiled(lambda b, x, i, j: arrays.load(b, x, [i, j]), [typeof(v) for v in (a, 0, 0)], boundscheck=True)
    assert element(a, -1, -3) == 3.0
    for index in ((2, 0), (0, 3), (-3, 0), (0, -4), (0, 2**62), (0, -(2**63))):
        with pytest.raises(IndexError, match="axis"):
            element(a, *index)
    row = Compiled(lambda b, x, i: arrays.load(b, x, [i]), [typeof(v) for v in (a, 0)], boundscheck=True)
    with pytest.raises(IndexError, match="axis 0"):
        row(a, 2)
    with pytest.raises(IndexError):
        row(a[:0], 0)

    def store(b, x, i):
        arrays.store(b, x, [i, constant(0)], constant(9.0))

    put = Compiled(store, [typeof(v) for v in (a, 0)], boundscheck=True)
    with pytest.raises(IndexError):
        put(a, 5)
    put(a, -1)
    assert a[1, 0] == 9.0


def test_nonneg_needs_no_wrapping():
    from dsl.frontend.values import Value

    plain = Compiled(
        lambda b, x, i: arrays.load(b, x, [Value(types.pyint, i.leaves, nonneg=True)]),
        [typeof(v) for v in (np.ones(2), 0)],
    )
    assert "select" not in plain.text


@pytest.mark.parametrize("dtype", ["float64", "bool"])
def test_stores(dtype, rng):
    chosen = [i for i in MATRIX if None not in (i if isinstance(i, tuple) else (i,))]
    before = rng.integers(0, 2, (4, 5)).astype(dtype)
    values = [np.asarray(rng.integers(0, 2, np.shape(before[i])).astype(dtype)) for i in chosen]

    def put(b, x, *new):
        """Stores to copies of x: an array at each index, and the number 1 at each index."""
        results = []
        for index, value in zip(chosen, new):
            for stored in (value, constant(1)):
                copy = elementwise.materialise(b, x)
                arrays.store(b, copy, [as_index(i) for i in (index if isinstance(index, tuple) else (index,))], stored)
                results.append(copy)
        return results

    results = iter(run(put, before, *(v if v.ndim else v[()] for v in values)))
    for index, value in zip(chosen, values):
        for stored in (value, 1):
            expected = before.copy()
            expected[index] = stored
            assert_same(next(results), expected, what=index)


def test_store_converts():
    a = np.zeros(3, np.int32)
    run(lambda b, x, v: arrays.store(b, x, [constant(0)], v), a, -2.9)
    run(lambda b, x, v: arrays.store(b, x, [constant(1)], v), a, np.int64(7))
    run(lambda b, x, v: arrays.store(b, x, [constant(2)], v), a, True)
    assert a.tolist() == [-2, 7, 1]
    with pytest.raises(OverflowError):
        run(lambda b, x, v: arrays.store(b, x, [constant(0)], v), np.zeros(3, np.int8), 300)
    with pytest.raises(TypeError, match=r"take \.real"):
        run(lambda b, x, v: arrays.store(b, x, [constant(0)], v), np.zeros(3), 1j)


def test_broadcasting_store(rng):
    row, column, one = rng.standard_normal(5), rng.standard_normal((4, 1)), rng.standard_normal(1)

    def put(b, x, v):
        arrays.store(b, x, [ELLIPSIS], v)

    for value in (row, column, one, rng.standard_normal((1, 5)), rng.standard_normal((1, 1))):
        a = np.zeros((4, 5))
        run(put, a, value)
        assert_same(a, np.broadcast_to(value, (4, 5)))
    a = np.zeros((4, 5))
    for wrong in (np.ones(4), np.ones((5, 1)), np.ones((2, 5)), np.ones(0)):
        with pytest.raises(ValueError, match="broadcast"):
            run(put, a, wrong)
        assert not a.any()
    with pytest.raises(ValueError, match="does not fit"):
        run(put, a, np.ones((1, 4, 5)))


SHIFTS = [
    (S(1, None), S(None, -1)), (S(None, -1), S(1, None)), (S(None, None, -1), S(None)), (S(2, 5), S(1, 4)),
    (S(None, None, 2), S(1, None, 2)), (S(None), S(None)),
]  # fmt: skip


@pytest.mark.parametrize("target, source", SHIFTS)
def test_overlapping_stores_read_first(target, source, rng):
    """The right side is computed from what was there before, as NumPy does it."""
    a = rng.standard_normal(8)

    def shift(b, x):
        value = elementwise.binary(b, "*", arrays.load(b, x, [as_index(source)]), constant(2.0))
        arrays.store(b, x, [as_index(target)], value)

    def copy(b, x):
        arrays.store(b, x, [as_index(target)], arrays.load(b, x, [as_index(source)]))

    for run_it, factor in ((shift, 2.0), (copy, 1.0)):
        actual, expected = a.copy(), a.copy()
        expected[target] = expected[source] * factor
        run(run_it, actual)
        assert_same(actual, expected)


def test_transposed_store_reads_first(rng):
    a = rng.standard_normal((4, 4))
    expected = a + a.T

    def put(b, x):
        arrays.store(b, x, [ELLIPSIS], elementwise.binary(b, "+", x, arrays.attribute(b, x, "T")))

    run(put, a)
    assert_same(a, expected)


def test_same_place_needs_no_copy():
    def double(b, x):
        part = [as_index(S(1, -1))]
        arrays.store(b, x, part, elementwise.binary(b, "*", arrays.load(b, x, part), constant(2.0)))

    compiled = Compiled(double, [typeof(np.ones(5))])
    assert "alloc" not in compiled.text
    a = np.ones(5)
    compiled(a)
    assert a.tolist() == [1, 2, 2, 2, 1]


def test_a_view_shares_memory():
    a = np.zeros((3, 4))

    def write(b, x):
        row = arrays.load(b, x, [constant(1)])
        tail = arrays.load(b, row, [as_index(S(2, None))])
        arrays.store(b, tail, [constant(0)], constant(5.0))
        arrays.store(b, arrays.attribute(b, x, "T"), [constant(0), constant(2)], constant(7.0))
        expanded = indexing.load(b, x, [NEWAXIS, constant(0)])
        arrays.store(b, expanded, [constant(0), constant(3)], constant(9.0))

    run(write, a)
    assert a[1, 2] == 5.0 and a[2, 0] == 7.0 and a[0, 3] == 9.0


def test_refusals():
    a = np.zeros((2, 3))
    for index, error, message in (
        ((0, 0, 0), IndexError, "too many indices"),
        ((0.5,), TypeError, "not a float"),
        ((True,), TypeError, "not supported as an index"),
        ((Ellipsis, Ellipsis), IndexError, "only one"),
        ((S(None, None, 0),), ValueError, "cannot be zero"),
        ((S(0.5, None),), TypeError, "slice indices"),
    ):
        with pytest.raises(error, match=message):
            run(load(index), a)
    with pytest.raises(ValueError, match="cannot be stored in one element"):
        run(lambda b, x: arrays.store(b, x, [constant(0), constant(0)], x), a)
    with pytest.raises(TypeError, match="no place to store"):
        run(lambda b, x: arrays.store(b, elementwise.unary(b, "-", x), [constant(0)], constant(1)), a)

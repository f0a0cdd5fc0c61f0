"""Arrays and masks as indices against NumPy: what is read, what is stored, and what is added to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsl.frontend import arrays, elementwise, gather
from dsl.frontend.values import ELLIPSIS, NEWAXIS, SliceValue, Value, constant

from .harness import run
from .numbers import assert_same


def entries(index, given):
    """A Python index as the visitor gives it; arrays are the next ones of the function's arguments."""
    found = []
    for item in index:
        if isinstance(item, np.ndarray):
            found.append(next(given))
        elif isinstance(item, slice):
            found.append(SliceValue(*(None if p is None else constant(p) for p in (item.start, item.stop, item.step))))
        else:
            found.append(ELLIPSIS if item is Ellipsis else NEWAXIS if item is None else constant(item))
    return found


def among(index):
    return [item for item in index if isinstance(item, np.ndarray)]


@st.composite
def indexed(draw):
    """An array and an index of it that has an array in it."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    array = np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape)
    common = draw(st.sampled_from([(3,), (2, 2), (1,), (0,)]))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    index: list[object] = []
    axis = 0
    while axis < len(shape):
        kind = draw(st.sampled_from(["array", "array", "mask", "slice", "int", "new", "single", "end"]))
        size = shape[axis]
        if kind == "end":
            break
        if kind == "new":
            index.append(None)
            continue
        if kind == "mask":
            width = draw(st.integers(1, len(shape) - axis))
            mask = rng.integers(0, 2, shape[axis : axis + width]).astype(bool)
            if mask.sum() != common[-1] and common != (1,):
                mask[...] = True  # most often it does not broadcast then: an error that both must have
            index.append(mask)
            axis += width
            continue
        if kind in ("array", "single"):
            index.append(rng.integers(-size, size, (1,) if kind == "single" else common))
        elif kind == "slice":
            index.append(slice(*draw(st.sampled_from([(None,), (1, None), (None, None, -1)]))))
        else:
            index.append(0)
        axis += 1
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), Ellipsis)
    if not among(index):
        index = [rng.integers(-shape[0], shape[0], common)]
    return array, index


def numpys(work):
    """NumPy's answer, or the error that it raises."""
    try:
        return work()
    except (IndexError, ValueError) as error:
        return type(error)


@settings(max_examples=40, deadline=None)
@given(indexed(), st.sampled_from(["load", "store", "add"]))
def test_any_index(case, what):
    array, index = case
    expected, actual = array.copy(), array.copy()

    def numpy():
        if what == "load":
            return np.array(expected[tuple(index)])
        if what == "store":
            expected[tuple(index)] = 0.5 * expected[tuple(index)]
        else:
            np.add.at(expected, tuple(index), 100.0)
        return None

    def emit(b, a, *given):
        items = entries(index, iter(given))
        if what == "load":
            return arrays.load(b, a, items)
        if what == "store":
            arrays.store(b, a, items, elementwise.binary(b, "*", constant(0.5), arrays.load(b, a, items)))
        else:
            gather.accumulate(b, "+", a, items, constant(100.0))
        return constant(None)

    wanted = numpys(numpy)
    if isinstance(wanted, type):  # which of both is raised is not always the same
        with pytest.raises((IndexError, ValueError)):
            run(emit, actual, *among(index))
        assert_same(actual, array)
        return
    found = run(emit, actual, *among(index))
    assert_same(actual, expected, what=index)
    if what == "load":
        assert_same(np.array(found), wanted, what=index)


def test_out_of_range_is_an_error_and_nothing_is_read():
    for places in ([0, 4], [-5, 0]):
        with pytest.raises(IndexError, match="out of bounds for axis 0"):
            run(lambda b, a, i: arrays.load(b, a, [i]), np.arange(4.0), np.array(places))


def test_what_cannot_be_an_index():
    a = np.arange(4.0)

    def load(b, a, i):
        return arrays.load(b, a, [i])

    with pytest.raises(IndexError, match="must be integers"):
        run(load, a, np.array([0.0]))
    with pytest.raises(IndexError, match="too many indices"):
        run(lambda b, a, i: arrays.load(b, a, [i, i]), a, np.array([0]))
    with pytest.raises(IndexError, match="mask does not have the shape"):
        run(load, a, np.array([True, False]))


def test_a_number_where_a_mask_is_true(rng):
    a = rng.normal(size=(5, 7))
    expected = np.where(a > 0.3, 2.0, a)

    def emit(b, x):
        arrays.store(b, x, [elementwise.compare(b, ">", x, constant(0.3))], constant(2))
        return x

    assert_same(run(emit, a), expected)


@pytest.mark.parametrize("dtype", ["bool", "int8", "float32", "complex128"])
def test_elements_of_any_type(dtype, rng):
    a = rng.integers(0, 3, (4, 5)).astype(dtype)
    i = np.array([[3, 0], [-1, 2]])
    assert_same(run(lambda b, a, i: arrays.load(b, a, [i]), a, i), a[i])


def test_places_of_a_mask(rng):
    a = rng.normal(size=(4, 6))

    def emit(b, a):
        places: Value = gather.nonzero(b, elementwise.compare(b, ">", a, constant(0.0)))
        return list(places.elements)

    for actual, wanted in zip(run(emit, a), np.nonzero(a > 0.0)):
        assert_same(actual, wanted)

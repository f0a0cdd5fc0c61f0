"""Making arrays, their attributes and methods, other shapes, and products, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from dsl import types
from dsl.frontend import arrays, elementwise, linalg, mathlib
from dsl.frontend.values import SliceValue, TupleValue, Value, constant

from .harness import Compiled, run
from .numbers import assert_same


def call(f, *fixed, **kwargs):
    """A call of a NumPy function with the given arguments behind the ones at run time."""
    row = mathlib.find(f)
    return lambda b, *args: mathlib.call(
        b, row, [*args, *(constant(v) for v in fixed)], {k: constant(v) for k, v in kwargs.items()}
    )


def literal(value):
    """A compile-time value of any class."""
    return constant(None) if value is None else Value(types.Literal(value), const=value)


def method(name, *fixed, **kwargs):
    return lambda b, a: arrays.method(b, a, name)(
        b, a, [constant(v) for v in fixed], {k: constant(v) for k, v in kwargs.items()}
    )


@pytest.mark.parametrize("f", [np.zeros, np.ones])
@pytest.mark.parametrize(
    "dtype", [None, float, int, bool, complex, np.float32, "int8", types.float16, np.dtype("uint16")]
)
def test_filled(f, dtype):
    numpy_dtype = dtype.dtype if isinstance(dtype, types.Scalar) else dtype
    for shape in (3, (2, 3), (), (0, 2)):
        expected = f(shape, dtype=numpy_dtype) if dtype is not None else f(shape)
        actual = run(lambda b: mathlib.call(b, mathlib.find(f), [constant(shape)], {"dtype": literal(dtype)}))
        assert_same(actual, expected)


def test_full_and_likes(rng):
    a = rng.standard_normal((2, 3)).astype(np.float32)
    assert_same(run(lambda b, n: call(np.full)(b, TupleValue((n, constant(2))), constant(7)), 3), np.full((3, 2), 7))
    assert_same(run(lambda b, n: call(np.full)(b, n, constant(1.5)), 3), np.full(3, 1.5))
    for f in (np.zeros_like, np.ones_like):
        assert_same(run(call(f), a), f(a))
        assert_same(run(call(f, dtype=int), a), f(a, dtype=int))
        assert_same(run(lambda b, x: call(f)(b, elementwise.binary(b, "*", x, x)), a), f(a))
    assert run(call(np.empty_like), a).shape == (2, 3)
    assert_same(run(call(np.full_like, 5), a), np.full_like(a, 5))


def test_negative_sizes():
    make = Compiled(lambda b, n: call(np.zeros)(b, n), [types.pyint])
    assert make(0).shape == (0,)
    with pytest.raises(ValueError, match="negative dimensions"):
        make(-1)
    with pytest.raises(ValueError, match="negative dimensions"):
        run(lambda b: call(np.zeros)(b, constant(-1)))
    with pytest.raises(TypeError, match="must be an integer"):
        run(lambda b, n: call(np.zeros)(b, n), 2.0)


def test_literals():
    assert_same(run(lambda b, x, y: arrays.from_elements(b, [x, y, constant(1)]), 2, 2.5), np.array([2, 2.5, 1]))
    assert_same(run(lambda b, x: arrays.from_elements(b, [[x, x], [x, constant(5)]]), 2), np.array([[2, 2], [2, 5]]))
    assert_same(
        run(lambda b, x: arrays.from_elements(b, [x, constant(2)]), np.float32(1.5)), np.array([1.5, 2], np.float32)
    )
    assert_same(run(lambda b, x: arrays.from_elements(b, [x, constant(False)]), True), np.array([True, False]))
    assert_same(run(lambda b: arrays.from_elements(b, [])), np.array([]))
    assert_same(run(lambda b, x: call(np.array)(b, TupleValue((x, x))), 3), np.array((3, 3)))
    with pytest.raises(ValueError, match="differ in length"):
        run(lambda b, x: arrays.from_elements(b, [[x], [x, x]]), 1)
    with pytest.raises(TypeError, match="array of numbers"):
        run(lambda b, x: arrays.from_elements(b, [x]), np.ones(2))


@pytest.mark.parametrize(
    "args", [(5,), (2, 9), (2, 9, 3), (9, 2, -2), (9, 2), (0,), (1.0, 2.0, 0.3), (3.0, 1.0, -0.5), (0, 10, 100)]
)
def test_arange(args):
    assert_same(run(call(np.arange), *args), np.arange(*args), 2)
    assert_same(run(lambda b: call(np.arange)(b, *(constant(a) for a in args))), np.arange(*args), 2)


def test_linspace_and_eye():
    for num, endpoint in ((5, True), (1, True), (2, True), (7, False), (0, True)):
        actual = run(lambda b, x, y, n: call(np.linspace, endpoint=endpoint)(b, x, y, n), 1, 2.5, num)
        assert_same(actual, np.linspace(1, 2.5, num, endpoint=endpoint), 2)
    assert_same(run(call(np.eye), 3), np.eye(3))
    assert_same(run(lambda b, n: call(np.eye)(b, n, constant(2)), 3), np.eye(3, 2))


def test_copies_are_new(rng):
    for f in (np.copy, np.array):
        a = rng.standard_normal(3)

        def write(b, x, f=f):
            y = call(f)(b, x)
            arrays.store(b, y, [constant(0)], constant(9.0))
            return y

        before = a.copy()
        assert run(write, a)[0] == 9.0
        assert_same(a, before)
    run(lambda b, x: arrays.store(b, call(np.asarray)(b, x), [constant(0)], constant(9.0)), a)
    assert a[0] == 9.0


def test_attributes():
    a = np.zeros((3, 4), np.float32)

    def attribute(name, place=None):
        def get(b, x):
            value = arrays.attribute(b, x, name)
            return value if place is None else value.elements[place]

        return get

    assert run(attribute("size"), a) == 12 and run(attribute("ndim"), a) == 2 and run(attribute("itemsize"), a) == 4
    assert run(attribute("shape", 0), a) == 3 and run(attribute("shape", 1), a) == 4
    assert run(lambda b, x: arrays.dim(b, x, 1), a) == 4
    run(lambda b, x: None if arrays.attribute(b, x, "dtype").const is types.float32 else 1 / 0, a)
    run(
        lambda b, x: None if arrays.attribute(b, x, "nope") is None and arrays.method(b, x, "nope") is None else 1 / 0,
        a,
    )
    z = np.arange(4.0) * (1 + 2j)
    assert_same(
        run(lambda b, x: elementwise.binary(b, "+", arrays.attribute(b, x, "imag"), constant(0.0)), z), z.imag + 0
    )


@pytest.mark.parametrize("name, fixed", [("sum", ()), ("mean", (0,)), ("max", (1,)), ("copy", ()), ("flatten",
    ()), ("ravel", ()),
                                         ("reshape", (4, 3)), ("reshape", ((2, -1),)), ("reshape", (-1,)),
                                             ("transpose", ()),
                                         ("transpose", (1, 0)), ("round", (1,)), ("argmax", ()), ("clip", (-0.5, 0.5)),
                                         ("astype", (np.float32,)), ("astype", (int,)), ("std", ()), ("item",
                                             (1, 2))])  # fmt: skip
def test_methods(name, fixed, rng):
    a = rng.standard_normal((3, 4))
    expected = getattr(a, name)(*fixed)
    actual = run(method(name, *fixed), a)
    assert_same(
        actual, np.ascontiguousarray(expected) if isinstance(expected, np.ndarray) else np.asarray(expected)[()], 4
    )


def test_fill(rng):
    a = rng.standard_normal((3, 4))
    run(method("fill", 2.5), a)
    assert (a == 2.5).all()


def test_reshape(rng):
    a = rng.standard_normal((3, 4))
    reshape = lambda b, x, n, m: call(np.reshape)(b, x, TupleValue((n, m)))
    assert_same(run(reshape, a, 2, 6), a.reshape(2, 6))
    with pytest.raises(ValueError, match="number of elements differs"):
        run(reshape, a, 5, 2)
    with pytest.raises(ValueError, match="number of elements differs"):
        run(lambda b, x: call(np.reshape)(b, x, TupleValue((constant(-1), constant(5)))), a)
    with pytest.raises(TypeError, match="copy it first"):
        run(reshape, a[:, ::2], 2, 3)

    def through_a_view(b, x):
        arrays.store(b, call(np.reshape)(b, x, constant(-1)), [constant(5)], constant(9.0))

    run(through_a_view, a)
    assert a[1, 1] == 9.0
    assert_same(run(lambda b, x: call(np.expand_dims)(b, x, constant(1)), a), np.expand_dims(a, 1))
    b3 = rng.standard_normal((2, 3, 4))
    assert_same(run(lambda b, x: call(np.transpose)(b, x, constant((2, 0, 1))), b3), b3.transpose(2, 0, 1))
    assert_same(run(lambda b, x: arrays.attribute(b, x, "T"), b3), b3.T)


def test_lists_are_refused_what_lists_do_otherwise():
    """Python's `[1, 2] * 2` is a longer list, and a list of ints takes a float as it is."""
    of = lambda b, x: arrays.from_elements(b, [x, constant(2)])
    nested = lambda b, x: arrays.from_elements(b, [[x, x], [x, constant(2)]])
    refused = [
        lambda b, x: elementwise.binary(b, "*", of(b, x), constant(2)),
        lambda b, x: elementwise.binary(b, "+", of(b, x), of(b, x)),
        lambda b, x: elementwise.compare(b, "==", of(b, x), of(b, x)),
        lambda b, x: elementwise.unary(b, "-", of(b, x)),
        lambda b, x: elementwise.inplace(b, "+", of(b, x), constant(1)),
        lambda b, x: elementwise.binary(b, "*", arrays.load(b, nested(b, x), [constant(0)]), constant(2)),
        lambda b, x: arrays.load(b, nested(b, x), [constant(0), constant(0)]),
        lambda b, x: arrays.store(b, of(b, x), [constant(0)], constant(0.5)),
        lambda b, x: arrays.store(b, of(b, x), [SliceValue(None, None, None)], of(b, x)),
        lambda b, x: arrays.store(b, nested(b, x), [constant(0)], of(b, x)),
    ]
    for emit in refused:
        with pytest.raises(TypeError, match="list"):
            run(emit, 3)
    assert_same(run(lambda b, x, a: elementwise.binary(b, "*", of(b, x), a), 3, np.ones(2)), np.array([3.0, 2.0]))
    twice = lambda b, x: elementwise.binary(b, "*", call(np.array)(b, of(b, x)), constant(2))
    assert_same(run(twice, 3), np.array([6, 4]))
    assert_same(run(lambda b, x: call(np.sqrt)(b, of(b, x)), 4), np.sqrt([4, 2]), 1)

    def slices_are_copies(b, x):
        whole = of(b, x)
        arrays.store(b, arrays.load(b, whole, [SliceValue(None, None, None)]), [constant(0)], constant(9))
        arrays.store(b, whole, [constant(1)], constant(True))
        return whole

    assert_same(run(slices_are_copies, 3), np.array([3, 1]))


# --- products


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "complex128", "float16"])
def test_products(dtype, rng):
    def make(*shape):
        return (
            rng.standard_normal(shape) * 3 + (1j * rng.standard_normal(shape) if dtype == "complex128" else 0)
        ).astype(dtype)

    a, b2, x, y = make(3, 4), make(4, 5), make(4), make(3)
    strided, empty = (a[::-1, ::2], b2[::2]), (a[:, :0], b2[:0])
    cases = [(a, b2), (a, x), (y, a), (x, x), strided, (a, a.T), (b2.T, x), (a[:0], b2), empty]

    def products(b, *operands):
        pairs = list(zip(operands[::2], operands[1::2]))
        return [linalg.matmul(b, p, q) for p, q in pairs] + [call(np.dot)(b, p, q) for p, q in pairs]

    error = 0 if dtype == "int32" else 50 * np.finfo(dtype).eps
    for (left, right), actual in zip(cases * 2, run(products, *(m for case in cases for m in case))):
        expected = left @ right
        assert np.asarray(actual).dtype == expected.dtype and np.shape(actual) == expected.shape
        np.testing.assert_allclose(actual, expected, rtol=error, atol=error)


def test_products_of_mixed_types_and_expressions(rng):
    a, x = rng.standard_normal((3, 4)).astype(np.float32), rng.standard_normal(4)
    np.testing.assert_allclose(run(linalg.matmul, a, x), a @ x, rtol=1e-13)
    twice = lambda b, p, q: linalg.matmul(b, elementwise.binary(b, "*", p, constant(2)), q)
    np.testing.assert_allclose(run(twice, a, x), (2 * a) @ x, rtol=1e-12)
    np.testing.assert_allclose(run(call(np.outer), x, a[0]), np.outer(x, a[0]), rtol=1e-13)
    np.testing.assert_allclose(run(call(np.trace), a), np.trace(a), rtol=1e-6)
    assert run(call(np.dot), 2.0, 3.0) == 6.0
    assert_same(run(call(np.dot), x, 3.0), x * 3.0)


def test_products_that_do_not_match():
    a = np.ones((3, 4))
    for left, right in ((a, a), (a, np.ones(3)), (np.ones(4), a), (np.ones(2), np.ones(3))):
        with pytest.raises(ValueError, match="inner sizes"):
            run(linalg.matmul, left, right)
    with pytest.raises(TypeError, match="not supported"):
        run(linalg.matmul, np.ones((2, 2, 2)), a)
    with pytest.raises(TypeError, match="takes arrays"):
        run(linalg.matmul, a, 2.0)


def test_argument_of_the_wrong_name_or_number():
    a = np.ones(3)
    with pytest.raises(TypeError, match="lacks the argument 'fill_value'"):
        run(lambda b: call(np.full)(b, constant(3)))
    with pytest.raises(TypeError, match="two values"):
        run(lambda b, x: call(np.sum, axis=0)(b, x, constant(0)), a)
    with pytest.raises(TypeError, match="arguments, and 6 were given"):
        run(call(np.sum, 0, None, False, 1, 1), a)
    with pytest.raises(TypeError, match="known when compiling"):
        run(lambda b, x: call(np.zeros)(b, constant(3), x), 1.5)

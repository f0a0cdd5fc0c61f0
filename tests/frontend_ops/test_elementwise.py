"""Array expressions against NumPy: types, broadcasting, fusion, aliasing."""

from __future__ import annotations

import itertools
import operator
import warnings

import numpy as np
import pytest

from dsl.frontend import arrays, elementwise, mathlib
from dsl.frontend.values import SliceValue, constant

from .harness import Compiled, run, typeof
from .numbers import assert_same, numbers, pairs

OPERATORS = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "&": operator.and_, "|": operator.or_, "^": operator.xor,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">=": operator.ge,
}  # fmt: skip
COMPARISONS = ("==", "!=", "<", ">=")


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def apply(op):
    emit = elementwise.compare if op in COMPARISONS else elementwise.binary
    return lambda b, x, y: emit(b, op, x, y)


@pytest.mark.parametrize("left", ["bool", "int8", "uint16", "int64", "float32"])
@pytest.mark.parametrize("right", ["bool", "int8", "uint16", "int64", "float32"])
def test_types_of_arrays(left, right, rng):
    """Every operator on every pair of these types: NumPy's type and values, or NumPy's refusal."""
    x, y = pairs(numbers(left, rng, 4)[:8], numbers(right, rng, 4)[:8])
    exponents = np.where(y < 0, 3, y).astype(y.dtype) if y.dtype.kind in "iu" else y
    wanted = {}
    for op, function in OPERATORS.items():
        try:
            wanted[op] = function(x, exponents if op == "**" else y)
        except TypeError:
            with pytest.raises(TypeError):
                run(apply(op), x, y)
    every = lambda b, p, q, e: [apply(op)(b, p, e if op == "**" else q) for op in wanted]
    for (op, expected), actual in zip(wanted.items(), run(every, x, y, exponents)):
        assert_same(actual, expected, 4 if op == "**" and expected.dtype.kind == "f" else 0, op)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float16", "float32", "complex64"])
def test_scalars_with_arrays(dtype, rng):
    """Python's numbers are weak, NumPy's are not."""
    x = numbers(dtype, rng)[:6]
    wanted = []
    for scalar in (2, 0.5, 1j, True, np.int32(3), np.float32(0.25), np.float64(1.5)):
        try:
            wanted.append((scalar, x * scalar))
        except TypeError:
            continue

    def product(b, p, *given):
        """By values known only at run time, and by literals."""
        by_value = [elementwise.binary(b, "*", p, v) for v in given]
        return by_value + [elementwise.binary(b, "*", p, constant(scalar)) for scalar, _ in wanted]

    for (scalar, expected), actual in zip(wanted * 2, run(product, x, *(scalar for scalar, _ in wanted))):
        assert_same(actual, expected, 2 if expected.dtype.kind == "c" else 0, scalar)


SHAPES = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 4), (3, 1)), ((3, 4), (1, 4)), ((3, 1), (1, 4)), ((1,),
    (5,)), ((0,), (1,)),
          ((2, 3, 4), (3, 1)), ((2, 1, 4), (3, 1)), ((0, 3), (1, 3)), ((1, 1), (1, 1))]  # fmt: skip


@pytest.mark.parametrize("left, right", SHAPES)
def test_broadcasting(left, right, rng):
    x, y = rng.standard_normal(left), rng.standard_normal(right)
    for p, q in ((x, y), (y, x)):
        assert_same(run(apply("-"), p, q), p - q)
        assert_same(run(lambda b, u, v: elementwise.binary(b, "*", apply("-")(b, u, v), u), p, q), (p - q) * p)


@pytest.mark.parametrize(
    "left, right", [((3,), (4,)), ((2, 3), (3, 2)), ((0,), (2,)), ((2, 3), (2,)), ((2, 1, 3), (2, 2, 2))]
)
def test_shapes_that_do_not_match(left, right):
    with pytest.raises(ValueError, match="could not be broadcast"):
        run(apply("+"), np.ones(left), np.ones(right))


def test_three_operands(rng):
    def poly(b, x, y, z):
        t = elementwise.binary(b, "*", x, y)
        return elementwise.binary(b, "+", t, elementwise.call(b, mathlib.function("np.sin"), (z,)))

    for ranks in itertools.product((1, 2), repeat=3):
        choices = [[(4,), (1,)] if r == 1 else [(3, 4), (3, 1)] for r in ranks]
        compiled = Compiled(poly, [typeof(np.ones((1,) * r)) for r in ranks])
        for shapes in itertools.product(*choices):
            x, y, z = (rng.standard_normal(s) for s in shapes)
            expected = x * y + np.sin(z)
            actual = compiled(x, y, z)
            assert actual.shape == expected.shape
            np.testing.assert_allclose(actual, expected, rtol=1e-14, atol=1e-15, err_msg=str(shapes))


def test_strided_operands(rng):
    a = rng.standard_normal((6, 8))
    for x, y in ((a[::2, ::-1], a[1::2]), (a.T, a.T), (a[:, 0], a[::-1, 1]), (a[2], a[:, 3][:1])):
        assert_same(run(apply("*"), x, y), x * y)


def test_nothing_is_allocated_but_the_result(rng):
    def expression(b, x, y):
        t = elementwise.binary(b, "**", elementwise.binary(b, "-", x, y), constant(2))
        return elementwise.binary(b, "+", t, elementwise.unary(b, "-", x))

    x, y = rng.standard_normal((2, 5))
    compiled = Compiled(
        lambda b, p, q: arrays.method(b, v := expression(b, p, q), "sum")(b, v, [], {}), [typeof(x)] * 2
    )
    assert "memref.alloc" not in compiled.text
    np.testing.assert_allclose(compiled(x, y), np.sum((x - y) ** 2 - x), rtol=1e-14)


def test_unary_and_functions(rng):
    a = rng.standard_normal((3, 4))
    assert_same(run(lambda b, x: elementwise.unary(b, "-", x), a), -a)
    assert_same(run(lambda b, x: elementwise.unary(b, "~", x), a > 0), ~(a > 0))
    call = lambda name: lambda b, *args: mathlib.call(b, mathlib.by_name(name), list(args), {})
    assert_same(run(call("np.where"), a > 0, a, 0.0), np.where(a > 0, a, 0.0))
    assert_same(run(call("np.maximum"), a, 0.0), np.maximum(a, 0.0))
    assert_same(run(call("np.clip"), a, -0.5, 0.5), np.clip(a, -0.5, 0.5))
    assert_same(run(call("np.exp"), a), np.exp(a), 2)
    assert_same(run(call("builtins.abs"), a), abs(a))
    assert_same(run(call("np.round"), a), np.round(a))
    assert_same(run(call("np.isclose"), a, a + 1e-9), np.isclose(a, a + 1e-9))
    assert_same(
        run(call("np.float32"), a) if mathlib.by_name("np.float32") else a.astype(np.float32), a.astype(np.float32)
    )
    x = np.arange(5, dtype=np.int8)
    assert_same(run(call("np.sqrt"), x), np.sqrt(x), 1)
    assert_same(run(lambda b, v: mathlib.call(b, mathlib.find(np.float32), [v], {}), a), np.float32(a))


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "//", "%", "**"])
def test_in_place(op, rng):
    a, other = rng.uniform(1, 3, (4, 5)), rng.uniform(1, 3, 5)
    expected = OPERATORS[op](a, other)
    run(lambda b, x, y: elementwise.inplace(b, op, x, y), a, other)
    assert_same(a, expected, 4 if op == "**" else 0)


def test_in_place_with_itself(rng):
    a = rng.standard_normal(6)
    expected = a.copy()
    expected += expected[::-1]

    def reverse(b, x):
        part = SliceValue(None, None, constant(-1))
        elementwise.inplace(b, "+", x, arrays.load(b, x, [part]))

    run(reverse, a)
    assert_same(a, expected)


def test_in_place_keeps_the_type():
    for dtype, other, fits in (("float32", 2.5, True), ("float32", np.float64(2), True), ("int32", 2, True),
        ("int32", 2.5, False),
                               ("int8", np.int64(3), True), ("uint8", np.int64(3), False),
                                   ("float64", 1j, False)):  # fmt: skip
        a = np.ones(3, dtype)
        update = lambda b, x: elementwise.inplace(b, "*", x, constant(other))
        if fits:
            run(update, a)
            assert a.tolist() == [other] * 3
        else:
            with pytest.raises(TypeError, match="computes in"):
                run(update, a)
    with pytest.raises(ValueError, match="broadcast"):
        run(lambda b, x, y: elementwise.inplace(b, "+", x, y), np.ones(1), np.ones(3))
    with pytest.raises(TypeError, match="computes in float64"):
        run(lambda b, x: elementwise.inplace(b, "/", x, constant(2)), np.ones(3, int))


def test_bfloat16_arrays():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([1.5, -2.25, 3.0], ml_dtypes.bfloat16)
    assert (run(apply("*"), x, x) == x * x).all()
    assert run(lambda b, p: elementwise.binary(b, "*", p, constant(0.5)), x).dtype == x.dtype
    run(lambda b, p: elementwise.inplace(b, "+", p, constant(1)), x)
    assert x.tolist() == [2.5, -1.25, 4.0]


def test_arrays_without_dimensions():
    a = np.array(3.0)
    assert run(apply("+"), a, np.array(4.0)) == 7.0
    assert_same(run(apply("*"), a, np.ones(3)), np.full(3, 3.0))


def test_refusals():
    a = np.ones(3)
    with pytest.raises(TypeError):
        run(apply("&"), a, a)
    with pytest.raises(TypeError, match="ambiguous"):
        run(lambda b, x: elementwise.unary(b, "not", x), a)
    with pytest.raises(TypeError):
        run(lambda b, x: elementwise.binary(b, "+", x, constant("a")), a)
    with pytest.raises(ValueError, match="negative integer powers"):
        run(lambda b, x: elementwise.binary(b, "**", x, constant(-1)), np.arange(3))
    with pytest.raises(TypeError, match="does not subtract"):
        run(apply("-"), a > 0, a > 0)
    with pytest.raises(TypeError):
        run(apply("<"), a * 1j, a)
    with pytest.raises(TypeError, match="cannot be kept"):
        run(lambda b, x: arrays.attribute(b, x, "imag").force(b), a * 1j)

"""Gradients, Jacobians, Hessians and their products as arrays, and the shadows that they start from."""

from __future__ import annotations

import doctest
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

import dsl
import dsl.shadows
import dsl.sparse
import dsl.transforms
from dsl import Active, Const, Duplicated, Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal
from dsl.errors import ActivityError, ArgumentError

A = np.array([0.3, -0.7, 1.1, 0.4])


@dsl.kernel
def energy(a):
    total = 0.0
    for i in range(a.shape[0] - 1):
        total += (a[i + 1] - a[i] ** 2) ** 2
    return total


def energy_gradient(a: np.ndarray) -> np.ndarray:
    r = a[1:] - a[:-1] ** 2
    g = np.zeros_like(a)
    g[1:] += 2 * r
    g[:-1] -= 4 * r * a[:-1]
    return g


def energy_hessian(a: np.ndarray) -> np.ndarray:
    n = len(a)
    h = np.zeros((n, n))
    for i in range(n - 1):
        h[i + 1, i + 1] += 2
        h[i, i] += 12 * a[i] ** 2 - 4 * a[i + 1]
        h[i, i + 1] -= 4 * a[i]
        h[i + 1, i] -= 4 * a[i]
    return h


@dsl.kernel
def product(a, b):
    return a @ b


@dsl.kernel
def scaled(a, s):
    return dsl.sum(a * a) * s


@dsl.kernel
def curve(t):
    return [t, t * t, t * t * t]


@dsl.kernel
def two_results(x, s):
    return x * s, dsl.sum(x * x)


@dsl.kernel
def cubed(x):
    return x**3


@dsl.kernel
def overwriting(x):
    x *= 2.0
    return dsl.sum(x * x)


class Pair(NamedTuple):
    w: Any
    b: float


@dataclass
class Params:
    w: Any
    b: float
    n: int = 2


@dsl.kernel
def model(p, x):
    return (p.w[0] * x + p.w[1] * p.b) ** 2 + p.b**3


@pytest.mark.parametrize("module", [dsl.transforms, dsl.shadows, dsl.sparse], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module: Any, tmp_path: Any) -> None:
    """In a file: kernels need source text."""
    finder = doctest.DocTestFinder()
    for case in finder.find(module):
        space: dict[str, Any] = {}
        for number, example in enumerate(case.examples):
            file = tmp_path / f"{case.name}_{number}.py"
            file.write_text(example.source)
            if example.want:
                value = eval(compile(example.source, str(file), "eval"), space)
                assert repr(value) == example.want.rstrip("\n"), example.source
            else:
                exec(compile(example.source, str(file), "exec"), space)


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=repr)
def test_gradient(mode: Any) -> None:
    np.testing.assert_allclose(dsl.gradient(mode, energy, A), energy_gradient(A), rtol=1e-13)
    value, found = dsl.gradient(mode.with_primal(), energy, A)
    assert value == energy(A)
    np.testing.assert_allclose(found, energy_gradient(A), rtol=1e-13)
    assert dsl.gradient(mode, cubed, 2.0) == 12.0
    assert type(dsl.gradient(mode, cubed, 2.0)) is float
    assert dsl.gradient(mode, cubed, 2) == 12.0
    assert dsl.gradient(mode, cubed, np.float32(2)).dtype == np.float32
    da, ds = dsl.gradient(mode, scaled, A, 3.0)
    np.testing.assert_allclose(da, 6 * A)
    assert ds == pytest.approx(A @ A)
    da, ds = dsl.gradient(mode, scaled, A, Const(3.0))
    np.testing.assert_allclose(da, 6 * A)
    assert ds is None


def test_gradient_of_long_arrays_in_chunks() -> None:
    for n in (1, 7, 8, 9, 17):
        a = np.linspace(-1, 1, n)
        np.testing.assert_allclose(dsl.gradient(Forward, energy, a), energy_gradient(a), rtol=1e-12, atol=1e-14)
    assert dsl.gradient(Reverse, scaled, np.zeros(0), Const(1.0))[0].shape == (0,)
    assert dsl.gradient(Forward, scaled, np.zeros(0), Const(1.0))[0].shape == (0,)


def test_nothing_of_the_user_is_changed() -> None:
    x = A.copy()
    for mode in (Forward, Reverse):
        np.testing.assert_allclose(dsl.gradient(mode, overwriting, x), 8 * A)
        np.testing.assert_array_equal(x, A)
    np.testing.assert_allclose(dsl.hvp(overwriting, x, np.ones(4)), np.full(4, 8.0))
    np.testing.assert_array_equal(x, A)


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=repr)
def test_gradient_of_structs(mode: Any) -> None:
    w = np.array([2.0, 3.0])
    expected = 2 * (2 * 7 + 3 * 5) * np.array([7.0, 5.0]), 2 * (2 * 7 + 3 * 5) * 3.0 + 75.0
    for p in (Pair(w, 5.0), Params(w, 5.0)):
        found = dsl.gradient(mode, model, p, Const(7.0))[0]
        assert type(found) is type(p)
        np.testing.assert_allclose(found.w, expected[0])
        assert found.b == pytest.approx(expected[1])


def test_gradient_into() -> None:
    dx = np.full(4, np.nan)
    assert dsl.gradient_into(Reverse, dx, energy, A) is dx
    np.testing.assert_allclose(dx, energy_gradient(A), rtol=1e-13)
    dsl.gradient_into(Forward, dx, scaled, A, 3.0)
    np.testing.assert_allclose(dx, 6 * A)
    dp = Params(np.ones(2), 9.0)
    dsl.gradient_into(Reverse, dp, model, Params(np.array([2.0, 3.0]), 5.0), 7.0)
    np.testing.assert_allclose(dp.w, [406, 290])
    with pytest.raises(ArgumentError, match="shape"):
        dsl.gradient_into(Reverse, np.zeros(3), energy, A)


def test_value_and_gradient() -> None:
    value, found = dsl.value_and_gradient(energy, A)
    assert value == energy(A)
    np.testing.assert_allclose(found, energy_gradient(A), rtol=1e-13)


@pytest.mark.parametrize("chunk", [1, 2, 3, 8])
@pytest.mark.parametrize("mode", [Forward, Reverse], ids=repr)
def test_jacobian_of_matrices(mode: Any, chunk: int) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    da, db = dsl.jacobian(mode, product, a, b, chunk=chunk)
    assert da.shape == (2, 2, 2, 3)
    assert db.shape == (2, 2, 3, 2)
    np.testing.assert_allclose(da, np.einsum("ik,lj->ijkl", np.eye(2), b), atol=1e-14)
    np.testing.assert_allclose(db, np.einsum("il,jk->ijlk", a, np.eye(2)), atol=1e-14)


@pytest.mark.parametrize("mode", [ForwardWithPrimal, ReverseWithPrimal], ids=repr)
def test_jacobian_of_and_by_numbers(mode: Any) -> None:
    value, found = dsl.jacobian(mode, curve, 2.0)
    np.testing.assert_array_equal(value, [2, 4, 8])
    np.testing.assert_array_equal(found, [1, 4, 12])
    value, found = dsl.jacobian(mode, cubed, 2.0)
    assert (value, found) == (8.0, 12.0)
    (y, z), ((yx, zx), (ys, zs)) = dsl.jacobian(mode, two_results, A, 3.0)
    np.testing.assert_array_equal(y, 3 * A)
    assert z == pytest.approx(A @ A)
    np.testing.assert_allclose(yx, 3 * np.eye(4))
    np.testing.assert_allclose(zx, 2 * A)
    np.testing.assert_allclose(ys, A)
    assert zs == 0.0


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=repr)
def test_jacobian_by_a_struct(mode: Any) -> None:
    @dsl.kernel
    def predict(p, x):
        return p.w * x + p.b

    x = np.array([1.0, 2.0])
    found = dsl.jacobian(mode, predict, Pair(np.array([2.0, 3.0]), 5.0), Const(x))[0]
    assert type(found) is Pair
    np.testing.assert_array_equal(found.w, np.diag(x))
    np.testing.assert_array_equal(found.b, [1, 1])


def test_hvp() -> None:
    v = np.array([0.5, -1.0, 2.0, 0.25])
    expected = energy_hessian(A) @ v
    np.testing.assert_allclose(dsl.hvp(energy, A, v), expected, rtol=1e-12)
    found, gradient = dsl.hvp_and_gradient(energy, A, v)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, energy_gradient(A), rtol=1e-12)
    assert dsl.hvp(cubed, 2.0, 3.0) == 36.0
    np.testing.assert_allclose(dsl.hvp(scaled, A, v, 3.0), 6 * v)


def test_hvp_of_structs() -> None:
    w, v = np.array([2.0, 3.0]), np.array([1.0, 0.0])
    for cls in (Pair, Params):
        found = dsl.hvp(model, cls(w, 5.0), cls(v, 0.0), 7.0)
        assert type(found) is cls
        np.testing.assert_allclose(found.w, [98, 70])
        assert found.b == pytest.approx(2 * 7 * 3)
    assert dsl.hvp(lambda t: t[0] ** 2 * t[1], (2.0, 3.0), (1.0, 0.0)) == (6.0, 4.0)


@pytest.mark.parametrize("chunk", [1, 3, 8])
def test_hessian(chunk: int) -> None:
    np.testing.assert_allclose(dsl.hessian(energy, A, chunk=chunk), energy_hessian(A), rtol=1e-12)
    assert dsl.hessian(cubed, 2.0) == 12.0
    (xx, xy), (yx, yy) = dsl.hessian(lambda t: t[0] ** 2 * t[1], (2.0, 3.0))
    assert (xx, xy, yx, yy) == (6.0, 4.0, 4.0, 0.0)


def test_hessian_of_a_matrix() -> None:
    @dsl.kernel
    def f(x):
        return (x[0, 1] * x[1, 0]) ** 2

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = dsl.hessian(f, x)
    assert found.shape == (2, 2, 2, 2)
    expected = np.zeros((2, 2, 2, 2))
    expected[0, 1, 0, 1], expected[1, 0, 1, 0] = 18, 8
    expected[0, 1, 1, 0] = expected[1, 0, 0, 1] = 24
    np.testing.assert_allclose(found, expected)


def test_the_same_code_again() -> None:
    """The generated kernels are found again, and so is their code."""
    dsl.hvp(energy, A, A)
    made = dict(energy.transforms)
    dsl.hvp(energy, 2 * A, A)
    assert energy.transforms == made


def test_strong_zero() -> None:
    f = lambda x, y: dsl.sqrt(x) * y
    plain = dsl.gradient(Reverse, f, 0.0, 0.0)
    strong = dsl.gradient(Reverse.with_strong_zero(), f, 0.0, 0.0)
    assert np.isnan(plain[0])
    assert strong[0] == 0.0
    assert dsl.autodiff(Forward.with_strong_zero(), f, Duplicated(0.0, 0.0), Duplicated(0.0, 1.0)) == (0.0,)


def test_shadows() -> None:
    a = np.array([1, 2], np.float32)
    p = Params((a, a), 3.0)
    zero = dsl.make_zero(p)
    assert zero.w[0] is zero.w[1] and zero.w[0].dtype == np.float32 and zero.b == 0.0 and zero.n == 2
    dsl.make_zero_into(p)
    assert p.b == 0.0 and not a.any() and p.n == 2
    with pytest.raises(ActivityError, match="cannot be set in place"):
        dsl.make_zero_into((a, 1.0))
    first, second, third = dsl.onehot(Pair(np.ones(2), 5.0))
    assert list(first.w) == [1, 0] and first.b == 0.0
    assert list(second.w) == [0, 1]
    assert third.b == 1.0 and not third.w.any()
    assert [len(chunk) for chunk in dsl.chunked_onehot(np.ones((2, 2)), 3)] == [3, 1]
    assert dsl.onehot(2.0) == (1.0,)
    with pytest.raises(ArgumentError, match="chunk of 0"):
        dsl.chunked_onehot(a, 0)


def test_guess_activity() -> None:
    expected = [
        (float, "Active", "Duplicated"),
        (int, "Const", "Const"),
        (np.float32, "Active", "Duplicated"),
        (np.ones(2), "Duplicated", "Duplicated"),
        (np.ones(2, int), "Const", "Const"),
        ((1.0, 2.0), "Active", "Duplicated"),
        ((1.0, np.ones(2)), "MixedDuplicated", "Duplicated"),
        (Params(np.ones(2), 1.0), "Duplicated", "Duplicated"),
        (Pair(np.ones(2), 1.0), "MixedDuplicated", "Duplicated"),
        (dsl.float64, "Active", "Duplicated"),
    ]
    for type_, reverse, forward in expected:
        assert dsl.guess_activity(type_, Reverse).__name__ == reverse
        assert dsl.guess_activity(type_, Forward).__name__ == forward


def test_refused() -> None:
    with pytest.raises(ActivityError, match="reverse mode differentiates a scalar"):
        dsl.gradient(Reverse, curve, 2.0)
    with pytest.raises(ArgumentError, match="annotated Active"):
        dsl.gradient(Reverse, cubed, Active(2.0))
    with pytest.raises(ArgumentError, match="nothing to differentiate"):
        dsl.gradient(Reverse, cubed, Const(2.0))
    with pytest.raises(ActivityError, match="holds no float"):
        dsl.gradient(Reverse, cubed, np.ones(2, int))
    with pytest.raises(ArgumentError, match="the mode of jacobian"):
        dsl.jacobian(cubed, 2.0)
    with pytest.raises(ArgumentError, match="chunk of 0"):
        dsl.jacobian(Forward, cubed, 2.0, chunk=0)
    with pytest.raises(ArgumentError, match="shape"):
        dsl.hvp(energy, A, np.ones(3))

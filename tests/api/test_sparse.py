"""Sparse Jacobians: patterns are found whole, colours share no row, entries are those of the dense Jacobian."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import sparse

import dsl
from dsl import Const, Forward, ForwardWithPrimal, Reverse, ReverseWithPrimal
from dsl.errors import ArgumentError

N = 150
X = np.random.default_rng(7).uniform(0.5, 1.5, size=N)


@dsl.kernel
def banded(x):
    """Three diagonals; the partial derivative in the middle is zero at 1 and everywhere there is an entry."""
    y = np.zeros_like(x)
    for i in range(len(x)):
        left = x[i - 1] if i > 0 else 0.0
        right = x[i + 1] if i + 1 < len(x) else 0.0
        y[i] = (x[i] - 1.0) ** 2 * 0.5 + math.sin(left) * right
    return y


@dsl.kernel
def blocks(x):
    """Blocks of three by three on the diagonal, through a scratch array."""
    y, s = np.zeros_like(x), np.zeros(3)
    for b in range(len(x) // 3):
        for i in range(3):
            s[i] = x[3 * b + i] * x[3 * b + (i + 1) % 3]
        for i in range(3):
            y[3 * b + i] = s[0] * s[i] + s[1] + s[2]
    return y


@dsl.kernel
def arrow(x):
    """A full first row, and a diagonal."""
    y = x * x
    y[0] = dsl.sum(x * x)
    return y


@dsl.kernel
def arrow_down(x):
    """A full first column, and a diagonal."""
    return x * x[0]


@dsl.kernel
def gathered(x, at):
    y = x * x
    for i in range(len(x)):
        y[i] += x[at[0, i]] * x[at[1, i]]
    return y


@dsl.kernel
def branching(x):
    y = np.zeros_like(x)
    for i in range(len(x)):
        if x[i] > 1.0:
            y[i] = x[i] * x[(i + 1) % len(x)]
        else:
            y[i] = x[i - 1] + dsl.ignore_derivatives(x[0])
    return y


def exact(pattern: Any) -> np.ndarray:
    return np.asarray(pattern.toarray(), bool)


def band(n: int) -> np.ndarray:
    return np.tri(n, k=1).astype(bool) & ~np.tri(n, k=-2).astype(bool)


PATTERNS = {
    "banded": (banded, band(N)),
    "blocks": (blocks, np.kron(np.eye(N // 3), np.ones((3, 3))).astype(bool)),
    "arrow": (arrow, np.eye(N, dtype=bool) | (np.arange(N)[:, None] == 0)),
    "arrow_down": (arrow_down, np.eye(N, dtype=bool) | (np.arange(N) == 0)),
}


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=["forward", "reverse"])
@pytest.mark.parametrize("name", PATTERNS)
def test_found_and_computed(name, mode):
    kernel, expected = PATTERNS[name]
    pattern = dsl.jacobian_sparsity(mode, kernel, X)
    assert np.array_equal(exact(pattern), expected)
    dense = dsl.jacobian(mode, kernel, X)
    for given in ("detect", pattern, expected):
        found = dsl.jacobian(mode, kernel, X, sparsity=given)
        assert isinstance(found, sparse.csr_array) and found.nnz == pattern.nnz
        np.testing.assert_allclose(found.toarray(), dense, rtol=1e-12, atol=1e-13)
    as_dense = dsl.jacobian(mode, kernel, X, sparsity="detect", dense=True)
    assert isinstance(as_dense, np.ndarray)
    np.testing.assert_allclose(as_dense, dense, rtol=1e-12, atol=1e-13)


def test_colours():
    """As many as needed for bands and blocks; rows and columns differ for an arrow."""
    for name, forward, reverse in [("banded", 3, 3), ("blocks", 3, 3), ("arrow", N, 2), ("arrow_down", 2, N)]:
        pattern = PATTERNS[name][1]
        for mode, number in ((Forward, forward), (Reverse, reverse)):
            colours = dsl.colour(mode, sparse.csr_array(pattern))
            assert colours.max() + 1 == number
            lines = pattern.T if mode is Reverse else pattern
            for c in range(number):
                assert lines[:, colours == c].sum(axis=1).max() <= 1


def test_colours_of_random_patterns():
    rng = np.random.default_rng(3)
    for density in (0.0, 0.05, 0.3):
        pattern = rng.uniform(size=(30, 20)) < density
        for mode in (Forward, Reverse):
            colours = dsl.colour(mode, pattern)
            lines = pattern.T if mode is Reverse else pattern
            assert all(lines[:, colours == c].sum(axis=1).max() <= 1 for c in set(colours))


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=["forward", "reverse"])
def test_random_gathers(mode):
    """Of patterns without any order, too, all is found."""
    rng = np.random.default_rng(11)
    at = rng.integers(0, N, size=(2, N))
    expected = np.eye(N, dtype=bool)
    expected[np.arange(N), at[0]] = True
    expected[np.arange(N), at[1]] = True
    pattern, none = dsl.jacobian_sparsity(mode, gathered, X, Const(at))
    assert none is None and np.array_equal(exact(pattern), expected)
    found, none = dsl.jacobian(mode, gathered, X, Const(at), sparsity="detect")
    assert none is None
    np.testing.assert_allclose(found.toarray(), dsl.jacobian(Forward, gathered, X, Const(at))[0], atol=1e-13)


@pytest.mark.parametrize("mode", [ForwardWithPrimal, ReverseWithPrimal], ids=["forward", "reverse"])
def test_control_flow_of_the_point(mode):
    value, found = dsl.jacobian(mode, branching, X, sparsity="detect")
    np.testing.assert_allclose(value, branching.fn(X))
    np.testing.assert_allclose(found.toarray(), dsl.jacobian(Forward, branching, X), atol=1e-13)
    elsewhere = 2.0 - X
    with pytest.raises(ArgumentError, match=r"misses entries in (row|column) .* of branching"):
        dsl.jacobian(mode, branching, elsewhere, sparsity=found)


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=["forward", "reverse"])
def test_a_pattern_that_misses_an_entry(mode):
    for row, column in ((0, 0), (5, 6), (N - 1, N - 1)):
        pattern = band(N)
        pattern[row, column] = False
        with pytest.raises(ArgumentError, match="misses entries"):
            dsl.jacobian(mode, banded, X, sparsity=pattern)
    pattern = band(N)
    pattern[0, N - 1] = True  # more than there are: right all the same
    found = dsl.jacobian(mode, banded, X, sparsity=pattern)
    assert found[0, N - 1] == 0.0
    np.testing.assert_allclose(found.toarray(), dsl.jacobian(mode, banded, X), atol=1e-13)


class Pair(NamedTuple):
    a: Any
    b: Any


@pytest.mark.parametrize("mode", [Forward, Reverse], ids=["forward", "reverse"])
def test_structs_numbers_and_several_arguments(mode):
    @dsl.kernel
    def f(p, m, t):
        return (p.a * p.b, m[0] * t, m)

    p, m, t = Pair(np.array([1.0, 2.0, 3.0]), 4.0), np.array([[1.0, 2.0], [3.0, 4.0]]), 5.0
    found = dsl.jacobian(mode, f, p, m, t, sparsity="detect", dense=True)
    dense = dsl.jacobian(mode, f, p, m, t)

    def equal(a, b):
        if isinstance(a, tuple):
            assert type(a) is type(b) and len(a) == len(b)
            for one, other in zip(a, b):
                equal(one, other)
        else:
            np.testing.assert_allclose(a, b, atol=1e-14)
            assert np.shape(a) == np.shape(b)

    equal(found, dense)
    shapes = [j.shape for j in dsl.jacobian(mode, f, p, m, t, sparsity="detect")]
    assert shapes == [(9, 4), (9, 4), (9, 1)]


def test_single_precision():
    x = X[:20].astype(np.float32)
    found = dsl.jacobian(Forward, banded, x, sparsity=band(20))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), dsl.jacobian(Forward, banded, x), rtol=1e-6)


def test_a_partial_derivative_that_is_not_finite():
    """Where 0 times infinity is NaN more entries are found, never fewer."""
    x = np.array([0.0, 1.0, 4.0])
    pattern = dsl.jacobian_sparsity(Forward, lambda x: dsl.sqrt(x), x)
    assert exact(pattern)[[0, 1, 2], [0, 1, 2]].all()


def test_refused():
    for sparsity, message in [
        ("find", "sparsity is 'find'"),
        (np.ones((2, 2)), "the pattern has shape"),
        (np.ones(3), "1 dimensions"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            dsl.jacobian(Forward, banded, X, sparsity=sparsity)
    with pytest.raises(ArgumentError, match="no tuple of 2 patterns"):
        dsl.jacobian(Forward, gathered, X, Const(np.zeros((2, N), int)), sparsity=np.ones((N, N)))
    with pytest.raises(ArgumentError, match=r"complex(.|\n)*lambda x: x \* x"):
        dsl.jacobian(Forward, lambda x: x * x, np.ones(2, complex), sparsity="detect")
    with pytest.raises(ArgumentError, match="dense=False"):
        dsl.jacobian(Forward, banded, X, dense=False)
    with pytest.raises(ArgumentError, match="twice"):
        dsl.jacobian_sparsity(Forward, lambda p: p[0] * p[1], (X, X))

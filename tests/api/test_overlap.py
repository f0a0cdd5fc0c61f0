"""Derivatives of kernels that are compiled for arrays that may overlap: shadows overlap as their primals do."""

from __future__ import annotations

import numpy as np
import pytest

import dsl
from dsl import Active, BatchDuplicated, Const, Duplicated, DuplicatedNoNeed, Forward, Reverse, autodiff
from dsl.errors import ActivityError, ArgumentError


@dsl.kernel(strict_aliasing=False)
def chain(a, b, c):
    """Where a and b are one place apart, each step reads what the last one wrote."""
    for i in range(len(a)):
        a[i] = b[i] * b[i] * c + a[i]


@dsl.kernel(strict_aliasing=False)
def total(a, b):
    s = 0.0
    for i in range(len(a)):
        t = b[i]
        a[i] = np.sin(b[i])
        s += b[i] * t
    return s


@dsl.kernel
def chain_of_views(z, c, shift):
    n = len(z) - 2
    chain(z[shift : n + shift], z[1 : n + 1], c)


@dsl.kernel
def total_of_views(z, shift):
    n = len(z) - 2
    return total(z[shift : n + shift], z[1 : n + 1])


Z = np.array([0.5, 0.25, 0.75, 0.3, 0.9, 0.1, 0.6])


def views(z, shift):
    n = len(z) - 2
    return z[shift : n + shift], z[1 : n + 1]


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("mode", [Forward, Reverse], ids=repr)
def test_as_the_same_views_inside_a_kernel(mode, shift):
    """Inside, the derivative sees that both are views of one array."""
    rng = np.random.default_rng(5)
    seed = rng.normal(size=len(Z))
    outside, inside = [(Z.copy(), seed.copy()) for _ in range(2)]
    (a, b), (da, db) = views(outside[0], shift), views(outside[1], shift)
    autodiff(mode, chain, Const, Duplicated(a, da), Duplicated(b, db), Const(0.7))
    autodiff(mode, chain_of_views, Const, Duplicated(*inside), Const(0.7), Const(shift))
    np.testing.assert_allclose(outside[0], inside[0], rtol=1e-15)
    np.testing.assert_allclose(outside[1], inside[1], rtol=1e-13)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_of_a_number(shift):
    outside, inside = [(Z.copy(), np.zeros(len(Z))) for _ in range(2)]
    (a, b), (da, db) = views(outside[0], shift), views(outside[1], shift)
    autodiff(Reverse, total, Active, Duplicated(a, da), Duplicated(b, db))
    autodiff(Reverse, total_of_views, Active, Duplicated(*inside), Const(shift))
    np.testing.assert_allclose(outside[1], inside[1], rtol=1e-13)
    assert inside[1].any()


def test_arrays_apart_and_one_and_the_same():
    def gradient(kernel):
        a, b, da, db = Z.copy(), 2 * Z, np.ones(7), np.zeros(7)
        autodiff(Reverse, kernel, Const, Duplicated(a, da), Duplicated(b, db), Const(0.7))
        return np.concatenate([a, da, db])

    np.testing.assert_allclose(gradient(chain), gradient(dsl.kernel(chain.fn)), rtol=1e-15)
    a, da = Z.copy(), np.ones(7)
    autodiff(Reverse, chain, Const, Duplicated(a, da), Duplicated(a, da), Const(0.7))
    np.testing.assert_allclose(da, 1 + 1.4 * Z)


def test_batches_and_what_is_not_needed():
    z, shadows, single = Z.copy(), np.eye(7)[2:4].copy(), np.eye(7)[2:4].copy()
    (a, b), lanes = views(z, 2), [views(s, 2) for s in shadows]
    autodiff(Reverse, chain, Const, *(BatchDuplicated(v, tuple(s)) for v, s in zip((a, b), zip(*lanes))), Const(0.7))
    for shadow in single:
        (a, b), (da, db) = views(Z.copy(), 2), views(shadow, 2)
        # another array may read what is not needed of this one
        autodiff(Reverse, chain, Const, DuplicatedNoNeed(a, da), Duplicated(b, db), Const(0.7))
    np.testing.assert_allclose(shadows, single, rtol=1e-15)


def test_shadows_that_lie_otherwise_are_refused():
    z, dz = Z.copy(), np.zeros(7)
    (a, b), (da, db) = views(z, 2), views(dz, 2)
    refused = [
        (ArgumentError, Duplicated(a, np.zeros(5)), Duplicated(b, np.zeros(5))),
        (ActivityError, Duplicated(a, db), Duplicated(b, da)),
        (ActivityError, Duplicated(a, da), Duplicated(b, dz[2:])),
        (ActivityError, Duplicated(a, b), Duplicated(b, a)),
        (ActivityError, Duplicated(Z[:5].copy(), da), Duplicated(Z[:5].copy(), db)),
        (ArgumentError, Duplicated(a, da), Const(b)),
        (ArgumentError, Duplicated(z, dz), Duplicated(z, np.zeros(7))),
    ]
    for _ in range(2):  # the second time by the runner
        for error, first, second in refused:
            with pytest.raises(error, match=r"shares memory|overlap"):
                autodiff(Reverse, chain, Const, first, second, Const(0.7))
        apart = [Duplicated(Z.copy(), np.zeros(7)) for _ in range(2)]
        autodiff(Reverse, chain, Const, *apart, Const(0.7))
    assert z.tolist() == Z.tolist() and not dz.any()


def test_what_is_only_read_may_be_constant_too():
    @dsl.kernel(strict_aliasing=False)
    def product(a, b):
        return np.sum(a * b)

    da = np.zeros(7)
    autodiff(Reverse, product, Active, Duplicated(Z, da), Const(Z))
    np.testing.assert_array_equal(da, Z)


def test_strict_kernels_say_how_to_permit_it():
    strict = dsl.kernel(chain.fn)
    z = Z.copy()
    with pytest.raises(ArgumentError, match="strict_aliasing=False"):
        strict(z[:3], z[1:4], 1.0)
    with pytest.raises(ActivityError, match="shares memory"):
        a, b = views(z, 0)
        dz = np.zeros(7)
        autodiff(Reverse, strict, Const, Duplicated(a, views(dz, 0)[0]), Duplicated(b, views(dz, 0)[1]), Const(1.0))


def test_the_tape_of_arrays_that_overlap_is_measured():
    (a, b), (da, db) = views(Z.copy(), 0), views(np.zeros(7), 0)
    arguments = (Reverse, Const, Duplicated(a, da), Duplicated(b, db), Const(0.7))
    assert chain.tape_bytes(*arguments) == 8 * len(a)
    assert "taped" in str(chain.explain(*arguments))

"""The order in which sums are added up: the program's own in its order, cotangents in any, if they are not ordered."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, ReverseWithPrimal, autodiff
from tests.derivatives import check_derivatives

#: Any other order than the one after the other gives another sum, in either direction.
WEIGHTS = np.random.default_rng(3).uniform(-1, 1, 67) * 10.0 ** np.random.default_rng(4).integers(-8, 9, 67)


@dsl.kernel
def weighted(x, w):
    total = 0.0
    for i in range(len(w)):
        total += x * w[i]
    return total


@dsl.kernel
def uses(x, c):
    """A number that all iterations use, several times each, and cells that are added to."""
    total = 0.0
    for i in range(len(x)):
        total += math.sin(c * x[i]) * x[i] + c * c
    return total


@dsl.kernel
def complex_uses(z, w):
    total = 0.0j
    for i in range(len(w)):
        total += z * w[i] + z * z
    return total


@dsl.kernel
def slope(x, c):
    """A derivative that is differentiated."""
    ((_, by_c),) = autodiff(Reverse, uses, Active, Const(x), Active(c))
    return by_c


def additions(ir: str) -> tuple[int, int]:
    """How many additions there are, and how many of them in any order."""
    found = re.findall(r"(?:arith\.addf|complex\.add) .*", ir)
    return len(found), sum("reassoc,nsz" in line for line in found)


@pytest.mark.parametrize("kernel", [uses, slope], ids=lambda k: k.name)
def test_numbers(kernel: Any) -> None:
    for one in (kernel, dsl.kernel(kernel.fn, contract=False)):
        ((_, by_c),) = autodiff(Reverse, one, Active, Const(WEIGHTS), Active(0.3))
        (tangent,) = autodiff(Forward, one, Duplicated, Const(WEIGHTS), Duplicated(0.3, 1.0))
        assert by_c == pytest.approx(tangent, rel=1e-10)


def test_against_differences() -> None:
    check_derivatives(uses, np.linspace(0.4, 1.3, 11), 0.7)
    x, c = np.linspace(0.4, 1.3, 11), 0.7
    ((_, curvature),) = autodiff(Reverse, slope, Active, Const(x), Active(c))
    assert curvature == pytest.approx(float(np.sum(2.0 - np.sin(c * x) * x**3)), rel=1e-13)


def test_cotangents_in_any_order() -> None:
    x = np.ones(5)
    marked = (Duplicated(x, np.zeros(5)), Active(0.5))
    free = additions(uses.ir("autodiff", Reverse, Active, *marked).plain)
    assert free[1] == free[0] > 2  # (the primal, which nobody wants, is not computed)
    ordered = dsl.kernel(uses.fn, contract=False).ir("autodiff", Reverse, Active, *marked).plain
    assert additions(ordered) == (free[0], 0)


def test_the_program_in_its_order() -> None:
    """The value is what Python computes, to the last bit; so is what forward mode adds up."""
    ordered = 0.0
    for w in WEIGHTS:
        ordered += 0.5 * w
    assert weighted(0.5, WEIGHTS) == ordered
    assert autodiff(ReverseWithPrimal, weighted, Active, Active(0.5), Const(WEIGHTS))[0] == ordered
    assert autodiff(Forward, weighted, Duplicated, Duplicated(0.5, 0.5), Const(WEIGHTS))[0] == ordered


def test_cotangents_in_order() -> None:
    """Without the freedom, the sum goes through the loop backwards."""
    backwards = 0.0
    for w in WEIGHTS[::-1]:
        backwards += w
    forwards = sum(WEIGHTS)
    assert forwards != backwards
    ordered = dsl.kernel(weighted.fn, contract=False)
    assert autodiff(Reverse, ordered, Active, Active(0.5), Const(WEIGHTS))[0][0] == backwards


def test_tangents_of_such_sums() -> None:
    """Forward over reverse: the sum of the tangents is as free as that of the cotangents."""
    text = slope.ir("autodiff", Forward, Duplicated, Const(np.ones(5)), Duplicated(0.5, 1.0)).plain
    loop = text[text.index("scf.for") :]
    assert additions(loop)[1] > 0 and additions(loop)[1] >= additions(loop)[0] - 2


def test_complex_and_directions() -> None:
    w = np.linspace(0.2, 1.0, 9) + 0.3j
    marked = (Active(0.4 + 0.2j), Const(w))
    text = complex_uses.ir("autodiff", dsl.ReverseHolomorphic, Active, *marked).plain
    assert additions(text)[1] > 0
    ((by_z, _),) = autodiff(dsl.ReverseHolomorphic, complex_uses, Active, *marked)
    assert by_z == pytest.approx(w.sum() + 2 * 9 * (0.4 + 0.2j), rel=1e-13)


def test_same_bits_again() -> None:
    first = autodiff(Reverse, uses, Active, Const(WEIGHTS), Active(0.3))
    assert all(autodiff(Reverse, uses, Active, Const(WEIGHTS), Active(0.3)) == first for _ in range(3))

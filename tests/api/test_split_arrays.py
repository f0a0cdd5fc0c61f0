"""Split mode of kernels that return arrays, that make them as they go, and for several cotangents at once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import (
    Active,
    BatchDuplicated,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    Reverse,
    ReverseSplitNoPrimal,
    ReverseSplitWidth,
    ReverseSplitWithPrimal,
    autodiff,
    autodiff_thunk,
    tape_type,
)
from dsl.errors import ActivityError, ArgumentError
from dsl.modes import Mode

from .test_split import _allocated


@dsl.kernel
def carried(x):
    """A new array each time round, which takes the place of the one before."""
    t = dsl.zeros(len(x))
    for k in range(3):
        u = dsl.zeros(len(x))
        for i in range(len(x)):
            u[i] = np.sin(t[i]) * x[i] + x[i - 1]
        t = u
    return dsl.sum(t * t)


@dsl.kernel
def swapped(x, n):
    a = dsl.zeros(len(x))
    b = dsl.zeros(len(x))
    for i in range(len(x)):
        a[i] = x[i]
    for k in range(n):
        for i in range(len(x)):
            b[i] = a[i] * a[i - 1] + 0.1 * x[i]
        a, b = b, a
    return dsl.sum(a)


@dsl.kernel
def in_branches(x, n):
    t = dsl.zeros(len(x))
    for k in range(n):
        if k % 2 == 0:
            u = dsl.zeros(len(x))
            for i in range(len(x)):
                u[i] = np.exp(-t[i] * t[i]) + x[i]
            t = u
        else:
            for i in range(len(x)):
                t[i] = t[i] * x[i]
    return dsl.sum(np.sin(t))


@dsl.kernel
def while_carried(x, limit):
    t = dsl.zeros(len(x))
    s = 0.0
    while s < limit:
        u = dsl.zeros(len(x))
        for i in range(len(x)):
            u[i] = t[i] + x[i] * x[i] + 0.1
            s += u[i]
        t = u
    return dsl.sum(t * t * t)


@dsl.kernel
def exchanged(x, y, n):
    """Which of the arguments a and b are, nobody knows before it runs."""
    a = x
    b = y
    for k in range(n):
        for i in range(len(x)):
            b[i] = b[i] * np.sin(a[i])
        a, b = b, a
    return dsl.sum(a) + 2.0 * dsl.sum(b * b)


@dsl.kernel
def exchanged_in_between(x, y, n):
    """The same by a `while` loop, in which no iteration's number tells which is which."""
    a = x
    b = y
    while n > 0:
        for i in range(len(x)):
            b[i] = b[i] * np.sin(a[i])
        a, b = b, a
        n -= 1
    return dsl.sum(a) + 2.0 * dsl.sum(b * b)


def nan(*arrays: np.ndarray) -> None:
    for array in arrays:
        array[...] = np.nan


X = np.linspace(0.3, 1.2, 5)
CASES: dict[Any, tuple[Any, ...]] = {carried: (), swapped: (4,), in_branches: (5,), while_carried: (9.0,)}


@pytest.mark.parametrize("kernel", CASES, ids=lambda k: k.name)
def test_arrays_that_are_made_on_the_way(kernel: Any) -> None:
    rest = tuple(map(Const, CASES[kernel]))
    dx, expected = np.zeros(5), np.zeros(5)
    autodiff(Reverse, kernel, Active, Duplicated(X.copy(), expected), *rest)
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, kernel, Active, Duplicated[X], *rest)
    x = X.copy()
    tape, value, _ = fwd(Const(kernel), Duplicated(x, dx), *rest)
    assert value == pytest.approx(kernel(X.copy(), *CASES[kernel]))
    assert tape.nbytes > 0
    nan(x)
    tape.keep()
    for seed in (1.0, -2.0):  # each on a copy of all blocks, which point to one another
        dx[:] = 0
        rev(Const(kernel), Duplicated(x, dx), *rest, seed, tape)
        np.testing.assert_allclose(dx, seed * expected, rtol=1e-12)


@pytest.mark.parametrize("kernel", [exchanged, exchanged_in_between], ids=lambda k: k.name)
def test_arguments_that_are_exchanged(kernel) -> None:
    y0 = np.linspace(1.0, 0.4, 5)
    x, y, dx, dy, ex, ey = X.copy(), y0.copy(), *(np.zeros(5) for _ in range(4))
    autodiff(Reverse, kernel, Active, Duplicated(x.copy(), ex), Duplicated(y.copy(), ey), Const(3))
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, kernel, Active, Duplicated[x], Duplicated[y], Const[int])
    tape, _, _ = fwd(Const(kernel), Duplicated(x, dx), Duplicated(y, dy), Const(3))
    if kernel is exchanged_in_between:
        with pytest.raises(ArgumentError, match="another shadow, but the tape points to it"):
            rev(Const(kernel), Duplicated(x, np.zeros(5)), Duplicated(y, dy), Const(3), 1.0, tape)
    else:  # nothing of the tape points to the shadow: another one will do
        dx = np.zeros(5)
    nan(x, y)
    rev(Const(kernel), Duplicated(x, dx), Duplicated(y, dy), Const(3), 1.0, tape)
    np.testing.assert_allclose([*dx, *dy], [*ex, *ey], rtol=1e-12)


@pytest.mark.parametrize("fate", ["used", "dropped", "kept"])
def test_no_block_is_lost(fate: str) -> None:
    x, dx = np.linspace(0.3, 0.9, 500), np.zeros(500)
    given = (Const(while_carried), Duplicated(x, dx), Const(40.0))
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, while_carried, Active, *given[1:])

    def once() -> int:
        tape, _, _ = fwd(*given)
        if fate == "kept":
            tape.keep()
        for _ in range({"used": 1, "kept": 2}.get(fate, 0)):
            rev(*given, 1.0, tape)
        return tape.nbytes

    size = max(once() for _ in range(3))
    before = _allocated()
    for _ in range(40):
        once()
    assert _allocated() - before < 4 * size


OUT_OF_MEMORY = """
import resource
import numpy as np
import dsl
from dsl import *

@dsl.kernel
def big(x, n, m):
    s = x
    rounds = 0
    while rounds < n and s > -2.0:  # the tape
        s = s * x - s * s * 0.5
        rounds += 1
    for k in range(m):  # the pullback's own memory
        t = dsl.zeros(n)
        for i in range(n):
            t[i] = np.sin(x * i) * x
        for i in range(1, n):
            t[i] = t[i] * t[i - 1] + x
        s += t[n - 1]
    return s

def pages(column):
    return int(open("/proc/self/statm").read().split()[column]) * resource.getpagesize()

def call(n, m):
    args = (Const(big), Active(1.5), Const(n), Const(m))
    return args, fwd(*args)[0]

fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, big, Active, Active[float], Const[int], Const[int])
args, tape = call(1000, 3)
rev(*args, 1.0, tape)
args, tape = call(20_000_000, 1)
size = tape.nbytes
assert size > 150_000_000, size
before = pages(1)
limit = pages(0) + 50_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    rev(*args, 1.0, tape)
except MemoryError:
    print("refused", tape.used, before - pages(1) > 0.9 * 8 * 20_000_000)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space as Linux does")
def test_a_pullback_without_memory_loses_no_tape(tmp_path: Path) -> None:
    """It raises MemoryError, and the tape's memory is given back all the same."""
    script = tmp_path / "out_of_memory.py"
    script.write_text(OUT_OF_MEMORY)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("refused True True\n", "")


# --- results that are Duplicated


@dsl.kernel
def pairs(x, a):
    y = dsl.zeros(len(x))
    for i in range(len(x)):
        y[i] = np.sin(x[i]) * x[i - 1] * a
    return y


def jacobian(f: Any, x: np.ndarray, *rest: float) -> np.ndarray:
    steps = 1e-6 * np.eye(len(x))
    return np.array([(f(x + h, *rest) - f(x - h, *rest)) / 2e-6 for h in steps]).T


def test_the_shadow_of_a_returned_array_is_the_seed() -> None:
    x, dx = X.copy(), np.zeros(5)
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, pairs, Duplicated, Duplicated[x], Active[float])
    tape, y, shadow = fwd(Const(pairs), Duplicated(x, dx), Active(0.7))
    np.testing.assert_allclose(y, pairs(X, 0.7))
    assert shadow.shape == y.shape and shadow.dtype == y.dtype and not shadow.any()
    assert not np.shares_memory(shadow, y)
    seed = np.arange(1.0, 6.0)
    shadow[:] = seed
    nan(x, y)
    (gradients,) = rev(Const(pairs), Duplicated(x, dx), Active(0.7), tape)
    np.testing.assert_allclose(dx, jacobian(pairs, X, 0.7).T @ seed, rtol=1e-6)
    assert gradients == (None, pytest.approx(pairs(X, 1.0) @ seed))
    assert not shadow.any()  # as what is written into is zero after its pullback


def test_a_kept_tape_takes_a_seed_each_time() -> None:
    x, dx = X.copy(), np.zeros(5)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, pairs, DuplicatedNoNeed, Duplicated(x, dx), Active(0.7))
    tape, primal, shadow = fwd(Const(pairs), Duplicated(x, dx), Active(0.7))
    assert primal is None
    tape.keep()
    rows = []
    for k in range(5):
        dx[:] = 0
        shadow[k] = 1.0
        rev(Const(pairs), Duplicated(x, dx), Active(0.7), tape)
        rows.append(dx.copy())
    np.testing.assert_allclose(rows, jacobian(pairs, X, 0.7), rtol=1e-6, atol=1e-9)
    with pytest.raises(ArgumentError, match="the seed is in the shadow that `fwd` returned"):
        rev(Const(pairs), Duplicated(x, dx), Active(0.7), 1.0, tape)


@dataclass
class Two:
    first: np.ndarray
    count: int
    second: np.ndarray


def test_a_struct_and_a_tuple_of_arrays() -> None:
    def both(x):
        y = dsl.zeros(len(x))
        z = dsl.zeros(2)
        for i in range(len(x)):
            y[i] = x[i] * x[i]
        z[0] = y[0] * x[1]
        z[1] = 3.0 * y[1]
        return y, (z, 7)

    def struct(x):
        y = dsl.zeros(len(x))
        for i in range(len(x)):
            y[i] = x[i] * x[i]
        return Two(y, 3, y)

    x, dx = np.array([2.0, 3.0]), np.zeros(2)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, both, Duplicated, Duplicated[x])
    tape, _, (dy, (dz, nothing)) = fwd(Const(both), Duplicated(x, dx))
    assert nothing == 0
    dy[:], dz[:] = (1.0, 10.0), (100.0, 1000.0)
    rev(Const(both), Duplicated(x, dx), tape)
    np.testing.assert_allclose(dx, [4 + 100 * 12, 60 + 400 + 1000 * 18])
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, struct, Duplicated, Duplicated[x])
    dx[:] = 0
    tape, two, shadow = fwd(Const(struct), Duplicated(x, dx))
    assert two.count == 3 and type(shadow) is Two
    shadow.first[0], shadow.second[0] = 1.0, 10.0  # one array under two names: the seeds add up
    rev(Const(struct), Duplicated(x, dx), tape)
    np.testing.assert_allclose(dx, [44.0, 0.0])


def test_an_argument_that_is_returned() -> None:
    def give_back(x):
        for i in range(len(x)):
            x[i] = x[i] * x[i]
        return x

    x, dx = np.array([2.0, 3.0]), np.array([1.0, 0.0])
    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, give_back, Duplicated, Duplicated[x])
    tape, y, shadow = fwd(Const(give_back), Duplicated(x, dx))
    np.testing.assert_allclose([*x, *y], [4, 9, 4, 9])
    shadow[:] = (10.0, 100.0)
    rev(Const(give_back), Duplicated(x, dx), tape)
    np.testing.assert_allclose(dx, [4 * 11, 600.0])


def test_combined_mode_has_no_place_for_the_shadow_of_a_result() -> None:
    with pytest.raises(ActivityError, match=r"Duplicated in combined reverse mode.*\n(.*\n)*.*autodiff_thunk"):
        autodiff(Reverse, pairs, Duplicated, Duplicated(X.copy(), np.zeros(5)), Active(1.0))


# --- several cotangents at once


@dsl.kernel
def mixed(A, v):
    s = 0.0
    for i in range(len(A)):
        s += np.sin(A[i]) * v * s + A[i] * v
    return s


def test_seeds_in_a_batch() -> None:
    seeds = (1.0, 0.5, -2.0)
    A, shadows, expected = X.copy(), tuple(np.zeros(5) for _ in seeds), np.zeros(5)
    ((_, dv),) = autodiff(Reverse, mixed, Active, Duplicated(A, expected), Active(1.3))
    mode = ReverseSplitWidth(ReverseSplitWithPrimal, 3)
    fwd, rev = autodiff_thunk(mode, mixed, Active, BatchDuplicated[A], Active[float])
    given = (Const(mixed), BatchDuplicated(A, shadows), Active(1.3))
    tape, value, shadow = fwd(*given)
    assert value == mixed(A, 1.3) and shadow is None
    nan(A)
    ((nothing, dvs),) = rev(*given, seeds, tape)
    assert nothing is None and dvs == pytest.approx([s * dv for s in seeds])
    for seed, found in zip(seeds, shadows, strict=True):
        np.testing.assert_allclose(found, seed * expected, rtol=1e-12)
    tape, _, _ = fwd(*given)
    for wrong in (1.0, (1.0, 2.0)):
        with pytest.raises(ArgumentError, match="expected is a tuple of 3 seeds"):
            rev(*given, wrong, tape)
    assert not tape.used


def test_a_width_without_shadows() -> None:
    """f is compiled for 2 cotangents; its arguments are Active, so it is the mode that says so."""
    f = dsl.kernel(lambda x, y: x * x * y)
    fwd, rev = autodiff_thunk(ReverseSplitWidth(ReverseSplitNoPrimal, 2), f, Active, Active[float], Active[float])
    tape, _, _ = fwd(Const(f), Active(3.0), Active(5.0))
    assert rev(Const(f), Active(3.0), Active(5.0), (1.0, 10.0), tape) == (((30.0, 300.0), (9.0, 90.0)),)
    with pytest.raises(ActivityError, match=r"`x` has 1 shadows, the mode .* asks for 2"):
        autodiff_thunk(ReverseSplitWidth(ReverseSplitNoPrimal, 2), carried, Active, Duplicated[X])


@pytest.mark.parametrize("kernel", CASES, ids=lambda k: k.name)
def test_arrays_on_the_way_in_a_batch(kernel: Any) -> None:
    rest = tuple(map(Const, CASES[kernel]))
    shadows, expected = (np.zeros(5), np.zeros(5)), np.zeros(5)
    autodiff(Reverse, kernel, Active, Duplicated(X.copy(), expected), *rest)
    fwd, rev = autodiff_thunk(ReverseSplitNoPrimal, kernel, Active, BatchDuplicated(X, shadows), *rest)
    x = X.copy()
    tape, _, _ = fwd(Const(kernel), BatchDuplicated(x, shadows), *rest)
    nan(x)
    rev(Const(kernel), BatchDuplicated(x, shadows), *rest, (1.0, 3.0), tape)
    np.testing.assert_allclose(shadows, [expected, 3 * expected], rtol=1e-12)


def test_a_returned_array_in_a_batch() -> None:
    x, shadows = X.copy(), (np.zeros(5), np.zeros(5))
    mode = ReverseSplitWidth(ReverseSplitNoPrimal, 2)
    fwd, rev = autodiff_thunk(mode, pairs, BatchDuplicated, BatchDuplicated[x], Active[float])
    given = (Const(pairs), BatchDuplicated(x, shadows), Active(0.7))
    tape, _, seeds = fwd(*given)
    assert type(seeds) is tuple and len(seeds) == 2
    seeds[0][1], seeds[1][3] = 1.0, 2.0
    nan(x)
    ((_, da),) = rev(*given, tape)
    rows = jacobian(pairs, X, 0.7)
    np.testing.assert_allclose(shadows, [rows[1], 2 * rows[3]], rtol=1e-6, atol=1e-9)
    assert da == pytest.approx((pairs(X, 1.0)[1], 2 * pairs(X, 1.0)[3]))


def test_holomorphic_in_two_calls() -> None:
    """d/dz of a returned array, by the seed in its shadow."""

    def squares(z):
        y = dsl.zeros(len(z), np.complex128)
        for i in range(len(z)):
            y[i] = z[i] * z[i] * z[0]
        return y

    mode = Mode("reverse", split=True, holomorphic=True)
    z, dz = np.array([1.0 + 2j, 0.5 - 1j]), np.zeros(2, complex)
    fwd, rev = autodiff_thunk(mode, squares, Duplicated, Duplicated(z, dz))
    tape, _, shadow = fwd(Const(squares), Duplicated(z, dz))
    shadow[:] = (1.0 + 1j, 2j)
    rev(Const(squares), Duplicated(z, dz), tape)
    seed = np.array([1.0 + 1j, 2j])
    np.testing.assert_allclose(dz, [seed[0] * 3 * z[0] ** 2 + seed[1] * z[1] ** 2, seed[1] * 2 * z[1] * z[0]])


def test_the_tape_type_names_the_list_of_blocks() -> None:
    layout = tape_type(ReverseSplitNoPrimal, swapped, Active, Duplicated[X], Const[int])
    assert any(part.descriptor for part in layout.parts) and "for each value" in str(layout)

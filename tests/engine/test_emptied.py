"""Shadows that take turns: zeros that the next iteration would only add to are not written, and the numbers are right
whatever was in the shadows before, whoever looks at them behind the loop, and however often it runs.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dialects.emptied import Emptied
from dsl import Active, Const, Duplicated, Reverse, autodiff
from tests.derivatives import check_derivatives

from .checks import filecheck

U = np.array([0.7, 0.9, 1.2, 0.8, 0.6, 1.1, 0.5])
V = U[::-1] * 0.8


@dsl.kernel
def ends_first(u, new, steps):
    n = len(u)
    for _ in range(steps):
        new[0] = 0.9 * u[0]
        new[n - 1] = u[n - 1] * u[0]
        for i in range(1, n - 1):
            new[i] = u[i] + 0.2 * u[i] * (u[i - 1] - 2.0 * u[i] + u[i + 1])
        u, new = new, u


@dsl.kernel
def ends_last(u, new, steps):
    """The reverse comes to the loop when it has added to the ends."""
    n = len(u)
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = u[i] + 0.2 * u[i - 1] * u[i + 1]
        new[0] = 0.3 * u[n - 1] * u[0]
        new[n - 1] = 0.8 * u[n - 1]
        u, new = new, u


@dsl.kernel
def ends_stay(u, new, steps):
    """Those of both arrays get more and more."""
    n = len(u)
    for _ in range(steps):
        for i in range(2, n - 2):
            new[i] = 0.3 * u[i - 2] * u[i + 2] + 0.5 * u[i] + 0.1 * u[i - 1] * u[i + 1]
        u, new = new, u


@dsl.kernel
def one_sided(u, new, steps):
    n = len(u)
    for _ in range(steps):
        new[n - 1] = 0.5 * u[0]
        for i in range(n - 1):
            new[i] = u[i] * u[i + 1]
        u, new = new, u


@dsl.kernel
def by_itself(u, new, steps):
    """Each cell of its own: none is carried."""
    n = len(u)
    for _ in range(steps):
        for i in range(n):
            new[i] = 0.5 * u[i] * u[i] + 0.1
        u, new = new, u


@dsl.kernel
def with_factor(u, new, steps, c):
    """A number gets a cotangent too: the loop goes on counting down."""
    n = len(u)
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = u[i] + c * u[i] * (u[i - 1] + u[i + 1])
        u, new = new, u


@dsl.kernel
def looked_at(u, new, steps):
    """Something reads of each state, of one before it is used and of the other behind that."""
    n = len(u)
    s = 0.0
    for _ in range(steps):
        s += u[2] * u[0]
        for i in range(1, n - 1):
            new[i] = u[i] * u[i - 1] + 0.3 * u[i + 1]
        for i in range(n):
            s += new[i] * new[i]
        u, new = new, u
    return s


@dsl.kernel
def looked_at_late(u, new, steps):
    """One of the cells of the range is added to before the loop is."""
    n = len(u)
    s = 0.0
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = u[i] * u[i - 1] + 0.3 * u[i + 1]
        s += u[2] * u[0]
        u, new = new, u
    return s


@dsl.kernel
def inside(u, new, steps):
    """A cell among those of the loop is written too."""
    n = len(u)
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = u[i] * u[i - 1] + 0.3 * u[i + 1]
        new[2] = u[1] * u[3]
        u, new = new, u


@dsl.kernel
def inside_first(u, new, steps):
    """It is overwritten: its cotangent is nothing."""
    n = len(u)
    for _ in range(steps):
        new[2] = u[1] * u[3]
        for i in range(1, n - 1):
            new[i] = u[i] * u[i - 1] + 0.3 * u[i + 1]
        u, new = new, u


@dsl.kernel
def from_the_end(u, new, steps):
    n = len(u)
    for _ in range(steps):
        new[-2] = u[0] * u[1]
        for i in range(1, n - 1):
            new[i] = u[i] * u[i - 1] + 0.3 * u[i + 1]
        new[-1] = u[0]
        u, new = new, u


@dsl.kernel
def old_ones(u, new, steps):
    """The other array is read besides: its shadow is added to, not only emptied."""
    n = len(u)
    for _ in range(steps):
        for i in range(1, n - 1):
            new[i] = 0.4 * u[i - 1] * u[i + 1] + 0.5 * new[i] * u[i]
        u, new = new, u


@dsl.kernel
def shorter_and_shorter(u, new, steps):
    """The loop has another range each time."""
    n = len(u)
    for t in range(steps):
        for i in range(1, n - 1 - t):
            new[i] = u[i - 1] * u[i + 1]
        u, new = new, u


@dsl.kernel
def twice(u, new, steps):
    n = len(u)
    for _ in range(2):
        for _ in range(steps):
            for i in range(1, n - 1):
                new[i] = u[i] + 0.2 * u[i - 1] * u[i + 1]
            u, new = new, u
        u[2] *= new[1]


@dsl.kernel
def length_of_each(u, new, steps):
    """The arrays might not be of one length."""
    for _ in range(steps):
        for i in range(1, len(u) - 1):
            new[i] = u[i - 1] * u[i + 1]
        u, new = new, u


@dsl.kernel
def read_behind(u, new, steps):
    """The reverse of the first loop reads what that of the second has added to, what was there before among it."""
    n = len(u)
    for _ in range(steps):
        for i in range(n - 2, 1, -1):
            u[i] = 0.4 * u[i] - 0.2 * u[i - 1]
        for i in range(2, n - 2):
            new[i] = 0.4 * u[i] - 0.3 * u[i - 1] * u[i] + 0.1 * u[i + 1]
        u, new = new, u


@dsl.kernel
def anew(x, y, steps):
    """Arrays of the iteration of a loop around."""
    n = len(x)
    for k in range(3):
        u, new = dsl.zeros(n), dsl.zeros(n)
        u[:] = x
        for _ in range(steps):
            for i in range(1, n - 1):
                new[i] = u[i] + 0.2 * u[i - 1] * u[i + 1]
            u, new = new, u
        y[k] += dsl.sum(u) * new[2]


@dsl.kernel
def plane(a, b, steps):
    for _ in range(steps):
        for i in range(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                b[i, j] = a[i, j] + 0.1 * a[i, j] * (a[i - 1, j] + a[i + 1, j] + a[i, j - 1] * a[i, j + 1])
        a, b = b, a


#: Kernels, and whether what they write to a shadow is left out.
KERNELS = [
    (ends_first, True), (ends_last, True), (ends_stay, True), (one_sided, True), (by_itself, True), (looked_at, True),
    (read_behind, True), (twice, False), (looked_at_late, False), (inside, False), (inside_first, False),
    (old_ones, False), (shorter_and_shorter, False), (length_of_each, False),
]  # fmt: skip
STEPS = [0, 1, 2, 5]


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("kernel", [k for k, _ in KERNELS] + [from_the_end, anew], ids=lambda k: k.name)
def test_numbers(kernel: Any, steps: int) -> None:
    check_derivatives(kernel, U, V, steps)


@pytest.mark.parametrize("steps", [1, 4])
def test_numbers_of_others(steps: int) -> None:
    check_derivatives(with_factor, U, V, steps, 0.3)
    a = np.linspace(0.5, 1.4, 30).reshape(5, 6)
    check_derivatives(plane, a, a[::-1].copy(), steps)


def gradient(kernel: Any, arrays: list[np.ndarray], seeds: list[np.ndarray], steps: int) -> np.ndarray:
    shadows = [seed.copy() for seed in seeds]
    marked = [Duplicated(a.copy(), s) for a, s in zip(arrays, shadows)]
    autodiff(Reverse, kernel, Const, *marked, Const(steps))
    return np.concatenate(shadows)


def by_complex_steps(function: Any, arrays: list[np.ndarray], seeds: list[np.ndarray], steps: int) -> np.ndarray:
    found, step = [], 1e-30
    for k, array in enumerate(arrays):
        for i in range(len(array)):
            moved = [a.astype(complex) for a in arrays]
            moved[k][i] += 1j * step
            function(*moved, steps)
            found.append(sum(seed @ m.imag for seed, m in zip(seeds, moved)) / step)
    return np.array(found)


@pytest.mark.parametrize("fastmath", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 40])
@pytest.mark.parametrize("kernel", [ends_first, one_sided, by_itself, old_ones], ids=lambda k: k.name)
def test_sizes(kernel: Any, size: int, fastmath: bool) -> None:
    """Loops that do not run, that run once, and that are long enough for vectors; shadows that hold something."""
    rng = np.random.default_rng(size)
    arrays, seeds = [[rng.uniform(0.5, 1.0, size) for _ in range(2)] for _ in range(2)]
    compiled = dsl.kernel(kernel.fn, fastmath=fastmath)
    for steps in (0, 1, 2, 3, 4):
        expected = by_complex_steps(kernel.fn, arrays, seeds, steps)
        np.testing.assert_allclose(gradient(compiled, arrays, seeds, steps), expected, rtol=1e-11, atol=1e-12)


def random_stencil(rng: np.random.Generator, name: str) -> str:
    """A program of stencils in two or three arrays that are swapped or not."""
    before, after = rng.integers(0, 4, 2)
    terms = [f"{rng.uniform(0.1, 0.4):.2f} * u[i]"]
    for _ in range(rng.integers(1, 4)):
        offsets = rng.integers(-before, after + 1, rng.integers(1, 3))
        terms.append(" * ".join([f"{rng.uniform(-0.4, 0.4):.2f}", *(f"u[i + {o}]" for o in offsets)]))
    ends = [f"new[{k}] = 0.5 * u[{k}] * u[0]" for k in range(before)]
    ends += [f"new[n - {k}] = 0.4 * u[n - {k}] + 0.1 * u[n - 1]" for k in range(1, after + 1)]
    ends = [end for end in ends if rng.random() < 0.7]
    loop = [f"for i in range({before}, n - {after}):", f"    new[i] = {' + '.join(terms)}"]
    if rng.random() < 0.3:
        loop[1] += " + 0.1 * new[i]"
    cut = int(rng.integers(0, len(ends) + 1))
    swap = ["u, new = new, u"] if rng.random() < 0.8 else ["for i in range(n):", "    u[i] = new[i]"]
    body = [*ends[:cut], *loop, *ends[cut:], *swap]
    lines = ["import dsl", "@dsl.kernel", f"def {name}(u, new, steps):", "    n = len(u)", "    for _ in range(steps):"]
    return "\n".join([*lines, *("        " + line for line in body), ""])


@pytest.mark.parametrize("seed", range(12))
def test_random_stencils(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / f"stencil_{seed}.py"
    path.write_text(random_stencil(rng, f"stencil_{seed}"))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, path.stem).fn
    for fastmath in (False, True):
        kernel = dsl.kernel(function, fastmath=fastmath)
        for size in (7, 8, 30):
            arrays, seeds = [[rng.uniform(0.3, 0.9, size) for _ in range(2)] for _ in range(2)]
            for steps in (0, 1, 2, 5):
                expected = by_complex_steps(function, arrays, seeds, steps)
                found = gradient(kernel, arrays, seeds, steps)
                np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=path.read_text())


def reverse_of(kernel: Any) -> str:
    returned = Active if kernel.name.startswith("looked_at") else Const
    marked = [Duplicated(v.copy(), np.zeros_like(v)) for v in (U, V)]
    return kernel.ir("autodiff", Reverse, returned, *marked, Const(4)).plain


@pytest.mark.parametrize(("kernel", "left_out"), KERNELS, ids=[k.name for k, _ in KERNELS])
def test_what_is_left_out(kernel: Any, left_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Emptied] = []
    settle = Emptied.settle
    monkeypatch.setattr(Emptied, "settle", lambda emptied: (found.append(emptied), settle(emptied)))
    reverse_of(kernel)
    assert bool(found) == left_out


def test_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the loop no cell of the shadow that is added to is loaded, and one is stored; of the other none is."""
    patterns = """
    : @derivative(
    : %[[TAKEN:.*]] = arith.select {{.*}}, %arg3, %arg1 :
    : %[[GIVEN:.*]] = arith.select {{.*}}, %arg1, %arg3 :
    : scf.for {{.*}} iter_args
    -NOT: memref.store
    : memref.load %[[TAKEN]][
    -NOT: memref.load %[[GIVEN]][
    -NOT: memref.store %cst
    : memref.store {{.*}}, %[[GIVEN]][
    -NOT: memref.store
    : scf.yield
    : return
    """
    filecheck(reverse_of(ends_first), patterns, tmp_path, monkeypatch)

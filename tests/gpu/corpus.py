"""Grid kernels with arguments, launch shape and a NumPy oracle: what every backend and every derivative is held to.

`CASES` maps a name to a `Case`. Its `arguments()` are made anew each time, always the same numbers;
`oracle(*arguments)` does to them in NumPy what the launch does. `active` names the arguments by which the case can be
differentiated (float arrays, and float scalars), `written` those that the kernel writes. All are small enough for a
simulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

import dsl


@dataclass(frozen=True)
class Case:
    """One kernel over one grid."""

    name: str
    kernel: dsl.Kernel
    blocks: Any
    threads: Any
    make: Callable[[np.random.Generator], tuple[Any, ...]]
    oracle: Callable[..., None]
    active: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    rtol: float = 1e-12
    kind: str = "other"  # "elementwise" and "stencil" kernels must not spill
    tags: frozenset[str] = field(default_factory=frozenset)

    def arguments(self) -> tuple[Any, ...]:
        return self.make(np.random.default_rng(sum(map(ord, self.name))))

    @property
    def grid(self) -> Any:
        return self.kernel[self.blocks, self.threads]


CASES: dict[str, Case] = {}


def case(
    blocks: Any,
    threads: Any,
    make: Any,
    oracle: Any,
    active: str = "",
    written: str = "",
    name: str = "",
    tags: str = "",
    **more: Any,
) -> Callable[[Any], Any]:
    """Register a kernel; the same one may stand for several cases."""

    def register(kernel: Any) -> Any:
        title = name or kernel.name
        assert title not in CASES, title
        found = (tuple(active.split()), tuple(written.split()))
        assert set(found[0] + found[1]) <= set(kernel.params), title
        CASES[title] = Case(title, kernel, blocks, threads, make, oracle, *found, tags=frozenset(tags.split()), **more)
        return kernel

    return register


F32, F64 = np.float32, np.float64


def normal(*shapes: Any, dtype: Any = F64) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    """Arrays of normal numbers; what is no shape (a tuple or an int) but an array or a float is passed as it is."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple(rng.standard_normal(s).astype(dtype) if isinstance(s, (int, tuple)) else s for s in shapes)

    return make


# --- elementwise


def _saxpy(a, x, y):
    y += a * x


@case(3, 32, lambda r: (1.5, r.standard_normal(70), r.standard_normal(70)), _saxpy, "a x y", "y", kind="elementwise")
@dsl.kernel
def saxpy(a, x, y):
    i = dsl.grid(1)
    if i < len(x):
        y[i] += a * x[i]


case(
    3, 32, lambda r: (F32(1.5), r.standard_normal(70).astype(F32), r.standard_normal(70).astype(F32)), _saxpy,
    "a x y", "y", name="saxpy_f32", kind="elementwise", rtol=1e-6,
)(saxpy)  # fmt: skip


def _mul_kernel(A, B, C):
    C[:] = A * B


@case(1, 32, normal(32, 32, 32), _mul_kernel, "A B C", "C", kind="elementwise")
@dsl.kernel
def mul_kernel(A, B, C):
    i = dsl.thread_idx.x
    C[i] = A[i] * B[i]


def _squares(A):
    A *= A


@case(1, 5, normal(5), _squares, "A", "A", kind="elementwise")
@dsl.kernel
def square_in_place(A):
    i = dsl.thread_idx.x
    A[i] *= A[i]


def _transcendental(x, y):
    y[:] = np.sin(x) * np.exp(-x * x) + np.sqrt(1 + x * x) * np.tanh(x) + np.log1p(np.abs(x)) + np.arctan2(x, 2.0)


@case(2, 32, normal(50, 50), _transcendental, "x y", "y", kind="elementwise")
@dsl.kernel
def transcendental(x, y):
    i = dsl.grid(1)
    if i < len(x):
        v = x[i]
        y[i] = np.sin(v) * np.exp(-v * v) + np.sqrt(1 + v * v) * np.tanh(v) + np.log1p(abs(v)) + math.atan2(v, 2.0)


case(
    2, 32, normal(50, 50, dtype=F32), _transcendental, "x y", "y",
    name="transcendental_f32", kind="elementwise", rtol=3e-6,
)(transcendental)  # fmt: skip


def _branches(x, y):
    y[:] = np.where(x > 0.5, x * x, np.where(x < -0.5, np.exp(np.minimum(x, 0)), 3 * x))


@case(2, 32, normal(60, 60), _branches, "x y", "y", kind="elementwise")
@dsl.kernel
def branches(x, y):
    i = dsl.grid(1)
    if i >= len(x):
        return
    if x[i] > 0.5:
        y[i] = x[i] ** 2
    elif x[i] < -0.5:
        y[i] = np.exp(x[i])
    else:
        y[i] = 3 * x[i]


def _strided(x, y):
    y += x * np.cos(y)


@case(2, 16, normal(100, 100), _strided, "x y", "y", kind="elementwise")
@dsl.kernel
def grid_stride(x, y):
    for i in range(dsl.grid(1), len(x), dsl.gridsize(1)):
        y[i] += x[i] * np.cos(y[i])


def _half(x, y):
    y[:] = (x.astype(F32) * x.astype(F32) + F32(1)).astype(y.dtype)


@case(1, 32, normal(32, 32, dtype=np.float16), _half, "x y", "y", kind="elementwise", rtol=2e-3)
@dsl.kernel
def half_storage(x, y):
    i = dsl.grid(1)
    v = dsl.float32(x[i])
    y[i] = v * v + dsl.float32(1)


case(
    1, 32, normal(32, 32, dtype=ml_dtypes.bfloat16), _half, "x y", "y",
    name="bfloat16_storage", kind="elementwise", rtol=2e-2,
)(half_storage)  # fmt: skip


def _integers(a, b, c):
    c[:] = (a * 7 + b // 3) % 11 - (a & b) + (a ^ 5) * (b >> 1)


@case(1, 64, lambda r: (r.integers(-90, 90, 64), r.integers(-90, 90, 64), np.zeros(64, np.int64)), _integers, "", "c")
@dsl.kernel
def integers(a, b, c):
    i = dsl.grid(1)
    c[i] = (a[i] * 7 + b[i] // 3) % 11 - (a[i] & b[i]) + (a[i] ^ 5) * (b[i] >> 1)


case(
    1, 64, lambda r: tuple(r.integers(-90, 90, 64).astype(np.int32) for _ in range(3)), _integers, "", "c",
    name="integers_i32",
)(integers)  # fmt: skip


# --- stencils


def _heat(u, v):
    v[1:-1] = u[1:-1] + 0.25 * (u[:-2] - 2 * u[1:-1] + u[2:])


@case(3, 32, normal(80, 80), _heat, "u v", "v", kind="stencil")
@dsl.kernel
def heat_1d(u, v):
    i = dsl.grid(1)
    if 0 < i < len(u) - 1:
        v[i] = u[i] + 0.25 * (u[i - 1] - 2 * u[i] + u[i + 1])


TILE = 32


@case(
    2, TILE, lambda r: (r.standard_normal(66), np.zeros(66)), _heat, "u v", "v", name="heat_1d_shared", kind="stencil"
)
@dsl.kernel
def heat_1d_shared(u, v):
    tile = dsl.shared_array(TILE + 2, dsl.float64)
    t = dsl.thread_idx.x
    i = dsl.grid(1) + 1
    tile[t + 1] = u[i]
    if t == 0:
        tile[0] = u[i - 1]
    if t == TILE - 1:
        tile[TILE + 1] = u[i + 1]
    dsl.syncthreads()
    v[i] = tile[t + 1] + 0.25 * (tile[t] - 2 * tile[t + 1] + tile[t + 2])


def _laplace(u, v):
    v[1:-1, 1:-1] = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4 * u[1:-1, 1:-1]


@case((2, 3), (8, 4), normal((11, 14), (11, 14)), _laplace, "u v", "v", kind="stencil")
@dsl.kernel
def laplace_2d(u, v):
    x, y = dsl.grid(2)
    rows, columns = u.shape
    if 0 < x < columns - 1 and 0 < y < rows - 1:
        v[y, x] = u[y - 1, x] + u[y + 1, x] + u[y, x - 1] + u[y, x + 1] - 4 * u[y, x]


@case((2, 3), (8, 4), lambda r: (r.standard_normal((14, 18)), np.zeros((14, 18))), _laplace, "u v", "v", kind="stencil")
@dsl.kernel
def laplace_2d_shared(u, v):
    tile = dsl.shared_array((6, 10), dsl.float64)
    tx, ty = dsl.thread_idx.x, dsl.thread_idx.y
    x, y = dsl.grid(2)
    x += 1
    y += 1
    tile[ty + 1, tx + 1] = u[y, x]
    if tx == 0:
        tile[ty + 1, 0] = u[y, x - 1]
    if tx == 7:
        tile[ty + 1, 9] = u[y, x + 1]
    if ty == 0:
        tile[0, tx + 1] = u[y - 1, x]
    if ty == 3:
        tile[5, tx + 1] = u[y + 1, x]
    dsl.syncthreads()
    v[y, x] = (
        tile[ty, tx + 1] + tile[ty + 2, tx + 1] + tile[ty + 1, tx] + tile[ty + 1, tx + 2] - 4 * tile[ty + 1, tx + 1]
    )


def _diffusion(u, v, c):
    v[1:-1, 1:-1, 1:-1] = u[1:-1, 1:-1, 1:-1] + c * (
        u[:-2, 1:-1, 1:-1] + u[2:, 1:-1, 1:-1] + u[1:-1, :-2, 1:-1] + u[1:-1, 2:, 1:-1]
        + u[1:-1, 1:-1, :-2] + u[1:-1, 1:-1, 2:] - 6 * u[1:-1, 1:-1, 1:-1]
    )  # fmt: skip


@case((2, 2, 2), (4, 4, 2), normal((4, 6, 7), (4, 6, 7), 0.1), _diffusion, "u v c", "v", kind="stencil")
@dsl.kernel
def diffusion_3d(u, v, c):
    x, y, z = dsl.grid(3)
    if 0 < x < u.shape[2] - 1 and 0 < y < u.shape[1] - 1 and 0 < z < u.shape[0] - 1:
        around = u[z - 1, y, x] + u[z + 1, y, x] + u[z, y - 1, x] + u[z, y + 1, x] + u[z, y, x - 1] + u[z, y, x + 1]
        v[z, y, x] = u[z, y, x] + c * (around - 6 * u[z, y, x])


# --- reductions, scans, histograms


def _total(x, out):
    out[0] += x.sum()


@case(2, 64, normal(128, 1), _total, "x out", "out")
@dsl.kernel
def sum_shared(x, out):
    s = dsl.shared_array(64, dsl.float64)
    t = dsl.thread_idx.x
    s[t] = x[dsl.grid(1)]
    dsl.syncthreads()
    n = 32
    while n > 0:
        if t < n:
            s[t] += s[t + n]
        dsl.syncthreads()
        n //= 2
    if t == 0:
        dsl.atomic_add(out, 0, s[0])


@case(2, 64, normal(100, 1), _total, "x out", "out")
@dsl.kernel
def sum_shuffle(x, out):
    i = dsl.grid(1)
    v = x[i] if i < len(x) else 0.0
    for step in (16, 8, 4, 2, 1):
        v += dsl.shfl_down(v, step)
    if dsl.lane_id() == 0:
        dsl.atomic_add(out, 0, v)


@case(2, 32, normal(50, 1), _total, "x out", "out")
@dsl.kernel
def sum_atomic(x, out):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(out, 0, x[i])


def _extrema(x, out):
    out[0], out[1] = max(out[0], x.max()), min(out[1], x.min())


@case(2, 32, normal(50, 2), _extrema, "x out", "out")
@dsl.kernel
def extrema(x, out):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_max(out, 0, x[i])
        dsl.atomic_min(out, 1, x[i])


def _scan(x, y):
    y[:] = np.cumsum(x)


@case(1, 32, normal(32, 32), _scan, "x y", "y")
@dsl.kernel
def scan(x, y):
    s = dsl.shared_array((2, 32), dsl.float64)
    t = dsl.thread_idx.x
    s[0, t] = x[t]
    dsl.syncthreads()
    now, step = 0, 1
    while step < 32:
        v = s[now, t]
        if t >= step:
            v += s[now, t - step]
        now = 1 - now
        s[now, t] = v
        dsl.syncthreads()
        step *= 2
    y[t] = s[now, t]


def _histogram(x, bins):
    for v in x:
        bins[v] += 1


@case(2, 32, lambda r: (r.integers(0, 7, 60), np.zeros(7, np.int64)), _histogram, "", "bins")
@dsl.kernel
def histogram(x, bins):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(bins, x[i], 1)


def _weighted(x, w, bins):
    np.add.at(bins, x, w * w)


@case(2, 32, lambda r: (r.integers(0, 7, 60), r.standard_normal(60), np.zeros(7)), _weighted, "w bins", "bins")
@dsl.kernel
def weighted_histogram(x, w, bins):
    i = dsl.grid(1)
    if i < len(x):
        dsl.atomic_add(bins, x[i], w[i] * w[i])


# --- linear algebra


def _matmul(A, B, C):
    C[:] = A @ B


@case((2, 2), (8, 8), normal((16, 24), (24, 16), (16, 16)), _matmul, "A B C", "C")
@dsl.kernel
def matmul_tiled(A, B, C):
    a = dsl.shared_array((8, 8), dsl.float64)
    b = dsl.shared_array((8, 8), dsl.float64)
    tx, ty = dsl.thread_idx.x, dsl.thread_idx.y
    column, row = dsl.grid(2)
    s = 0.0
    for k in range(A.shape[1] // 8):
        a[ty, tx] = A[row, 8 * k + tx]
        b[ty, tx] = B[8 * k + ty, column]
        dsl.syncthreads()
        for m in range(8):
            s += a[ty, m] * b[m, tx]
        dsl.syncthreads()
    C[row, column] = s


def _spmv(starts, columns, values, x, y):
    for i in range(len(y)):
        part = slice(starts[i], starts[i + 1])
        y[i] = values[part] @ x[columns[part]]


def _csr(r):
    counts = r.integers(0, 6, 20)
    starts = np.concatenate([[0], np.cumsum(counts)])
    n = int(starts[-1])
    return starts, r.integers(0, 15, n), r.standard_normal(n), r.standard_normal(15), np.zeros(20)


@case(1, 32, _csr, _spmv, "values x y", "y")
@dsl.kernel
def spmv_csr(starts, columns, values, x, y):
    i = dsl.grid(1)
    if i < len(y):
        s = 0.0
        for k in range(starts[i], starts[i + 1]):
            s += values[k] * x[columns[k]]
        y[i] = s

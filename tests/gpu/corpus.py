"""Grid kernels with arguments, launch shape and a NumPy oracle: what every backend and every derivative is held to.

`CASES` maps a name to a `Case`. Its `arguments()` are made anew each time, always the same numbers;
`oracle(*arguments)` does to them in NumPy what the launch does. `active` names the arguments by which the case can be
differentiated (float arrays, and float scalars), `written` those that the kernel writes. All are small enough for a
simulator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

import dsl

from . import tutorials, workloads  # noqa: F401
from .cases import CASES, F32, Case, case, normal

__all__ = ["CASES", "Case"]

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


def _transpose(A, B):
    B[:] = A.T


@case((2, 2), (8, 8), normal((16, 16), (16, 16)), _transpose, "A B", "B")
@dsl.kernel
def transpose_shared(A, B):
    tile = dsl.shared_array((8, 9), dsl.float64)  # one column more: no bank conflicts
    tx, ty = dsl.thread_idx.x, dsl.thread_idx.y
    x, y = dsl.grid(2)
    tile[ty, tx] = A[y, x]
    dsl.syncthreads()
    B[8 * dsl.block_idx.x + ty, 8 * dsl.block_idx.y + tx] = tile[tx, ty]


def _solves(A, b, x):
    x[:] = np.linalg.solve(A, b[..., None])[..., 0]


def _systems(r):
    return r.standard_normal((20, 3, 3)) + 4 * np.eye(3), r.standard_normal((20, 3)), np.zeros((20, 3))


@case(1, 32, _systems, _solves, "A b x", "x", rtol=1e-11)
@dsl.kernel
def batched_solves(A, b, x):
    i = dsl.grid(1)
    if i >= A.shape[0]:
        return
    m = dsl.local_array((3, 4), dsl.float64)
    for r in range(3):
        for c in range(3):
            m[r, c] = A[i, r, c]
        m[r, 3] = b[i, r]
    for p in range(3):
        for r in range(p + 1, 3):
            f = m[r, p] / m[p, p]
            for c in range(p, 4):
                m[r, c] -= f * m[p, c]
    for r in range(2, -1, -1):
        s = m[r, 3]
        for c in range(r + 1, 3):
            s -= m[r, c] * x[i, c]
        x[i, r] = s / m[r, r]


# --- particles and rays


def _nbody(p, a):
    d = p[None] - p[:, None]
    a[:] = (d / ((d**2).sum(-1) + 0.01)[..., None] ** 1.5).sum(1)


@case(1, 24, normal((24, 3), (24, 3)), _nbody, "p a", "a", rtol=1e-11)
@dsl.kernel
def nbody(p, a):
    i = dsl.grid(1)
    ax, ay, az = 0.0, 0.0, 0.0
    for j in range(p.shape[0]):
        dx, dy, dz = p[j, 0] - p[i, 0], p[j, 1] - p[i, 1], p[j, 2] - p[i, 2]
        r2 = dx * dx + dy * dy + dz * dz + 0.01
        w = 1.0 / (r2 * np.sqrt(r2))
        ax += w * dx
        ay += w * dy
        az += w * dz
    a[i, 0], a[i, 1], a[i, 2] = ax, ay, az


@case(2, 16, normal((32, 3), (32, 3)), _nbody, "p a", "a", rtol=1e-11)
@dsl.kernel
def nbody_tiled(p, a):
    tile = dsl.shared_array((16, 3), dsl.float64)
    t = dsl.thread_idx.x
    i = dsl.grid(1)
    s = dsl.zeros(3)
    for k in range(p.shape[0] // 16):
        for c in range(3):
            tile[t, c] = p[16 * k + t, c]
        dsl.syncthreads()
        for j in range(16):
            r2 = 0.01
            for c in range(3):
                r2 += (tile[j, c] - p[i, c]) ** 2
            for c in range(3):
                s[c] += (tile[j, c] - p[i, c]) / (r2 * np.sqrt(r2))
        dsl.syncthreads()
    for c in range(3):
        a[i, c] = s[c]


def _rays(d, c, radius, t):
    b = d @ c
    q = b * b - (c @ c - radius**2)
    t[:] = np.where(q > 0, b - np.sqrt(np.maximum(q, 0)), -1.0)


def _directions(r):
    """Rays that hit or miss clearly: near the rim the derivative is without bound."""
    c, radius = np.array([0.1, -0.2, 4.0]), 1.3
    d = r.standard_normal((400, 3)) * 0.4 + [0, 0, 1]
    d /= np.linalg.norm(d, axis=1)[:, None]
    clear = abs((d @ c) ** 2 - (c @ c - radius**2)) > 0.5
    return d[clear][:40], c, radius, np.zeros(40)


@case(2, 32, _directions, _rays, "d c radius t", "t", rtol=1e-11)
@dsl.kernel
def ray_sphere(d, c, radius, t):
    i = dsl.grid(1)
    if i >= len(t):
        return
    b, cc = 0.0, 0.0
    for k in range(3):
        b += d[i, k] * c[k]
        cc += c[k] * c[k]
    q = b * b - (cc - radius * radius)
    t[i] = b - np.sqrt(q) if q > 0 else -1.0


def _density(x, starts, neighbours, h, rho):
    for i in range(len(x)):
        for j in neighbours[starts[i] : starts[i + 1]]:
            r = abs(x[i] - x[j]) / h
            if r < 1:
                rho[i] += (1 - r * r) ** 3


def _cloud(r):
    """Neighbours in lists of some more than are in reach; none near the reach itself."""
    x = 0.1 * np.arange(30) + 0.01 * r.uniform(-1, 1, 30)
    lists = [np.flatnonzero(abs(x - v) < 0.45) for v in x]
    starts = np.concatenate([[0], np.cumsum([len(n) for n in lists])])
    return x, starts, np.concatenate(lists), 0.35, np.zeros(30)


@case(1, 32, _cloud, _density, "x h rho", "rho")
@dsl.kernel
def sph_density(x, starts, neighbours, h, rho):
    i = dsl.grid(1)
    if i >= len(x):
        return
    k = starts[i]
    s = 0.0
    while k < starts[i + 1]:
        r = abs(x[i] - x[neighbours[k]]) / h
        k += 1
        if r >= 1:
            continue
        s += (1 - r * r) ** 3
    rho[i] += s


EX, EY = (0, 1, 0, -1, 0, 1, -1, -1, 1), (0, 0, 1, 0, -1, 1, 1, -1, -1)
WEIGHTS = (4 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 36, 1 / 36, 1 / 36, 1 / 36)


def _lbm(f, g, omega):
    ex, ey, w = np.array(EX), np.array(EY), np.array(WEIGHTS)
    rho = f.sum(0)
    ux, uy = (np.tensordot(e, f, 1) / rho for e in (ex, ey))
    for q in range(9):
        eu = ex[q] * ux + ey[q] * uy
        equilibrium = w[q] * rho * (1 + 3 * eu + 4.5 * eu**2 - 1.5 * (ux**2 + uy**2))
        out = f[q] + omega * (equilibrium - f[q])
        g[q] = np.roll(out, (ey[q], ex[q]), (0, 1))


@case(
    (2, 2), (4, 3), lambda r: (1 + 0.1 * r.standard_normal((9, 6, 8)), np.zeros((9, 6, 8)), 1.2), _lbm, "f g omega", "g"
)
@dsl.kernel
def lbm_step(f, g, omega):
    x, y = dsl.grid(2)
    rows, columns = f.shape[1], f.shape[2]
    if x >= columns or y >= rows:
        return
    rho, ux, uy = 0.0, 0.0, 0.0
    for q, ex, ey in zip((0, 1, 2, 3, 4, 5, 6, 7, 8), EX, EY):
        rho += f[q, y, x]
        ux += ex * f[q, y, x]
        uy += ey * f[q, y, x]
    ux /= rho
    uy /= rho
    for q, ex, ey, w in zip((0, 1, 2, 3, 4, 5, 6, 7, 8), EX, EY, WEIGHTS):
        eu = ex * ux + ey * uy
        equilibrium = w * rho * (1 + 3 * eu + 4.5 * eu * eu - 1.5 * (ux * ux + uy * uy))
        to_x, to_y = (x + ex + columns) % columns, (y + ey + rows) % rows
        g[q, to_y, to_x] = f[q, y, x] + omega * (equilibrium - f[q, y, x])


# --- networks


def _softmax(x, y):
    e = np.exp(x - x.max(1, keepdims=True))
    y[:] = e / e.sum(1, keepdims=True)


@case(3, 32, normal((3, 50), (3, 50)), _softmax, "x y", "y")
@dsl.kernel
def softmax(x, y):
    row, t = dsl.block_idx.x, dsl.thread_idx.x
    s = dsl.shared_array(32, dsl.float64)
    m = -1e300
    for c in range(t, x.shape[1], 32):
        m = max(m, x[row, c])
    s[t] = m
    dsl.syncthreads()
    for k in range(32):
        m = max(m, s[k])
    dsl.syncthreads()
    total = 0.0
    for c in range(t, x.shape[1], 32):
        total += np.exp(x[row, c] - m)
    s[t] = total
    dsl.syncthreads()
    total = 0.0
    for k in range(32):
        total += s[k]
    for c in range(t, x.shape[1], 32):
        y[row, c] = np.exp(x[row, c] - m) / total


def _layer_norm(x, gain, bias, y):
    mean, var = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    y[:] = (x - mean) / np.sqrt(var + 1e-5) * gain + bias


@case(2, 64, normal((4, 32), 32, 32, (4, 32)), _layer_norm, "x gain bias y", "y", rtol=1e-11)
@dsl.kernel
def layer_norm(x, gain, bias, y):
    i = dsl.grid(1)
    row, lane = i // 32, dsl.lane_id()
    v = x[row, lane]
    total, squares = v, v * v
    for step in (16, 8, 4, 2, 1):
        total += dsl.shfl_xor(total, step)
        squares += dsl.shfl_xor(squares, step)
    mean = total / 32
    y[row, lane] = (v - mean) / np.sqrt(squares / 32 - mean * mean + 1e-5) * gain[lane] + bias[lane]


def _attention(Q, K, V, out):
    s = Q @ K.T / np.sqrt(Q.shape[1])
    p = np.exp(s - s.max(1, keepdims=True))
    out[:] = p / p.sum(1, keepdims=True) @ V


@case(1, 12, normal((12, 4), (10, 4), (10, 4), (12, 4)), _attention, "Q K V out", "out", rtol=1e-11)
@dsl.kernel
def attention(Q, K, V, out):
    """One head, the sum over keys with a running maximum."""
    i = dsl.grid(1)
    acc = dsl.zeros(4)
    m, total = -1e300, 0.0
    for j in range(K.shape[0]):
        s = 0.0
        for c in range(4):
            s += Q[i, c] * K[j, c]
        s /= np.sqrt(4.0)
        new = max(m, s)
        scale, p = np.exp(m - new), np.exp(s - new)
        total = total * scale + p
        for c in range(4):
            acc[c] = acc[c] * scale + p * V[j, c]
        m = new
    for c in range(4):
        out[i, c] = acc[c] / total


# --- sequences


def _fft(re, im):
    z = np.fft.fft(re + 1j * im)
    re[:], im[:] = z.real, z.imag


@case(1, 16, normal(32, 32), _fft, "re im", "re im", rtol=1e-11)
@dsl.kernel
def fft_shared(re, im):
    """Radix 2 by decimation in time, 32 points and 16 threads."""
    a = dsl.shared_array((2, 32), dsl.float64)
    t = dsl.thread_idx.x
    for half in (0, 16):
        k = t + half
        r = ((k & 1) << 4) | ((k & 2) << 2) | (k & 4) | ((k & 8) >> 2) | ((k & 16) >> 4)
        a[0, r] = re[k]
        a[1, r] = im[k]
    dsl.syncthreads()
    span = 1
    while span < 32:
        place = t % span
        i = 2 * span * (t // span) + place
        j = i + span
        angle = -np.pi * place / span
        c, s = np.cos(angle), np.sin(angle)
        vr, vi = a[0, j] * c - a[1, j] * s, a[0, j] * s + a[1, j] * c
        ur, ui = a[0, i], a[1, i]
        a[0, i], a[1, i] = ur + vr, ui + vi
        a[0, j], a[1, j] = ur - vr, ui - vi
        dsl.syncthreads()
        span *= 2
    for half in (0, 16):
        k = t + half
        re[k] = a[0, k]
        im[k] = a[1, k]


def _newton(x, y):
    y[:] = np.cbrt(x)


@case(1, 32, lambda r: (r.uniform(0.5, 9, 32), np.zeros(32)), _newton, "x y", "y", rtol=1e-10)
@dsl.kernel
def newton(x, y):
    i = dsl.grid(1)
    v = x[i]
    z = v
    while abs(z * z * z - v) > 1e-11 * v:
        z -= (z * z * z - v) / (3 * z * z)
    y[i] = z


def _collatz(n, steps):
    for i, k in enumerate(n):
        while k != 1:
            k = k // 2 if k % 2 == 0 else 3 * k + 1
            steps[i] += 1


@case(1, 32, lambda r: (r.integers(1, 60, 32), np.zeros(32, np.int64)), _collatz, "", "steps")
@dsl.kernel
def collatz(n, steps):
    i = dsl.grid(1)
    k, count = n[i], 0
    while k != 1:
        k = k // 2 if k % 2 == 0 else 3 * k + 1
        count += 1
    steps[i] = count


def _sorted(x, y):
    y[:] = np.sort(x, axis=1)


@case(1, 16, normal((16, 6), (16, 6)), _sorted, "x y", "y")
@dsl.kernel
def sort_rows(x, y):
    i = dsl.grid(1)
    row = dsl.local_array(6, dsl.float64)
    for k in range(6):
        row[k] = x[i, k]
    for k in range(1, 6):
        v = row[k]
        j = k - 1
        while j >= 0 and row[j] > v:
            row[j + 1] = row[j]
            j -= 1
        row[j + 1] = v
    for k in range(6):
        y[i, k] = row[k]


def _polynomial(x, c, y):
    y[:] = np.polyval(c[::-1], x)


def horner(c, v):
    """A helper of a grid kernel, and a plain function."""
    s = 0.0
    for k in range(len(c) - 1, -1, -1):
        s = s * v + c[k]
    return s


@case(1, 32, normal(32, 5, 32), _polynomial, "x c y", "y", kind="elementwise")
@dsl.kernel
def polynomial(x, c, y):
    i = dsl.grid(1)
    y[i] = horner(c, x[i])


# --- structs


@dataclass
class Layer:
    weights: Any
    bias: Any
    slope: Any


def _dense(layer, x, y):
    v = layer.weights @ x + layer.bias
    y[:] = np.where(v > 0, v, layer.slope * v)


def _layer(r):
    return Layer(r.standard_normal((20, 8)), r.standard_normal(20), 0.1), r.standard_normal(8), np.zeros(20)


@case(1, 32, _layer, _dense, "layer x y", "y")
@dsl.kernel
def dense_layer(layer, x, y):
    i = dsl.grid(1)
    if i < len(y):
        s = layer.bias[i]
        for k in range(len(x)):
            s += layer.weights[i, k] * x[k]
        y[i] = s if s > 0 else layer.slope * s


# --- integers and order: what has no derivative


def _ranks(x, rank):
    rank[:] = np.argsort(np.argsort(x, kind="stable"), kind="stable")


@case(1, 64, lambda r: (r.standard_normal(64), np.zeros(64, np.int64)), _ranks, "", "rank")
@dsl.kernel
def ranks(x, rank):
    i = dsl.grid(1)
    before = 0
    for j in range(len(x)):
        if x[j] < x[i] or (x[j] == x[i] and j < i):
            before += 1
    rank[i] = before


def _positive(x, lanes, counts):
    for w in range(len(counts)):
        part = x[32 * w : 32 * w + 32] > 0
        counts[w] = part.sum()
        lanes[w] = [part.any(), part.all()]


@case(
    1,
    64,
    lambda r: (r.standard_normal(64), np.zeros((2, 2), np.int64), np.zeros(2, np.int64)),
    _positive,
    "",
    "lanes counts",
)
@dsl.kernel
def votes(x, lanes, counts):
    i = dsl.grid(1)
    mask = dsl.ballot(x[i] > 0)
    some, every = dsl.vote_any(x[i] > 0), dsl.vote_all(x[i] > 0)
    if dsl.lane_id() == 0:
        n = 0
        while mask != 0:
            mask = mask & (mask - np.uint32(1))
            n += 1
        counts[i // 32] = n
        lanes[i // 32, 0] = some
        lanes[i // 32, 1] = every


def _claimed(keys, owner):
    for k in np.unique(keys):
        owner[k] = 1


@case(1, 32, lambda r: (r.integers(0, 9, 32), np.zeros(9, np.int64)), _claimed, "", "owner")
@dsl.kernel
def claim(keys, owner):
    """Only one thread of those with a key finds it free, and then marks it."""
    i = dsl.grid(1)
    if dsl.atomic_cas(owner, keys[i], 0, i + 100) == 0:
        dsl.atomic_exch(owner, keys[i], 1)


def _complex(z, w):
    w[:] = np.exp(z) * z.conj() / (z + 2)


@case(
    1,
    32,
    lambda r: (r.standard_normal(32) + 1j * r.standard_normal(32), np.zeros(32, complex)),
    _complex,
    "",
    "w",
    tags="complex",
)
@dsl.kernel
def complex_numbers(z, w):
    i = dsl.grid(1)
    w[i] = np.exp(z[i]) * z[i].conjugate() / (z[i] + 2)

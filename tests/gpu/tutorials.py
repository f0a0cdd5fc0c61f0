"""Grid kernels of the sort that tutorials of GPU languages show, as more cases of the corpus."""

from __future__ import annotations

import math
from typing import NamedTuple

import ml_dtypes
import numpy as np

import dsl

from .cases import case, normal

# --- random numbers


def _prices(start, sigma, key, paths, mean):
    for p in range(len(paths)):
        s = start
        for t in range(4):
            s *= np.exp(0.5 * sigma * dsl.random.normal(key, 4 * p + t) - 0.125 * sigma * sigma)
        paths[p] = s
    mean[0] += (np.maximum(paths - 0.5, 0) ** 2).mean()


@case(
    2, 16, lambda r: (1.1, 0.3, dsl.random.seed(5), np.zeros(32), np.zeros(1)), _prices, "start sigma paths mean",
    "paths mean", rtol=1e-11,
)  # fmt: skip
@dsl.kernel
def monte_carlo(start, sigma, key, paths, mean):
    p = dsl.grid(1)
    s = start
    for t in range(4):
        s *= np.exp(0.5 * sigma * dsl.random.normal(key, 4 * p + t) - 0.125 * sigma * sigma)
    paths[p] = s
    dsl.atomic_add(mean, 0, max(s - 0.5, 0.0) ** 2 / len(paths))


# --- a stencil in three dimensions, with its halo in shared memory


def _reaction(u, v):
    c = u[1:-1, 1:-1, 1:-1]
    around = u[:-2, 1:-1, 1:-1] + u[2:, 1:-1, 1:-1] + u[1:-1, :-2, 1:-1] + u[1:-1, 2:, 1:-1]
    around += u[1:-1, 1:-1, :-2] + u[1:-1, 1:-1, 2:]
    v[1:-1, 1:-1, 1:-1] = c + 0.1 * (around - 6 * c) * c


TX, TY, TZ = 4, 4, 2


@case(
    (2, 1, 2), (TX, TY, TZ), lambda r: (r.standard_normal((6, 6, 10)), np.zeros((6, 6, 10))), _reaction, "u v", "v",
    kind="stencil",
)  # fmt: skip
@dsl.kernel
def reaction_3d_shared(u, v):
    tile = dsl.shared_array((TZ + 2, TY + 2, TX + 2), dsl.float64)
    tx, ty, tz = dsl.thread_idx.x + 1, dsl.thread_idx.y + 1, dsl.thread_idx.z + 1
    x, y, z = dsl.grid(3)
    x, y, z = x + 1, y + 1, z + 1
    tile[tz, ty, tx] = u[z, y, x]
    if tx == 1:
        tile[tz, ty, 0] = u[z, y, x - 1]
    if tx == TX:
        tile[tz, ty, TX + 1] = u[z, y, x + 1]
    if ty == 1:
        tile[tz, 0, tx] = u[z, y - 1, x]
    if ty == TY:
        tile[tz, TY + 1, tx] = u[z, y + 1, x]
    if tz == 1:
        tile[0, ty, tx] = u[z - 1, y, x]
    if tz == TZ:
        tile[TZ + 1, ty, tx] = u[z + 1, y, x]
    dsl.syncthreads()
    c = tile[tz, ty, tx]
    around = tile[tz - 1, ty, tx] + tile[tz + 1, ty, tx] + tile[tz, ty - 1, tx] + tile[tz, ty + 1, tx]
    around += tile[tz, ty, tx - 1] + tile[tz, ty, tx + 1]
    v[z, y, x] = c + 0.1 * (around - 6 * c) * c


# --- scans and sorts


def _exclusive(x, y):
    y[:] = np.cumsum(x) - x


@case(1, 16, normal(32, 32), _exclusive, "x y", "y")
@dsl.kernel
def scan_by_sweeps(x, y):
    """Up and down a tree, two elements a thread."""
    s = dsl.shared_array(32, dsl.float64)
    t = dsl.thread_idx.x
    s[2 * t], s[2 * t + 1] = x[2 * t], x[2 * t + 1]
    offset, n = 1, 16
    while n > 0:
        dsl.syncthreads()
        if t < n:
            s[offset * (2 * t + 2) - 1] += s[offset * (2 * t + 1) - 1]
        offset *= 2
        n //= 2
    if t == 0:
        s[31] = 0.0
    n = 1
    while n < 32:
        offset //= 2
        dsl.syncthreads()
        if t < n:
            a, b = offset * (2 * t + 1) - 1, offset * (2 * t + 2) - 1
            left = s[a]
            s[a] = s[b]
            s[b] += left
        n *= 2
    dsl.syncthreads()
    y[2 * t], y[2 * t + 1] = s[2 * t], s[2 * t + 1]


def _sort(x):
    x.sort()


@case(1, 32, normal(32), _sort, "x", "x")
@dsl.kernel
def bitonic_sort(x):
    s = dsl.shared_array(32, dsl.float64)
    t = dsl.thread_idx.x
    s[t] = x[t]
    dsl.syncthreads()
    k = 2
    while k <= 32:
        j = k // 2
        while j > 0:
            other = t ^ j
            if other > t and (s[t] > s[other]) == ((t & k) == 0):
                s[t], s[other] = s[other], s[t]
            dsl.syncthreads()
            j //= 2
        k *= 2
    x[t] = s[t]


def _positive(x, count, out):
    k = x[x > 0]
    count[0], out[: len(k)] = len(k), 2 * k * k


@case(1, 32, lambda r: (r.standard_normal(32), np.zeros(1, np.int64), np.zeros(32)), _positive, "x out", "out")
@dsl.kernel
def compaction(x, count, out):
    """In which order is left to chance elsewhere; in one warp, and here, threads come in the order of their numbers."""
    i = dsl.grid(1)
    if x[i] > 0:
        slot = dsl.atomic_add(count, 0, 1)
        out[slot] = 2 * x[i] * x[i]


# --- largest values in shared memory


def _cross_entropy(z, label, loss):
    m = z.max(1, keepdims=True)
    loss[:] = np.log(np.exp(z - m).sum(1)) + m[:, 0] - z[np.arange(len(z)), label]


@case(
    3, 16, lambda r: (r.standard_normal((3, 16)), r.integers(0, 16, 3), np.zeros(3)), _cross_entropy, "z loss", "loss",
    rtol=1e-11,
)  # fmt: skip
@dsl.kernel
def cross_entropy(z, label, loss):
    m, s = dsl.shared_array(1, dsl.float64), dsl.shared_array(1, dsl.float64)
    row, t = dsl.block_idx.x, dsl.thread_idx.x
    if t == 0:
        m[0], s[0] = -1e300, 0.0
    dsl.syncthreads()
    dsl.atomic_max(m, 0, z[row, t])
    dsl.syncthreads()
    dsl.atomic_add(s, 0, np.exp(z[row, t] - m[0]))
    dsl.syncthreads()
    if t == 0:
        loss[row] = np.log(s[0]) + m[0] - z[row, label[row]]


def _rounds(x, y):
    for row in x:
        y += row.max() ** 2 * row


@case(1, 16, normal((3, 16), 16), _rounds, "x y", "y")
@dsl.kernel
def maxima_of_rounds(x, y):
    """One cell is used again and again."""
    m = dsl.shared_array(1, dsl.float64)
    t = dsl.thread_idx.x
    for k in range(x.shape[0]):
        if t == 0:
            m[0] = -1e300
        dsl.syncthreads()
        dsl.atomic_max(m, 0, x[k, t])
        dsl.syncthreads()
        y[t] += m[0] * m[0] * x[k, t]
        dsl.syncthreads()


def _ranges(x, bins, y):
    for i, b in enumerate(bins):
        mine = x[bins == b]
        mine = mine[mine > -1.0]
        y[i] = x[i] * mine.max() + mine.min() ** 2 if x[i] > -1.0 else 0.0


@case(1, 32, lambda r: (r.standard_normal(32), r.integers(0, 4, 32), np.zeros(32)), _ranges, "x y", "y")
@dsl.kernel
def ranges_of_bins(x, bins, y):
    high, low = dsl.shared_array(4, dsl.float64), dsl.shared_array(4, dsl.float64)
    t = dsl.thread_idx.x
    if t < 4:
        high[t], low[t] = -1e300, 1e300
    dsl.syncthreads()
    if x[t] > -1.0:
        dsl.atomic_max(high, bins[t], x[t])
        dsl.atomic_min(low, bins[t], x[t])
    dsl.syncthreads()
    y[t] = x[t] * high[bins[t]] + low[bins[t]] ** 2 if x[t] > -1.0 else 0.0


def _span(x, y):
    y[:] = x.max() * x.min()


@case(1, 8, normal(40, 8), _span, "x y", "y")
@dsl.kernel
def span_by_loops(x, y):
    """Each thread may raise the value several times before the others see it."""
    s = dsl.shared_array(2, dsl.float64)
    t = dsl.thread_idx.x
    if t == 0:
        s[0], s[1] = -1e300, 1e300
    dsl.syncthreads()
    for k in range(t, len(x), 8):
        dsl.atomic_max(s, 0, x[k])
        dsl.atomic_min(s, 1, x[k])
    dsl.syncthreads()
    y[t] = s[0] * s[1]


# --- particles, meshes


class World(NamedTuple):
    gravity: float
    bounce: float


def _fall(x, v, world, dt, n):
    for _ in range(n):
        v += dt * world.gravity
        x += dt * v
        below = x < 0
        x[below], v[below] = -x[below], -world.bounce * v[below]


def _balls(r):
    """Balls that at no step are near the ground, where they could bounce a step sooner or later."""
    x, v, world = r.uniform(0.5, 2, 200), r.standard_normal(200), World(-9.8, 0.7)
    near = np.full(200, np.inf)
    at, speed = x.copy(), v.copy()
    for _ in range(8):
        near = np.minimum(near, abs(at + 0.1 * (speed + 0.1 * world.gravity)))
        _fall(at, speed, world, 0.1, 1)
    clear = near > 0.15
    return x[clear][:20], v[clear][:20], world, 0.1, 8


@case(1, 32, _balls, _fall, "x v world dt", "x v", rtol=1e-11)
@dsl.kernel
def falling(x, v, world, dt, n):
    i = dsl.grid(1)
    if i < len(x):
        for _ in range(n):
            v[i] += dt * world.gravity
            x[i] += dt * v[i]
            if x[i] < 0:
                x[i] = -x[i]
                v[i] = -world.bounce * v[i]


def _springs(p, a, b, rest, stiffness, force):
    d = p[b] - p[a]
    n = np.sqrt((d * d).sum(1))
    f = (stiffness * (n - rest) / n)[:, None] * d
    np.add.at(force, a, f)
    np.add.at(force, b, -f)


def _mesh(r):
    a, b = np.array([(i, j) for i in range(8) for j in range(i + 1, 8) if (i + j) % 3 == 0]).T.copy()
    return r.standard_normal((8, 3)), a, b, r.uniform(0.5, 2, len(a)), 2.5, np.zeros((8, 3))


@case(1, 32, _mesh, _springs, "p rest stiffness force", "force", rtol=1e-11)
@dsl.kernel
def springs(p, a, b, rest, stiffness, force):
    e = dsl.grid(1)
    if e < len(a):
        i, j = a[e], b[e]
        d = dsl.local_array(3, dsl.float64)
        n = 0.0
        for c in range(3):
            d[c] = p[j, c] - p[i, c]
            n += d[c] ** 2
        n = math.sqrt(n)
        f = stiffness * (n - rest[e]) / n
        for c in range(3):
            dsl.atomic_add(force, (i, c), f * d[c])
            dsl.atomic_add(force, (j, c), -f * d[c])


# --- helpers that wait, arrays that change places, views


def block_sum(v, s):
    """The sum of what all threads of the block give, to all of them."""
    t = dsl.thread_idx.x
    dsl.syncthreads()
    s[t] = v
    dsl.syncthreads()
    n = dsl.block_dim.x // 2
    while n > 0:
        if t < n:
            s[t] += s[t + n]
        dsl.syncthreads()
        n //= 2
    return s[0]


def _standard(x, y):
    x = x.reshape(2, 16)
    d = x - x.mean(1, keepdims=True)
    y[:] = (d / np.sqrt((d * d).mean(1, keepdims=True) + 0.1)).ravel()


@case(2, 16, normal(32, 32), _standard, "x y", "y", rtol=1e-11)
@dsl.kernel
def block_norm(x, y):
    s = dsl.shared_array(16, dsl.float64)
    i = dsl.grid(1)
    d = x[i] - block_sum(x[i], s) / 16
    y[i] = d / np.sqrt(block_sum(d * d, s) / 16 + 0.1)


def _relax(x, n):
    for _ in range(n):
        x[1:-1] = np.sin(x[:-2] + x[2:]) * x[1:-1]


@case(1, 32, lambda r: (r.standard_normal(32), 5), _relax, "x", "x", rtol=1e-11)
@dsl.kernel
def ping_pong(x, n):
    a, b = dsl.shared_array(32, dsl.float64), dsl.shared_array(32, dsl.float64)
    t = dsl.thread_idx.x
    a[t] = x[t]
    dsl.syncthreads()
    for _ in range(n):
        b[t] = a[t] if t == 0 or t == 31 else np.sin(a[t - 1] + a[t + 1]) * a[t]
        dsl.syncthreads()
        a, b = b, a
    x[t] = a[t]


def _rows(x, y):
    y[:] = (x**2).sum(1) + x[:, 0] * x[:, 1]


@case(1, 8, normal((6, 5), 6), _rows, "x y", "y")
@dsl.kernel
def rows(x, y):
    i = dsl.grid(1)
    if i < x.shape[0]:
        row = x[i]
        y[i] = dsl.sum(row**2) + row[0] * row[1]


# --- parts of warps


def _segments(x, y):
    n, place = np.arange(32), np.arange(32) % 8
    sources = [np.where(place >= 3, n - 3, n), np.where(place < 6, n + 2, n), n - place + 3 * place % 8, n ^ 5, n]
    y[:5] = x[sources] ** 2
    y[5] = x.reshape(-1, 8).sum(1).repeat(8)


@case(1, 32, normal(32, (6, 32)), _segments, "x y", "y")
@dsl.kernel
def segments(x, y):
    t = dsl.thread_idx.x
    v = x[t]
    y[0, t] = dsl.shfl_up(v, 3, 8) ** 2
    y[1, t] = dsl.shfl_down(v, 2, width=8) ** 2
    y[2, t] = dsl.shfl_sync(v, 3 * t, 8) ** 2
    y[3, t] = dsl.shfl_xor(v, 5, 8) ** 2
    y[4, t] = dsl.shfl_xor(v, 9, 8) ** 2
    for step in (4, 2, 1):
        v += dsl.shfl_xor(v, step, 8)
    y[5, t] = v


def _warps(x, y):
    for part, out in zip(x.reshape(-1, 32), y.reshape(-1, 32)):
        a = part * np.roll(part, -1)
        out[:] = np.sin(a) * np.roll(a, -3)


@case(1, 64, normal(64, 64), _warps, "x y", "y")
@dsl.kernel
def within_warps(x, y):
    """Each warp has a part of the shared memory, and waits for its own lanes only."""
    s = dsl.shared_array(64, dsl.float64)
    t, lane = dsl.thread_idx.x, dsl.lane_id()
    s[t] = x[t]
    dsl.syncwarp()
    a = s[t] * s[t - lane + (lane + 1) % 32]
    dsl.syncwarp()
    s[t] = a
    dsl.syncwarp()
    y[t] = np.sin(a) * s[t - lane + (lane + 3) % 32]


# --- what atomics find


def _found(x, last, total, y):
    y[:] = last**2 + total[0] ** 3
    last[:] = np.sin(x)
    total[0] += x * x


@case(2, 16, normal(32, 32, (2, 32), 32), _found, "x last total y", "last total y")
@dsl.kernel
def found_in_own_cells(x, last, total, y):
    """No other thread is at a cell, so what an update finds there is no matter of chance."""
    i = dsl.grid(1)
    before = dsl.atomic_exch(last, i, np.sin(x[i]))
    sofar = dsl.atomic_add(total[0], i, x[i] * x[i])
    y[i] = before**2 + sofar**3


def _firsts(keys, owner, x, y):
    _, first = np.unique(keys, return_index=True)
    y[:] = x
    y[first] = x[first] ** 2
    owner[keys[first]] = first + 100


@case(
    1, 32, lambda r: (r.integers(0, 9, 32), np.zeros(9, np.int64), r.standard_normal(32), np.zeros(32)), _firsts, "x y",
    "y",
)  # fmt: skip
@dsl.kernel
def firsts(keys, owner, x, y):
    """The first thread of a key, which here is that of the lowest number, does something else."""
    i = dsl.grid(1)
    if dsl.atomic_cas(owner, keys[i], 0, i + 100) == 0:
        y[i] = x[i] ** 2
    else:
        y[i] = x[i]


# --- sums in 16 bits


def _binned(x, p, out):
    wide = out.astype(np.float64)
    np.add.at(wide, p, x.astype(np.float64))
    np.add.at(wide, p % 3, x.astype(np.float64))
    out[:] = wide.astype(out.dtype)


def _quarters(dtype):
    """Numbers whose sums are exact, in an array that ends in the middle of a word."""
    return lambda r: ((r.integers(-4, 5, 64) / 4).astype(dtype), r.integers(0, 7, 64), np.zeros(7, dtype))


@case(2, 32, _quarters(np.float16), _binned, "x out", "out", rtol=1e-6)
@dsl.kernel
def binned_halves(x, p, out):
    s = dsl.shared_array(3, x.dtype)
    i, t = dsl.grid(1), dsl.thread_idx.x
    if t < 3:
        s[t] = 0.0
    dsl.syncthreads()
    dsl.atomic_add(s, p[i] % 3, x[i])
    dsl.atomic_add(out, p[i], x[i])
    dsl.syncthreads()
    if t < 3:
        dsl.atomic_add(out, t, s[t])


case(2, 32, _quarters(ml_dtypes.bfloat16), _binned, "x out", "out", rtol=1e-6, name="binned_bfloat16")(binned_halves)

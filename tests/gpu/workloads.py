"""Grid kernels as programs of other people have them: graphics, finance, mechanics, inference; more of the corpus."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

import dsl

from .cases import F32, case, normal

# --- graphics


class Scene(NamedTuple):
    x: float
    height: float
    radius: float
    blend: float


def distance(scene, x, y, z):
    """To a sphere and a floor that melt into each other."""
    ball = math.sqrt((x - scene.x) ** 2 + y * y + (z - 3.0) ** 2) - scene.radius
    floor = y + scene.height
    h = min(max(0.5 + 0.5 * (floor - ball) / scene.blend, 0.0), 1.0)
    return floor + (ball - floor) * h - scene.blend * h * (1.0 - h)


def _march(scene, rays, depth):
    for i, (dx, dy) in enumerate(rays):
        n = math.sqrt(dx * dx + dy * dy + 1)
        t = 0.0
        for _ in range(200):
            d = distance(scene, t * dx / n, t * dy / n, t / n)
            t += d
            if d < 1e-11 or t > 50:
                break
        depth[i] = t if t < 50 else 0.0


@case(
    1, 32, lambda r: (Scene(0.1, 0.8, 0.7, 0.3), r.uniform([-0.15, -0.6], [0.15, 0.1], (24, 2)), np.zeros(24)), _march,
    "scene rays depth", "depth", rtol=1e-9,
)  # fmt: skip
@dsl.kernel
def sphere_tracing(scene, rays, depth):
    i = dsl.grid(1)
    if i >= len(depth):
        return
    n = math.sqrt(rays[i, 0] ** 2 + rays[i, 1] ** 2 + 1)
    t, steps = 0.0, 0
    while steps < 200:
        d = distance(scene, t * rays[i, 0] / n, t * rays[i, 1] / n, t / n)
        t += d
        if d < 1e-11 or t > 50:
            break
        steps += 1
    depth[i] = t if t < 50 else 0.0


def _escape(corner, zoom, image):
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            cx, cy, zx, zy, k = corner[0] + zoom * x, corner[1] + zoom * y, 0.0, 0.0, 0
            while k < 30:
                zx, zy = zx * zx - zy * zy + cx, 2 * zx * zy + cy
                if zx * zx + zy * zy > 1e12:
                    break
                k += 1
            image[y, x] = k + 1 - math.log2(0.5 * math.log(zx * zx + zy * zy)) if k < 30 else 0.0


@case((2, 2), (8, 4), lambda r: (np.array([0.52, 0.41]), 0.131, np.zeros((7, 11))), _escape, "corner zoom image",
      "image", rtol=1e-9)  # fmt: skip
@dsl.kernel
def mandelbrot(corner, zoom, image):
    x, y = dsl.grid(2)
    if y < image.shape[0] and x < image.shape[1]:
        cx, cy = corner[0] + zoom * x, corner[1] + zoom * y
        zx, zy = 0.0, 0.0
        for k in range(30):
            zx, zy = zx * zx - zy * zy + cx, 2 * zx * zy + cy
            r = zx * zx + zy * zy
            if r > 1e12:
                image[y, x] = k + 1 - math.log2(0.5 * math.log(r))
                break
        else:
            image[y, x] = 0.0


def _bilateral(image, out, space, tone):
    rows, columns = image.shape
    for y in range(rows):
        for x in range(columns):
            ys, xs = np.ogrid[max(y - 1, 0) : min(y + 2, rows), max(x - 1, 0) : min(x + 2, columns)]
            v = image[ys, xs]
            w = np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / (2 * space**2) - (v - image[y, x]) ** 2 / (2 * tone**2))
            out[y, x] = (w * v).sum() / w.sum()


@case((2, 2), (4, 4), normal((6, 7), (6, 7), 1.3, 0.9), _bilateral, "image out space tone", "out")
@dsl.kernel
def bilateral_filter(image, out, space, tone):
    x, y = dsl.grid(2)
    rows, columns = image.shape
    if x >= columns or y >= rows:
        return
    total = weight = 0.0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if not (0 <= y + dy < rows and 0 <= x + dx < columns):
                continue
            v = image[y + dy, x + dx]
            w = math.exp(-(dx * dx + dy * dy) / (2 * space**2) - (v - image[y, x]) ** 2 / (2 * tone**2))
            total += w * v
            weight += w
    out[y, x] = total / weight


REACH, WIDE = 2, 16


def _convolved(x, taps, y):
    padded = np.pad(x, ((0, 0), (REACH, REACH)), mode="edge")
    y[:] = sum(taps[k] * padded[:, k : k + x.shape[1]] for k in range(2 * REACH + 1))


@case((2, 3), (WIDE, 2), normal((5, 29), 2 * REACH + 1, (5, 29)), _convolved, "x taps y", "y", kind="stencil")
@dsl.kernel
def convolve_rows(x, taps, y):
    """One pass of a separable convolution: a tile of each row with its borders, which repeat at the ends."""
    tile = dsl.shared_array((2, WIDE + 2 * REACH), dsl.float64)
    tx, ty = dsl.thread_idx.x, dsl.thread_idx.y
    start = dsl.block_idx.x * WIDE - REACH
    row = dsl.block_idx.y * 2 + ty
    k = tx
    while k < WIDE + 2 * REACH:
        at = min(max(start + k, 0), x.shape[1] - 1)
        tile[ty, k] = x[row, at] if row < x.shape[0] else 0.0
        k += WIDE
    dsl.syncthreads()
    column = dsl.grid(2)[0]
    if row < x.shape[0] and column < x.shape[1]:
        s = 0.0
        for k in range(2 * REACH + 1):
            s += taps[k] * tile[ty, tx + k]
        y[row, column] = s


# --- finance


def _normal(x):
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))


def _options(spot, strike, years, rate, sigma, call, put):
    for i in range(len(spot)):
        root = sigma[i] * math.sqrt(years[i])
        d = (math.log(spot[i] / strike[i]) + (rate + 0.5 * sigma[i] ** 2) * years[i]) / root
        later = strike[i] * math.exp(-rate * years[i])
        call[i] = spot[i] * _normal(d) - later * _normal(d - root)
        put[i] = call[i] - spot[i] + later


def _market(dtype):
    def make(r):
        low = np.array([[80], [80], [0.2], [0.1]])
        spot, strike, years, sigma = (low * r.uniform(1, 1.5, (4, 40))).astype(dtype)
        return spot, strike, years, dtype(0.03), sigma, np.zeros(40, dtype), np.zeros(40, dtype)

    return make


@case(2, 32, _market(np.float64), _options, "spot strike years rate sigma call put", "call put", kind="elementwise")
@dsl.kernel
def black_scholes(spot, strike, years, rate, sigma, call, put):
    i = dsl.grid(1)
    if i < len(spot):
        root = sigma[i] * np.sqrt(years[i])
        d = (np.log(spot[i] / strike[i]) + (rate + 0.5 * sigma[i] ** 2) * years[i]) / root
        later = strike[i] * np.exp(-rate * years[i])
        call[i] = spot[i] * _normal(d) - later * _normal(d - root)
        put[i] = call[i] - spot[i] + later


# --- mechanics


def _cloth(x, v, force, stiffness, damping, fixed):
    rows, columns, _ = x.shape
    f = -damping * v
    f[:, :, 1] -= 9.81
    for r in range(rows):
        for c in range(columns):
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if r + dr < rows and 0 <= c + dc < columns:
                    d = x[r + dr, c + dc] - x[r, c]
                    n = np.sqrt(d @ d)
                    pull = stiffness * (n - math.sqrt(dr * dr + dc * dc)) / n * d
                    f[r, c] += pull
                    f[r + dr, c + dc] -= pull
    force += f * (1 - fixed)[:, :, None]


def _sheet(r):
    x = np.stack([*np.meshgrid(np.arange(4.0), np.arange(5.0)), np.zeros((5, 4))], -1)
    x += 0.1 * r.standard_normal((5, 4, 3))
    fixed = np.zeros((5, 4), np.int64)
    fixed[0] = 1
    return x, 0.1 * r.standard_normal((5, 4, 3)), np.zeros((5, 4, 3)), 20.0, 0.4, fixed


@case((1, 2), (4, 4), _sheet, _cloth, "x v force stiffness damping", "force", rtol=1e-9)
@dsl.kernel
def cloth_forces(x, v, force, stiffness, damping, fixed):
    """Each thread goes through its neighbours, eight of them at most."""
    c, r = dsl.grid(2)
    if r >= x.shape[0] or c >= x.shape[1] or fixed[r, c] != 0:
        return
    f, d = dsl.local_array(3, dsl.float64), dsl.local_array(3, dsl.float64)
    for a in range(3):
        f[a] = -damping * v[r, c, a] - (9.81 if a == 1 else 0.0)
    for k in range(9):
        dr, dc = k // 3 - 1, k % 3 - 1
        if (dr == 0 and dc == 0) or not (0 <= r + dr < x.shape[0]) or not (0 <= c + dc < x.shape[1]):
            continue
        for a in range(3):
            d[a] = x[r + dr, c + dc, a] - x[r, c, a]
        n = np.sqrt(d @ d)
        s = stiffness * (n - math.sqrt(dr * dr + dc * dc)) / n
        for a in range(3):
            f[a] += s * d[a]
    for a in range(3):
        force[r, c, a] += f[a]


def _stiffness(points, triangles, conductivity, u, residual, energy):
    for e, t in enumerate(triangles):
        p = points[t]
        b = np.array([p[1, 1] - p[2, 1], p[2, 1] - p[0, 1], p[0, 1] - p[1, 1]])
        c = np.array([p[2, 0] - p[1, 0], p[0, 0] - p[2, 0], p[1, 0] - p[0, 0]])
        area = 0.5 * (b[0] * c[1] - b[1] * c[0])
        K = conductivity[e] * (np.outer(b, b) + np.outer(c, c)) / (4 * area)
        np.add.at(residual, t, K @ u[t])
        energy[0] += 0.5 * u[t] @ K @ u[t]


def _plate(r):
    x, y = np.meshgrid(np.arange(4.0), np.arange(4.0))
    points = np.stack([x.ravel(), y.ravel()], 1) + 0.1 * r.standard_normal((16, 2))
    cells = [(4 * i + j, 4 * i + j + 1, 4 * i + j + 5, 4 * i + j + 4) for i in range(3) for j in range(3)]
    triangles = np.array([t for a, b, c, d in cells for t in ((a, b, c), (a, c, d))])
    return points, triangles, r.uniform(1, 2, 18), r.standard_normal(16), np.zeros(16), np.zeros(1)


@case(2, 16, _plate, _stiffness, "points conductivity u residual energy", "residual energy", rtol=1e-11)
@dsl.kernel
def finite_elements(points, triangles, conductivity, u, residual, energy):
    """Assembly: threads of neighbouring triangles add to the same nodes."""
    e = dsl.grid(1)
    if e >= len(triangles):
        return
    b, c = dsl.zeros(3), dsl.zeros(3)
    for k in range(3):
        i, j = triangles[e, (k + 1) % 3], triangles[e, (k + 2) % 3]
        b[k] = points[i, 1] - points[j, 1]
        c[k] = points[j, 0] - points[i, 0]
    area = 0.5 * (b[0] * c[1] - b[1] * c[0])
    total = 0.0
    for k in range(3):
        s = 0.0
        for m in range(3):
            s += (b[k] * b[m] + c[k] * c[m]) * u[triangles[e, m]]
        s *= conductivity[e] / (4 * area)
        dsl.atomic_add(residual, triangles[e, k], s)
        total += 0.5 * s * u[triangles[e, k]]
    dsl.atomic_add(energy, 0, total)


def _deposit(x, v, charge, field, rho):
    i = np.floor(x).astype(int)
    w = x - i
    v += (1 - w) * field[i] + w * field[(i + 1) % len(field)]
    np.add.at(rho, i, charge * (1 - w) * v)
    np.add.at(rho, (i + 1) % len(rho), charge * w * v)


@case(
    2, 32, lambda r: (0.1 + 0.8 * r.uniform(size=50) + r.integers(0, 8, 50), *r.standard_normal((2, 50)),
                      r.standard_normal(8), np.zeros(8)), _deposit, "x v charge field rho", "v rho",
)  # fmt: skip
@dsl.kernel
def particles_in_cells(x, v, charge, field, rho):
    """Particles take the field between two cells, and leave their current there."""
    p = dsl.grid(1)
    if p < len(x):
        i = int(np.floor(x[p]))
        j = (i + 1) % len(rho)
        w = x[p] - i
        v[p] += (1 - w) * field[i] + w * field[j]
        dsl.atomic_add(rho, i, charge[p] * (1 - w) * v[p])
        dsl.atomic_add(rho, j, charge[p] * w * v[p])


def _relaxed(u, f, n):
    for _ in range(n):
        u[1:-1] = 0.5 * (u[:-2] + u[2:] + f[1:-1])


@case(1, 32, lambda r: (r.standard_normal(32), r.standard_normal(32), 5), _relaxed, "u f", "u")
@dsl.kernel
def jacobi_in_a_block(u, f, n):
    t = dsl.thread_idx.x
    s = dsl.shared_array(32, dsl.float64)
    s[t] = u[t]
    dsl.syncthreads()
    for _ in range(n):
        v = s[t]
        if 0 < t < 31:
            v = 0.5 * (s[t - 1] + s[t + 1] + f[t])
        dsl.syncthreads()
        s[t] = v
        dsl.syncthreads()
    u[t] = s[t]


# --- inference and sequences


@case((3, 2), (8, 8), normal((13, 19), (19, 21), (13, 21)), lambda A, B, C: np.matmul(A, B, out=C), "A B C", "C")
@dsl.kernel
def matmul_of_any_size(A, B, C):
    """Tiles that hang over the edge are filled up by zeros."""
    a, b = dsl.shared_array((8, 8), dsl.float64), dsl.shared_array((8, 8), dsl.float64)
    tx, ty = dsl.thread_idx.x, dsl.thread_idx.y
    column, row = dsl.grid(2)
    n, m, inner = C.shape[0], C.shape[1], A.shape[1]
    s = 0.0
    for start in range(0, inner, 8):
        a[ty, tx] = A[row, start + tx] if row < n and start + tx < inner else 0.0
        b[ty, tx] = B[start + ty, column] if start + ty < inner and column < m else 0.0
        dsl.syncthreads()
        for k in range(8):
            s += a[ty, k] * b[k, tx]
        dsl.syncthreads()
    if row < n and column < m:
        C[row, column] = s


def _quantised(q, scale, x, y):
    y[:] = (q.astype(F32) @ x) * scale


@case(
    1, 32, lambda r: (r.integers(-127, 128, (20, 16)).astype(np.int8), r.uniform(0.01, 0.02, 20).astype(F32),
                      r.standard_normal(16).astype(F32), np.zeros(20, F32)), _quantised, "scale x y", "y", rtol=1e-5,
)  # fmt: skip
@dsl.kernel
def quantised_rows(q, scale, x, y):
    i = dsl.grid(1)
    if i < len(y):
        s = dsl.float32(0)
        for k in range(len(x)):
            s += q[i, k] * x[k]
        y[i] = s * scale[i]


def _attended(Q, K, V, out):
    e = np.exp(Q @ K.T / math.sqrt(Q.shape[1]))
    out[:] = e / e.sum(1, keepdims=True) @ V


@case(1, 16, normal((12, 4), (9, 4), (9, 4), (12, 4)), _attended, "Q K V out", "out", rtol=1e-11)
@dsl.kernel
def online_attention(Q, K, V, out):
    """One pass over the keys, with a running maximum: what was summed is scaled down when it rises."""
    i = dsl.grid(1)
    if i >= Q.shape[0]:
        return
    most, total = -np.inf, 0.0
    mixed = dsl.zeros(4)
    for j in range(K.shape[0]):
        s = 0.0
        for c in range(4):
            s += Q[i, c] * K[j, c]
        s /= math.sqrt(4.0)
        new = max(most, s)
        old, p = math.exp(most - new), math.exp(s - new)
        total = total * old + p
        for c in range(4):
            mixed[c] = mixed[c] * old + p * V[j, c]
        most = new
    for c in range(4):
        out[i, c] = mixed[c] / total


def _aligned(score, gap, best):
    n = len(score)
    H = np.zeros((n + 1, n + 1))
    for i in range(n):
        for j in range(n):
            H[i + 1, j + 1] = max(0, H[i, j] + score[i, j], H[i, j + 1] - gap, H[i + 1, j] - gap)
    best[:] = H[1:].max(1)


@case(1, 16, lambda r: (r.standard_normal((16, 16)), 0.3, np.zeros(16)), _aligned, "score gap best", "best")
@dsl.kernel
def smith_waterman(score, gap, best):
    """Along the diagonals of the table: thread i has row i, and waits for what row i - 1 has found."""
    H = dsl.shared_array((17, 17), dsl.float64)
    i = dsl.thread_idx.x
    H[i + 1, 0] = 0.0
    H[0, i + 1] = 0.0
    if i == 0:
        H[0, 0] = 0.0
    dsl.syncthreads()
    most = 0.0
    for d in range(31):
        j = d - i
        if 0 <= j < 16:
            v = max(H[i, j] + score[i, j], 0.0)
            v = max(v, H[i, j + 1] - gap, H[i + 1, j] - gap)
            H[i + 1, j + 1] = v
            most = max(most, v)
        dsl.syncthreads()
    best[i] = most


def _nearest(x, centres, distance, label):
    d = (x[:, None] - centres[None]) ** 2
    distance[:], label[:] = d.min(1), d.argmin(1)


@case(
    2, 32, lambda r: (r.standard_normal(8), r.standard_normal(8), np.zeros(8), np.zeros(8, np.int64)), _nearest,
    "x centres distance", "distance label",
)  # fmt: skip
@dsl.kernel
def nearest_centre(x, centres, distance, label):
    """Eight lanes for each point: the least, and where it is, by shuffles of parts of a warp."""
    i = dsl.grid(1)
    p, c = i // 8, i % 8
    d = (x[p] - centres[c]) ** 2
    at = c
    for step in (4, 2, 1):
        other, its = dsl.shfl_xor(d, step, 8), dsl.shfl_xor(at, step, 8)
        if other < d or (other == d and its < at):
            d, at = other, its
    if c == 0:
        distance[p] = d
        label[p] = at


class Adam(NamedTuple):
    rate: float
    first: float
    second: float


def _adam(w, g, m, s, o, step):
    m += (1 - o.first) * (g - m)
    s += (1 - o.second) * (g * g - s)
    w -= o.rate * (m / (1 - o.first**step)) / (np.sqrt(s / (1 - o.second**step)) + 1e-8)


@case(
    2, 32, lambda r: (*r.standard_normal((3, 40)), r.uniform(0.5, 1, 40), Adam(0.1, 0.8, 0.6), 3), _adam, "w g m s o",
    "w m s", kind="elementwise",
)  # fmt: skip
@dsl.kernel
def adam(w, g, m, s, o, step):
    i = dsl.grid(1)
    if i < len(w):
        m[i] = o.first * m[i] + (1 - o.first) * g[i]
        s[i] = o.second * s[i] + (1 - o.second) * g[i] ** 2
        w[i] -= o.rate * (m[i] / (1 - o.first**step)) / (np.sqrt(s[i] / (1 - o.second**step)) + 1e-8)

"""The parallel language: its IR, its meaning in plain Python, and what is refused."""

import numpy as np
import pytest

import dsl
from dsl import errors, simulator


@dsl.kernel
def saxpy(a, x, y):
    i = dsl.grid(1)
    if i >= len(x):
        return
    y[i] += a * x[i]


@dsl.kernel
def places(out):
    x, y, z = dsl.grid(3)
    sx, sy, sz = dsl.gridsize(3)
    out[z, y, x] = x + sx * (y + sy * z) + 1000 * dsl.block_idx.z + 10000 * dsl.thread_idx.y + dsl.grid_dim.x * 0


@dsl.kernel
def mirrored(x):
    s = dsl.shared_array(64, dsl.float64)
    t = dsl.thread_idx.x
    s[t] = x[t]
    dsl.syncthreads()
    x[t] = s[63 - t]


@dsl.kernel
def lanes(x, y):
    lane = dsl.lane_id()
    v = x[lane]
    y[0, lane] = dsl.shfl_sync(v, 3)
    y[1, lane] = dsl.shfl_up(v, 2)
    y[2, lane] = dsl.shfl_down(v, 5)
    y[3, lane] = dsl.shfl_xor(v, 9)
    y[4, lane] = dsl.ballot(v > 10)
    y[5, lane] = dsl.vote_any(v > 30) + 2 * dsl.vote_all(v > 30)


@dsl.kernel
def atomics(x, out, old):
    i = dsl.grid(1)
    dsl.atomic_add(out, 0, x[i])
    dsl.atomic_max(out, 1, x[i])
    dsl.atomic_min(out, 2, x[i])
    old[i] = dsl.atomic_exch(out, (3,), x[i])
    dsl.atomic_cas(out, 4, 0, x[i])


@dsl.kernel
def steps(x, y, n):
    for _ in range(n):
        saxpy.forall(len(x))(0.5, x, y)
        saxpy[(len(x) + 31) // 32, 32](0.5, x, y)


def test_ir_of_launches():
    x = np.ones(8)
    text = steps.ir("mlir", x, x, 3)
    assert text.count("gpu.launch ") == 2 and text.count("func.func private @saxpy") == 1
    text = mirrored[1, 64].ir("mlir", x)
    assert "memref.alloca() : memref<64xf64, #gpu.address_space<workgroup>>" in text and "gpu.barrier" in text
    text = lanes[1, 32].ir("mlir", x, np.ones((6, 32)))
    for op in ("gpu.shuffle  idx", "gpu.shuffle  up", "gpu.shuffle  down", "gpu.shuffle  xor", "vote.sync  ballot"):
        assert op in text
    text = atomics[1, 32].ir("mlir", np.arange(4), np.arange(5), np.arange(4))
    for kind in ("addi", "maxs", "mins", "assign"):
        assert f"memref.atomic_rmw {kind}" in text
    assert "memref.generic_atomic_rmw" in text


def test_plain_python():
    x, y = np.arange(5.0), np.ones(5)
    saxpy[2, 4].python(2.0, x, y)
    np.testing.assert_array_equal(y, 1 + 2 * np.arange(5.0))
    out = np.zeros((2, 6, 4), np.int64)
    places[(2, 3, 2), (2, 2, 1)].python(out)
    z, y, x = np.indices(out.shape)
    np.testing.assert_array_equal(out, x + 4 * (y + 6 * z) + 1000 * z + 10000 * (y % 2))
    x = np.arange(64.0)
    mirrored[1, 64].python(x)
    np.testing.assert_array_equal(x, np.arange(64.0)[::-1])


def test_warps_in_plain_python():
    x, y = np.arange(32.0), np.zeros((6, 32))
    lanes[1, 32].python(x, y)
    n = np.arange(32)
    want = [np.full(32, 3), np.where(n < 2, n, n - 2), np.where(n > 26, n, n + 5), n ^ 9, np.full(32, 2**32 - 2**11)]
    np.testing.assert_array_equal(y, [*want, np.ones(32)])


def test_what_a_thread_raises_comes_out():
    def fails(x):
        dsl.syncthreads()
        raise KeyError(int(x[dsl.thread_idx.x]))

    with pytest.raises(KeyError, match="7"):
        dsl.kernel(fails)[1, 3].python(np.array([7.0, 8.0, 9.0]))


# --- parallel loops


@dsl.kernel
def doubled(x, y):
    for i in dsl.prange(len(x)):
        t = 2 * x[i]
        if t > 4:
            continue
        y[i] = t


def test_parallel_loop():
    x, y, dx = np.arange(5.0), np.zeros(5), np.zeros(5)
    doubled(x, y)
    np.testing.assert_array_equal(y, [0, 2, 4, 0, 0])
    dsl.autodiff(dsl.Reverse, doubled, dsl.Duplicated(x, dx), dsl.Duplicated(y, np.ones(5)))
    np.testing.assert_array_equal(dx, [2, 2, 2, 0, 0])
    assert "scf.parallel" in doubled.ir("mlir", x, y)


@dsl.kernel
def reduced(x, a):
    total, product, least, most, count = 0.0, 1.0, 1e30, -1e30, 0
    for i in dsl.prange(len(x)):
        if x[i] < -2.0:
            continue
        for j in range(3):
            total += a * x[i] * j
        total -= 1.0
        product *= 1.0 + 1e-3 * x[i]
        least = min(least, x[i])
        most = np.maximum(x[i] * a, most)
        if x[i] > 0:
            count += 1
    return total, product, least, most, count


def test_reductions_of_parallel_loops():
    x, a = np.random.default_rng(0).normal(size=3001), 1.5
    y = x[x >= -2]
    wanted = (a * 3 * y - 1).sum(), np.prod(1 + 1e-3 * y), y.min(), (y * a).max(), (y > 0).sum()
    np.testing.assert_allclose(reduced(x, a), wanted, 1e-12)
    assert reduced(x[:0], a) == (0.0, 1.0, 1e30, -1e30, 0)
    np.testing.assert_allclose(reduced(x, a), reduced.fn(x, a), 1e-12)


@dsl.kernel
def total(x):
    s = 0
    for i in dsl.prange(len(x)):
        s = x[i] + s
    return s


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.complex128])
def test_type_of_a_sum_in_a_parallel_loop(dtype):
    x = np.arange(5).astype(dtype)
    assert total(x) == 10 and total(x[:0]) == 0
    assert isinstance(total(x), {"f": float, "i": int, "c": complex}[x.dtype.kind])


def carried(x):
    s = 0.0
    for i in dsl.prange(len(x)):
        s += x[i]
        x[i] = s
    return s


def mixed(x):
    s = 0.0
    for i in dsl.prange(len(x)):
        s += x[i]
        s *= 2.0
    return s


def last(x):
    for i in dsl.prange(len(x)):
        t = x[i]
    return t


def left(x):
    for i in dsl.prange(len(x)):
        if x[i] > 1:
            break


@pytest.mark.parametrize(
    "function, message",
    [
        (carried, "goes from one iteration"),
        (mixed, "goes from one iteration"),
        (last, "or to what follows"),
        (left, "not left before"),
    ],
)
def test_refused_parallel_loops(function, message):
    with pytest.raises(errors.CompileError, match=message):
        dsl.kernel(function)(np.ones(3))


# --- refused


def returns(x):
    return x[dsl.grid(1)]


def allocates(x):
    x[dsl.grid(1)] = dsl.zeros(len(x))[0]


def launches(x):
    saxpy[1, 32](1.0, x, x)


def unknown_shape(x, n):
    dsl.shared_array(n, dsl.float32)


def adds_to_bytes(x):
    dsl.atomic_add(x, 0, 1)


@pytest.mark.parametrize(
    "function, args, message",
    [
        (returns, (np.ones(3),), r"what a grid runs returns nothing(.|\n)*test_language.py(.|\n)*def returns\("),
        (allocates, (np.ones(3),), "shape known when compiling"),
        (launches, (np.ones(3),), "a thread of a grid cannot launch `saxpy`"),
        (unknown_shape, (np.ones(3), 4), "must be known when compiling"),
        (adds_to_bytes, (np.ones(3, np.int8),), "not there for int8"),
    ],
)
def test_refused(function, args, message):
    with pytest.raises(errors.CompileError, match=message):
        dsl.kernel(function)[1, 32].ir("mlir", *args)


def test_without_a_launch():
    with pytest.raises(errors.UnsupportedSyntax, match=r"`shared_array` has a meaning only(.|\n)*test_language.py"):
        mirrored(np.ones(64))
    with pytest.raises(errors.ArgumentError, match="only in a kernel that is launched"):
        mirrored.fn(np.ones(64))


@dsl.kernel
def host_with_a_large_block(x):
    saxpy[1, 2048](1.0, x, x)


def test_a_block_that_is_too_large():
    with pytest.raises(errors.KernelValueError, match="2048 threads is too large"):
        host_with_a_large_block.ir("mlir", np.ones(3))


@dsl.kernel(boundscheck=True)
def waits_sometimes(p, y):
    i = dsl.grid(1)
    if p[i] > 0:
        dsl.syncthreads()
    y[i] = 1.0


def test_barrier_that_only_some_threads_reach():
    p = np.ones(32, np.int64)
    waits_sometimes[1, 32](p, np.zeros(32))
    p[3] = 0
    line = waits_sometimes.fn.__code__.co_firstlineno + 3
    place = rf"test_language.py:{line}:5\n *\| +if p\[i\] > 0:"
    with pytest.raises(RuntimeError, match=rf"go different ways (.|\n)*{place}"):
        waits_sometimes[1, 32](p, np.zeros(32))


def in_a_branch(x):
    t = dsl.thread_idx.x
    if t < 5:
        dsl.syncthreads()
    x[t] = 1.0


def in_a_loop(x):
    t = dsl.thread_idx.x
    while t > 0:
        dsl.syncthreads()
        t -= 1
    x[t] = 1.0


def after_some_have_left(x):
    t = dsl.thread_idx.x
    if t > 7:
        return
    dsl.syncthreads()
    x[t] = 1.0


def waits():
    dsl.syncthreads()


def in_a_helper(x):
    for k in range(dsl.thread_idx.x):
        waits()
    x[0] = 1.0


@pytest.mark.parametrize("function", [in_a_branch, in_a_loop, after_some_have_left, in_a_helper])
@pytest.mark.parametrize("make", [np.ones, lambda n: simulator.asarray(np.ones(n))], ids=["cpu", "simulator"])
def test_divergent_barrier_that_can_be_seen(function, make):
    with pytest.raises(errors.CompileError, match=r"different ways(.|\n)*dsl.syncthreads\(\)"):
        dsl.kernel(function)[1, 32](make(32))


@dsl.kernel
def shuffles_sometimes(x):
    t = dsl.thread_idx.x
    if t < 40:
        x[t] = dsl.shfl_xor(x[t], 1)


def test_shuffle_that_only_some_lanes_reach():
    """On the CPU it is noticed without bounds being checked where the condition is seen to depend on the thread."""
    x = np.arange(64.0)
    shuffles_sometimes[1, 40](x)
    assert x[0] == 1.0 and x[39] == 38.0
    with pytest.raises(RuntimeError, match="different ways"):
        shuffles_sometimes[1, 64](np.arange(64.0))


@dsl.kernel
def shared_in_a_branch(x):
    if dsl.block_idx.x == 1:
        s = dsl.shared_array(32, dsl.float64)
        t = dsl.thread_idx.x
        s[t] = x[t]
        dsl.syncthreads()
        x[t] = s[31 - t]


def test_shared_memory_that_is_made_in_a_branch():
    x, on = np.arange(32.0), simulator.asarray(np.arange(32.0))
    shared_in_a_branch[2, 32](x)
    shared_in_a_branch[2, 32](on)
    np.testing.assert_array_equal(x, np.arange(32.0)[::-1])
    np.testing.assert_array_equal(on.get(), x)


def much(x):
    s = dsl.shared_array((90, 90), dsl.float64)
    s[0, dsl.thread_idx.x] = 0.0


def test_more_shared_memory_than_a_block_has():
    with pytest.raises(errors.CompileError, match=r"64800 bytes: a block has 49152(.|\n)*dsl.shared_array"):
        dsl.kernel(much)[1, 32](simulator.asarray(np.ones(3)))


def test_grids_that_are_too_large():
    for blocks in (2**31, (1, 65536), (1, 1, 65536)):
        with pytest.raises(errors.ArgumentError, match=r"a grid of (.|\n)*def saxpy"):
            saxpy[blocks, 32]

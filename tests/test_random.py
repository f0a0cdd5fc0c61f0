"""Random numbers: known answers, the same bits in Python and in kernels, distributions, and gradients beside them."""

from __future__ import annotations

import math
import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest
from scipy import special, stats

import dsl
from dsl import Const, Reverse
from dsl import random as dsl_random
from dsl.kernel import Kernel

KEY = dsl_random.seed(1234567)
# Published with the reference implementation in C, for the seed 1234567.
KNOWN = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def in_python() -> dict[str, FunctionType]:
    """The functions of the module undecorated, calling each other undecorated."""
    space = dict(vars(dsl_random))
    for name, value in list(space.items()):
        if isinstance(value, Kernel):
            space[name] = FunctionType(value.fn.__code__, space, name)
    return space


@dsl.kernel
def fill(out, key, which):
    for i in range(len(out)):
        out[i] = dsl.random.uniform(key, i) if which == 0 else dsl.random.normal(key, i)


@dsl.kernel(contract=False, vector_math=False)
def fill_uncontracted(out, key, which):
    for i in range(len(out)):
        out[i] = dsl.random.uniform(key, i) if which == 0 else dsl.random.normal(key, i)


def numbers(which: int, n: int = 100_000, key: np.uint64 = KEY) -> np.ndarray:
    out = np.empty(n)
    fill(out, key, which)
    return out


def test_known_answers():
    assert [dsl_random.bits(KEY, n) for n in range(5)] == KNOWN
    stream = dsl_random.SplitMix64(1234567)
    assert [stream.bits() for _ in range(5)] == KNOWN


def test_the_stream_is_the_function_of_the_counter():
    stream = dsl_random.SplitMix64(2**64 - 1)
    key = dsl_random.seed(2**64 - 1)
    assert [stream.bits() for _ in range(3)] == [dsl_random.bits(key, n) for n in range(3)]
    assert [stream.uniform() for _ in range(3)] == [dsl_random.uniform(key, n) for n in range(3, 6)]
    assert stream.split(7).key == dsl_random.split(key, 7)
    assert dsl_random.SplitMix64(-1).key == 2**64 - 1


def test_the_same_bits_in_python_and_in_kernels():
    """Loops are vectorised, products and sums fused or not: no bit may change."""
    with np.errstate(over="ignore"):
        plain = in_python()
        for name in ("bits", "split", "uniform", "uniform32", "normal"):
            compiled = [getattr(dsl_random, name)(KEY, n) for n in range(50)]
            assert [plain[name](KEY, n) for n in range(50)] == compiled, name
        for which, name in enumerate(("uniform", "normal")):
            kept, other = numbers(which, 3000), np.empty(3000)
            fill_uncontracted(other, KEY, which)
            assert kept.tobytes() == other.tobytes()
            assert kept[:300].tolist() == [plain[name](KEY, n) for n in range(300)]


def test_types():
    assert type(dsl_random.bits(KEY, 0)) is np.uint64 and type(dsl_random.split(KEY, 0)) is np.uint64
    assert type(dsl_random.uniform32(KEY, 0)) is np.float32
    assert isinstance(dsl_random.normal(KEY, 0), float)


def odds() -> np.ndarray:
    """All magnitudes of tails: 1, 3, 7, ... and neighbours."""
    powers = 2 ** np.arange(1, 54, dtype=np.uint64)
    return np.unique(np.concatenate([powers - 1, powers[2:] - 3]) | np.uint64(1))


def test_the_logarithm():
    for odd in odds():
        expected = 54 * math.log(2) - math.log(int(odd))
        assert dsl_random._minus_log(odd) == pytest.approx(expected, rel=4e-16)


def test_the_quantiles():
    """To the far tail, against another implementation."""
    for odd in odds():
        tail = int(odd) * 2.0**-54
        q = 0.5 - tail
        s = math.sqrt(dsl_random._minus_log(odd))
        got = dsl_random._near_the_middle(q) if q <= 0.425 else dsl_random._far_out(s)
        assert got == pytest.approx(-special.ndtri(tail), rel=2e-15, abs=1e-16)


def test_distributions():
    assert stats.kstest(numbers(0), "uniform").pvalue > 1e-3
    assert stats.kstest(numbers(1), "norm").pvalue > 1e-3
    assert numbers(0).min() >= 0 and numbers(0).max() < 1
    children = np.array([dsl_random.uniform(dsl_random.split(KEY, n), 0) for n in range(2000)])
    assert stats.kstest(children, "uniform").pvalue > 1e-3


def test_children_are_unlike_their_parent_and_each_other():
    streams = np.array([numbers(1, 20_000, key) for key in (KEY, *(dsl_random.split(KEY, n) for n in range(4)))])
    correlations = np.corrcoef(streams) - np.eye(5)
    assert np.abs(correlations).max() < 5 / math.sqrt(20_000)


@dsl.kernel
def spread(mu, sigma, key, n):
    total = 0.0
    for i in range(n):
        total += math.exp(mu + sigma * dsl.random.normal(key, i))
    return total / n


def test_gradients_pass_beside_them():
    """Reparametrisation: the numbers drawn are constants."""
    z = numbers(1, 1000)
    found = dsl.gradient(Reverse, spread, 0.25, 0.5, Const(KEY), Const(1000))
    values = np.exp(0.25 + 0.5 * z)
    assert found[:2] == pytest.approx((values.mean(), (values * z).mean()), rel=1e-12)
    assert found[2:] == (None, None)


def test_a_key_made_and_split_in_a_kernel():
    @dsl.kernel
    def draw(n, child):
        return dsl.random.uniform(dsl.random.split(dsl.random.seed(n), child), 5)

    assert draw(42, 3) == dsl_random.uniform(dsl_random.split(dsl_random.seed(42), 3), 5)


def test_what_is_no_key():
    with pytest.raises(OverflowError):
        dsl_random.seed(-1)


def test_importing_is_light():
    heavy = "[m for m in ('mlir', 'lark', 'llvmlite') if m in sys.modules]"
    code = f"import sys, dsl; dsl.random.SplitMix64(1).bits(); print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    "x, y, z",
    [
        (1 + 2.0**-30, 1 - 2.0**-30, -1.0),
        (0.1, 10.0, -1.0),
        (1e308, 10.0, -math.inf),
        (1e308, 10.0, 1.0),
        (-0.0, 1.0, -0.0),
        (3.0, 0.5, 0.25),
    ],
)
def test_fused(x, y, z):
    fused = dsl.kernel(lambda x, y, z: dsl.fma(x, y, z))
    assert math.copysign(1, fused(x, y, z)) == math.copysign(1, dsl.fma(x, y, z))
    assert fused(x, y, z) == dsl.fma(x, y, z)
    assert dsl.gradient(Reverse, fused, x, y, z) == (y, x, 1.0)

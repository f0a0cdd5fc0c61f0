"""The oracle itself: dual numbers against central differences, on the generated programs and function by function."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.generator.dual import UNARY, Dual, DualMath, is_float
from tests.generator.oracle import Unfair, judge, run_plain
from tests.generator.program import make_program

DOMAIN = {"acosh": (1.2, 4.0), "log": (0.2, 5.0), "log2": (0.2, 5.0), "log10": (0.2, 5.0), "sqrt": (0.2, 5.0)}


def difference(f, x: float, h: float = 1e-3) -> float:
    """Central differences of fourth order."""
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


@pytest.mark.parametrize("name", sorted(UNARY))
def test_each_function_of_one_argument(name):
    low, high = DOMAIN.get(name, (0.25, 0.85))
    for x in np.linspace(low, high, 7):
        got = getattr(DualMath(), name)(Dual(float(x), 1.0))
        assert got.v == getattr(math, name)(x)
        assert got.d == pytest.approx(difference(getattr(math, name), x), rel=1e-8)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, m: x**3 - 2 / x,
        lambda x, m: 2.0**x + x**0.5 + x**-2 + x**0,
        lambda x, m: x % 0.4 - (-x) % 0.3 + 1.7 % x,
        lambda x, m: x // 0.4 * x + abs(-x),
        lambda x, m: m.atan2(x, 0.7) + m.atan2(0.7, x) + m.hypot(x, 2.0),
        lambda x, m: min(x, 0.3) + max(x, x * x) - -x,
        lambda x, m: m.pow(x, 1.5) + m.copysign(x, -1.0) + m.fabs(x) + m.floor(x * 10),
    ],
)
def test_operators(f):
    for x in (0.35, 0.77):
        got = f(Dual(x, 1.0), DualMath())
        assert got.v == pytest.approx(f(x, math), rel=1e-15)
        assert got.d == pytest.approx(difference(lambda t: f(t, math), x, 1e-4), rel=1e-7)


def test_generated_programs_are_mostly_fair_and_their_duals_right():
    fair = 0
    for seed in range(150):
        program = make_program(seed)
        arguments = program.arguments(0)
        try:
            truth = judge(program, arguments)
        except Unfair:
            continue
        fair += 1
        rng = np.random.default_rng(seed)
        tangents = [rng.uniform(-1, 1, np.shape(v)) if is_float(v) else None for v in arguments]

        def along(t):
            moved = [v if d is None else v + t * d for v, d in zip(arguments, tangents)]
            moved = [float(m) if isinstance(v, float) else m for v, m in zip(arguments, moved)]
            return run_plain(program, moved)

        flat = np.concatenate([np.ravel(d) for d in tangents if d is not None])
        want = truth.jacobian @ flat
        coarse, fine = difference(along, 0.0, 2e-5), difference(along, 0.0, 1e-5)
        scale = max(1.0, np.max(np.abs(want)))
        if np.max(np.abs(coarse - fine)) < 1e-6 * scale:  # no branch switches within the steps
            assert np.max(np.abs(fine - want)) < 1e-5 * scale, f"seed {seed}\n{program.source}"
    assert fair > 90


def test_programs_are_the_same_for_a_seed_and_cover_the_language():
    text = "".join(make_program(seed).source for seed in range(300))
    assert text.startswith(make_program(0).source)
    for construct in (
        "for i",
        "while True:",
        "while i",
        "while g",
        "break",
        "continue",
        "elif",
        " if ",
        "return (",
        "    return\n",
        "@",
        "[1:]",
        "[::-1]",
        "[::2]",
        "np.where",
        "min(",
        " % ",
        "//",
        " and ",
        "not ",
        "*=",
        "/=",
        "dsl.zeros",
        "dsl.sum",
        "l0 = [",
        "h0(",
        "in (",
        "q[",
        "p[",
        "-1):",
        ": float =",
    ):
        assert construct in text, construct

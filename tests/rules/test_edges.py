"""What the rows do at kinks, ties, poles and at the ends of the number range: exactly what their notes say."""

from __future__ import annotations

from math import inf, isnan, log, nan

import numpy as np
import pytest
from mlir import ir

from tests.rules import straight_line
from tests.rules.execute import Compiled

# op, point, gradient (f64); None: not looked at
EDGES = [
    ("math.absf", (0.0,), (0.0,)),
    ("math.absf", (-0.0,), (0.0,)),
    ("math.absf", (-inf,), (-1.0,)),
    ("arith.maximumf", (1.0, 1.0), (1.0, 0.0)),
    ("arith.minimumf", (1.0, 1.0), (1.0, 0.0)),
    ("arith.maxnumf", (1.0, 1.0), (1.0, 0.0)),
    ("arith.maxnumf", (nan, 1.0), (0.0, 1.0)),
    ("arith.maxnumf", (1.0, nan), (1.0, 0.0)),
    ("arith.minnumf", (1.0, 1.0), (1.0, 0.0)),
    ("arith.minnumf", (nan, 1.0), (0.0, 1.0)),
    ("arith.minnumf", (1.0, nan), (1.0, 0.0)),
    ("arith.remf", (5.5, inf), (1.0, 0.0)),
    ("arith.remf", (-7.5, 2.0), (1.0, 3.0)),
    ("arith.remf", (6.0, 2.0), (1.0, -3.0)),
    ("arith.divf", (0.0, 1e-310), (inf, 0.0)),
    ("math.sqrt", (0.0,), (inf,)),
    ("math.cbrt", (0.0,), (inf,)),
    ("math.cbrt", (-8.0,), (1 / 12,)),
    ("math.rsqrt", (0.0,), (-inf,)),
    ("math.log", (0.0,), (inf,)),
    ("math.asin", (1.0,), (inf,)),
    ("math.acos", (-1.0,), (-inf,)),
    ("math.acosh", (1.0,), (inf,)),
    ("math.copysign", (0.0, -2.0), (0.0, 0.0)),
    ("math.copysign", (3.0, -0.0), (-1.0, 0.0)),
    ("math.powf", (0.0, 0.0), (0.0, 0.0)),
    ("math.powf", (0.0, 1.0), (1.0, 0.0)),
    ("math.powf", (0.0, 2.0), (0.0, 0.0)),
    ("math.powf", (0.0, 0.5), (inf, 0.0)),
    ("math.powf", (0.0, -1.0), (-inf, -inf)),
    ("math.powf", (-2.0, 3.0), (12.0, None)),
    ("math.powf", (-2.0, 0.0), (0.0, None)),
    ("math.powf", (3.0, 0.0), (0.0, log(3))),
    ("math.powf", (1e-200, 2.0), (2e-200, 0.0)),
    ("math.atan2", (0.0, 0.0), (0.0, 0.0)),
    ("math.atan2", (3e200, 4e200), (4e-200 / 25, -3e-200 / 25)),
    ("math.atan2", (3e-200, 4e-200), (4e200 / 25, -3e200 / 25)),
    ("math.asinh", (1e200,), (1e-200,)),
    ("math.asinh", (1.0,), (0.5**0.5,)),
    ("math.expm1", (-40.0,), (float(np.exp(-40.0)),)),
    ("math.acosh", (1e300,), (1e-300,)),
]
C_EDGES = [
    ("hypot", (0.0, 0.0), (0.0, 0.0)),
    ("hypot", (3e-200, 4e-200), (0.6, 0.8)),
    ("fmod", (5.5, inf), (1.0, 0.0)),
    ("remainder", (5.0, 2.0), (1.0, -2.0)),
    ("fdim", (2.0, 2.0), (0.0, 0.0)),
    ("fdim", (3.0, 2.0), (1.0, -1.0)),
    ("lgamma", (1.0,), (-np.euler_gamma,)),
    ("tgamma", (2.0,), (1 - np.euler_gamma,)),
]
# op, point, tangent 0: forward with strong zero gives 0, without it NaN
STRONG_ZERO = [("math.sqrt", 0.0), ("math.log", 0.0), ("math.cbrt", 0.0), ("math.asin", 1.0), ("math.rsqrt", 0.0)]
# op, point, operands, second derivative by the first operand
SECOND = [
    ("math.powf", (0.0, 2.0), 0, 2.0),
    ("math.powf", (0.0, 3.0), 0, 0.0),
    ("math.powf", (0.0, 1.0), 0, 0.0),
    ("math.powf", (0.0, 0.0), 0, 0.0),
    ("math.powf", (2.0, 0.0), 1, 0.5),  # mixed: x ** (y - 1) at y = 0
    ("math.asinh", (1.0,), 0, -(0.5**1.5)),
    ("math.absf", (0.0,), 0, 0.0),
    ("math.atan2", (1.0, 1.0), 0, -0.5),
    ("math.tanh", (0.0,), 0, 0.0),
]


def _symbol(name: str) -> str:
    return name.replace(".", "_")


def _text(name: str, arity: int) -> str:
    params = ", ".join(f"%a{i}: f64" for i in range(arity))
    values = ", ".join(f"%a{i}" for i in range(arity))
    types = ", ".join(["f64"] * arity)
    if "." in name:
        return f"func.func @{_symbol(name)}({params}) -> f64 {{ %r = {name} {values} : f64\n return %r : f64 }}\n"
    call = f"%r = func.call @{name}({values}) : ({types}) -> f64"
    declaration = f"func.func private @{name}({types}) -> f64\n"
    return f"{declaration}func.func @c_{name}({params}) -> f64 {{ {call}\n return %r : f64 }}\n"


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    ops = {name: len(point) for name, point, _ in EDGES}
    calls = {name: len(point) for name, point, _ in C_EDGES}
    names: dict[str, tuple[list[str], list[str]]] = {}
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse("".join(_text(n, a) for n, a in [*ops.items(), *calls.items(), ("math.tanh", 1)]))

        def zero(type: ir.Type) -> ir.Value:
            return straight_line.constant(0.0, type, ir.Location.current)

        for name, arity in [*ops.items(), *[(f"c_{n}", a) for n, a in calls.items()], ("math.tanh", 1)]:
            base = _symbol(name)
            straight_line.reverse(module, base, f"{base}_rev")
            names[f"{base}_rev"] = ["f64"] * arity, ["f64"] * arity
            straight_line.forward(module, base, f"{base}_fwd", 0)
            straight_line.reverse(module, f"{base}_fwd", f"{base}_second")
            names[f"{base}_second"] = ["f64"] * arity, ["f64"] * arity
            straight_line.forward(module, base, f"{base}_zero", 0, seed=zero)
            straight_line.forward(module, base, f"{base}_strong", 0, seed=zero, strong_zero=True)
            names[f"{base}_zero"] = names[f"{base}_strong"] = ["f64"] * arity, ["f64"]
        return Compiled(module, names)


@pytest.mark.parametrize("name, point, gradient", [*EDGES, *[(f"c_{n}", p, g) for n, p, g in C_EDGES]])
def test_edge(compiled: Compiled, name: str, point: tuple[float, ...], gradient: tuple[float | None, ...]) -> None:
    found = compiled(f"{_symbol(name)}_rev", *[np.array([p]) for p in point])
    for value, expected in zip(found, gradient):
        if expected is not None:
            np.testing.assert_allclose(value[0], expected, rtol=1e-13)


@pytest.mark.parametrize("name, point, operand, expected", SECOND)
def test_second_derivative_at_an_edge(
    compiled: Compiled, name: str, point: tuple[float, ...], operand: int, expected: float
) -> None:
    found = compiled(f"{_symbol(name)}_second", *[np.array([p]) for p in point])
    np.testing.assert_allclose(found[operand][0], expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name, point", STRONG_ZERO)
def test_strong_zero(compiled: Compiled, name: str, point: float) -> None:
    assert isnan(compiled(f"{_symbol(name)}_zero", np.array([point]))[0][0])
    assert compiled(f"{_symbol(name)}_strong", np.array([point]))[0][0] == 0.0


def test_remainder_whose_quotient_rounds_up(compiled: Compiled) -> None:
    """1 / 0.1 rounds to 10, but 0.1 is a little more than a tenth: the remainder belongs to 9."""
    assert 1.0 / 0.1 == 10.0
    assert compiled("arith_remf_rev", np.array([1.0]), np.array([0.1]))[1][0] == -9.0

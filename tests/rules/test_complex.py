"""Rules of complex ops: forward against differences, reverse against forward by the real dot product, second order.

A complex function counts as a map of the plane here, and nothing is assumed holomorphic: every derivative is taken
along the real and along the imaginary direction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from mlir import ir

from dialects.rules import table
from tests.rules import straight_line
from tests.rules.execute import Compiled

C, R = "complex<f64>", "f64"
_rng = np.random.default_rng(11)


def _points(angle: float = 2.6) -> np.ndarray:
    """Away from branch cuts and from zero."""
    return _rng.uniform(0.3, 1.6, 16) * np.exp(1j * _rng.uniform(-angle, angle, 16))


def _pow(z: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.exp(w * np.log(z))


def _atan2(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return -1j * np.log((x + 1j * y) / np.sqrt(x * x + y * y))


# name: operand types, result type, function, points
CASES: dict[str, tuple[list[str], str, Callable[..., np.ndarray]]] = {
    "complex.add": ([C, C], C, np.add),
    "complex.sub": ([C, C], C, np.subtract),
    "complex.mul": ([C, C], C, np.multiply),
    "complex.div": ([C, C], C, np.divide),
    "complex.neg": ([C], C, np.negative),
    "complex.exp": ([C], C, np.exp),
    "complex.expm1": ([C], C, np.expm1),
    "complex.log": ([C], C, np.log),
    "complex.log1p": ([C], C, np.log1p),
    "complex.pow": ([C, C], C, _pow),
    "complex.powi": ([C, "i32"], C, np.power),
    "complex.sqrt": ([C], C, np.sqrt),
    "complex.rsqrt": ([C], C, lambda z: 1 / np.sqrt(z)),
    "complex.sin": ([C], C, np.sin),
    "complex.cos": ([C], C, np.cos),
    "complex.tan": ([C], C, np.tan),
    "complex.tanh": ([C], C, np.tanh),
    "complex.atan2": ([C, C], C, _atan2),
    "complex.abs": ([C], R, np.abs),
    "complex.angle": ([C], R, np.angle),
    "complex.sign": ([C], C, lambda z: z / np.abs(z)),
    "complex.conj": ([C], C, np.conj),
    "complex.re": ([C], R, np.real),
    "complex.im": ([C], R, np.imag),
    "complex.create": ([R, R], C, lambda x, y: x + 1j * y),
}
NAMES = sorted(CASES)


def _symbol(name: str) -> str:
    return name.replace(".", "_")


def _text(name: str) -> str:
    types, result, _ = CASES[name]
    params = ", ".join(f"%a{i}: {t}" for i, t in enumerate(types))
    values = ", ".join(f"%a{i}" for i in range(len(types)))
    suffix = {"complex.powi": f"{C}, i32", "complex.create": C}.get(name, C)
    body = f"%r = {name} {values} : {suffix}\n return %r : {result}"
    return f"func.func @{_symbol(name)}({params}) -> {result} {{ {body} }}\n"


def _one(type: ir.Type) -> ir.Value:
    return straight_line.constant(1.0, type, ir.Location.current)


def _i(type: ir.Type) -> ir.Value:
    part = ir.FloatAttr.get(ir.F64Type.get(), 0.0), ir.FloatAttr.get(ir.F64Type.get(), 1.0)
    op = ir.Operation.create("complex.constant", results=[type], attributes={"value": ir.ArrayAttr.get(list(part))})
    return op.results[0]


SEEDS = {"one": _one, "i": _i}


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    names: dict[str, tuple[list[str], list[str]]] = {}
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse("".join(_text(n) for n in NAMES))
        for name, (types, result, _) in CASES.items():
            base = _symbol(name)
            floats = [i for i, t in enumerate(types) if t != "i32"]
            for s in ["one", "i"] if result == C else ["one"]:
                straight_line.reverse(module, base, f"{base}_rev_{s}", seed=SEEDS[s])
                names[f"{base}_rev_{s}"] = types, [types[i] for i in floats]
            for i in floats:
                for s in ["one", "i"] if types[i] == C else ["one"]:
                    forward = f"{base}_fwd{i}_{s}"
                    straight_line.forward(module, base, forward, i, seed=SEEDS[s])
                    names[forward] = types, [result]
                    straight_line.forward(module, forward, f"{forward}_fwd", i, seed=SEEDS[s])
                    names[f"{forward}_fwd"] = types, [result]
                    straight_line.reverse(module, forward, f"{forward}_rev")
                    names[f"{forward}_rev"] = types, [types[i] for i in floats]
        return Compiled(module, names)


def _arguments(name: str) -> list[np.ndarray]:
    types = CASES[name][0]
    angle = 0.5 if name in ("complex.atan2", "complex.tan", "complex.tanh") else 2.6  # away from their poles too
    make = {
        C: lambda: _points(angle),
        R: lambda: _rng.uniform(0.3, 2, 16),
        "i32": lambda: np.resize([-3, -1, 0, 1, 2, 5], 16),
    }
    return [make[t]() for t in types]


def _difference(
    f: Callable[..., np.ndarray], points: list[np.ndarray], i: int, direction: complex, order: int
) -> np.ndarray:
    """First or second derivative along one direction of one argument, by differences of order 6 and 4."""
    at = lambda k, h: f(*[p + (k * h * direction if a == i else 0) for a, p in enumerate(points)])
    if order == 1:
        h = 1e-2
        return sum(c * (at(k, h) - at(-k, h)) for k, c in ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))) / h
    h = 2e-2
    terms = sum(c * (at(k, h) + at(-k, h)) for k, c in ((1, 8 / 5), (2, -1 / 5), (3, 8 / 315), (4, -1 / 560)))
    return (terms - 205 / 72 * at(0, h)) / (h * h)


def _seeds_of(type: str) -> list[tuple[str, complex]]:
    return [("one", 1.0), ("i", 1j)] if type == C else [("one", 1.0)]


@pytest.mark.parametrize("name", NAMES)
def test_forward(compiled: Compiled, name: str) -> None:
    types, _, f = CASES[name]
    points = _arguments(name)
    for i, type in enumerate(types):
        for s, direction in _seeds_of(type) if type != "i32" else []:
            found = compiled(f"{_symbol(name)}_fwd{i}_{s}", *points)[0]
            np.testing.assert_allclose(found, _difference(f, points, i, direction, 1), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_reverse_is_the_transpose(compiled: Compiled, name: str) -> None:
    types, result, _ = CASES[name]
    base, points = _symbol(name), _arguments(name)
    floats = [i for i, t in enumerate(types) if t != "i32"]
    for position, i in enumerate(floats):
        for s, tangent in _seeds_of(types[i]):
            pushed = compiled(f"{base}_fwd{i}_{s}", *points)[0]
            for r, cotangent in _seeds_of(result):
                pulled = compiled(f"{base}_rev_{r}", *points)[position]
                np.testing.assert_allclose(
                    np.real(np.conj(cotangent) * pushed), np.real(np.conj(pulled) * tangent), rtol=1e-11, atol=1e-13
                )


@pytest.mark.parametrize("name", NAMES)
def test_second_order(compiled: Compiled, name: str) -> None:
    types, result, f = CASES[name]
    base, points = _symbol(name), _arguments(name)
    floats = [i for i, t in enumerate(types) if t != "i32"]
    for position, i in enumerate(floats):
        for s, direction in _seeds_of(types[i]):
            expected = _difference(f, points, i, direction, 2)
            twice = compiled(f"{base}_fwd{i}_{s}_fwd", *points)[0]
            np.testing.assert_allclose(twice, expected, rtol=1e-6, atol=1e-6)
            pulled = compiled(f"{base}_fwd{i}_{s}_rev", *points)[position]
            np.testing.assert_allclose(np.real(np.conj(pulled) * direction), np.real(twice), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["complex.abs", "complex.angle", "complex.sign"])
def test_zero_at_the_origin(compiled: Compiled, name: str) -> None:
    origin = np.zeros(1, complex)
    assert compiled(f"{_symbol(name)}_fwd0_one", origin)[0][0] == 0
    assert compiled(f"{_symbol(name)}_rev_one", origin)[0][0] == 0


def test_strong_zero() -> None:
    """A zero tangent or cotangent at an infinite point."""
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(_text("complex.abs"))
        zero = lambda type: straight_line.constant(0.0, type, ir.Location.current)
        names = {}
        for strong in (False, True):
            straight_line.forward(module, "complex_abs", f"fwd{strong}", 0, seed=zero, strong_zero=strong)
            straight_line.reverse(module, "complex_abs", f"rev{strong}", seed=zero, strong_zero=strong)
            names |= {f"fwd{strong}": ([C], [R]), f"rev{strong}": ([C], [C])}
        compiled = Compiled(module, names)
    infinite = np.array([complex(np.inf, 1)])
    for mode in ("fwd", "rev"):
        assert np.isnan(compiled(f"{mode}False", infinite)[0][0])
        assert compiled(f"{mode}True", infinite)[0][0] == 0


def test_powers_of_zero(compiled: Compiled) -> None:
    """The derivative of z ** w by z at z = 0, for w = 0, 1, 2."""
    zero = np.zeros(3, complex)
    for name, exponents in (("complex_pow", np.arange(3) + 0j), ("complex_powi", np.arange(3))):
        np.testing.assert_array_equal(compiled(f"{name}_fwd0_one", zero, exponents)[0], [0, 1, 0])
        np.testing.assert_array_equal(compiled(f"{name}_rev_one", zero, exponents)[0], [0, 1, 0])
    np.testing.assert_array_equal(compiled("complex_pow_fwd1_one", zero, np.arange(3) + 0j)[0], [0, 0, 0])


def test_every_row_has_a_case() -> None:
    assert {name for name in table.RULES if name.startswith("complex.")} == set(CASES)

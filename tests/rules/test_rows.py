"""Every row of arith, math and libm, by running it: first and second order, both modes, f64, f32 and vectors."""

from __future__ import annotations

import numpy as np
import pytest
from mlir import ir

from dialects.rules import libm, table
from tests.rules import cases, straight_line
from tests.rules.execute import Compiled

TYPES = {"f64": "f64", "f32": "f32", "vec": "vector<4xf64>"}


def kinds(case: cases.Case) -> list[str]:
    return [k for k in TYPES if (k != "f32" or case.f32) and (k != "vec" or case.vectors)]


def symbol(case: cases.Case, kind: str) -> str:
    return f"{case.name.replace('.', '_')}_{kind}"


def primal_text(case: cases.Case, kind: str) -> str:
    """A function of the case for one type. Calls of C functions in f32 get the f at the end of their names."""
    type = TYPES[kind]
    shape = (lambda t: f"vector<4x{t}>") if kind == "vec" else (lambda t: t)
    text = case.text.replace("BOOL", shape("i1")).replace("INT", shape("i32"))
    if kind == "f32":
        text = text.replace(f"@{case.name}(", f"@{case.name}f(")
    types = [shape("i32") if i in case.integers else type for i in range(len(case.points))]
    params = ", ".join(f"{v}: {t}" for v, t in zip(("%x", "%y", "%z"), types))
    text = text.replace(" T", f" {type}").replace("(T", f"({type}")
    return f"func.func @{symbol(case, kind)}({params}) -> {type} {{\n{text}\nreturn %r : {type}\n}}\n"


def declaration(case: cases.Case) -> str:
    text = case.declarations
    twin = text.replace(f"@{case.name}(", f"@{case.name}f(").replace("T", "f32")
    return text.replace("T", "f64") + "\n" + twin + "\n"


def float_arguments(case: cases.Case) -> list[int]:
    return [i for i in range(len(case.points)) if i not in case.integers]


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    """All functions of all cases in one module: forward, reverse, and all four second orders."""
    every = [*cases.CASES, *cases.C_CASES]
    names: dict[str, tuple[list[str], list[str]]] = {}
    with ir.Context(), ir.Location.unknown():
        text = "".join(primal_text(c, k) for c in every for k in kinds(c))
        module = ir.Module.parse("".join(declaration(c) for c in cases.C_CASES) + text)
        for case in every:
            for kind in kinds(case):
                base, type = symbol(case, kind), TYPES[kind]
                int_type = "vector<4xi32>" if kind == "vec" else "i32"
                inputs = [int_type if i in case.integers else type for i in range(len(case.points))]
                floats = float_arguments(case)
                straight_line.reverse(module, base, f"{base}_rev")
                names[f"{base}_rev"] = inputs, [type] * len(floats)
                for i in floats:
                    straight_line.forward(module, base, f"{base}_fwd{i}", i)
                    names[f"{base}_fwd{i}"] = inputs, [type]
                    straight_line.reverse(module, f"{base}_fwd{i}", f"{base}_fwd{i}_rev")
                    names[f"{base}_fwd{i}_rev"] = inputs, [type] * len(floats)
                    straight_line.forward(module, f"{base}_rev", f"{base}_rev_fwd{i}", i)
                    names[f"{base}_rev_fwd{i}"] = inputs, [type] * len(floats)
        return Compiled(module, names)


ALL = [pytest.param(c, k, id=f"{c.name}-{k}") for c in [*cases.CASES, *cases.C_CASES] for k in kinds(c)]


def points_of(case: cases.Case, kind: str) -> list[np.ndarray]:
    size = len(case.points[0])
    points = [np.resize(p, size) for p in case.points]
    return [p.astype(np.float32).astype(np.float64) for p in points] if kind == "f32" else points


def check(found: np.ndarray, expected: np.ndarray, rtol: float) -> None:
    scale = np.max(np.abs(expected)) if expected.size else 1.0
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * min(scale, 1.0) * 1e-2)


@pytest.mark.parametrize("case, kind", ALL)
def test_first_order(compiled: Compiled, case: cases.Case, kind: str) -> None:
    base, points = symbol(case, kind), points_of(case, kind)
    rtol = 1e-5 if kind == "f32" else 1e-12
    gradient = compiled(f"{base}_rev", *points)
    for position, i in enumerate(float_arguments(case)):
        expected = cases.first(case, points, i)
        check(compiled(f"{base}_fwd{i}", *points)[0], expected, rtol)
        check(gradient[position], expected, rtol)


@pytest.mark.parametrize("case, kind", ALL)
def test_second_order(compiled: Compiled, case: cases.Case, kind: str) -> None:
    base, points = symbol(case, kind), points_of(case, kind)
    rtol = 2e-4 if kind == "f32" else 2e-8
    floats = float_arguments(case)
    for i in floats:
        forward_reverse = compiled(f"{base}_fwd{i}_rev", *points)
        reverse_forward = compiled(f"{base}_rev_fwd{i}", *points)
        for position, j in enumerate(floats):
            expected = cases.second(case, points, i, j)
            scale = max(1.0, float(np.max(np.abs(expected))))
            for found in (forward_reverse[position], reverse_forward[position]):
                np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * scale * 1e-2)


def test_every_row_has_a_case() -> None:
    tested = {c.name for c in cases.CASES} | {"arith.extf", "arith.truncf"}  # casts: test_emission.py
    assert {name for name in table.RULES if not name.startswith("complex.")} == tested
    shared = {id(rule) for rule in table.RULES.values()}
    own = {name for name, rule in libm.RULES.items() if id(rule) not in shared}
    assert own <= {c.name for c in cases.C_CASES}

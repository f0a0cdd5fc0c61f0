"""Several tangents or cotangents in one run: each lane as a run of its own, and the primal computed once."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from .checks import filecheck, function
from .harness import MEMREF as M
from .harness import Compiled, differentiate, request
from .programs import Program

SIZE, TRIPS, WIDTH = 4, 3, 3
V = f"vector<{WIDTH}xf64>"
ACTIVE = ["active", "active", "duplicated", "duplicated", "const"]
MOVING = ["duplicated", "duplicated", "duplicated", "duplicated", "const"]
REVERSE = f"(f64, f64, {M}, {M}, {M}, {M}, index, f64) -> (f64, f64, f64)"
FORWARD = f"(f64, f64, f64, f64, {M}, {M}, {M}, {M}, index) -> (f64, f64)"
SHADOWS = ", ".join([M] * WIDTH)
WIDE_REVERSE = f"(f64, f64, {M}, {SHADOWS}, {M}, {SHADOWS}, index, {V}) -> (f64, {V}, {V})"
WIDE_FORWARD = f"(f64, {V}, f64, {V}, {M}, {SHADOWS}, {M}, {SHADOWS}, index) -> (f64, {V})"
PRIMAL = ", autodiff.primal"
PUBLIC = PRIMAL + ", autodiff.public"
WIDE = f"{PRIMAL}, autodiff.width = {WIDTH} : i64"


def _memrefs(name: str) -> str:
    return ", ".join(f"%{name}{k}: {M}" for k in range(WIDTH))


def _scalars(name: str) -> str:
    return ", ".join(f"%{name}{k}: f64" for k in range(WIDTH))


def _uses(name: str) -> str:
    return ", ".join(f"%{name}{k}" for k in range(WIDTH))


def _extract(name: str) -> str:
    return "\n".join(f"  %{name}{k}_ = vector.extract %{name}[{k}] : f64 from {V}" for k in range(WIDTH))


def _extracted(name: str) -> str:
    return ", ".join(f"%{name}{k}_" for k in range(WIDTH))


#: Entries that take and give numbers, where the derivatives have vectors.
ENTRIES = f"""
func.func @forward_entry(%a: f64, {_scalars("da")}, %b: f64, {_scalars("db")}, %x: {M}, {_memrefs("dx")},
                         %y: {M}, {_memrefs("dy")}, %m: index) -> (f64, f64, f64, f64) {{
  %da = vector.from_elements {_uses("da")} : {V}
  %db = vector.from_elements {_uses("db")} : {V}
  %r, %t = func.call @wide_forward(%a, %da, %b, %db, %x, {_uses("dx")}, %y, {_uses("dy")}, %m) : {WIDE_FORWARD}
{_extract("t")}
  return %r, {_extracted("t")} : f64, f64, f64, f64
}}
func.func @reverse_entry(%a: f64, %b: f64, %x: {M}, {_memrefs("dx")}, %y: {M}, {_memrefs("dy")}, %m: index,
                         {_scalars("s")}) -> (f64, f64, f64, f64, f64, f64, f64) {{
  %s = vector.from_elements {_uses("s")} : {V}
  %r, %p, %q = func.call @wide_reverse(%a, %b, %x, {_uses("dx")}, %y, {_uses("dy")}, %m, %s) : {WIDE_REVERSE}
{_extract("p")}
{_extract("q")}
  return %r, {_extracted("p")}, {_extracted("q")} : f64, f64, f64, f64, f64, f64, f64
}}
"""


def requests(function: str) -> str:
    return (
        request("one_reverse", "reverse", function, REVERSE, ACTIVE, ["active"], PUBLIC)
        + request("one_forward", "forward", function, FORWARD, MOVING, ["duplicated"], PUBLIC)
        + request("wide_reverse", "reverse", function, WIDE_REVERSE, ACTIVE, ["active"], WIDE)
        + request("wide_forward", "forward", function, WIDE_FORWARD, MOVING, ["duplicated"], WIDE)
        + ENTRIES
    )


@pytest.mark.parametrize("seed", range(24))
def test_lanes_are_runs_of_their_own(seed: int) -> None:
    source = random.Random(7000 + seed)
    program = Program(lambda n: source.randrange(n), 6 + seed % 16)
    text = differentiate(program.text + requests("f"))
    forward, reverse = Compiled(text, "one_forward", 2), Compiled(text, "one_reverse", 3)
    wide_forward, wide_reverse = (
        Compiled(text, "forward_entry", 1 + WIDTH),
        Compiled(text, "reverse_entry", 1 + 2 * WIDTH),
    )
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.5, 1.5, 2)
    x, y = rng.uniform(0.5, 1.5, (2, SIZE))
    da, db, s = rng.uniform(-1, 1, (3, WIDTH))
    dx, dy = rng.uniform(-1, 1, (2, WIDTH, SIZE))

    # tangents, also those that memory has at the end
    x1, y1, dx1, dy1 = x.copy(), y.copy(), dx.copy(), dy.copy()
    out, *tangents = wide_forward(a, *da, b, *db, x1, *dx1, y1, *dy1, TRIPS)
    for k in range(WIDTH):
        x2, y2, dx2, dy2 = x.copy(), y.copy(), dx[k].copy(), dy[k].copy()
        one = forward(a, da[k], b, db[k], x2, dx2, y2, dy2, TRIPS)
        np.testing.assert_allclose((out, tangents[k]), one, rtol=1e-11, atol=1e-12)
        for found, expected in ((x1, x2), (y1, y2), (dx1[k], dx2), (dy1[k], dy2)):
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)

    x1, y1, dx1, dy1 = x.copy(), y.copy(), dx.copy(), dy.copy()
    out, *gradients = wide_reverse(a, b, x1, *dx1, y1, *dy1, TRIPS, *s)
    for k in range(WIDTH):
        x2, y2, dx2, dy2 = x.copy(), y.copy(), dx[k].copy(), dy[k].copy()
        one = reverse(a, b, x2, dx2, y2, dy2, TRIPS, s[k])
        np.testing.assert_allclose((out, gradients[k], gradients[WIDTH + k]), one, rtol=1e-11, atol=1e-12)
        for found, expected in ((x1, x2), (y1, y2), (dx1[k], dx2), (dy1[k], dy2)):
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_the_primal_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sine and one cosine for three tangents, products of a vector of two and one of one."""
    f = "func.func @f(%x: f64) -> f64 {\n  %s = math.sin %x : f64\n  return %s : f64\n}\n"
    for mode, activity in (("forward", "duplicated"), ("reverse", "active")):
        extra = f"{PRIMAL}, autodiff.public, autodiff.width = {WIDTH} : i64"
        text = differentiate(f + request("d", mode, "f", f"(f64, {V}) -> (f64, {V})", [activity],
                                         ["duplicated" if mode == "forward" else "active"], extra))  # fmt: skip
        derivative = function(text, "d")
        assert derivative.count("math.sin") == 1
        assert derivative.count("math.cos") == 1
        products = ": arith.mulf {{.*}} : vector<2xf64>\n: arith.mulf {{.*}} : vector<1xf64>"
        filecheck(derivative, f": @d(\n{products}\n: return", tmp_path, monkeypatch)

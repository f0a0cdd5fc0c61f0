"""Known values and gradients (to about 1e-9) of the functions in reference_cases.mlir, in both modes, by the engine and
by dsl-opt.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .harness import Compiled, differentiate, request

FILE = Path(__file__).with_name("reference_cases.mlir")
ROOT = FILE.parents[2]

#: (function, point, value, gradient): of arguments, or of the content of the one argument at entry.
SCALARS = [
    ("tenth_power", [1.3], 13.785849184900009, [106.04499372994471]),
    ("tenth_power", [-0.7], 0.028247524899999984, [-0.4035360700000927]),
    ("cube_of_cube", [1.1], 2.357947691000002, [19.2922992899939]),
    ("cube_of_cube", [0.9], 0.38742048900000015, [3.874204890000901]),
    ("every_third", [0.8], 0.6209164247138668, [1.5108172948594485]),
    ("every_third", [1.7], 1.5578341735553378, [0.7717636211579894]),
    ("root_by_newton", [2.0], 1.414213562373095, [0.3535533905936523]),
    ("root_by_newton", [7.3], 2.701851217221259, [0.18505830254857425]),
    ("left_early", [1.5, 1.4], 1.4148818179718028, [0.6666666666665877, 2.1428571428559695]),
    ("left_early", [0.3, 1.1], 0.48315300000000017, [1.6105099999996, 2.196149999999529]),
    ("left_early", [2.5, -1.2], 1.2809338454620642, [0.40000000000022695, -1.6666666666661647]),
    ("by_way_of_memory", [0.4], 1.3771277643359572, [2.203404422937216]),
    ("by_way_of_memory", [-0.3], 1.1972173631218104, [-1.436660835746186]),
]
ARRAYS = [
    ("in_its_place", [1.3, 2.0, 0.4], 2.515154311864804, [4.619425823687413, 0.013985235229538531, 0.0]),
    (
        "left_neighbour",
        [1.3, 0.2, -0.4, 0.9],
        2.4925700900000005,
        [2.6722145999983664, 1.1915408999996768, -0.36200045000121245, 1.0589202000008828],
    ),
    ("length_of_product", [1.0, -2.0, 0.5], 7.25, [-15.0, -22.0, -29.0]),
    (
        "inner_points",
        [0.5, -0.3, 0.8, 1.1, 0.2],
        0.22007668964995297,
        [0.684511028864849, 0.9883989661492877, 0.6227855234574284, -0.2695633544044296, 0.7798645216672339],
    ),
    (
        "sum_in_parallel",
        [0.1, 0.5, -0.7, 1.2],
        4.571408321787499,
        [1.2156880098822964, 2.4730819060506266, 0.14897559113774878, 7.304257230019049],
    ),
]
PRIMAL = ", autodiff.primal, autodiff.public"


def requests(function: str, array: str = "", count: int = 0) -> str:
    """Both derivatives of a function of `count` numbers, or of one array of a type."""
    if array:
        forward, reverse = f"({array}, {array}) -> (f64, f64)", f"({array}, {array}, f64) -> f64"
        activity = ["duplicated"]
        moving = activity
    else:
        numbers = ", ".join(["f64"] * count)
        forward = f"({', '.join(['f64'] * (2 * count))}) -> (f64, f64)"
        reverse = f"({numbers}, f64) -> (f64, {numbers})"
        activity, moving = ["active"] * count, ["duplicated"] * count
    return request("fwd", "forward", function, forward, moving, ["duplicated"], PRIMAL) + request(
        "rev", "reverse", function, reverse, activity, ["active"], PRIMAL
    )


def array_type(function: str) -> str:
    return "memref<3xf64>" if function == "length_of_product" else "memref<?xf64>"


@pytest.mark.parametrize(("function", "point", "value", "gradient"), SCALARS)
def test_scalars(function: str, point: list[float], value: float, gradient: list[float]) -> None:
    text = differentiate(FILE.read_text() + requests(function, count=len(point)))
    forward, reverse = Compiled(text, "fwd", 2), Compiled(text, "rev", 1 + len(point))
    np.testing.assert_allclose(reverse(*point, 1.0), [value, *gradient], rtol=1e-8, atol=1e-9)
    for k, partial in enumerate(gradient):
        pairs = [w for i, p in enumerate(point) for w in (p, float(i == k))]
        np.testing.assert_allclose(forward(*pairs), [value, partial], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("function", "point", "value", "gradient"), ARRAYS)
def test_arrays(function: str, point: list[float], value: float, gradient: list[float]) -> None:
    text = differentiate(FILE.read_text() + requests(function, array=array_type(function)))
    forward, reverse = Compiled(text, "fwd", 2), Compiled(text, "rev", 1)
    shadow = np.zeros(len(point))
    np.testing.assert_allclose(reverse(np.array(point), shadow, 1.0), [value], rtol=1e-12)
    np.testing.assert_allclose(shadow, gradient, rtol=1e-8, atol=1e-9)
    for k, partial in enumerate(gradient):
        tangent = np.eye(len(point))[k]
        np.testing.assert_allclose(forward(np.array(point), tangent), [value, partial], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("function", "point", "value", "gradient"), ARRAYS)
def test_width_and_second_order(function: str, point: list[float], value: float, gradient: list[float]) -> None:
    """Two tangents at once, of the function, and of its gradient: two products with the Hessian."""
    m, moving = array_type(function), ["duplicated"]
    wide = PRIMAL.replace(", autodiff.public", "") + ", autodiff.width = 2 : i64"
    text = (
        FILE.read_text()
        + requests(function, array=m)
        + request("wide", "forward", function, f"({m}, {m}, {m}) -> (f64, vector<2xf64>)", moving, moving, wide)
        + request(
            "hessian",
            "forward",
            "rev",
            f"({', '.join([m] * 6)}, f64) -> f64",
            ["duplicated", "duplicated", "const"],
            ["const"],
            ", autodiff.primal, autodiff.public, autodiff.width = 2 : i64",
        )
        + f"""
func.func @entry(%x: {m}, %a: {m}, %b: {m}) -> (f64, f64, f64) {{
  %r, %t = func.call @wide(%x, %a, %b) : ({m}, {m}, {m}) -> (f64, vector<2xf64>)
  %p = vector.extract %t[0] : f64 from vector<2xf64>
  %q = vector.extract %t[1] : f64 from vector<2xf64>
  return %r, %p, %q : f64, f64, f64
}}"""
    )
    made = differentiate(text)
    n = len(point)
    directions = np.random.default_rng(1).uniform(-1, 1, (2, n))
    found = Compiled(made, "entry", 3)(np.array(point), *directions.copy())
    np.testing.assert_allclose(found, [value, *(directions @ gradient)], rtol=1e-8, atol=1e-9)

    shadows, products = np.zeros(n), np.zeros((2, n))
    Compiled(made, "hessian", 1)(np.array(point), *directions.copy(), shadows, *products, 1.0)
    np.testing.assert_allclose(shadows, gradient, rtol=1e-8, atol=1e-9)
    reverse = Compiled(made, "rev", 1)

    def gradient_at(x: np.ndarray) -> np.ndarray:
        shadow = np.zeros(n)
        reverse(x.copy(), shadow, 1.0)
        return shadow

    for direction, product in zip(directions, products, strict=True):
        step = 1e-5 * direction
        expected = (gradient_at(point + step) - gradient_at(point - step)) / 2e-5
        np.testing.assert_allclose(product, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("function", "point", "value", "gradient"), [SCALARS[8], ARRAYS[1], ARRAYS[3]])
def test_dsl_opt(function: str, point: list[float], value: float, gradient: list[float], tmp_path: Path) -> None:
    """The same numbers from the command line."""
    array = array_type(function) if any(case[0] == function for case in ARRAYS) else ""
    file = tmp_path / "case.mlir"
    file.write_text(FILE.read_text() + requests(function, array, len(point)))
    given = [str(point), str([0.0] * len(point)), "1"] if array else [*map(str, point), "1"]
    done = dsl_opt(str(file), "--pass-pipeline=autodiff-pipeline", "--run", "@rev", "--args", *given)
    assert done.returncode == 0, done.stderr
    numbers = [float(n) for line in done.stdout.splitlines() for n in re.findall(r"[-\d.e]+", line.partition("=")[2])]
    if array:
        assert done.stdout.count("argument") == (2 if function == "left_neighbour" else 1)
        numbers = [numbers[0], *numbers[-len(point) :]]
    np.testing.assert_allclose(numbers, [value, *gradient], rtol=1e-8)


def test_dsl_opt_checks(tmp_path: Path) -> None:
    done = dsl_opt(str(FILE), "--check-gradients", "@root_by_newton")
    assert (done.returncode, done.stdout.count(" ok")) == (0, 4), done.stderr


def dsl_opt(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dialects.opt", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

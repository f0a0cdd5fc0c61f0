"""Vector ops, and derivatives in several directions at once: one program with all of them, in the nestings of modes."""

from __future__ import annotations

import numpy as np
import pytest
from mlir import ir

from dialects.rules import lookup, structured
from tests.rules import straight_line
from tests.rules.execute import Compiled

PROGRAM = """
func.func @p(%x: f64, %y: f64) -> f64 {
  %row = vector.broadcast %x : f64 to vector<3xf64>
  %row_y = vector.insert %y, %row [1] : f64 into vector<3xf64>
  %both = vector.broadcast %row_y : vector<3xf64> to vector<2x3xf64>
  %elements = vector.from_elements %y, %x, %x, %x, %y, %y : vector<2x3xf64>
  %fma = vector.fma %elements, %both, %elements : vector<2x3xf64>
  %sin = math.sin %fma : vector<2x3xf64>
  %size = math.absf %sin : vector<2x3xf64>
  %turned = vector.transpose %size, [1, 0] : vector<2x3xf64> to vector<3x2xf64>
  %flat = vector.shape_cast %turned : vector<3x2xf64> to vector<6xf64>
  %two = arith.constant 2 : index
  %element = vector.extract %flat[%two] : f64 from vector<6xf64>
  %again = vector.insert %element, %flat [%two] : f64 into vector<6xf64>
  %first = vector.extract %turned[0] : vector<2xf64> from vector<3x2xf64>
  %a, %b = vector.to_elements %first : vector<2xf64>
  %sum = vector.reduction <add>, %again, %a : vector<6xf64> into f64
  %total = vector.reduction <add>, %flat : vector<6xf64> into f64
  %product = arith.mulf %sum, %total : f64
  %r = arith.mulf %product, %b : f64
  return %r : f64
}
"""


def _program(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """PROGRAM in complex arithmetic."""
    both = [x, y, x] * 2
    elements = [y, x, x, x, y, y]
    sines = [np.sin(e * b + e) for e, b in zip(elements, both)]
    sizes = [s * np.sign(np.real(s)) for s in sines]
    return (sum(sizes) + sizes[0]) * sum(sizes) * sizes[3]


def _first(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    h = 1e-200
    return [np.imag(_program(x + 1j * h, y + 0j)) / h, np.imag(_program(x + 0j, y + 1j * h)) / h]


def _second(x: np.ndarray, y: np.ndarray) -> list[list[np.ndarray]]:
    h = 1e-3
    weights = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
    along = [(1, 0), (0, 1)]
    at = lambda k, d: _first(x + k * h * d[0], y + k * h * d[1])
    return [[sum(c * (at(k, d)[i] - at(-k, d)[i]) for k, c in weights) / h for d in along] for i in range(2)]


LANES = (1.0, -2.0, 0.0, 0.5)


def _lanes(type: ir.Type) -> ir.Value:
    """A seed of four directions for a scalar; for a vector, each of them in every element."""
    shape = list(type.shape) if isinstance(type, ir.VectorType) else []
    part = type.element_type if shape else type
    values = np.broadcast_to(np.reshape(LANES, (4, *[1] * len(shape))), (4, *shape))
    attribute = ir.DenseElementsAttr.get(np.ascontiguousarray(values), type=ir.VectorType.get([4, *shape], part))
    return ir.Operation.create("arith.constant", results=[attribute.type], attributes={"value": attribute}).results[0]


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(PROGRAM)
        names: dict[str, tuple[list[str], list[str]]] = {}
        inputs, vector = ["f64", "f64"], "vector<4xf64>"
        straight_line.reverse(module, "p", "rev")
        straight_line.reverse(module, "p", "rev_lanes", seed=_lanes)
        names |= {"rev": (inputs, ["f64"] * 2), "rev_lanes": (inputs, [vector] * 2)}
        for i in range(2):
            straight_line.forward(module, "p", f"fwd{i}", i)
            straight_line.forward(module, "p", f"lanes{i}", i, seed=_lanes)
            straight_line.forward(module, f"lanes{i}", f"fwd_lanes{i}", i)
            straight_line.reverse(module, f"lanes{i}", f"rev_of_lanes{i}")
            straight_line.forward(module, "rev", f"lanes_of_rev{i}", i, seed=_lanes)
            straight_line.forward(module, "rev_lanes", f"fwd_of_rev_lanes{i}", i)
            names |= {f"fwd{i}": (inputs, ["f64"]), f"lanes{i}": (inputs, [vector])}
            names |= {f"fwd_lanes{i}": (inputs, [vector]), f"rev_of_lanes{i}": (inputs, ["f64"] * 2)}
            names |= {f"lanes_of_rev{i}": (inputs, [vector] * 2), f"fwd_of_rev_lanes{i}": (inputs, [vector] * 2)}
        # lanes of lanes: the last result is a matrix, whose rows are summed by the rules' own sum
        straight_line.forward(module, "lanes0", "lanes_of_lanes", 0, seed=_lanes)
        function = straight_line.function(module, "lanes_of_lanes")
        end = list(function.regions[0].blocks[0])[-1]
        with ir.InsertionPoint(end):
            total = structured.sum_to(end.operands[0], ir.F64Type.get(), ir.Location.current)
        straight_line._finish(function, end, [total])
        names["lanes_of_lanes"] = inputs, ["f64"]
        return Compiled(module, names)


X, Y = np.array([0.3]), np.array([1.1])  # one point: four lanes go to four places of the result


def _run(compiled: Compiled, name: str) -> list[np.ndarray]:
    """Results at (X, Y); a driver with lanes writes four numbers."""
    return compiled(name, np.resize(X, 4), np.resize(Y, 4))


def test_first_order(compiled: Compiled) -> None:
    expected = _first(X, Y)
    for i in range(2):
        np.testing.assert_allclose(_run(compiled, f"fwd{i}")[0], np.resize(expected[i], 4), rtol=1e-12)
        np.testing.assert_allclose(_run(compiled, "rev")[i], np.resize(expected[i], 4), rtol=1e-12)
        np.testing.assert_allclose(_run(compiled, f"lanes{i}")[0], expected[i] * LANES, rtol=1e-12)
        np.testing.assert_allclose(_run(compiled, "rev_lanes")[i], expected[i] * LANES, rtol=1e-12)


def test_second_order(compiled: Compiled) -> None:
    expected = _second(X, Y)
    close = lambda found, value: np.testing.assert_allclose(found, value, rtol=1e-8, atol=1e-8)
    for i in range(2):
        close(_run(compiled, f"fwd_lanes{i}")[0], expected[i][i] * LANES)
        for j in range(2):
            close(_run(compiled, f"rev_of_lanes{i}")[j], np.resize(expected[i][j] * sum(LANES), 4))
            close(_run(compiled, f"lanes_of_rev{i}")[j], expected[i][j] * LANES)
            close(_run(compiled, f"fwd_of_rev_lanes{i}")[j], expected[i][j] * LANES)
    close(_run(compiled, "lanes_of_lanes")[0], np.resize(expected[0][0] * sum(LANES) ** 2, 4))


def test_every_op_is_in_the_program() -> None:
    assert all(name in PROGRAM for name in structured.FORMULAS)


@pytest.mark.parametrize(
    "text",
    [
        "%r = vector.reduction <mul>, %v : vector<4xf64> into f64",
        "%r = vector.broadcast %w : vector<1xf64> to vector<4xf64>",
        "%r = vector.shuffle %v, %v [0, 1] : vector<4xf64>, vector<4xf64>",
    ],
)
def test_what_has_no_rule_says_so(text: str) -> None:
    with ir.Context():
        module = ir.Module.parse(f"func.func @f(%v: vector<4xf64>, %w: vector<1xf64>) {{\n{text}\nreturn\n}}")
        op = module.body.operations[0].regions[0].blocks[0].operations[0]
        assert lookup(op) is None

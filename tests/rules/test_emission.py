"""How partials are multiplied: what is left out, what is converted, what is broadcast; and what the tables answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlir import ir

from dialects.rules import emit, emit_product, inactive, lookup, refused, special
from dialects.rules.documentation import page
from dialects.rules.expr import Expr, as_expr, compare, fn, select, x0, x1
from tests.rules import straight_line
from tests.rules.execute import Compiled


@pytest.fixture(autouse=True)
def context() -> Iterator[None]:
    with ir.Context(), ir.Location.unknown():
        yield


def first_op(module: ir.Module, name: str = "f") -> ir.Operation:
    return straight_line.function(module, name).regions[0].blocks[0].operations[0].operation


def product(expr: Expr, type: str = "f64", tangent: str | None = None, **options: bool) -> list[str]:
    """The names of the ops that multiplying by `expr` takes, in order."""
    tangent = tangent or type
    module = ir.Module.parse(f"func.func @f(%x: {type}, %y: {type}, %t: {tangent}) {{ return }}")
    block = straight_line.function(module, "f").regions[0].blocks[0]
    with ir.InsertionPoint.at_block_begin(block):
        leaf = lambda kind, i: block.arguments[i]
        made = emit_product(expr, block.arguments[2], leaf, ir.Type.parse(type), ir.Location.unknown(), **options)
    module.operation.verify()
    assert made.type == ir.Type.parse(tangent)
    return [op.operation.name for op in block.operations][:-1]


def test_ones_cost_nothing() -> None:
    assert product(as_expr(1)) == []
    assert product(as_expr(-1)) == ["arith.negf"]
    assert product(-as_expr(-1)) == []
    assert product(as_expr(0)) == ["arith.constant"]


def test_factors() -> None:
    assert product(x1) == ["arith.mulf"]
    assert product(-x1) == ["arith.mulf", "arith.negf"]
    assert product(1 / x1) == ["arith.divf"]
    assert product(-1 / x1) == ["arith.divf", "arith.negf"]
    assert product(x0 / x1) == ["arith.divf", "arith.mulf"]  # t / x1 * x0 could be infinity times 0
    assert product(select(compare("oeq", x0, x1), 1, -1)) == ["arith.negf", "arith.cmpf", "arith.select"]


def test_shared_parts_are_emitted_once() -> None:
    square = x0 * x0
    assert product(square + square) == ["arith.mulf", "arith.addf", "arith.mulf"]


def test_strong_zero_guards_what_can_be_infinite_and_nothing_else() -> None:
    assert "arith.select" in product(x1, strong_zero=True)
    assert "arith.select" in product(1 / x1, strong_zero=True)
    assert "arith.select" in product(as_expr(np.inf), strong_zero=True)
    assert product(as_expr(1), strong_zero=True) == []
    assert product(select(compare("oeq", x0, x1), 1, 0), strong_zero=True).count("arith.select") == 1


def test_several_directions() -> None:
    assert product(fn("sin", x0), "f64", "vector<4xf64>") == ["math.sin", "vector.broadcast", "arith.mulf"]
    assert product(1 / x0, "f64", "vector<4xf64>") == ["vector.broadcast", "arith.divf"]
    assert product(as_expr(3), "f64", "vector<4xf64>") == ["arith.constant", "vector.broadcast", "arith.mulf"]
    assert product(x1, "vector<2xf32>", "vector<4x2xf32>") == ["vector.broadcast", "arith.mulf"]
    condition = select(compare("oeq", x0, x1), 1, 0)
    assert "vector.broadcast" in product(condition, "vector<2xf32>", "vector<4x2xf32>", strong_zero=True)
    assert "vector.broadcast" not in product(condition, "f64", "vector<4xf64>", strong_zero=True)


@pytest.mark.parametrize("type", ["f16", "bf16", "f32", "f64", "vector<4xf16>", "vector<4xbf16>"])
def test_every_float_type(type: str) -> None:
    assert product(fn("pow", x0, x1 - 1) * x1, type)[-1] == "arith.mulf"


def test_complex_conjugate() -> None:
    assert product(x1, "complex<f64>", conjugate=True) == ["complex.conj", "complex.mul"]
    assert product(1 / x1, "complex<f32>", conjugate=True) == ["complex.conj", "complex.div"]
    assert product(as_expr(-1), "complex<f64>", conjugate=True) == ["complex.neg"]
    guarded = product(x1, "complex<f64>", strong_zero=True)
    assert "complex.eq" in guarded and guarded[-1] == "arith.select"


@pytest.mark.parametrize("source, target", [("f16", "f32"), ("f32", "f64"), ("bf16", "f64"), ("f16", "f64")])
def test_casts_convert_tangents_along(source: str, target: str) -> None:
    for op, given, made in (("arith.extf", source, target), ("arith.truncf", target, source)):
        module = ir.Module.parse(
            f"func.func @f(%x: {given}) -> {made} {{ %r = {op} %x : {given} to {made}\n return %r : {made} }}"
        )
        straight_line.forward(module, "f", "fwd", 0)
        straight_line.reverse(module, "f", "rev")
        module.operation.verify()
        assert f"-> {given}" in str(straight_line.function(module, "rev"))


def test_half_precisions_convert_into_each_other() -> None:
    module = ir.Module.parse("func.func @f(%t: f16) { return }")
    block = straight_line.function(module, "f").regions[0].blocks[0]
    with ir.InsertionPoint.at_block_begin(block):
        made = emit_product(as_expr(1), block.arguments[0], None, ir.BF16Type.get(), ir.Location.unknown())
    assert made.type == ir.BF16Type.get()
    assert [op.operation.name for op in block.operations][:2] == ["arith.extf", "arith.truncf"]


def test_cast_derivatives_run() -> None:
    module = ir.Module.parse("""
        func.func @f(%x: f64) -> f64 {
          %a = arith.truncf %x : f64 to f32
          %b = math.sin %a : f32
          %c = arith.extf %b : f32 to f64
          %r = arith.mulf %c, %x : f64
          return %r : f64
        }""")
    straight_line.forward(module, "f", "fwd", 0)
    straight_line.reverse(module, "f", "rev")
    compiled = Compiled(module, {"fwd": (["f64"], ["f64"]), "rev": (["f64"], ["f64"])})
    x = np.linspace(-2, 2, 9)
    for name in ("fwd", "rev"):
        np.testing.assert_allclose(compiled(name, x)[0], np.sin(x) + x * np.cos(x), rtol=1e-6, atol=1e-7)


def test_powers_with_narrow_integers() -> None:
    """One less than the smallest i8 must not wrap round."""
    module = ir.Module.parse(
        "func.func @f(%x: f64, %n: i8) -> f64 { %r = math.fpowi %x, %n : f64, i8\n return %r : f64 }"
    )
    straight_line.forward(module, "f", "fwd", 0)
    compiled = Compiled(module, {"fwd": (["f64", "i8"], ["f64"])})
    n = np.array([-128, -1, 0, 1, 127])
    x = np.full(5, 1.1)
    np.testing.assert_allclose(compiled("fwd", x, n)[0], n * x ** (n - 1.0), rtol=1e-12)


def test_emit_alone() -> None:
    module = ir.Module.parse("func.func @f(%x: vector<3xf32>) { return }")
    block = straight_line.function(module, "f").regions[0].blocks[0]
    with ir.InsertionPoint.at_block_begin(block):
        made = emit(
            1 / (1 + x0 * x0), lambda kind, i: block.arguments[i], block.arguments[0].type, ir.Location.unknown()
        )
    assert str(made.type) == "vector<3xf32>"


# --- the tables


def test_linear_and_needed() -> None:
    module = ir.Module.parse("""func.func @f(%x: f64, %y: f64) {
        %0 = arith.mulf %x, %y : f64
        %1 = arith.divf %x, %y : f64
        %2 = arith.subf %x, %y : f64
        return }""")
    mul, div, sub = (lookup(op) for op in list(straight_line.function(module, "f").regions[0].blocks[0])[:3])
    assert mul is not None and div is not None and sub is not None
    assert mul.linear_in(0) and mul.linear_in(1) and mul.needs(0, 0) == {("x", 1)}
    assert div.linear_in(0) and not div.linear_in(1) and div.needs(0, 1) == {("r", 0), ("x", 1)}
    assert sub.linear_in(1) and sub.needs(0, 1) == set() and sub.partials[0][1] is not None


def test_unknown_is_not_inactive() -> None:
    assert inactive("arith.addi") and inactive("math.floor") and inactive("index.add") and inactive("arith.sitofp")
    for name in ("arith.addf", "arith.bitcast", "math.sin", "vector.shuffle", "nobody.knows", "func.call"):
        assert not inactive(name)
    assert "ignore_derivatives" in str(refused("arith.bitcast")) and refused("arith.addf") is None


@pytest.mark.parametrize(
    "name, declaration, known",
    [
        ("hypot", "func.func private @hypot(f64, f64) -> f64", True),
        ("hypotf", "func.func private @hypotf(f32, f32) -> f32", True),
        ("hypot", "func.func private @hypot(f32, f32) -> f32", False),  # not C's
        ("hypot", "func.func private @hypot(%x: f64, %y: f64) -> f64 { return %x : f64 }", False),  # the user's own
        ("distance", "func.func private @distance(f64, f64) -> f64", False),
    ],
)
def test_c_functions_by_name(name: str, declaration: str, known: bool) -> None:
    types = re.findall(r"f\d+", declaration.partition("(")[2])[:2]
    call = f"%r = func.call @{name}(%x, %y) : ({', '.join(types)}) -> {types[0]}"
    module = ir.Module.parse(f"{declaration}\nfunc.func @f(%x: {types[0]}, %y: {types[1]}) {{ {call}\nreturn }}")
    op = first_op(module)
    assert (lookup(op) is not None) is known
    assert not inactive(op)


def test_c_functions_without_derivative() -> None:
    call = "%r = func.call @floor(%x) : (f64) -> f64"
    text = f"func.func private @floor(f64) -> f64\nfunc.func @f(%x: f64) {{ {call}\nreturn }}"
    assert inactive(first_op(ir.Module.parse(text)))


def test_helpers_go_into_the_nearest_symbol_table() -> None:
    module = ir.Module.parse("""
        gpu.module @kernels { func.func @f(%x: f64) { return } }
        func.func @f(%x: f64) { return }""")
    kernels = module.body.operations[0]
    block = kernels.regions[0].blocks[0].operations[0].regions[0].blocks[0]
    with ir.InsertionPoint.at_block_begin(block):
        special.ensure(special.name(1))
    module.operation.verify()
    assert [op.attributes["sym_name"].value for op in kernels.regions[0].blocks[0]] == ["f", special.name(1)]
    assert len(module.body.operations) == 2


def test_page_is_up_to_date() -> None:
    written = Path(__file__).parents[2] / "docs" / "rules.md"
    assert written.read_text() == page(), "docs/rules.md is old: python -m dialects.rules > docs/rules.md"

"""Sine and cosine of one number are computed together, accurately for all numbers."""

import re

import numpy as np
import pytest

from lowering import cpu, pipeline, sine_cosine, stages, vector_library
from lowering.options import CpuOptions
from tests.lowering.harness import compiled

needs_registers = pytest.mark.skipif(
    not vector_library.fused_lanes(cpu.has_feature), reason="this host has no vector functions"
)


def both(type="f64", at="%v", halves=("sin", "cos")):
    return f"""
func.func @f(%y: memref<?x{type}>, %z: memref<?x{type}>, %x: memref<?x{type}>) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : memref<?x{type}>
  scf.for %i = %c0 to %n step %c1 {{
    %v = memref.load %x[%i] : memref<?x{type}>
    %w = arith.mulf %v, %v : {type}
    %a = math.{halves[0]} %v : {type}
    %b = math.{halves[1]} {at} : {type}
    memref.store %a, %y[%i] : memref<?x{type}>
    memref.store %b, %z[%i] : memref<?x{type}>
  }}
  return
}}"""


def sines_and_cosines(x, **arguments):
    y, z = np.full_like(x, 7), np.full_like(x, 7)
    compiled(both(), **arguments)(y, z, x)
    return y, z


def units(found, exact):
    return float(np.max(np.abs(found.astype(np.longdouble) - exact) / np.spacing(np.abs(exact).astype(np.float64))))


RANGES = {
    "small": lambda rng, n: rng.uniform(-1, 1, n),
    "some turns": lambda rng, n: rng.uniform(-100, 100, n),
    "many turns": lambda rng, n: rng.uniform(-(2.0**28), 2.0**28, n),
    "about multiples of a quarter": lambda rng, n: np.nextafter(np.arange(n) * (np.pi / 2), rng.choice([-1e9, 1e9], n)),
    "about odd eighths": lambda rng, n: (2 * np.arange(n) + 1) * (np.pi / 4),
    "tiny": lambda rng, n: rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(-320, 0, n),
    "huge": lambda rng, n: rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(8, 308, n),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("options", [CpuOptions(), CpuOptions(fastmath=True)], ids=["plain", "fastmath"])
def test_accurate_everywhere(name, options):
    x = RANGES[name](np.random.default_rng(0), 100_003)
    y, z = sines_and_cosines(x, options=options)
    if options.fastmath:  # subnormal numbers are zero
        x = np.where(np.abs(x) < np.finfo(float).tiny, 0.0, x)
    exact = x.astype(np.longdouble)  # (NumPy's reduction of it knows enough of pi)
    if name == "huge":
        assert units(y, np.sin(x)) < 2 and units(z, np.cos(x)) < 2
    else:
        assert units(y, np.sin(exact)) < 1.6 and units(z, np.cos(exact)) < 1.6


def test_what_is_no_number_and_zeros_with_their_signs():
    one = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 2.0**28, -(2.0**28)])
    for x in (one, np.repeat(one, 16)):
        y, z = sines_and_cosines(x)
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(y, np.sin(x), rtol=4e-16)
            np.testing.assert_allclose(z, np.cos(x), rtol=4e-16)
        assert (np.signbit(y) == np.signbit(x))[np.abs(x) < 1].all()


@pytest.mark.parametrize("n", [0, 1, 3, 7, 8, 9, 31, 32, 33, 63])
def test_any_length(n):
    x = np.random.default_rng(n).normal(size=n) * 10
    y, z = sines_and_cosines(x)
    np.testing.assert_allclose(y, np.sin(x), rtol=1e-15)
    np.testing.assert_allclose(z, np.cos(x), rtol=1e-15)


@pytest.mark.parametrize("place", range(8))
def test_one_huge_number_among_others(place):
    x = np.linspace(-3, 3, 64)
    x[place::8] = 1e300
    y, z = sines_and_cosines(x)
    np.testing.assert_allclose(y, np.sin(x), rtol=1e-15)
    np.testing.assert_allclose(z, np.cos(x), rtol=1e-15)


@needs_registers
@pytest.mark.parametrize("options", [CpuOptions(), CpuOptions(debug_info=True)])
def test_loops_call_the_vector_version(options):
    lanes = vector_library.fused_lanes(cpu.has_feature)[0]
    for halves in (("sin", "cos"), ("cos", "sin")):
        text = stages.optimised(both(halves=halves), "f", options)
        assert f"@{sine_cosine.NAME}.{lanes}(<{lanes} x double> %wide.load" in text
        assert "_ZGV_LLVM" in text and "v_sin" not in text


@needs_registers
@pytest.mark.parametrize("lanes", vector_library.fused_lanes(cpu.has_feature))
def test_each_version(lanes, monkeypatch):
    """Also those that this host would not choose."""
    monkeypatch.setattr(vector_library, "fused_lanes", lambda has_feature: [lanes])
    monkeypatch.setattr(vector_library, "isas", lambda has_feature: [])
    ir = pipeline.to_llvm_ir(both(), "f", CpuOptions(), cpu.has_feature)
    assert f"@{sine_cosine.NAME}.{lanes}" in ir
    x = np.random.default_rng(0).normal(size=1001) * 100
    x[::97] = 1e20
    y, z = sines_and_cosines(x)
    np.testing.assert_allclose(y, np.sin(x), rtol=1e-15)
    np.testing.assert_allclose(z, np.cos(x), rtol=1e-15)


def test_what_is_left_as_it_is():
    """Two numbers; other types; vector functions turned off."""
    off = CpuOptions(vector_math=False)
    for text, options in [(both(at="%w"), CpuOptions()), (both("f32"), CpuOptions()), (both(), off)]:
        ir = stages.llvm(text, "f", options)
        assert sine_cosine.NAME not in ir
        assert re.search(r"call [^\n]*@sinf?\(", ir) and re.search(r"call [^\n]*@cosf?\(", ir)


@needs_registers
def test_several_of_one_number_are_one_call():
    text = both().replace("memref.store %a", "%c = math.sin %v : f64\n%d = arith.addf %a, %c : f64\nmemref.store %d")
    in_versions = sum(vector_library.fused_lanes(cpu.has_feature))  # for numbers that are too large for them
    calls = stages.llvm(text, "f").count(f"call {{ double, double }} @{sine_cosine.NAME}(double %")
    assert calls == 1 + in_versions
    x = np.linspace(-5, 5, 50)
    y, z = np.zeros(50), np.zeros(50)
    compiled(text)(y, z, x)
    np.testing.assert_allclose(y, 2 * np.sin(x), rtol=1e-15)
    np.testing.assert_allclose(z, np.cos(x), rtol=1e-15)

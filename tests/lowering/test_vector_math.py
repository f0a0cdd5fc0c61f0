"""Loops with mathematical functions become vector code, and stay accurate."""

import re

import numpy as np
import pytest
from scipy import special

from lowering import cpu, stages, vector_library
from lowering.options import CpuOptions
from tests.lowering.harness import compiled

needs_library = pytest.mark.skipif(not vector_library.isas(cpu.has_feature), reason="this host has no vector library")
FUNCTIONS = {
    "acos": (np.arccos, -1, 1), "acosh": (np.arccosh, 1, 50), "asin": (np.arcsin, -1, 1),
    "asinh": (np.arcsinh, -50, 50), "atan": (np.arctan, -50, 50), "atanh": (np.arctanh, -0.99, 0.99),
    "cbrt": (np.cbrt, -100, 100), "cos": (np.cos, -100, 100), "cosh": (np.cosh, -20, 20), "erf": (special.erf, -4, 4),
    "erfc": (special.erfc, -4, 8), "exp": (np.exp, -30, 30), "exp2": (np.exp2, -30, 30), "expm1": (np.expm1, -5, 5),
    "log": (np.log, 1e-6, 100), "log10": (np.log10, 1e-6, 100), "log1p": (np.log1p, -0.9, 100),
    "log2": (np.log2, 1e-6, 100), "sin": (np.sin, -100, 100), "sinh": (np.sinh, -20, 20), "tan": (np.tan, -1.5, 1.5),
    "tanh": (np.tanh, -5, 5),
}  # fmt: skip
BINARY = {"atan2": (np.arctan2, -3, 3), "powf": (np.power, 0.1, 4)}


def loop(body, type, arrays=1):
    inputs = "".join(f", %x{k}: memref<?x{type}>" for k in range(arrays))
    loads = "\n".join(f"%v{k} = memref.load %x{k}[%i] : memref<?x{type}>" for k in range(arrays))
    return f"""
func.func @f(%y: memref<?x{type}>{inputs}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %y, %c0 : memref<?x{type}>
  scf.for %i = %c0 to %n step %c1 {{
    {loads}
    {body}
    memref.store %r, %y[%i] : memref<?x{type}>
  }}
  return
}}"""


def error_in_ulps(found, exact, dtype):
    return float(np.max(np.abs(found.astype(np.longdouble) - exact) / np.spacing(np.abs(exact).astype(dtype))))


@pytest.mark.parametrize("type, dtype", [("f64", np.float64), ("f32", np.float32)])
def test_functions_of_one_argument(type, dtype):
    rng = np.random.default_rng(0)
    for name, (f, low, high) in FUNCTIONS.items():
        text = loop(f"%r = math.{name} %v0 : {type}", type)
        x = rng.uniform(low, high, 1003).astype(dtype)
        y = np.zeros_like(x)
        compiled(text)(y, x)
        # SciPy's own erfc is no better than some units in the last place
        exact = f(x.astype(np.longdouble if f in (np.exp, np.log, np.sin, np.cos) else np.float64))
        assert error_in_ulps(y, exact, dtype) < (30 if name == "erfc" and type == "f64" else 6), name


@pytest.mark.parametrize("type, dtype", [("f64", np.float64), ("f32", np.float32)])
def test_functions_of_two_arguments(type, dtype):
    rng = np.random.default_rng(0)
    for name, (f, low, high) in BINARY.items():
        x0, x1 = rng.uniform(low, high, (2, 1003)).astype(dtype)
        y = np.zeros_like(x0)
        compiled(loop(f"%r = math.{name} %v0, %v1 : {type}", type, 2))(y, x0, x1)
        assert error_in_ulps(y, f(x0.astype(np.longdouble), x1.astype(np.longdouble)), dtype) < 6, name


@needs_library
@pytest.mark.parametrize("type", ["f64", "f32"])
def test_all_functions_that_the_library_has_are_used(type):
    suffix = "" if type == "f64" else "f"
    widest = vector_library.isas(cpu.has_feature)[0]
    for name in [*FUNCTIONS, *BINARY]:
        c_name, arity = {"powf": "pow"}.get(name, name) + suffix, 2 if name in BINARY else 1
        version = vector_library.vector_name(widest, c_name, type, arity)
        if version:
            arguments = ", ".join(f"%v{k}" for k in range(arity))
            text = stages.optimised(loop(f"%r = math.{name} {arguments} : {type}", type, arity), "f")
            assert re.search(rf"call [^\n]*@{version[0]}\(", text), name


@needs_library
def test_library_functions_called_by_name_too():
    text = (
        loop("%r = func.call @hypot(%v0, %v1) : (f64, f64) -> f64", "f64", 2)
        + """
func.func private @hypot(f64, f64) -> f64"""
    )
    widest = vector_library.isas(cpu.has_feature)[0]
    version = vector_library.vector_name(widest, "hypot", "f64", 2)
    if version:
        assert version[0] in stages.optimised(text, "f")
    x = np.random.default_rng(0).standard_normal((2, 77))
    y = np.zeros(77)
    compiled(text)(y, *x)
    np.testing.assert_allclose(y, np.hypot(*x), rtol=1e-15)


@needs_library
def test_in_a_branch_of_the_loop_too():
    """The functions can't trap, so both sides may be computed and one chosen."""
    body = """%zero = arith.constant 0.0 : f64
    %positive = arith.cmpf ogt, %v0, %zero : f64
    %r = scf.if %positive -> (f64) {
      %l = math.log %v0 : f64
      scf.yield %l : f64
    } else {
      scf.yield %v0 : f64
    }"""
    text = loop(body, "f64")
    assert re.search(r"call [^\n]*@_ZGV.N\dv_log\(", stages.optimised(text, "f"))
    x = np.random.default_rng(0).standard_normal(77)
    y = np.zeros(77)
    compiled(text)(y, x)
    np.testing.assert_allclose(y, np.where(x > 0, np.log(np.abs(x)), x), rtol=1e-15)


def test_turned_off_it_is_not_used():
    text = loop("%r = math.sin %v0 : f64", "f64")
    assert "_ZGV" not in stages.optimised(text, "f", CpuOptions(vector_math=False))
    x, y = np.linspace(0, 3, 20), np.zeros(20)
    compiled(text, options=CpuOptions(vector_math=False))(y, x)
    np.testing.assert_allclose(y, np.sin(x), rtol=1e-15)


def test_a_function_of_the_same_name_and_another_type_is_not_touched():
    text = """
func.func private @sin(f64, f64) -> f64
func.func @f(%x: f64) -> f64 { %r = func.call @sin(%x, %x) : (f64, f64) -> f64 return %r : f64 }"""
    line = next(line for line in stages.llvm(text, "f").splitlines() if "declare" in line and "@sin(" in line)
    assert "#" not in line


ACCUMULATE = """
func.func @f(%a: memref<?xf64>, %b: memref<?xf64>, %c: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    %x = memref.load %c[%i] : memref<?xf64>
    %s = math.sin %x : f64
    %y = memref.load %b[%i] : memref<?xf64>
    %t = arith.mulf %y, %s : f64
    %z = memref.load %a[%i] : memref<?xf64>
    %u = arith.addf %z, %t : f64
    memref.store %u, %a[%i] : memref<?xf64>
  }
  return
}"""


@needs_library
def test_distinct_arrays_need_no_checks():
    distinct = stages.optimised(ACCUMULATE, "f")
    assert re.search(r"call [^\n]*@_ZGV.N\dv_sin\(", distinct)
    assert "memcheck" not in distinct
    assert "memcheck" in stages.optimised(ACCUMULATE, "f", CpuOptions(distinct_arrays=False))


@pytest.mark.parametrize("distinct", [True, False])
def test_accumulation(distinct):
    f = compiled(ACCUMULATE, options=CpuOptions(distinct_arrays=distinct))
    a, b, c = np.random.default_rng(0).standard_normal((3, 101))
    want = a + b * np.sin(c)
    f(a, b, c)
    np.testing.assert_allclose(a, want, rtol=1e-13)


def test_overlapping_arrays_when_permitted():
    """A running sum through one array seen twice, one place apart."""
    text = """
func.func @f(%a: memref<?xf64>, %b: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    %x = memref.load %a[%i] : memref<?xf64>
    %y = memref.load %b[%i] : memref<?xf64>
    %z = arith.addf %x, %y : f64
    memref.store %z, %b[%i] : memref<?xf64>
  }
  return
}"""
    x = np.ones(40)
    compiled(text, options=CpuOptions(distinct_arrays=False))(x[:-1], x[1:])
    np.testing.assert_array_equal(x, np.arange(1, 41))


def test_options_of_arithmetic():
    text = """
func.func @f(%x: f64, %y: f64) -> f64 {
  %p = arith.mulf %x, %y : f64
  %r = arith.subf %p, %x : f64
  return %r : f64
}"""
    assert "fmul double" in stages.llvm(text, "f", CpuOptions(contract=False))
    assert "fmul contract double" in stages.llvm(text, "f")
    fast = stages.llvm(text, "f", CpuOptions(fastmath=True))
    assert "reassoc" in fast and "nnan" not in fast and "ninf" not in fast
    strict = compiled(text, results=["f64"], options=CpuOptions(contract=False))
    x, y = 1.0 + 2.0**-30, 1.0 - 2.0**-30
    assert strict(x, y) == x * y - x


SUM = """
func.func @f(%a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %z) -> (f64) {
    %x = memref.load %a[%i] : memref<?xf64>
    %y = math.sin %x : f64
    %u = arith.addf %s, %y : f64
    scf.yield %u : f64
  }
  return %r : f64
}"""


@needs_library
def test_sums_keep_their_order_unless_they_may_be_reordered():
    """Both are vectorised; without fastmath the elements are added one by one, as in the program."""
    assert "fadd reassoc nsz arcp contract afn <" in stages.optimised(SUM, "f", CpuOptions(fastmath=True))
    strict = stages.optimised(SUM, "f")
    assert re.search(r"call [^\n]*@_ZGV.N\dv_sin\(", strict)
    assert re.search(r"call contract double @llvm\.vector\.reduce\.fadd", strict)  # without reassoc: in order
    a = np.random.default_rng(0).standard_normal(1000)
    identity = SUM.replace("%y = math.sin %x : f64", "%y = arith.mulf %x, %x : f64")
    squares = 0.0
    for x in a:
        squares += x * x
    assert compiled(identity, results=["f64"], options=CpuOptions(contract=False))(a) == squares


def test_fastmath_keeps_nan():
    a = np.random.default_rng(0).standard_normal(100)
    a[7] = np.nan
    assert np.isnan(compiled(SUM, results=["f64"], options=CpuOptions(fastmath=True))(a))

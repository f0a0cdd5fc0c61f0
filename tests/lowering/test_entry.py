"""The slots: leaves of every type in and out, at the low end of their words."""

import ctypes
import platform

import ml_dtypes
import numpy as np
import pytest

from lowering.errors import LoweringError
from tests.lowering.harness import DTYPES, compiled, words

SCALARS = {
    "f64": np.float64(-1.25), "f32": np.float32(3.5), "f16": np.float16(0.5), "bf16": ml_dtypes.bfloat16(-2.5),
    "i64": np.int64(-(1 << 60)), "i32": np.int32(-7), "i16": np.int16(-300), "i8": np.int8(-128), "i1": np.bool_(True),
    "index": np.int64(77), "complex<f64>": np.complex128(1 - 2j), "complex<f32>": np.complex64(-3 + 4j),
}  # fmt: skip


@pytest.mark.parametrize("type", SCALARS)
def test_one_scalar_goes_through(type):
    f = compiled(f"func.func @f(%a: {type}) -> {type} {{ return %a : {type} }}", results=[type])
    assert f(SCALARS[type]) == SCALARS[type]


def test_all_at_once_in_another_order():
    names = list(SCALARS)
    arguments = ", ".join(f"%a{i}: {type}" for i, type in enumerate(names))
    turned = names[::-1]
    values = ", ".join(f"%a{names.index(type)}" for type in turned)
    types = ", ".join(turned)
    f = compiled(f"func.func @f({arguments}) -> ({types}) {{ return {values} : {types} }}", results=turned)
    assert f(*SCALARS.values()) == tuple(SCALARS[type] for type in turned)


def test_bits_above_a_narrow_argument_are_ignored():
    f = compiled("func.func @f(%a: i8) -> i64 { %r = arith.extsi %a : i8 to i64 return %r : i64 }", results=["i64"])
    slots = np.array([0x7FFFFFFFFFFFFF85 - (1 << 63), 0], np.int64)
    f.loaded.call(slots.ctypes.data)
    assert slots[1] == np.int8(-123)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_memrefs_of_every_rank(rank):
    """Strided in, a fresh buffer out: shape, strides and offset are used, not assumed."""
    dims = "x".join("?" * rank) + "x" if rank else ""
    layout = f"strided<[{', '.join('?' * rank)}], offset: ?>"
    type = f"memref<{dims}f64, {layout}>" if rank else "memref<f64>"
    sizes = "\n".join(f"%c{k} = arith.constant {k} : index\n%n{k} = memref.dim %a, %c{k} : {type}" for k in range(rank))
    result = f"memref<{dims}f64>"
    text = f"""func.func @f(%a: {type}) -> {result} {{
      {sizes}
      %r = memref.alloc({", ".join(f"%n{k}" for k in range(rank))}) : {result}
      memref.copy %a, %r : {type} to {result}
      return %r : {result}
    }}"""
    whole = np.random.default_rng(0).standard_normal((4, 6, 8)[:rank] if rank else ())
    view = whole[tuple(slice(None, None, -2 if k == 1 else 2) for k in range(rank))]
    if rank:
        f = compiled(text, results=[result])
        np.testing.assert_array_equal(f(view), view)
    else:
        f = compiled(text)
        cell = np.array(2.5)
        slots = np.array([*words(cell), 0, 0, 0], np.int64)
        f.loaded.call(slots.ctypes.data)
        assert ctypes.c_double.from_address(int(slots[4])).value == 2.5
        ctypes.CDLL(None).free(ctypes.c_void_p(int(slots[3])))


def test_several_results_of_all_kinds():
    f = compiled(
        """func.func @f(%n: index, %z: complex<f32>) -> (i1, memref<?xf32>, complex<f32>, f64) {
          %c0 = arith.constant 0 : index
          %x = arith.constant 1.5 : f32
          %y = arith.constant 2.5 : f64
          %t = arith.constant true
          %a = memref.alloc(%n) : memref<?xf32>
          memref.store %x, %a[%c0] : memref<?xf32>
          return %t, %a, %z, %y : i1, memref<?xf32>, complex<f32>, f64
        }""",
        results=["i1", "memref<?xf32>", "complex<f32>", "f64"],
    )
    truth, array, z, y = f(1, np.complex64(1 + 2j))
    assert truth and array.tolist() == [1.5] and z == 1 + 2j and y == 2.5


@pytest.mark.parametrize("name", ["exp", "malloc", "main", "sin.fn", "entry", "free"])
def test_kernels_may_be_called_like_functions_of_c(name):
    text = f"""func.func @"{name}"(%x: f64) -> f64 {{
      %y = math.exp %x : f64
      %r = func.call @cos(%y) : (f64) -> f64
      return %r : f64
    }}
    func.func private @cos(%x: f64) -> f64 {{
      %a = memref.alloc() {{autodiff.keep}} : memref<1xf64>
      memref.dealloc %a {{autodiff.free}} : memref<1xf64>
      %y = math.cos %x : f64
      %r = arith.addf %y, %y : f64
      return %r : f64
    }}"""
    f = compiled(text, entry=name, results=["f64"])
    assert abs(f(0.3) - 2 * np.cos(np.exp(0.3))) < 1e-15


def test_other_public_functions_are_not_needed():
    text = "func.func @g(%t: tensor<2xf64>) { return }\nfunc.func @f(%x: f64) -> f64 { return %x : f64 }"
    assert compiled(text, results=["f64"])(2.0) == 2.0


@pytest.mark.parametrize(
    "text, message",
    [
        ("func.func @g() { return }", "no function @f"),
        ("func.func private @f(f64)", "only declared"),
        ("func.func @f(%x: vector<4xf64>) { return }", "argument 1 of the entry function has type vector<4xf64>"),
        ("func.func @f() -> tuple<f64> { %r = ub.poison : tuple<f64> return %r : tuple<f64> }", "result 1"),
        ("func.func @f(%x: f64) -> f64 { return %y : f64 }", "undeclared SSA value"),
        ("func.func @f(%x: f64) -> f32 { return %x : f64 }", "type of return operand"),
        ("this is not MLIR", "custom op 'this' is unknown"),
        ('func.func @f() { "gpu.barrier"() : () -> () return }', "gpu.barrier"),
        (
            "func.func @f(%x: complex<f16>) -> f16 { %r = complex.abs %x : complex<f16> return %r : f16 }",
            "complex<f16>",
        ),
    ],
)
def test_what_cannot_be_lowered_is_refused(text, message):
    with pytest.raises(LoweringError) as caught:
        compiled(text)
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_refusals_name_the_source():
    text = """func.func @f() {
      "gpu.barrier"() : () -> () loc("model.py":12:5)
      return
    }"""
    with pytest.raises(LoweringError) as caught:
        compiled(text)
    assert caught.value.loc == ("model.py", 12, 5)
    text = 'func.func @f(%x: f64) -> f64 {\n %y = math.fpowi %x, %x : f64, f64 loc("model.py":3:7)\n return %y : f64\n}'
    with pytest.raises(LoweringError):
        compiled(text)


def test_dtypes_are_all_tried():
    assert set(SCALARS) == set(DTYPES)


@pytest.mark.parametrize("allocates", [False, True])
def test_subnormal_numbers(allocates):
    """With fastmath they are zero while a kernel runs, and behind it, or behind an error, what they were before."""
    import dsl

    def product(x, n):
        scratch = dsl.zeros(n) if allocates else x
        for i in range(n):
            if x[0] < 0:
                raise ValueError("negative")
            scratch[i] = x[0] * 0.5
        return scratch[0]

    def tiny():
        return float(np.array([1e-310])[0] * np.array([0.5])[0])

    x = np.array([1e-310, 1.0])
    assert dsl.kernel(product)(x.copy(), 2) == 5e-311
    before = tiny()
    if platform.machine() == "x86_64":
        assert dsl.kernel(product, fastmath=True)(x.copy(), 2) == 0.0
    assert tiny() == before == 5e-311
    with pytest.raises(ValueError, match="negative"):
        dsl.kernel(product, fastmath=True)(-np.ones(2), 2)
    assert tiny() == before

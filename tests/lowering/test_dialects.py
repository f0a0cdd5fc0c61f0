"""One small program for each way that upstream dialects reach us: it lowers, and gives the right numbers."""

import numpy as np
import pytest

from lowering.errors import LoweringError
from tests.lowering.harness import compiled

A = np.arange(12.0).reshape(3, 4)
V = np.array([1.0, 2.0, 3.0])

# name: (text, arguments, MLIR types of the results, the results)
PROGRAMS = {
    "linalg, named and generic": (
        """
func.func @f(%a: memref<?x?xf64>, %b: memref<?x?xf64>, %c: memref<?x?xf64>) -> f64 {
  linalg.matmul ins(%a, %b : memref<?x?xf64>, memref<?x?xf64>) outs(%c : memref<?x?xf64>)
  %z = arith.constant 0.0 : f64
  %s = memref.alloc() : memref<f64>
  memref.store %z, %s[] : memref<f64>
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
                  iterator_types = ["reduction", "reduction"]}
    ins(%c : memref<?x?xf64>) outs(%s : memref<f64>) {
    ^bb0(%x: f64, %t: f64):
      %e = math.sin %x : f64
      %u = arith.addf %t, %e : f64
      linalg.yield %u : f64
  }
  %r = memref.load %s[] : memref<f64>
  return %r : f64
}""",
        (A.copy(), A.T.copy(), np.zeros((3, 3))),
        ("f64",),
        (np.sin(A @ A.T).sum(),),
    ),
    "tensors": (
        """
func.func @f(%n: index, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = tensor.splat %x[%n] : tensor<?xf64>
  %u = scf.for %i = %c0 to %n step %c1 iter_args(%s = %t) -> (tensor<?xf64>) {
    %v = tensor.extract %s[%i] : tensor<?xf64>
    %k = arith.index_cast %i : index to i64
    %y = arith.sitofp %k : i64 to f64
    %w = arith.addf %v, %y : f64
    %new = tensor.insert %w into %s[%i] : tensor<?xf64>
    scf.yield %new : tensor<?xf64>
  }
  %last = arith.subi %n, %c1 : index
  %r = tensor.extract %u[%last] : tensor<?xf64>
  return %r : f64
}""",
        (5, 0.5),
        ("f64",),
        (4.5,),
    ),
    "affine": (
        """
func.func @f(%a: memref<3x4xf64>) -> f64 {
  %z = arith.constant 0.0 : f64
  %r = affine.for %i = 0 to 3 iter_args(%s = %z) -> (f64) {
    %q = affine.for %j = 0 to 4 iter_args(%t = %s) -> (f64) {
      %x = affine.load %a[%i, %j] : memref<3x4xf64>
      %y = affine.if affine_set<(i, j) : (i - j >= 0)>(%i, %j) -> f64 {
        affine.yield %x : f64
      } else {
        affine.yield %z : f64
      }
      %u = arith.addf %t, %y : f64
      affine.yield %u : f64
    }
    affine.yield %q : f64
  }
  return %r : f64
}""",
        (A,),
        ("f64",),
        (np.tril(A).sum(),),
    ),
    "vectors": (
        """
func.func @f(%a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f64
  %v = vector.transfer_read %a[%c0], %z : memref<?xf64>, vector<4xf64>
  %w = vector.load %a[%c1] : memref<?xf64>, vector<2xf64>
  %p = math.exp %v : vector<4xf64>
  %s = vector.reduction <add>, %p : vector<4xf64> into f64
  %t = vector.reduction <mul>, %w : vector<2xf64> into f64
  %r = arith.addf %s, %t : f64
  return %r : f64
}""",
        (V,),
        ("f64",),
        (np.exp(V).sum() + 1 + 6,),
    ),
    "views": (
        """
func.func @f(%a: memref<?x?xf64>) -> (f64, f64, f64, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %n = memref.dim %a, %c0 : memref<?x?xf64>
  %t = memref.transpose %a (i, j) -> (j, i) : memref<?x?xf64> to memref<?x?xf64, strided<[1, ?]>>
  %x = memref.load %t[%c1, %c2] : memref<?x?xf64, strided<[1, ?]>>
  %s = memref.subview %a[1, 0] [2, 2] [1, 2] : memref<?x?xf64> to memref<2x2xf64, strided<[?, 2], offset: ?>>
  %y = memref.load %s[%c1, %c1] : memref<2x2xf64, strided<[?, 2], offset: ?>>
  %f = memref.collapse_shape %a [[0, 1]] : memref<?x?xf64> into memref<?xf64>
  %m = memref.dim %f, %c0 : memref<?xf64>
  %q = memref.reinterpret_cast %f to offset: [3], sizes: [2], strides: [4]
    : memref<?xf64> to memref<2xf64, strided<[4], offset: 3>>
  %z = memref.load %q[%c1] : memref<2xf64, strided<[4], offset: 3>>
  return %x, %y, %z, %m : f64, f64, f64, index
}""",
        (A,),
        ("f64", "f64", "f64", "index"),
        (A[2, 1], A[2, 2], A.ravel()[7], 12),
    ),
    "globals, stack, atomics": (
        """
memref.global "private" constant @table : memref<3xf64> = dense<[1.5, 2.5, 3.5]>
func.func @f(%a: memref<?xf64>, %b: memref<?xi64>) -> (f64, f64, i64) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %g = memref.get_global @table : memref<3xf64>
  %s = memref.alloca() : memref<3xf64>
  memref.copy %g, %s : memref<3xf64> to memref<3xf64>
  %x = memref.load %s[%c1] : memref<3xf64>
  %old = memref.atomic_rmw addf %x, %a[%c0] : (f64, memref<?xf64>) -> f64
  %m = memref.generic_atomic_rmw %b[%c0] : memref<?xi64> {
  ^bb0(%current: i64):
    %d = arith.muli %current, %current : i64
    memref.atomic_yield %d : i64
  }
  %now = memref.load %a[%c0] : memref<?xf64>
  %square = memref.load %b[%c0] : memref<?xi64>
  return %old, %now, %square : f64, f64, i64
}""",
        (np.array([1.0]), np.array([7])),
        ("f64", "f64", "i64"),
        (1.0, 3.5, 49),
    ),
    "parallel loops": (
        """
func.func @f(%a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.forall (%i) in (%n) {
    %x = memref.load %a[%i] : memref<?xf64>
    %y = arith.addf %x, %x : f64
    memref.store %y, %a[%i] : memref<?xf64>
  }
  %r = scf.parallel (%i) = (%c0) to (%n) step (%c1) init (%z) -> f64 {
    %t = memref.alloc() : memref<1xf64>
    %x = memref.load %a[%i] : memref<?xf64>
    memref.store %x, %t[%c0] : memref<1xf64>
    %y = memref.load %t[%c0] : memref<1xf64>
    scf.reduce(%y : f64) {
    ^bb0(%l: f64, %m: f64):
      %s = arith.addf %l, %m : f64
      scf.reduce.return %s : f64
    }
  }
  return %r : f64
}""",
        (V.copy(),),
        ("f64",),
        (12.0,),
    ),
    "choices": (
        """
func.func @f(%k: index, %b: i1) -> (f64, f64) {
  %x = arith.constant 10.0 : f64
  %y = arith.constant 20.0 : f64
  %z = arith.constant 30.0 : f64
  %r = scf.index_switch %k -> f64
  case 2 { scf.yield %x : f64 }
  case 5 { scf.yield %y : f64 }
  default { scf.yield %z : f64 }
  %q = scf.execute_region -> f64 {
    cf.cond_br %b, ^one, ^two
  ^one:
    scf.yield %x : f64
  ^two:
    scf.yield %y : f64
  }
  return %r, %q : f64, f64
}""",
        (5, True),
        ("f64", "f64"),
        (20.0, 10.0),
    ),
    "a switch between blocks": (
        """
func.func @f(%k: i32) -> f64 {
  %x = arith.constant 1.0 : f64
  %y = arith.constant 2.0 : f64
  cf.switch %k : i32, [default: ^end(%x : f64), 3: ^end(%y : f64)]
^end(%r: f64):
  return %r : f64
}""",
        (np.int32(3),),
        ("f64",),
        (2.0,),
    ),
    "while": (
        """
func.func @f(%x: f64) -> (f64, i64) {
  %c0 = arith.constant 0 : i64
  %c1 = arith.constant 1 : i64
  %limit = arith.constant 100.0 : f64
  %r:2 = scf.while (%v = %x, %n = %c0) : (f64, i64) -> (f64, i64) {
    %go = arith.cmpf olt, %v, %limit : f64
    scf.condition(%go) %v, %n : f64, i64
  } do {
  ^bb0(%v: f64, %n: i64):
    %w = arith.mulf %v, %v : f64
    %m = arith.addi %n, %c1 : i64
    scf.yield %w, %m : f64, i64
  }
  return %r#0, %r#1 : f64, i64
}""",
        (2.0,),
        ("f64", "i64"),
        (256.0, 3),
    ),
    "calls of calls, and recursion": (
        """
func.func private @fib(%n: i64) -> i64 {
  %c1 = arith.constant 1 : i64
  %c2 = arith.constant 2 : i64
  %small = arith.cmpi sle, %n, %c1 : i64
  %r = scf.if %small -> (i64) {
    scf.yield %n : i64
  } else {
    %a = arith.subi %n, %c1 : i64
    %b = arith.subi %n, %c2 : i64
    %x = func.call @fib(%a) : (i64) -> i64
    %y = func.call @fib(%b) : (i64) -> i64
    %s = arith.addi %x, %y : i64
    scf.yield %s : i64
  }
  return %r : i64
}
func.func @f(%n: i64) -> i64 {
  %r = call @fib(%n) : (i64) -> i64
  return %r : i64
}""",
        (15,),
        ("i64",),
        (610,),
    ),
    "buffers of structured element types": (
        """
func.func @f(%z: complex<f64>, %n: index) -> (complex<f64>, f64, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %a = memref.alloc(%n) : memref<?xcomplex<f64>>
  memref.store %z, %a[%c1] : memref<?xcomplex<f64>>
  %w = memref.load %a[%c1] : memref<?xcomplex<f64>>
  %p = complex.mul %w, %w : complex<f64>
  %v = memref.alloc(%n) : memref<?xvector<4xf64>>
  %x = arith.constant dense<[1.0, 2.0, 3.0, 4.0]> : vector<4xf64>
  memref.store %x, %v[%c1] : memref<?xvector<4xf64>>
  %y = memref.load %v[%c1] : memref<?xvector<4xf64>>
  %s = vector.reduction <add>, %y : vector<4xf64> into f64
  %i = memref.alloc(%n) : memref<?xindex>
  memref.store %n, %i[%c0] : memref<?xindex>
  %k = memref.load %i[%c0] : memref<?xindex>
  return %p, %s, %k : complex<f64>, f64, index
}""",
        (np.complex128(1 + 2j), 5),
        ("complex<f64>", "f64", "index"),
        ((1 + 2j) ** 2, 10.0, 5),
    ),
    "poison that nobody reads": (
        """
func.func @f(%x: f64, %b: i1) -> f64 {
  %p = ub.poison : f64
  %r = arith.select %b, %x, %p : f64
  return %r : f64
}""",
        (2.0, True),
        ("f64",),
        (2.0,),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    text, arguments, results, expected = PROGRAMS[name]
    arguments = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    found = compiled(text, results=results)(*arguments)
    for got, want in zip(found if len(results) > 1 else (found,), expected):
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_stack_does_not_grow_with_the_iterations():
    """A buffer of fixed size in a loop of ten million turns, and one that the program puts on the stack itself."""
    text = """
func.func @f(%n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f64
  %one = arith.constant 1.0 : f64
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%s = %z) -> (f64) {
    %t = memref.ALLOC() : memref<64xf64>
    %k = arith.constant 63 : index
    %j = arith.andi %i, %k : index
    memref.store %s, %t[%j] : memref<64xf64>
    %u = func.call @g(%t, %j) : (memref<64xf64>, index) -> f64
    %v = arith.addf %u, %one : f64
    scf.yield %v : f64
  }
  return %r : f64
}
func.func private @g(%t: memref<64xf64>, %j: index) -> f64 {
  %r = memref.load %t[%j] : memref<64xf64>
  return %r : f64
}"""
    for how in ("alloc", "alloca"):
        assert compiled(text.replace("ALLOC", how), results=["f64"])(2_000_000) == 2_000_000


def test_operations_of_other_dialects_are_refused_by_name():
    with pytest.raises(LoweringError, match=r"spirv\.GL\.Sin"):
        compiled("func.func @f(%x: f32) -> f32 { %r = spirv.GL.Sin %x : f32 return %r : f32 }", results=["f32"])


@pytest.mark.parametrize("kind", ["f64", "f32", "f16", "i64"])
def test_atomic_updates_of_any_kind(kind):
    """Also of memory of its own, which ends with the call, and with a value from outside."""
    times, three = ("muli", 3) if kind == "i64" else ("mulf", 3.0)
    text = f"""
func.func @f(%a: memref<?x{kind}>) -> ({kind}, {kind}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %three = arith.constant {three} : {kind}
  %b = memref.alloc() : memref<2x{kind}>
  memref.store %three, %b[%c1] : memref<2x{kind}>
  %old = memref.generic_atomic_rmw %a[%c1] : memref<?x{kind}> {{
  ^bb0(%current: {kind}):
    %d = arith.{times} %current, %three : {kind}
    memref.atomic_yield %d : {kind}
  }}
  %own = memref.atomic_rmw {times} %three, %b[%c1] : ({kind}, memref<2x{kind}>) -> {kind}
  %r = memref.load %b[%c1] : memref<2x{kind}>
  return %old, %r : {kind}, {kind}
}}"""
    dtype = np.int64 if kind == "i64" else f"float{kind[1:]}"
    a = np.array([5, 7], dtype)
    assert compiled(text, results=[kind, kind])(a) == (7, 9)
    assert a.tolist() == [5, 21]

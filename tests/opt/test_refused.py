"""What has no derivative is refused, with the op's name and place; off the active path it does no harm."""

from __future__ import annotations

import pytest

from dialects import pipeline
from dialects.errors import DerivativeError
from dialects.gradient_check import Check, Settings

#: (what the message holds, the line it points at, the program)
REFUSED = {
    "bitcast": (
        "arith.bitcast makes a number of the bits of an active one",
        5,
        """func.func @f(%x: f64) -> f64 {
  %one = arith.constant 1 : i64
  %b = arith.bitcast %x : f64 to i64
  %c = arith.addi %b, %one : i64
  %d = arith.bitcast %c : i64 to f64
  return %d : f64
}""",
    ),
    "bits through memory": (
        "arith.bitcast makes a number of the bits of an active one",
        9,
        """func.func @f(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = memref.alloc(%n) : memref<?xi64>
  %b = arith.bitcast %x : f64 to i64
  scf.for %i = %c0 to %n step %c1 {
    memref.store %b, %m[%i] : memref<?xi64>
  }
  %c = memref.load %m[%c1] : memref<?xi64> %d = arith.bitcast %c : i64 to f64
  return %d : f64
}""",
    ),
    "bytes read as integers": (
        "arith.sitofp makes a number of the bits of an active one",
        8,
        """func.func @f(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %m = memref.alloc() : memref<16xi8>
  %v = memref.view %m[%c0][] : memref<16xi8> to memref<2xf64>
  memref.store %x, %v[%c0] : memref<2xf64>
  %w = memref.view %m[%c0][] : memref<16xi8> to memref<2xi64>
  %c = memref.load %w[%n] : memref<2xi64>
  %d = arith.sitofp %c : i64 to f64
  return %d : f64
}""",
    ),
    "call of a declaration": (
        "no derivative rule for call of @mystery",
        3,
        """func.func private @mystery(f64) -> f64
func.func @f(%x: f64) -> f64 {
  %y = func.call @mystery(%x) : (f64) -> f64
  return %y : f64
}""",
    ),
    "declaration that takes active memory": (
        "the call of @mystery takes memory that holds active data",
        3,
        """func.func private @mystery(memref<?xf64>)
func.func @f(%x: memref<?xf64>) {
  func.call @mystery(%x) : (memref<?xf64>) -> ()
  return
}""",
    ),
    "call_indirect of numbers": (
        "no derivative rule for func.call_indirect",
        11,
        """func.func private @g(%x: f64) -> f64 {
  %y = math.sin %x : f64
  return %y : f64
}
func.func private @h(%x: f64) -> f64 { return %x : f64 }
func.func @f(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %a = func.constant @g : (f64) -> f64
  %b = func.constant @h : (f64) -> f64
  %c = arith.cmpi eq, %n, %c0 : index %s = arith.select %c, %a, %b : (f64) -> f64
  %y = func.call_indirect %s(%x) : (f64) -> f64
  return %y : f64
}""",
    ),
    "call_indirect of memory": (
        "func.call_indirect takes memory that holds active data",
        7,
        """func.func private @g(%x: memref<?xf64>) { return }
func.func private @h(memref<?xf64>)
func.func @f(%x: memref<?xf64>, %c: i1) {
  %a = func.constant @g : (memref<?xf64>) -> ()
  %b = func.constant @h : (memref<?xf64>) -> ()
  %s = arith.select %c, %a, %b : (memref<?xf64>) -> ()
  func.call_indirect %s(%x) : (memref<?xf64>) -> ()
  return
}""",
    ),
    "recursion": (
        "recursion: @g calls itself",
        5,
        """func.func private @g(%x: f64) -> f64 {
  %c0 = arith.constant 1.0 : f64
  %c = arith.cmpf olt, %x, %c0 : f64
  %r = scf.if %c -> f64 {
    %y = func.call @g(%x) : (f64) -> f64
    scf.yield %y : f64
  } else {
    scf.yield %x : f64
  }
  return %r : f64
}
func.func @f(%x: f64) -> f64 {
  %y = func.call @g(%x) : (f64) -> f64
  return %y : f64
}""",
    ),
    "active data in a global": (
        "a global has no shadow, but data that an active argument reaches is stored in it",
        5,
        """memref.global "private" @state : memref<1xf64> = dense<0.0>
func.func @f(%x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %g = memref.get_global @state : memref<1xf64>
  memref.store %x, %g[%c0] : memref<1xf64>
  %y = memref.load %g[%c0] : memref<1xf64>
  return %y : f64
}""",
    ),
    "memory of unknown rank": (
        "memref.reshape with a memref of unknown rank",
        2,
        """func.func @f(%x: memref<4xf64>, %n: index, %s: memref<?xindex>) -> f64 {
  %u = memref.reshape %x(%s) : (memref<4xf64>, memref<?xindex>) -> memref<*xf64>
  %r = memref.cast %u : memref<*xf64> to memref<?xf64>
  %y = memref.load %r[%n] : memref<?xf64>
  return %y : f64
}""",
    ),
    "memrefs in memory": (
        "with memrefs kept in memory",
        4,
        """func.func @f(%x: memref<4xf64>, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = memref.alloc() : memref<1xmemref<4xf64>>
  scf.for %i = %c0 to %n step %c1 {
    memref.store %x, %m[%c0] : memref<1xmemref<4xf64>>
  }
  %r = memref.load %m[%c0] : memref<1xmemref<4xf64>>
  %y = memref.load %r[%c1] : memref<4xf64>
  return %y : f64
}""",
    ),
    "result of unknown size": (
        "returns a memref whose size is not known before the call",
        1,
        """func.func @f(%x: f64, %n: index) -> memref<?xf64> {
  %c0 = arith.constant 0 : index
  %m = memref.alloc(%n) : memref<?xf64>
  memref.store %x, %m[%c0] : memref<?xf64>
  return %m : memref<?xf64>
}""",
    ),
    "vectors of open length": (
        "vector.load of vector<[4]xf64>",
        3,
        """func.func @f(%x: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %v = vector.load %x[%c0] : memref<?xf64>, vector<[4]xf64>
  %w = arith.mulf %v, %v : vector<[4]xf64>
  vector.store %w, %x[%c0] : memref<?xf64>, vector<[4]xf64>
  return
}""",
    ),
    "pointers": (
        "memref.extract_aligned_pointer_as_index takes memory that holds active data",
        2,
        """func.func @f(%x: memref<?xf64>) -> index {
  %p = memref.extract_aligned_pointer_as_index %x : memref<?xf64> -> index
  return %p : index
}""",
    ),
    "small floats": (
        "arith.extf makes a number of a f8E4M3FN",
        3,
        """func.func @f(%x: f64) -> f64 {
  %b = arith.truncf %x : f64 to f8E4M3FN
  %y = arith.extf %b : f8E4M3FN to f64
  return %y : f64
}""",
    ),
    "large floats": (
        "arith.truncf makes a number of a f128",
        4,
        """func.func @f(%x: f64) -> f64 {
  %b = arith.extf %x : f64 to f128
  %c = arith.mulf %b, %b : f128
  %y = arith.truncf %c : f128 to f64
  return %y : f64
}""",
    ),
    "scaled floats": (
        "arith.scaling_extf makes a number of a f8E4M3FN",
        3,
        """func.func @f(%x: f32, %s: f32) -> f32 {
  %b = arith.scaling_truncf %x, %s : f32, f32 to f8E4M3FN
  %y = arith.scaling_extf %b, %s : f8E4M3FN, f32 to f32
  return %y : f32
}""",
    ),
    "bits of complex numbers": (
        "complex.bitcast makes a number of the bits",
        4,
        """func.func @f(%z: complex<f32>) -> complex<f32> {
  %b = complex.bitcast %z : complex<f32> to i64
  %c = arith.addi %b, %b : i64
  %y = complex.bitcast %c : i64 to complex<f32>
  return %y : complex<f32>
}""",
    ),
    "bits of vectors": (
        "no derivative rule for vector.bitcast",
        3,
        """func.func @f(%x: f64) -> f64 {
  %v = vector.broadcast %x : f64 to vector<2xf64>
  %b = vector.bitcast %v : vector<2xf64> to vector<4xf32>
  %c = arith.mulf %b, %b : vector<4xf32>
  %d = vector.bitcast %c : vector<4xf32> to vector<2xf64>
  %y = vector.extract %d[0] : f64 from vector<2xf64>
  return %y : f64
}""",
    ),
    "parts of vectors of open length": (
        "no derivative rule for vector.scalable.extract",
        3,
        """func.func @f(%x: f64) -> f64 {
  %v = vector.broadcast %x : f64 to vector<[4]xf64>
  %w = vector.scalable.extract %v[0] : vector<4xf64> from vector<[4]xf64>
  %u = vector.scalable.insert %w, %v[0] : vector<4xf64> into vector<[4]xf64>
  %y = vector.extract %w[0] : f64 from vector<4xf64>
  return %y : f64
}""",
    ),
    "transfers": (
        "memref.dma_start takes memory that holds active data",
        5,
        """func.func @f(%a: memref<4xf64>, %b: memref<4xf64, 1>) {
  %c0 = arith.constant 0 : index
  %n = arith.constant 4 : index
  %t = memref.alloc() : memref<1xi32>
  memref.dma_start %a[%c0], %b[%c0], %n, %t[%c0] : memref<4xf64>, memref<4xf64, 1>, memref<1xi32>
  memref.dma_wait %t[%c0], %n : memref<1xi32>
  return
}""",
    ),
    "gather of tensors": (
        "'tensor.gather' op was not bufferized",
        2,
        """func.func @f(%a: tensor<4x4xf64>, %i: tensor<2x1xindex>) -> tensor<2x1x4xf64> {
  %g = tensor.gather %a[%i] gather_dims([0]) : (tensor<4x4xf64>, tensor<2x1xindex>) -> tensor<2x1x4xf64>
  return %g : tensor<2x1x4xf64>
}""",
    ),
    "scatter of tensors": (
        "'tensor.scatter' op was not bufferized",
        2,
        """func.func @f(%a: tensor<2x1x4xf64>, %b: tensor<4x4xf64>, %i: tensor<2x1xindex>) -> tensor<4x4xf64> {
  %g = tensor.scatter %a into %b[%i] scatter_dims([0]) unique
    : (tensor<2x1x4xf64>, tensor<4x4xf64>, tensor<2x1xindex>) -> tensor<4x4xf64>
  return %g : tensor<4x4xf64>
}""",
    ),
    "bits of tensors": (
        "'tensor.bitcast' op was not bufferized",
        2,
        """func.func @f(%a: tensor<4xf64>, %n: tensor<4xi64>) -> tensor<4xf64> {
  %b = tensor.bitcast %n : tensor<4xi64> to tensor<4xui64>
  %c = tensor.bitcast %b : tensor<4xui64> to tensor<4xi64>
  %f = arith.sitofp %c : tensor<4xi64> to tensor<4xf64>
  %m = arith.mulf %a, %f : tensor<4xf64>
  return %m : tensor<4xf64>
}""",
    ),
    "deallocation by condition": (
        "bufferization.dealloc before differentiation",
        6,
        """func.func @f(%a: memref<4xf64>, %c: i1) -> f64 {
  %c0 = arith.constant 0 : index
  %m = memref.alloc() : memref<4xf64>
  memref.copy %a, %m : memref<4xf64> to memref<4xf64>
  %v = memref.load %m[%c0] : memref<4xf64>
  bufferization.dealloc (%m : memref<4xf64>) if (%c)
  return %v : f64
}""",
    ),
    "bytes seen in two ways": (
        "memref.view makes f32 of bytes that are f64 elsewhere",
        6,
        """func.func @f(%x: f64, %n: index) -> f32 {
  %c0 = arith.constant 0 : index
  %m = memref.alloc() : memref<16xi8>
  %v = memref.view %m[%c0][] : memref<16xi8> to memref<2xf64>
  memref.store %x, %v[%c0] : memref<2xf64>
  %w = memref.view %m[%c0][] : memref<16xi8> to memref<4xf32>
  %d = memref.load %w[%n] : memref<4xf32>
  return %d : f32
}""",
    ),
    "a layout that only the descriptor knows": (
        "memref.reinterpret_cast of memref<?xf64, strided<[?], offset: ?>>, whose layout is known only when it runs",
        3,
        """func.func @f(%a: memref<?xf64, strided<[?], offset: ?>>) -> f64 {
  %c0 = arith.constant 0 : index
  %r = memref.reinterpret_cast %a to offset: [0], sizes: [2], strides: [1]
    : memref<?xf64, strided<[?], offset: ?>> to memref<2xf64>
  %y = memref.load %r[%c0] : memref<2xf64>
  return %y : f64
}""",
    ),
}

HARMLESS = {
    "bitcast of an integer": """func.func @f(%x: f64, %n: i64) -> f64 {
  %b = arith.bitcast %n : i64 to f64
  %m = arith.minnumf %b, %x : f64
  %y = arith.mulf %x, %x : f64
  return %y : f64
}""",
    "a call whose result is dropped": """func.func private @abs(i32) -> i32
func.func @f(%x: f64, %n: i32) -> f64 {
  %k = func.call @abs(%n) : (i32) -> i32
  %y = math.sin %x : f64
  return %y : f64
}""",
    "a number made of bits, beside the path": """func.func @f(%x: f64) -> f64 {
  %mask = arith.constant 9223372036854775807 : i64
  %zero = arith.constant 0 : i64
  %b = arith.bitcast %x : f64 to i64
  %p = arith.andi %b, %mask : i64
  %c = arith.cmpi eq, %p, %zero : i64
  %s = math.sin %x : f64
  %y = arith.select %c, %x, %s : f64
  return %y : f64
}""",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_name_and_place(name: str) -> None:
    message, line, text = REFUSED[name]
    with pytest.raises(DerivativeError) as caught:
        Check(pipeline.parse(text), "f", Settings())
    assert message in str(caught.value)
    assert caught.value.loc is not None and caught.value.loc[1] == line


#: Differentiated, but nothing that can be run here.
ELSEWHERE = {
    "printing": """func.func @f(%x: f64) -> f64 {
  %v = vector.broadcast %x : f64 to vector<4xf64>
  vector.print %v : vector<4xf64>
  %w = arith.mulf %v, %v : vector<4xf64>
  %y = vector.extract %w[0] : f64 from vector<4xf64>
  return %y : f64
}""",
    "the length of open vectors": """func.func @f(%x: f64) -> f64 {
  %n = vector.vscale
  %i = arith.index_cast %n : index to i64
  %f = arith.sitofp %i : i64 to f64
  %y = arith.mulf %x, %f : f64
  return %y : f64
}""",
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_what_cannot_run_here(mode: str, name: str) -> None:
    kinds = ("duplicated", "duplicated") if mode == "forward" else ("active", "active")
    request = f"""
func.func private @df(f64, f64) -> f64 attributes {{autodiff.{mode} = @f, autodiff.activity = ["{kinds[0]}"],
  autodiff.returns = ["{kinds[1]}"], autodiff.public}}"""
    module = pipeline.parse(ELSEWHERE[name] + request)
    assert len(pipeline.differentiate(module)) == 1 and module.operation.verify()


@pytest.mark.parametrize("name", HARMLESS)
def test_off_the_active_path(name: str) -> None:
    rows = Check(pipeline.parse(HARMLESS[name]), "f", Settings()).run()
    assert all(row.is_right for row in rows), rows

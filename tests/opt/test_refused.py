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


@pytest.mark.parametrize("name", HARMLESS)
def test_off_the_active_path(name: str) -> None:
    rows = Check(pipeline.parse(HARMLESS[name]), "f", Settings()).run()
    assert all(row.is_right for row in rows), rows

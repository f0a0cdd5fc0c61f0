// Branches between blocks, and calls.
func.func @loop_of_blocks(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  cf.br ^head(%c0, %x : index, f64)
^head(%i: index, %a: f64):
  %c = arith.cmpi slt, %i, %n : index
  cf.cond_br %c, ^body, ^exit
^body:
  %s = math.sin %a : f64
  %m = arith.mulf %s, %x : f64
  %i2 = arith.addi %i, %c1 : index
  cf.br ^head(%i2, %m : index, f64)
^exit:
  return %a : f64
}
// -----
func.func @switch(%x: f64, %k: i32) -> f64 {
  cf.switch %k : i32, [
    default: ^other,
    3: ^three,
    4: ^four(%x : f64)
  ]
^other:
  return %x : f64
^three:
  %s = math.sin %x : f64
  return %s : f64
^four(%y: f64):
  %e = math.exp %y : f64
  %p = arith.mulf %e, %x : f64
  return %p : f64
}
// -----
func.func private @both(%x: f64, %y: f64) -> (f64, f64) {
  %s = arith.mulf %x, %y : f64
  %t = arith.divf %x, %y : f64
  return %s, %t : f64, f64
}
func.func @several_results(%x: f64, %y: f64) -> (f64, f64) {
  %r:2 = func.call @both(%x, %y) : (f64, f64) -> (f64, f64)
  %q:2 = func.call @both(%r#0, %r#1) : (f64, f64) -> (f64, f64)
  %p = arith.addf %q#0, %r#1 : f64
  return %p, %q#1 : f64, f64
}
// -----
// a callee with blocks of its own, called in a loop
func.func private @leaky(%x: f64) -> f64 {
  %zero = arith.constant 0.8 : f64
  %c = arith.cmpf olt, %x, %zero : f64
  cf.cond_br %c, ^low, ^high
^low:
  %tenth = arith.constant 0.1 : f64
  %m = arith.mulf %x, %tenth : f64
  return %m : f64
^high:
  %q = arith.mulf %x, %x : f64
  return %q : f64
}
func.func @calls_in_a_loop(%a: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    %v = memref.load %a[%i] : memref<?xf64>
    %w = func.call @leaky(%v) : (f64) -> f64
    memref.store %w, %a[%i] : memref<?xf64>
  }
  return
}
// -----
// a call off the active path needs no rule
func.func private @clock() -> i64
func.func private @abs(i32) -> i32
func.func @inactive_call(%x: f64, %k: i32) -> f64 {
  %j = func.call @abs(%k) : (i32) -> i32
  %f = arith.sitofp %j : i32 to f64
  %m = arith.mulf %x, %f : f64
  return %m : f64
}
// -----
func.func private @hypot(f64, f64) -> f64
func.func @c_function(%x: f64, %y: f64) -> f64 {
  %h = func.call @hypot(%x, %y) : (f64, f64) -> f64
  %m = arith.mulf %h, %x : f64
  return %m : f64
}
// -----
func.func @poison_not_taken(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %p = ub.poison : f64
  %c = arith.cmpi eq, %n, %c0 : index
  %r = scf.if %c -> f64 {
    scf.yield %p : f64
  } else {
    %s = arith.mulf %x, %x : f64
    scf.yield %s : f64
  }
  return %r : f64
}

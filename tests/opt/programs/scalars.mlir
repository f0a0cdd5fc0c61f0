// arith, math, complex and index on scalars.
func.func @arith(%x: f64, %y: f64, %z: f64) -> f64 {
  %a = arith.addf %x, %y : f64
  %b = arith.subf %a, %z : f64
  %c = arith.mulf %b, %x : f64
  %d = arith.divf %c, %y : f64
  %e = arith.negf %d : f64
  %two = arith.constant 2.0 : f64
  %f = arith.remf %e, %two : f64
  %g = arith.addf %f, %z : f64
  return %g : f64
}
// -----
func.func @min_and_max(%x: f64, %y: f64) -> (f64, f64, f64, f64) {
  %p = arith.mulf %x, %x : f64
  %a = arith.maximumf %p, %y : f64
  %b = arith.minimumf %p, %y : f64
  %c = arith.maxnumf %p, %y : f64
  %d = arith.minnumf %p, %y : f64
  return %a, %b, %c, %d : f64, f64, f64, f64
}
// -----
func.func @select_of_scalars(%x: f64, %y: f64) -> f64 {
  %c = arith.cmpf olt, %x, %y : f64
  %p = arith.mulf %x, %y : f64
  %q = arith.divf %x, %y : f64
  %s = arith.select %c, %p, %q : f64
  return %s : f64
}
// -----
func.func @wider_and_narrower(%x: f32, %y: f64) -> (f64, f32) {
  %a = arith.extf %x : f32 to f64
  %p = arith.mulf %a, %y : f64
  %b = arith.truncf %p : f64 to f32
  %q = arith.mulf %b, %x : f32
  return %p, %q : f64, f32
}
// -----
func.func @integers(%x: f64, %n: i64, %k: index) -> f64 {
  %c3 = arith.constant 3 : i64
  %a = arith.ceildivsi %n, %c3 : i64
  %b = arith.floordivsi %n, %c3 : i64
  %c = arith.remsi %n, %c3 : i64
  %d = arith.muli %a, %b : i64
  %e = arith.addi %d, %c : i64
  %i = arith.index_cast %k : index to i64
  %f = arith.maxsi %e, %i : i64
  %g = arith.sitofp %f : i64 to f64
  %h = arith.mulf %x, %g : f64
  %t = arith.fptosi %h : f64 to i32
  %u = arith.uitofp %t : i32 to f64
  %v = arith.mulf %h, %u : f64
  return %v : f64
}
// -----
func.func @indices(%x: f64, %k: index) -> f64 {
  %two = index.constant 2
  %a = index.mul %k, %two
  %b = index.ceildivs %a, %two
  %c = index.maxs %a, %b
  %s = index.casts %c : index to i64
  %f = arith.sitofp %s : i64 to f64
  %g = arith.mulf %f, %x : f64
  %h = math.sin %g : f64
  %p = index.cmp sgt(%k, %two)
  %q = arith.select %p, %h, %x : f64
  return %q : f64
}
// -----
// a step function inside: no derivative through floor, ceil, round, trunc
func.func @steps(%x: f64) -> f64 {
  %a = math.floor %x : f64
  %b = math.ceil %x : f64
  %c = math.round %x : f64
  %d = math.trunc %x : f64
  %e = math.roundeven %x : f64
  %f = arith.addf %a, %b : f64
  %g = arith.addf %c, %d : f64
  %h = arith.addf %f, %g : f64
  %i = arith.addf %h, %e : f64
  %j = arith.mulf %i, %x : f64
  return %j : f64
}
// -----
func.func @trigonometry(%x: f64, %y: f64) -> f64 {
  %a = math.sin %x : f64
  %b = math.cos %y : f64
  %c = math.tan %a : f64
  %d = math.atan %c : f64
  %e = math.atan2 %b, %d : f64
  %f = math.sinh %e : f64
  %g = math.cosh %y : f64
  %h = math.tanh %f : f64
  %i = arith.mulf %g, %h : f64
  %j = math.asinh %i : f64
  return %j : f64
}
// -----
// range: 0.1 0.8
func.func @inverse_functions(%x: f64, %y: f64) -> f64 {
  %a = math.asin %x : f64
  %b = math.acos %y : f64
  %c = math.atanh %x : f64
  %one = arith.constant 1.5 : f64
  %d = arith.addf %y, %one : f64
  %e = math.acosh %d : f64
  %f = arith.mulf %a, %b : f64
  %g = arith.mulf %c, %e : f64
  %h = arith.addf %f, %g : f64
  return %h : f64
}
// -----
func.func @powers(%x: f64, %y: f64, %n: i32) -> f64 {
  %a = math.powf %x, %y : f64
  %b = math.fpowi %a, %n : f64, i32
  %c = math.sqrt %b : f64
  %d = math.rsqrt %x : f64
  %e = math.cbrt %d : f64
  %f = math.fma %c, %e, %y : f64
  return %f : f64
}
// -----
func.func @exponentials(%x: f64, %y: f64) -> f64 {
  %a = math.exp %x : f64
  %b = math.exp2 %y : f64
  %c = math.expm1 %x : f64
  %d = math.log %a : f64
  %e = math.log2 %b : f64
  %f = math.log10 %a : f64
  %g = math.log1p %c : f64
  %h = arith.mulf %d, %e : f64
  %i = arith.mulf %f, %g : f64
  %j = arith.addf %h, %i : f64
  %k = math.erf %j : f64
  %l = math.erfc %x : f64
  %m = arith.mulf %k, %l : f64
  return %m : f64
}
// -----
func.func @signs(%x: f64, %y: f64) -> f64 {
  %n = arith.negf %x : f64
  %a = math.absf %n : f64
  %b = math.copysign %x, %n : f64
  %lo = arith.constant 0.2 : f64
  %c = math.clampf %y to [%lo, %a] : f64
  %d = arith.mulf %a, %b : f64
  %e = arith.mulf %d, %c : f64
  return %e : f64
}
// -----
func.func @sine_and_cosine(%x: f64) -> f64 {
  %s, %c = math.sincos %x : f64
  %p = arith.mulf %s, %c : f64
  %q = arith.mulf %p, %s : f64
  return %q : f64
}
// -----
func.func @complex_numbers(%z: complex<f64>, %w: complex<f64>, %x: f64) -> (complex<f64>, f64) {
  %a = complex.mul %z, %w : complex<f64>
  %b = complex.div %a, %w : complex<f64>
  %c = complex.sub %b, %a : complex<f64>
  %d = complex.exp %c : complex<f64>
  %e = complex.sin %z : complex<f64>
  %f = complex.add %d, %e : complex<f64>
  %re = complex.re %f : complex<f64>
  %im = complex.im %f : complex<f64>
  %n = complex.abs %f : complex<f64>
  %g = complex.conj %f : complex<f64>
  %h = complex.create %re, %n : complex<f64>
  %i = complex.mul %h, %g : complex<f64>
  %r = arith.mulf %im, %x : f64
  return %i, %r : complex<f64>, f64
}
// -----
func.func @complex_in_memory(%a: memref<?xcomplex<f64>>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?xcomplex<f64>>
  scf.for %i = %c0 to %n step %c1 {
    %z = memref.load %a[%i] : memref<?xcomplex<f64>>
    %w = complex.mul %z, %z : complex<f64>
    memref.store %w, %a[%i] : memref<?xcomplex<f64>>
  }
  return
}
// -----
func.func @single_precision(%a: memref<?xf32>, %x: f32) -> f32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?xf32>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %x) -> (f32) {
    %v = memref.load %a[%i] : memref<?xf32>
    %s = math.sin %t : f32
    %p = arith.mulf %s, %v : f32
    scf.yield %p : f32
  }
  return %r : f32
}

// Memory: allocations, views, copies, globals, atomics.
func.func @alloc_copy_dealloc(%a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %b = memref.alloc(%n) : memref<?xf64>
  memref.copy %a, %b : memref<?xf64> to memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    %v = memref.load %b[%i] : memref<?xf64>
    %s = math.sin %v : f64
    memref.store %s, %b[%i] : memref<?xf64>
  }
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %zero) -> (f64) {
    %v = memref.load %a[%i] : memref<?xf64>
    %w = memref.load %b[%i] : memref<?xf64>
    %p = arith.mulf %v, %w : f64
    %u = arith.addf %t, %p : f64
    scf.yield %u : f64
  }
  memref.dealloc %b : memref<?xf64>
  return %r : f64
}
// -----
func.func @alloca_in_a_loop(%x: f64, %y: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %r = scf.for %i = %c0 to %c3 step %c1 iter_args(%a = %x) -> (f64) {
    %m = memref.alloca() : memref<2xf64>
    memref.store %a, %m[%c0] : memref<2xf64>
    memref.store %y, %m[%c1] : memref<2xf64>
    %p = memref.load %m[%c0] : memref<2xf64>
    %q = memref.load %m[%c1] : memref<2xf64>
    %s = arith.mulf %p, %q : f64
    %t = math.sin %s : f64
    scf.yield %t : f64
  }
  return %r : f64
}
// -----
func.func @alloca_scope(%x: f64) -> f64 {
  %r = memref.alloca_scope -> f64 {
    %m = memref.alloca() : memref<f64>
    %s = arith.mulf %x, %x : f64
    memref.store %s, %m[] : memref<f64>
    %v = memref.load %m[] : memref<f64>
    %e = math.exp %v : f64
    memref.alloca_scope.return %e : f64
  }
  return %r : f64
}
// -----
func.func @subview_strided(%a: memref<?x?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %one = arith.constant 1.0 : f64
  %s = memref.subview %a[1, 0] [2, 2] [1, 2] : memref<?x?xf64> to memref<2x2xf64, strided<[?, 2], offset: ?>>
  %r = scf.for %i = %c0 to %c2 step %c1 iter_args(%t = %one) -> (f64) {
    %u = scf.for %j = %c0 to %c2 step %c1 iter_args(%w = %t) -> (f64) {
      %v = memref.load %s[%i, %j] : memref<2x2xf64, strided<[?, 2], offset: ?>>
      %p = arith.mulf %w, %v : f64
      memref.store %p, %s[%i, %j] : memref<2x2xf64, strided<[?, 2], offset: ?>>
      scf.yield %p : f64
    }
    scf.yield %u : f64
  }
  return %r : f64
}
// -----
func.func @strided_argument(%a: memref<3xf64, strided<[2], offset: 5>>, %b: memref<2x2xf64, strided<[1, 2]>>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %x = memref.load %a[%c2] : memref<3xf64, strided<[2], offset: 5>>
  %y = memref.load %b[%c0, %c1] : memref<2x2xf64, strided<[1, 2]>>
  %p = arith.mulf %x, %y : f64
  memref.store %p, %a[%c0] : memref<3xf64, strided<[2], offset: 5>>
  %q = math.exp %p : f64
  memref.store %q, %b[%c1, %c0] : memref<2x2xf64, strided<[1, 2]>>
  return %q : f64
}
// -----
func.func @cast_and_reinterpret(%a: memref<6xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = memref.cast %a : memref<6xf64> to memref<?xf64>
  %m = memref.reinterpret_cast %a to offset: [1], sizes: [2, 2], strides: [2, 1] : memref<6xf64> to memref<2x2xf64, strided<[2, 1], offset: 1>>
  %x = memref.load %b[%c1] : memref<?xf64>
  %y = memref.load %m[%c1, %c1] : memref<2x2xf64, strided<[2, 1], offset: 1>>
  %p = arith.mulf %x, %y : f64
  memref.store %p, %m[%c0, %c0] : memref<2x2xf64, strided<[2, 1], offset: 1>>
  %z = memref.load %b[%c1] : memref<?xf64>
  %q = arith.mulf %z, %x : f64
  return %q : f64
}
// -----
func.func @expand_and_collapse(%a: memref<6xf64>) -> f64 {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c4 = arith.constant 4 : index
  %m = memref.expand_shape %a [[0, 1]] output_shape [2, 3] : memref<6xf64> into memref<2x3xf64>
  %f = memref.collapse_shape %m [[0, 1]] : memref<2x3xf64> into memref<6xf64>
  %x = memref.load %m[%c1, %c2] : memref<2x3xf64>
  %y = memref.load %f[%c4] : memref<6xf64>
  %p = arith.mulf %x, %y : f64
  memref.store %p, %f[%c2] : memref<6xf64>
  %z = memref.load %a[%c2] : memref<6xf64>
  %q = math.sin %z : f64
  return %q : f64
}
// -----
func.func @reshape(%a: memref<6xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n2 = arith.constant 2 : index
  %n3 = arith.constant 3 : index
  %shape = memref.alloc() : memref<2xindex>
  memref.store %n2, %shape[%c0] : memref<2xindex>
  memref.store %n3, %shape[%c1] : memref<2xindex>
  %m = memref.reshape %a(%shape) : (memref<6xf64>, memref<2xindex>) -> memref<?x?xf64>
  %x = memref.load %m[%c1, %n2] : memref<?x?xf64>
  %y = memref.load %m[%c0, %c1] : memref<?x?xf64>
  %p = arith.mulf %x, %y : f64
  memref.store %p, %m[%c1, %c1] : memref<?x?xf64>
  return %p : f64
}
// -----
func.func @transposed(%a: memref<2x3xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %t = memref.transpose %a (i, j) -> (j, i) : memref<2x3xf64> to memref<3x2xf64, strided<[1, 3]>>
  %x = memref.load %t[%c2, %c0] : memref<3x2xf64, strided<[1, 3]>>
  %y = memref.load %a[%c1, %c2] : memref<2x3xf64>
  %p = arith.mulf %x, %y : f64
  memref.store %p, %t[%c0, %c1] : memref<3x2xf64, strided<[1, 3]>>
  return %p : f64
}
// -----
func.func @view_of_bytes(%x: f64, %y: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %bytes = memref.alloc() : memref<64xi8>
  %v = memref.view %bytes[%c8][] : memref<64xi8> to memref<4xf64>
  memref.store %x, %v[%c0] : memref<4xf64>
  memref.store %y, %v[%c1] : memref<4xf64>
  %p = memref.load %v[%c0] : memref<4xf64>
  %q = memref.load %v[%c1] : memref<4xf64>
  %r = arith.mulf %p, %q : f64
  %s = math.sin %r : f64
  return %s : f64
}
// -----
memref.global "private" constant @weights : memref<3xf64> = dense<[2.0, -1.0, 0.5]>
func.func @constant_global(%x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %w = memref.get_global @weights : memref<3xf64>
  %r = scf.for %i = %c0 to %c3 step %c1 iter_args(%t = %x) -> (f64) {
    %again = memref.get_global @weights : memref<3xf64>
    %k = memref.load %again[%i] : memref<3xf64>
    %p = arith.mulf %t, %k : f64
    %s = arith.addf %p, %x : f64
    scf.yield %s : f64
  }
  return %r : f64
}
// -----
// two names of one global: what is stored through one is read through the other
memref.global "private" @count : memref<1xi64> = dense<0>
func.func @counter_in_a_global(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %i0 = arith.constant 0 : i64
  %i1 = arith.constant 1 : i64
  %g = memref.get_global @count : memref<1xi64>
  memref.store %i0, %g[%c0] : memref<1xi64>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %x) -> (f64) {
    %h = memref.get_global @count : memref<1xi64>
    %k = memref.load %h[%c0] : memref<1xi64>
    %k1 = arith.addi %k, %i1 : i64
    memref.store %k1, %h[%c0] : memref<1xi64>
    %f = arith.sitofp %k : i64 to f64
    %s = arith.addf %t, %f : f64
    %p = arith.mulf %s, %x : f64
    scf.yield %p : f64
  }
  return %r : f64
}
// -----
func.func @atomic_add(%a: memref<?xf64>, %s: memref<1xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.parallel (%i) = (%c0) to (%n) step (%c1) {
    %v = memref.load %a[%i] : memref<?xf64>
    %q = arith.mulf %v, %v : f64
    %old = memref.atomic_rmw addf %q, %s[%c0] : (f64, memref<1xf64>) -> f64
    scf.reduce
  }
  return
}
// -----
// pipeline: autodiff-structure
func.func @atomic_kinds(%a: memref<6xf64>, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %c5 = arith.constant 5 : index
  %0 = memref.atomic_rmw mulf %x, %a[%c0] : (f64, memref<6xf64>) -> f64
  %1 = memref.atomic_rmw maximumf %x, %a[%c1] : (f64, memref<6xf64>) -> f64
  %2 = memref.atomic_rmw minimumf %x, %a[%c2] : (f64, memref<6xf64>) -> f64
  %3 = memref.atomic_rmw assign %x, %a[%c3] : (f64, memref<6xf64>) -> f64
  %4 = memref.atomic_rmw addf %x, %a[%c4] : (f64, memref<6xf64>) -> f64
  %5 = memref.atomic_rmw maxnumf %x, %a[%c5] : (f64, memref<6xf64>) -> f64
  %s = arith.mulf %0, %3 : f64
  %t = arith.mulf %s, %4 : f64
  %u = arith.addf %t, %1 : f64
  %v = arith.addf %u, %2 : f64
  %w = arith.addf %v, %5 : f64
  return %w : f64
}
// -----
// pipeline: autodiff-structure
func.func @generic_atomic(%a: memref<?xf64>, %x: f64) -> f64 {
  %c1 = arith.constant 1 : index
  %old = memref.generic_atomic_rmw %a[%c1] : memref<?xf64> {
  ^bb0(%v: f64):
    %p = arith.mulf %v, %x : f64
    %s = math.sin %p : f64
    memref.atomic_yield %s : f64
  }
  %r = arith.mulf %old, %x : f64
  return %r : f64
}
// -----
func.func @grown(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %a = memref.alloc(%c1) : memref<?xf64>
  memref.store %x, %a[%c0] : memref<?xf64>
  %b = memref.realloc %a(%n) : memref<?xf64> to memref<?xf64>
  memref.store %x, %b[%c2] : memref<?xf64>
  %p = memref.load %b[%c0] : memref<?xf64>
  %q = memref.load %b[%c2] : memref<?xf64>
  %r = arith.mulf %p, %q : f64
  memref.dealloc %b : memref<?xf64>
  return %r : f64
}
// -----
func.func @selected_memory(%a: memref<3xf64>, %b: memref<3xf64>, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c9 = arith.constant 9 : index
  %c = arith.cmpi slt, %n, %c9 : index
  %m = arith.select %c, %a, %b : memref<3xf64>
  %x = memref.load %m[%c0] : memref<3xf64>
  %s = math.sin %x : f64
  memref.store %s, %m[%c0] : memref<3xf64>
  %y = memref.load %a[%c0] : memref<3xf64>
  %p = arith.mulf %x, %y : f64
  return %p : f64
}

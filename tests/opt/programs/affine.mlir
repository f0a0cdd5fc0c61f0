// The affine dialect.
func.func @loads_and_stores(%a: memref<?xf64>, %b: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  affine.for %i = 0 to %n step 2 {
    %x = affine.load %a[%i] : memref<?xf64>
    %y = affine.load %b[%i] : memref<?xf64>
    %p = arith.mulf %x, %y : f64
    affine.store %p, %a[%i + 1] : memref<?xf64>
  }
  return
}
// -----
func.func @two_bounds(%a: memref<8xf64>) -> f64 {
  %zero = arith.constant 0.0 : f64
  %s = affine.for %i = 0 to 8 step 3 iter_args(%t = %zero) -> (f64) {
    %u = affine.for %j = max affine_map<(d0) -> (d0 - 2, 0)>(%i) to min affine_map<(d0) -> (d0 + 3, 8)>(%i) iter_args(%w = %t) -> (f64) {
      %v = affine.load %a[%j] : memref<8xf64>
      %m = arith.mulf %v, %v : f64
      %q = arith.addf %w, %m : f64
      affine.yield %q : f64
    }
    affine.yield %u : f64
  }
  return %s : f64
}
// -----
func.func @affine_if(%a: memref<6xf64>, %x: f64) -> f64 {
  %zero = arith.constant 0.0 : f64
  %s = affine.for %i = 0 to 6 iter_args(%t = %zero) -> (f64) {
    %v = affine.load %a[%i] : memref<6xf64>
    %k = affine.if affine_set<(d0) : (d0 - 3 >= 0)>(%i) -> f64 {
      %p = arith.mulf %v, %x : f64
      affine.yield %p : f64
    } else {
      %p = arith.divf %v, %x : f64
      affine.yield %p : f64
    }
    %u = arith.addf %t, %k : f64
    affine.yield %u : f64
  }
  return %s : f64
}
// -----
func.func @apply_min_max(%a: memref<6xf64>, %n: index) -> f64 {
  %i = affine.apply affine_map<(d0) -> (d0 floordiv 2)>(%n)
  %j = affine.min affine_map<(d0) -> (d0, 3)>(%n)
  %k = affine.max affine_map<(d0) -> (d0 - 3, 2)>(%n)
  %x = memref.load %a[%i] : memref<6xf64>
  %y = memref.load %a[%j] : memref<6xf64>
  %z = memref.load %a[%k] : memref<6xf64>
  %p = arith.mulf %x, %y : f64
  %q = arith.mulf %p, %z : f64
  return %q : f64
}
// -----
func.func @affine_parallel(%a: memref<4x5xf64>) -> f64 {
  %r = affine.parallel (%i, %j) = (0, 0) to (4, 5) step (1, 2) reduce ("addf") -> (f64) {
    %v = affine.load %a[%i, %j] : memref<4x5xf64>
    %s = math.sin %v : f64
    affine.yield %s : f64
  }
  return %r : f64
}
// -----
func.func @affine_vectors(%a: memref<8xf64>, %b: memref<8xf64>) {
  affine.for %i = 0 to 8 step 4 {
    %v = affine.vector_load %a[%i] : memref<8xf64>, vector<4xf64>
    %w = affine.vector_load %b[%i] : memref<8xf64>, vector<4xf64>
    %p = arith.mulf %v, %w : vector<4xf64>
    affine.vector_store %p, %b[%i] : memref<8xf64>, vector<4xf64>
  }
  return
}

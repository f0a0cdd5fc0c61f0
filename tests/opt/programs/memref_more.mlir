// Hints, layouts, calls of known functions, copies.
func.func @hints(%a: memref<?xf64>, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %b = memref.alloc() : memref<4xf64>
  %p, %q = memref.distinct_objects %a, %b : memref<?xf64>, memref<4xf64>
  %s = memref.assume_alignment %p, 8 : memref<?xf64>
  memref.prefetch %s[%c0], read, locality<3>, data : memref<?xf64>
  %v = memref.load %s[%c1] : memref<?xf64>
  %w = arith.mulf %v, %x : f64
  memref.store %w, %q[%c0] : memref<4xf64>
  %u = memref.load %q[%c0] : memref<4xf64>
  %t = math.sin %u : f64
  memref.store %t, %s[%c0] : memref<?xf64>
  return %u : f64
}
// -----
func.func @spaces(%a: memref<3xf64, 1>) -> f64 {
  %c1 = arith.constant 1 : index
  %p = memref.memory_space_cast %a : memref<3xf64, 1> to memref<3xf64>
  %v = memref.load %p[%c1] : memref<3xf64>
  %w = arith.mulf %v, %v : f64
  return %w : f64
}
// -----
func.func @metadata(%a: memref<3x4xf64, strided<[5, 1], offset: 2>>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %base, %offset, %sizes:2, %strides:2 = memref.extract_strided_metadata %a : memref<3x4xf64, strided<[5, 1], offset: 2>> -> memref<f64>, index, index, index, index, index
  %r = memref.reinterpret_cast %base to offset: [%offset], sizes: [%sizes#1, %sizes#0], strides: [%strides#1, %strides#0] : memref<f64> to memref<?x?xf64, strided<[?, ?], offset: ?>>
  %v = memref.load %r[%c1, %c0] : memref<?x?xf64, strided<[?, ?], offset: ?>>
  %w = arith.mulf %v, %v : f64
  memref.store %w, %r[%c0, %c1] : memref<?x?xf64, strided<[?, ?], offset: ?>>
  return %w : f64
}
// -----
func.func @rank(%a: memref<?x?xf64>, %x: f64) -> f64 {
  %n = memref.rank %a : memref<?x?xf64>
  %i = arith.index_cast %n : index to i64
  %f = arith.sitofp %i : i64 to f64
  %y = arith.mulf %x, %f : f64
  return %y : f64
}
// -----
func.func @constant_of_functions(%x: f64) -> f64 {
  %c0 = arith.constant 2.0 : f64
  %ok = arith.cmpf olt, %x, %c0 : f64
  cf.assert %ok, "too large"
  %f = func.constant @g : (f64) -> f64
  %y = func.call_indirect %f(%x) : (f64) -> f64
  return %y : f64
}
func.func private @g(%x: f64) -> f64 {
  %y = math.sin %x : f64
  return %y : f64
}
// -----
func.func @affine_rest(%a: memref<12xf64>, %n: index) -> f64 {
  %c2 = arith.constant 2 : index
  %c1 = arith.constant 1 : index
  %l = affine.linearize_index [%c2, %c1] by (3, 4) : index
  %d:2 = affine.delinearize_index %l into (2, 6) : index, index
  affine.prefetch %a[%d#1], read, locality<3>, data : memref<12xf64>
  %v = affine.load %a[symbol(%d#1)] : memref<12xf64>
  %u = affine.load %a[symbol(%d#0) + 2] : memref<12xf64>
  %w = arith.mulf %v, %u : f64
  return %w : f64
}
// -----
func.func @copies_of_everything(%a: memref<2x3xf64>, %b: memref<2x3xf64>) {
  linalg.copy ins(%a : memref<2x3xf64>) outs(%b : memref<2x3xf64>)
  %c = bufferization.clone %b : memref<2x3xf64> to memref<2x3xf64>
  %c0 = arith.constant 0 : index
  %v = memref.load %c[%c0, %c0] : memref<2x3xf64>
  %w = arith.mulf %v, %v : f64
  memref.store %w, %a[%c0, %c0] : memref<2x3xf64>
  return
}
// -----
func.func @ended_tensors(%a: tensor<4xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %e = bufferization.alloc_tensor() : tensor<4xf64>
  %m = linalg.map { math.sin } ins(%a : tensor<4xf64>) outs(%e : tensor<4xf64>)
  %v = tensor.extract %m[%c0] : tensor<4xf64>
  bufferization.dealloc_tensor %m : tensor<4xf64>
  return %v : f64
}
// -----
func.func @never_reached(%x: f64, %k: i32) -> f64 {
  %c0 = arith.constant 0 : i32
  %neg = arith.cmpi slt, %k, %c0 : i32
  cf.cond_br %neg, ^bad, ^good
^bad:
  ub.unreachable
^good:
  %y = math.sin %x : f64
  return %y : f64
}

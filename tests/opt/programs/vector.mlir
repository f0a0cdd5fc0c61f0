// Vectors: memory, arithmetic, elements, reductions.
func.func @load_and_store(%a: memref<?xf64>, %b: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %v = vector.load %a[%c0] : memref<?xf64>, vector<4xf64>
  %w = vector.load %b[%c0] : memref<?xf64>, vector<4xf64>
  %p = arith.mulf %v, %w : vector<4xf64>
  %s = math.sin %p : vector<4xf64>
  vector.store %s, %a[%c0] : memref<?xf64>, vector<4xf64>
  return
}
// -----
// pipeline: autodiff-structure
func.func @two_axes(%a: memref<3x4xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %v = vector.load %a[%c1, %c0] : memref<3x4xf64>, vector<2x3xf64>
  %p = arith.mulf %v, %v : vector<2x3xf64>
  vector.store %p, %a[%c0, %c1] : memref<3x4xf64>, vector<2x3xf64>
  %r = vector.extract %p[1, 2] : f64 from vector<2x3xf64>
  return %r : f64
}
// -----
func.func @in_a_loop(%a: memref<?xf64>, %x: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant dense<0.0> : vector<4xf64>
  %n = memref.dim %a, %c0 : memref<?xf64>
  %b = vector.broadcast %x : f64 to vector<4xf64>
  %r = scf.for %i = %c0 to %n step %c4 iter_args(%t = %zero) -> (vector<4xf64>) {
    %v = vector.load %a[%i] : memref<?xf64>, vector<4xf64>
    %f = vector.fma %v, %b, %t : vector<4xf64>
    %g = arith.mulf %f, %v : vector<4xf64>
    scf.yield %g : vector<4xf64>
  }
  %s = vector.reduction <add>, %r : vector<4xf64> into f64
  return %s : f64
}
// -----
func.func @elements(%x: f64, %y: f64) -> f64 {
  %v = vector.from_elements %x, %y, %x, %y : vector<4xf64>
  %w = vector.insert %x, %v[1] : f64 into vector<4xf64>
  %p = arith.mulf %v, %w : vector<4xf64>
  %a = vector.extract %p[1] : f64 from vector<4xf64>
  %b = vector.extract %p[3] : f64 from vector<4xf64>
  %q = arith.mulf %a, %b : f64
  return %q : f64
}
// -----
func.func @reductions(%a: memref<4xf64>, %x: f64) -> (f64, f64, f64, f64, f64) {
  %c0 = arith.constant 0 : index
  %v = vector.load %a[%c0] : memref<4xf64>, vector<4xf64>
  %1 = vector.reduction <add>, %v, %x : vector<4xf64> into f64
  %2 = vector.reduction <mul>, %v : vector<4xf64> into f64
  %3 = vector.reduction <maximumf>, %v : vector<4xf64> into f64
  %4 = vector.reduction <minnumf>, %v : vector<4xf64> into f64
  %5 = vector.reduction <mul>, %v, %x : vector<4xf64> into f64
  return %1, %2, %3, %4, %5 : f64, f64, f64, f64, f64
}
// -----
func.func @rearranged(%a: memref<4xf64>, %b: memref<4xf64>) {
  %c0 = arith.constant 0 : index
  %v = vector.load %a[%c0] : memref<4xf64>, vector<4xf64>
  %w = vector.load %b[%c0] : memref<4xf64>, vector<4xf64>
  %s = vector.shuffle %v, %w [0, 5, 2, 0] : vector<4xf64>, vector<4xf64>
  %e = vector.extract_strided_slice %w {offsets = [1], sizes = [2], strides = [1]} : vector<4xf64> to vector<2xf64>
  %i = vector.insert_strided_slice %e, %s {offsets = [2], strides = [1]} : vector<2xf64> into vector<4xf64>
  %p = arith.mulf %i, %v : vector<4xf64>
  vector.store %p, %b[%c0] : memref<4xf64>, vector<4xf64>
  return
}
// -----
// pipeline: autodiff-structure
func.func @several_axes(%a: memref<2x3xf64>, %b: memref<3xf64>) -> (f64, f64) {
  %c0 = arith.constant 0 : index
  %x = arith.constant 0.5 : f64
  %v = vector.load %a[%c0, %c0] : memref<2x3xf64>, vector<2x3xf64>
  %w = vector.load %b[%c0] : memref<3xf64>, vector<3xf64>
  %start = arith.constant dense<1.0> : vector<2xf64>
  %r = vector.multi_reduction <mul>, %v, %start [1] : vector<2x3xf64> to vector<2xf64>
  %o = vector.outerproduct %r, %w, %v {kind = #vector.kind<add>} : vector<2xf64>, vector<3xf64>
  %t = vector.transpose %o, [1, 0] : vector<2x3xf64> to vector<3x2xf64>
  %u = vector.shape_cast %t : vector<3x2xf64> to vector<6xf64>
  %m = arith.mulf %u, %u : vector<6xf64>
  %s = vector.reduction <add>, %m : vector<6xf64> into f64
  %q = vector.multi_reduction <add>, %o, %x [0, 1] : vector<2x3xf64> to f64
  return %s, %q : f64, f64
}
// -----
// pipeline: autodiff-structure
func.func @stretched(%a: memref<1x3xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %v = vector.load %a[%c0, %c0] : memref<1x3xf64>, vector<1x3xf64>
  %w = vector.broadcast %v : vector<1x3xf64> to vector<2x2x3xf64>
  %p = arith.mulf %w, %w : vector<2x2x3xf64>
  %q = vector.shape_cast %p : vector<2x2x3xf64> to vector<12xf64>
  %s = vector.reduction <mul>, %q : vector<12xf64> into f64
  return %s : f64
}
// -----
// reads past the end: the padding, which is active, stands for what is not there
func.func @transfers(%a: memref<?xf64>, %b: memref<?x?xf64>, %pad: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %v = vector.transfer_read %a[%c2], %pad : memref<?xf64>, vector<4xf64>
  %w = vector.transfer_read %b[%c0, %c1], %pad {in_bounds = [true, true], permutation_map = affine_map<(d0, d1) -> (d1, d0)>} : memref<?x?xf64>, vector<2x4xf64>
  %x = vector.extract %w[1] : vector<4xf64> from vector<2x4xf64>
  %p = arith.mulf %v, %x : vector<4xf64>
  vector.transfer_write %p, %a[%c1] : vector<4xf64>, memref<?xf64>
  %s = vector.reduction <add>, %p : vector<4xf64> into f64
  return %s : f64
}
// -----
func.func @repeated_rows(%a: memref<?x?xf64>) -> f64 {
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f64
  %v = vector.transfer_read %a[%c1, %c1], %z {in_bounds = [true, false], permutation_map = affine_map<(d0, d1) -> (0, d1)>} : memref<?x?xf64>, vector<2x4xf64>
  %p = arith.mulf %v, %v : vector<2x4xf64>
  %q = vector.shape_cast %p : vector<2x4xf64> to vector<8xf64>
  %s = vector.reduction <add>, %q : vector<8xf64> into f64
  return %s : f64
}
// -----
func.func @masks(%a: memref<?xf64>, %b: memref<?xf64>, %k: index) {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  %pass = arith.constant dense<2.0> : vector<4xf64>
  %m = vector.create_mask %c3 : vector<4xi1>
  %v = vector.maskedload %a[%c0], %m, %pass : memref<?xf64>, vector<4xi1>, vector<4xf64> into vector<4xf64>
  %at = arith.constant dense<[3, 0, 0, 1]> : vector<4xi32>
  %g = vector.gather %b[%c0] [%at], %m, %v : memref<?xf64>, vector<4xi32>, vector<4xi1>, vector<4xf64> into vector<4xf64>
  %p = arith.mulf %v, %g : vector<4xf64>
  vector.maskedstore %b[%c0], %m, %p : memref<?xf64>, vector<4xi1>, vector<4xf64>
  %to = arith.constant dense<[2, 0, 3, 1]> : vector<4xindex>
  vector.scatter %a[%c0] [%to], %m, %p : memref<?xf64>, vector<4xindex>, vector<4xi1>, vector<4xf64>
  return
}
// -----
func.func @masked_transfer(%a: memref<?xf64>, %b: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %z = arith.constant 0.5 : f64
  %m = vector.create_mask %c2 : vector<4xi1>
  %v = vector.transfer_read %a[%c0], %z, %m : memref<?xf64>, vector<4xf64>
  %w = arith.mulf %v, %v : vector<4xf64>
  vector.transfer_write %w, %b[%c2], %m : vector<4xf64>, memref<?xf64>
  return
}
// -----
func.func @vector_conditions(%a: memref<4xf64>, %b: memref<4xf64>) {
  %c0 = arith.constant 0 : index
  %v = vector.load %a[%c0] : memref<4xf64>, vector<4xf64>
  %w = vector.load %b[%c0] : memref<4xf64>, vector<4xf64>
  %c = arith.cmpf olt, %v, %w : vector<4xf64>
  %p = arith.mulf %v, %w : vector<4xf64>
  %s = arith.select %c, %p, %v : vector<4xi1>, vector<4xf64>
  %m = arith.maximumf %s, %w : vector<4xf64>
  vector.store %m, %a[%c0] : memref<4xf64>, vector<4xf64>
  return
}

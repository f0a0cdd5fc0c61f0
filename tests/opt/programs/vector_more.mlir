// Contractions, masks, scans and other rearrangements.
func.func @contractions(%a: memref<2x3xf64>, %b: memref<3x4xf64>, %c: memref<2x4xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f64
  %u = vector.transfer_read %a[%c0, %c0], %z : memref<2x3xf64>, vector<2x3xf64>
  %v = vector.transfer_read %b[%c0, %c0], %z : memref<3x4xf64>, vector<3x4xf64>
  %w = vector.transfer_read %c[%c0, %c0], %z : memref<2x4xf64>, vector<2x4xf64>
  %r = vector.contract {indexing_maps = [affine_map<(i, j, k) -> (i, k)>, affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>],
    iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %u, %v, %w : vector<2x3xf64>, vector<3x4xf64> into vector<2x4xf64>
  vector.transfer_write %r, %c[%c0, %c0] : vector<2x4xf64>, memref<2x4xf64>
  %s = vector.contract {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
    iterator_types = ["reduction", "reduction"], kind = #vector.kind<add>} %r, %w, %z : vector<2x4xf64>, vector<2x4xf64> into f64
  return %s : f64
}
// -----
func.func @contract_maximum(%a: memref<2x3xf64>, %b: memref<3xf64>, %c: memref<2xf64>) {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f64
  %u = vector.transfer_read %a[%c0, %c0], %z : memref<2x3xf64>, vector<2x3xf64>
  %v = vector.transfer_read %b[%c0], %z : memref<3xf64>, vector<3xf64>
  %w = vector.transfer_read %c[%c0], %z : memref<2xf64>, vector<2xf64>
  %r = vector.contract {indexing_maps = [affine_map<(i, k) -> (i, k)>, affine_map<(i, k) -> (k)>, affine_map<(i, k) -> (i)>],
    iterator_types = ["parallel", "reduction"], kind = #vector.kind<maximumf>} %u, %v, %w : vector<2x3xf64>, vector<3xf64> into vector<2xf64>
  vector.transfer_write %r, %c[%c0] : vector<2xf64>, memref<2xf64>
  return
}
// -----
func.func @shuffles(%a: memref<4xf64>, %b: memref<4xf64>) {
  %c0 = arith.constant 0 : index
  %u = vector.load %a[%c0] : memref<4xf64>, vector<4xf64>
  %v = vector.load %b[%c0] : memref<4xf64>, vector<4xf64>
  %s = vector.shuffle %u, %v [0, 5, -1, 2] : vector<4xf64>, vector<4xf64>
  %x = vector.extract %s[0] : f64 from vector<4xf64>
  %y = vector.extract %s[1] : f64 from vector<4xf64>
  %w = vector.extract %s[3] : f64 from vector<4xf64>
  %i = vector.interleave %u, %v : vector<4xf64> -> vector<8xf64>
  %d, %e = vector.deinterleave %i : vector<8xf64> -> vector<4xf64>
  %p = arith.mulf %d, %v : vector<4xf64>
  %q = arith.mulf %e, %p : vector<4xf64>
  %f = vector.from_elements %x, %y, %w, %x : vector<4xf64>
  %r = arith.mulf %q, %f : vector<4xf64>
  %g:4 = vector.to_elements %r : vector<4xf64>
  %h = arith.mulf %g#0, %g#3 : f64
  vector.store %r, %b[%c0] : memref<4xf64>, vector<4xf64>
  memref.store %h, %a[%c0] : memref<4xf64>
  return
}
// -----
func.func @compress_and_expand(%a: memref<6xf64>, %b: memref<6xf64>, %m: memref<6xi8>) {
  %c0 = arith.constant 0 : index
  %one = arith.constant dense<1> : vector<4xi8>
  %z = arith.constant dense<2.0> : vector<4xf64>
  %k = vector.load %m[%c0] : memref<6xi8>, vector<4xi8>
  %mask = arith.cmpi sle, %k, %one : vector<4xi8>
  %v = vector.expandload %a[%c0], %mask, %z : memref<6xf64>, vector<4xi1>, vector<4xf64> into vector<4xf64>
  %w = arith.mulf %v, %v : vector<4xf64>
  vector.compressstore %b[%c0], %mask, %w : memref<6xf64>, vector<4xi1>, vector<4xf64>
  return
}
// -----
func.func @scans(%a: memref<2x3xf64>, %b: memref<3xf64>) {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f64
  %v = vector.transfer_read %a[%c0, %c0], %z : memref<2x3xf64>, vector<2x3xf64>
  %s = vector.transfer_read %b[%c0], %z : memref<3xf64>, vector<3xf64>
  %r, %t = vector.scan <mul>, %v, %s {inclusive = true, reduction_dim = 0 : i64} : vector<2x3xf64>, vector<3xf64>
  %q, %l = vector.scan <add>, %v, %s {inclusive = false, reduction_dim = 0 : i64} : vector<2x3xf64>, vector<3xf64>
  %p = arith.mulf %r, %q : vector<2x3xf64>
  vector.transfer_write %p, %a[%c0, %c0] : vector<2x3xf64>, memref<2x3xf64>
  %o = arith.mulf %t, %l : vector<3xf64>
  vector.transfer_write %o, %b[%c0] : vector<3xf64>, memref<3xf64>
  return
}
// -----
func.func @masked(%a: memref<?xf64>, %x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f64
  %ones = arith.constant dense<1.0> : vector<4xf64>
  %mask = vector.create_mask %n : vector<4xi1>
  %all = vector.constant_mask [3] : vector<4xi1>
  %v = vector.mask %mask { vector.transfer_read %a[%c0], %x {in_bounds = [true]} : memref<?xf64>, vector<4xf64> } : vector<4xi1> -> vector<4xf64>
  %w = arith.mulf %v, %v : vector<4xf64>
  vector.mask %all { vector.transfer_write %w, %a[%c0] {in_bounds = [true]} : vector<4xf64>, memref<?xf64> } : vector<4xi1>
  %r = vector.mask %all { vector.reduction <add>, %w : vector<4xf64> into f64 } : vector<4xi1> -> f64
  %g = arith.mulf %v, %w : vector<4xf64>
  %q = vector.mask %mask, %ones { vector.yield %g : vector<4xf64> } : vector<4xi1> -> vector<4xf64>
  %s = vector.reduction <mul>, %q : vector<4xf64> into f64
  %y = arith.addf %r, %s : f64
  return %y : f64
}
// -----
func.func @shapes(%a: memref<2x3xf64>, %b: memref<6xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f64
  %v = vector.transfer_read %a[%c0, %c0], %z : memref<2x3xf64>, vector<2x3xf64>
  %t = vector.transpose %v, [1, 0] : vector<2x3xf64> to vector<3x2xf64>
  %f = vector.shape_cast %t : vector<3x2xf64> to vector<6xf64>
  %w = vector.load %b[%c0] : memref<6xf64>, vector<6xf64>
  %p = arith.mulf %f, %w : vector<6xf64>
  %e = vector.extract_strided_slice %p {offsets = [1], sizes = [3], strides = [1]} : vector<6xf64> to vector<3xf64>
  %o = vector.outerproduct %e, %e : vector<3xf64>, vector<3xf64>
  %c = arith.constant dense<1.0> : vector<3xf64>
  %m = vector.multi_reduction <add>, %o, %c [1] : vector<3x3xf64> to vector<3xf64>
  %x = arith.constant 1.0 : f64
  %s = vector.multi_reduction <mul>, %m, %x [0] : vector<3xf64> to f64
  %step = vector.step : vector<3xindex>
  %i = vector.extract %step[2] : index from vector<3xindex>
  %k = vector.extract %m[%i] : f64 from vector<3xf64>
  %y = arith.addf %s, %k : f64
  return %y : f64
}
// -----
func.func @type_cast(%a: memref<2x3xf64>) -> f64 {
  %v = vector.type_cast %a : memref<2x3xf64> to memref<vector<2x3xf64>>
  %w = memref.load %v[] : memref<vector<2x3xf64>>
  %p = arith.mulf %w, %w : vector<2x3xf64>
  memref.store %p, %v[] : memref<vector<2x3xf64>>
  %e = vector.extract %p[1, 2] : f64 from vector<2x3xf64>
  return %e : f64
}
// -----
func.func @gathers(%a: memref<?xf64>, %b: memref<8xf64>, %x: f64) {
  %c0 = arith.constant 0 : index
  %k = arith.constant dense<[2, 0, 1, 2]> : vector<4xi32>
  %mask = arith.constant dense<[true, true, false, true]> : vector<4xi1>
  %p = vector.broadcast %x : f64 to vector<4xf64>
  %v = vector.gather %a[%c0] [%k], %mask, %p : memref<?xf64>, vector<4xi32>, vector<4xi1>, vector<4xf64> into vector<4xf64>
  %w = arith.mulf %v, %v : vector<4xf64>
  vector.scatter %b[%c0] [%k], %mask, %w : memref<8xf64>, vector<4xi32>, vector<4xi1>, vector<4xf64>
  %m = vector.maskedload %b[%c0], %mask, %w : memref<8xf64>, vector<4xi1>, vector<4xf64> into vector<4xf64>
  %q = arith.mulf %m, %p : vector<4xf64>
  vector.maskedstore %a[%c0], %mask, %q : memref<?xf64>, vector<4xi1>, vector<4xf64>
  return
}
// -----
func.func @masked_permuted(%a: memref<?x?xf64>, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.5 : f64
  %mask = vector.create_mask %n, %n : vector<2x3xi1>
  %v = vector.transfer_read %a[%c0, %c0], %z, %mask {permutation_map = affine_map<(i, j) -> (j, i)>} : memref<?x?xf64>, vector<3x2xf64>
  %w = arith.mulf %v, %v : vector<3x2xf64>
  %r = vector.multi_reduction <add>, %w, %z [0, 1] : vector<3x2xf64> to f64
  vector.transfer_write %w, %a[%c0, %c0], %mask {permutation_map = affine_map<(i, j) -> (j, i)>} : vector<3x2xf64>, memref<?x?xf64>
  return %r : f64
}

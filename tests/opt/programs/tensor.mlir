// Tensors: shapes, slices, buffers.
func.func @cast_and_shapes(%a: tensor<2x3xf64>, %s: tensor<2xindex>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %t = tensor.cast %a : tensor<2x3xf64> to tensor<?x?xf64>
  %f = tensor.collapse_shape %t [[0, 1]] : tensor<?x?xf64> into tensor<?xf64>
  %v = tensor.extract %f[%c1] : tensor<?xf64>
  %n = tensor.rank %t : tensor<?x?xf64>
  %e = tensor.expand_shape %a [[0], [1, 2]] output_shape [2, 3, 1] : tensor<2x3xf64> into tensor<2x3x1xf64>
  %w = tensor.extract %e[%c1, %c1, %c0] : tensor<2x3x1xf64>
  %m = arith.mulf %v, %w : f64
  %i = arith.index_cast %n : index to i64
  %k = arith.sitofp %i : i64 to f64
  %y = arith.mulf %m, %k : f64
  return %y : f64
}
// -----
func.func @reshapes(%a: tensor<2x3xf64>) -> f64 {
  %c1 = arith.constant 1 : index
  %s = arith.constant dense<[3, 2]> : tensor<2xi32>
  %r = tensor.reshape %a(%s) : (tensor<2x3xf64>, tensor<2xi32>) -> tensor<3x2xf64>
  %v = tensor.extract %r[%c1, %c1] : tensor<3x2xf64>
  %m = arith.mulf %v, %v : f64
  return %m : f64
}
// -----
func.func @joined(%a: tensor<2x3xf64>, %b: tensor<2x2xf64>, %x: f64) -> tensor<4x7xf64> {
  %c = tensor.concat dim(1) %a, %b : (tensor<2x3xf64>, tensor<2x2xf64>) -> tensor<2x5xf64>
  %m = arith.mulf %c, %c : tensor<2x5xf64>
  %p = tensor.pad %m low[1, 0] high[1, 2] {
  ^bb0(%i: index, %j: index):
    tensor.yield %x : f64
  } : tensor<2x5xf64> to tensor<4x7xf64>
  return %p : tensor<4x7xf64>
}
// -----
func.func @made(%x: f64, %y: f64, %a: tensor<4xf64>) -> tensor<4xf64> {
  %t = tensor.from_elements %x, %y, %x, %y : tensor<4xf64>
  %s = tensor.splat %x : tensor<2xf64>
  %u = tensor.insert_slice %s into %t[1] [2] [1] : tensor<2xf64> into tensor<4xf64>
  %m = arith.mulf %u, %a : tensor<4xf64>
  return %m : tensor<4xf64>
}
// -----
func.func @parallel_slices(%a: tensor<4xf64>, %b: tensor<4xf64>) -> tensor<4xf64> {
  %c4 = arith.constant 4 : index
  %r = scf.forall (%i) in (4) shared_outs(%o = %b) -> (tensor<4xf64>) {
    %s = tensor.extract_slice %a[%i] [1] [1] : tensor<4xf64> to tensor<1xf64>
    %m = arith.mulf %s, %s : tensor<1xf64>
    scf.forall.in_parallel {
      tensor.parallel_insert_slice %m into %o[%i] [1] [1] : tensor<1xf64> into tensor<4xf64>
    }
  }
  return %r : tensor<4xf64>
}
// -----
func.func @buffers(%a: tensor<4xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = bufferization.alloc_tensor() : tensor<4xf64>
  %m = arith.mulf %a, %a : tensor<4xf64>
  %v = tensor.extract %m[%c1] : tensor<4xf64>
  %t = tensor.insert %v into %z[%c0] : tensor<4xf64>
  %b = bufferization.to_buffer %t : tensor<4xf64> to memref<4xf64>
  %w = memref.load %b[%c0] : memref<4xf64>
  %r = bufferization.to_tensor %b restrict : memref<4xf64> to tensor<4xf64>
  %u = tensor.extract %r[%c0] : tensor<4xf64>
  %y = arith.mulf %u, %w : f64
  return %y : f64
}
// -----
func.func @materialized(%a: tensor<4xf64>, %d: memref<4xf64>) {
  %m = arith.mulf %a, %a : tensor<4xf64>
  bufferization.materialize_in_destination %m in restrict writable %d : (tensor<4xf64>, memref<4xf64>) -> ()
  return
}

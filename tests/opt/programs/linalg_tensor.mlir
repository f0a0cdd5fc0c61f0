// linalg on memrefs and on tensors, tensor ops; functions that take and return tensors.
func.func @matmul_of_memrefs(%a: memref<2x3xf64>, %b: memref<3x4xf64>, %c: memref<2x4xf64>) {
  linalg.matmul ins(%a, %b : memref<2x3xf64>, memref<3x4xf64>) outs(%c : memref<2x4xf64>)
  return
}
// -----
func.func @generic_of_memrefs(%a: memref<?x?xf64>, %b: memref<?xf64>, %c: memref<?x?xf64>) {
  linalg.generic {
    indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>, affine_map<(i, j) -> (j, i)>],
    iterator_types = ["parallel", "parallel"]
  } ins(%a, %b : memref<?x?xf64>, memref<?xf64>) outs(%c : memref<?x?xf64>) {
  ^bb0(%x: f64, %y: f64, %z: f64):
    %p = arith.mulf %x, %y : f64
    %s = math.sin %p : f64
    %t = arith.mulf %s, %z : f64
    linalg.yield %t : f64
  }
  return
}
// -----
func.func @reduce_and_map(%a: memref<3x4xf64>, %b: memref<3xf64>) -> f64 {
  %one = arith.constant 1.0 : f64
  %s = memref.alloc() : memref<3xf64>
  linalg.fill ins(%one : f64) outs(%s : memref<3xf64>)
  linalg.reduce ins(%a : memref<3x4xf64>) outs(%s : memref<3xf64>) dimensions = [1]
    (%x: f64, %y: f64) {
      %p = arith.mulf %x, %y : f64
      linalg.yield %p : f64
    }
  linalg.map {arith.mulf} ins(%s, %b : memref<3xf64>, memref<3xf64>) outs(%s : memref<3xf64>)
  %d = memref.alloc() : memref<f64>
  linalg.fill ins(%one : f64) outs(%d : memref<f64>)
  linalg.dot ins(%s, %b : memref<3xf64>, memref<3xf64>) outs(%d : memref<f64>)
  %r = memref.load %d[] : memref<f64>
  return %r : f64
}
// -----
func.func @tensors_in_and_out(%a: tensor<3x3xf64>, %b: tensor<3x3xf64>) -> tensor<3x3xf64> {
  %zero = arith.constant 0.0 : f64
  %e = tensor.empty() : tensor<3x3xf64>
  %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3x3xf64>) -> tensor<3x3xf64>
  %m = linalg.matmul ins(%a, %b : tensor<3x3xf64>, tensor<3x3xf64>) outs(%f : tensor<3x3xf64>) -> tensor<3x3xf64>
  %s = linalg.exp ins(%m : tensor<3x3xf64>) outs(%e : tensor<3x3xf64>) -> tensor<3x3xf64>
  %p = linalg.mul ins(%s, %a : tensor<3x3xf64>, tensor<3x3xf64>) outs(%e : tensor<3x3xf64>) -> tensor<3x3xf64>
  return %p : tensor<3x3xf64>
}
// -----
func.func @matvec_and_dot(%A: tensor<?x?xf64>, %x: tensor<?xf64>) -> f64 {
  %zero = arith.constant 0.0 : f64
  %c0 = arith.constant 0 : index
  %n = tensor.dim %A, %c0 : tensor<?x?xf64>
  %e = tensor.empty(%n) : tensor<?xf64>
  %f = linalg.fill ins(%zero : f64) outs(%e : tensor<?xf64>) -> tensor<?xf64>
  %y = linalg.matvec ins(%A, %x : tensor<?x?xf64>, tensor<?xf64>) outs(%f : tensor<?xf64>) -> tensor<?xf64>
  %d0 = tensor.empty() : tensor<f64>
  %d1 = linalg.fill ins(%zero : f64) outs(%d0 : tensor<f64>) -> tensor<f64>
  %d = linalg.dot ins(%y, %x : tensor<?xf64>, tensor<?xf64>) outs(%d1 : tensor<f64>) -> tensor<f64>
  %r = tensor.extract %d[] : tensor<f64>
  return %r : f64
}
// -----
// a tensor is a value: what is inserted does not change the tensor it came from
func.func @values(%a: tensor<4xf64>, %x: f64) -> (tensor<4xf64>, f64) {
  %c1 = arith.constant 1 : index
  %b = tensor.insert %x into %a[%c1] : tensor<4xf64>
  %p = tensor.extract %a[%c1] : tensor<4xf64>
  %q = tensor.extract %b[%c1] : tensor<4xf64>
  %r = arith.mulf %p, %q : f64
  return %b, %r : tensor<4xf64>, f64
}
// -----
func.func @elementwise_arith(%a: tensor<4xf64>, %b: tensor<4xf64>) -> tensor<4xf64> {
  %g = tensor.empty() : tensor<4xf64>
  %r = linalg.generic {
    indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
    iterator_types = ["parallel"]
  } ins(%a, %b : tensor<4xf64>, tensor<4xf64>) outs(%g : tensor<4xf64>) {
  ^bb0(%x: f64, %y: f64, %z: f64):
    %i = linalg.index 0 : index
    %k = arith.index_cast %i : index to i64
    %f = arith.sitofp %k : i64 to f64
    %p = arith.mulf %x, %f : f64
    %q = arith.addf %p, %y : f64
    %s = arith.mulf %q, %y : f64
    linalg.yield %s : f64
  } -> tensor<4xf64>
  return %r : tensor<4xf64>
}
// -----
func.func @loop_over_tensors(%a: tensor<4xf64>) -> tensor<4xf64> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %r = scf.for %i = %c0 to %c3 step %c1 iter_args(%t = %a) -> (tensor<4xf64>) {
    %x = tensor.extract %t[%i] : tensor<4xf64>
    %j = arith.addi %i, %c1 : index
    %y = tensor.extract %t[%j] : tensor<4xf64>
    %p = arith.mulf %x, %y : f64
    %n = tensor.insert %p into %t[%j] : tensor<4xf64>
    scf.yield %n : tensor<4xf64>
  }
  return %r : tensor<4xf64>
}
// -----
func.func @slices_and_generate(%a: tensor<6xf64>) -> tensor<2x2xf64> {
  %s = tensor.extract_slice %a[1] [2] [2] : tensor<6xf64> to tensor<2xf64>
  %x = tensor.expand_shape %s [[0, 1]] output_shape [2, 1] : tensor<2xf64> into tensor<2x1xf64>
  %c0 = arith.constant 0 : index
  %g = tensor.generate {
  ^bb0(%i: index, %j: index):
    %v = tensor.extract %x[%i, %c0] : tensor<2x1xf64>
    %w = tensor.extract %s[%j] : tensor<2xf64>
    %p = arith.mulf %v, %w : f64
    tensor.yield %p : f64
  } : tensor<2x2xf64>
  return %g : tensor<2x2xf64>
}
// -----
func.func private @twice(%a: tensor<3xf64>) -> tensor<3xf64> {
  %e = tensor.empty() : tensor<3xf64>
  %r = linalg.add ins(%a, %a : tensor<3xf64>, tensor<3xf64>) outs(%e : tensor<3xf64>) -> tensor<3xf64>
  return %r : tensor<3xf64>
}
func.func @calls_with_tensors(%a: tensor<3xf64>) -> tensor<3xf64> {
  %b = func.call @twice(%a) : (tensor<3xf64>) -> tensor<3xf64>
  %e = tensor.empty() : tensor<3xf64>
  %m = linalg.mul ins(%a, %b : tensor<3xf64>, tensor<3xf64>) outs(%e : tensor<3xf64>) -> tensor<3xf64>
  %c = func.call @twice(%m) : (tensor<3xf64>) -> tensor<3xf64>
  return %c : tensor<3xf64>
}

// Products, reductions, and composite operations.
func.func @products(%a: memref<2x3xf64>, %b: memref<3x2xf64>, %c: memref<2x2xf64>, %d: memref<2x2x3xf64>, %e: memref<2x3x2xf64>, %f: memref<2x2x2xf64>) {
  linalg.matmul ins(%a, %b : memref<2x3xf64>, memref<3x2xf64>) outs(%c : memref<2x2xf64>)
  linalg.batch_matmul ins(%d, %e : memref<2x2x3xf64>, memref<2x3x2xf64>) outs(%f : memref<2x2x2xf64>)
  linalg.batch_reduce_matmul ins(%d, %e : memref<2x2x3xf64>, memref<2x3x2xf64>) outs(%c : memref<2x2xf64>)
  linalg.contract indexing_maps = [affine_map<(i, j, k) -> (i, k)>, affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>]
    ins(%a, %b : memref<2x3xf64>, memref<3x2xf64>) outs(%c : memref<2x2xf64>)
  linalg.matmul indexing_maps = [affine_map<(i, j, k) -> (k, i)>, affine_map<(i, j, k) -> (k, j)>, affine_map<(i, j, k) -> (i, j)>]
    ins(%c, %c : memref<2x2xf64>, memref<2x2xf64>) outs(%c : memref<2x2xf64>)
  return
}
// -----
func.func @moved(%a: memref<2x3xf64>, %b: memref<3x2xf64>, %c: memref<3x2x2xf64>, %s: memref<2xf64>) {
  linalg.transpose ins(%a : memref<2x3xf64>) outs(%b : memref<3x2xf64>) permutation = [1, 0]
  linalg.broadcast ins(%b : memref<3x2xf64>) outs(%c : memref<3x2x2xf64>) dimensions = [2]
  linalg.reduce { arith.mulf } ins(%c : memref<3x2x2xf64>) outs(%s : memref<2xf64>) dimensions = [0, 2]
  linalg.elementwise kind=#linalg.elementwise_kind<exp> ins(%s : memref<2xf64>) outs(%s : memref<2xf64>)
  linalg.map { math.sin } ins(%s : memref<2xf64>) outs(%s : memref<2xf64>)
  return
}
// -----
func.func @index_in_generic(%a: memref<2x3xf64>, %b: memref<2xf64>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>], iterator_types = ["parallel", "reduction"]}
    ins(%a : memref<2x3xf64>) outs(%b : memref<2xf64>) {
  ^bb0(%x: f64, %o: f64):
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i64
    %f = arith.sitofp %k : i64 to f64
    %p = math.powf %x, %f : f64
    %s = arith.addf %o, %p : f64
    linalg.yield %s : f64
  }
  return
}
// -----
func.func @softmax(%a: tensor<2x3xf64>) -> tensor<2x3xf64> {
  %e = tensor.empty() : tensor<2x3xf64>
  %s = linalg.softmax dimension(1) ins(%a : tensor<2x3xf64>) outs(%e : tensor<2x3xf64>) -> tensor<2x3xf64>
  return %s : tensor<2x3xf64>
}
// -----
func.func @softmax_of_memrefs(%a: memref<2x3xf64>, %b: memref<2x3xf64>) {
  linalg.softmax dimension(1) ins(%a : memref<2x3xf64>) outs(%b : memref<2x3xf64>)
  return
}
// -----
func.func @packed(%a: tensor<5x4xf64>, %x: f64) -> tensor<5x4xf64> {
  %e = tensor.empty() : tensor<3x2x2x2xf64>
  %p = linalg.pack %a padding_value(%x : f64) inner_dims_pos = [0, 1] inner_tiles = [2, 2] into %e : tensor<5x4xf64> -> tensor<3x2x2x2xf64>
  %m = arith.mulf %p, %p : tensor<3x2x2x2xf64>
  %o = tensor.empty() : tensor<5x4xf64>
  %u = linalg.unpack %m inner_dims_pos = [0, 1] inner_tiles = [2, 2] into %o : tensor<3x2x2x2xf64> -> tensor<5x4xf64>
  return %u : tensor<5x4xf64>
}
// -----
func.func @winograd(%a: tensor<1x6x6x1xf64>, %f: tensor<1x3x3x1xf64>) -> tensor<1x4x4x1xf64> {
  %0 = tensor.empty() : tensor<6x6x1x1xf64>
  %1 = linalg.winograd_filter_transform fmr(F_4_3) ins(%f : tensor<1x3x3x1xf64>) outs(%0 : tensor<6x6x1x1xf64>) -> tensor<6x6x1x1xf64>
  %2 = tensor.empty() : tensor<6x6x1x1x1x1xf64>
  %3 = linalg.winograd_input_transform fmr(F_4_3) ins(%a : tensor<1x6x6x1xf64>) outs(%2 : tensor<6x6x1x1x1x1xf64>) -> tensor<6x6x1x1x1x1xf64>
  %4 = tensor.collapse_shape %1 [[0, 1], [2], [3]] : tensor<6x6x1x1xf64> into tensor<36x1x1xf64>
  %5 = tensor.collapse_shape %3 [[0, 1], [2, 3, 4], [5]] : tensor<6x6x1x1x1x1xf64> into tensor<36x1x1xf64>
  %z = arith.constant 0.0 : f64
  %6 = tensor.empty() : tensor<36x1x1xf64>
  %7 = linalg.fill ins(%z : f64) outs(%6 : tensor<36x1x1xf64>) -> tensor<36x1x1xf64>
  %8 = linalg.batch_matmul ins(%5, %4 : tensor<36x1x1xf64>, tensor<36x1x1xf64>) outs(%7 : tensor<36x1x1xf64>) -> tensor<36x1x1xf64>
  %9 = tensor.expand_shape %8 [[0, 1], [2, 3, 4], [5]] output_shape [6, 6, 1, 1, 1, 1] : tensor<36x1x1xf64> into tensor<6x6x1x1x1x1xf64>
  %10 = tensor.empty() : tensor<1x4x4x1xf64>
  %11 = linalg.winograd_output_transform fmr(F_4_3) ins(%9 : tensor<6x6x1x1x1x1xf64>) outs(%10 : tensor<1x4x4x1xf64>) -> tensor<1x4x4x1xf64>
  return %11 : tensor<1x4x4x1xf64>
}

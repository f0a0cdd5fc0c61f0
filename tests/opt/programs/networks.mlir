// As torch-mlir and TOSA's lowering write it: networks on tensors.
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d0, 0)>
#vec = affine_map<(d0, d1) -> (d1)>
#red = affine_map<(d0, d1) -> (d0, 0)>
func.func @layer_norm(%x: tensor<3x5xf32>, %gamma: tensor<5xf32>, %beta: tensor<5xf32>) -> tensor<3x5xf32> {
  %zero = arith.constant 0.0 : f32
  %n = arith.constant 5.0 : f32
  %eps = arith.constant 1.0e-3 : f32
  %e1 = tensor.empty() : tensor<3x1xf32>
  %z1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<3x1xf32>) -> tensor<3x1xf32>
  %sum = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%x : tensor<3x5xf32>) outs(%z1 : tensor<3x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %a = arith.addf %in, %out : f32
    linalg.yield %a : f32
  } -> tensor<3x1xf32>
  %mean = linalg.generic {indexing_maps = [#row, #id], iterator_types = ["parallel", "parallel"]} ins(%sum : tensor<3x1xf32>) outs(%e1 : tensor<3x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %a = arith.divf %in, %n : f32
    linalg.yield %a : f32
  } -> tensor<3x1xf32>
  %e = tensor.empty() : tensor<3x5xf32>
  %centred = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]} ins(%x, %mean : tensor<3x5xf32>, tensor<3x1xf32>) outs(%e : tensor<3x5xf32>) {
  ^bb0(%in: f32, %m: f32, %out: f32):
    %a = arith.subf %in, %m : f32
    linalg.yield %a : f32
  } -> tensor<3x5xf32>
  %sq = linalg.generic {indexing_maps = [#id, #red], iterator_types = ["parallel", "reduction"]} ins(%centred : tensor<3x5xf32>) outs(%z1 : tensor<3x1xf32>) {
  ^bb0(%in: f32, %out: f32):
    %p = arith.mulf %in, %in : f32
    %a = arith.addf %p, %out : f32
    linalg.yield %a : f32
  } -> tensor<3x1xf32>
  %y = linalg.generic {indexing_maps = [#id, #row, #vec, #vec, #id], iterator_types = ["parallel", "parallel"]} ins(%centred, %sq, %gamma, %beta : tensor<3x5xf32>, tensor<3x1xf32>, tensor<5xf32>, tensor<5xf32>) outs(%e : tensor<3x5xf32>) {
  ^bb0(%in: f32, %s: f32, %g: f32, %b: f32, %out: f32):
    %v = arith.divf %s, %n : f32
    %w = arith.addf %v, %eps : f32
    %r = math.rsqrt %w : f32
    %t = arith.mulf %in, %r : f32
    %u = arith.mulf %t, %g : f32
    %a = arith.addf %u, %b : f32
    linalg.yield %a : f32
  } -> tensor<3x5xf32>
  return %y : tensor<3x5xf32>
}
// -----
#id = affine_map<(d0, d1) -> (d0, d1)>
#vec = affine_map<(d0, d1) -> (d1)>
func.func private @dense_relu(%x: tensor<2x3xf64>, %w: tensor<3x4xf64>, %b: tensor<4xf64>) -> tensor<2x4xf64> {
  %zero = arith.constant 0.0 : f64
  %e = tensor.empty() : tensor<2x4xf64>
  %z = linalg.fill ins(%zero : f64) outs(%e : tensor<2x4xf64>) -> tensor<2x4xf64>
  %m = linalg.matmul ins(%x, %w : tensor<2x3xf64>, tensor<3x4xf64>) outs(%z : tensor<2x4xf64>) -> tensor<2x4xf64>
  %r = linalg.generic {indexing_maps = [#id, #vec, #id], iterator_types = ["parallel", "parallel"]} ins(%m, %b : tensor<2x4xf64>, tensor<4xf64>) outs(%e : tensor<2x4xf64>) {
  ^bb0(%in: f64, %c: f64, %out: f64):
    %a = arith.addf %in, %c : f64
    %p = arith.maximumf %a, %zero : f64
    linalg.yield %p : f64
  } -> tensor<2x4xf64>
  return %r : tensor<2x4xf64>
}
func.func @mlp_cross_entropy(%x: tensor<2x3xf64>, %w: tensor<3x4xf64>, %b: tensor<4xf64>, %w2: tensor<4x3xf64>, %labels: tensor<2xindex>) -> f64 {
  %zero = arith.constant 0.0 : f64
  %h = func.call @dense_relu(%x, %w, %b) : (tensor<2x3xf64>, tensor<3x4xf64>, tensor<4xf64>) -> tensor<2x4xf64>
  %e = tensor.empty() : tensor<2x3xf64>
  %z = linalg.fill ins(%zero : f64) outs(%e : tensor<2x3xf64>) -> tensor<2x3xf64>
  %logits = linalg.matmul ins(%h, %w2 : tensor<2x4xf64>, tensor<4x3xf64>) outs(%z : tensor<2x3xf64>) -> tensor<2x3xf64>
  %p = linalg.softmax dimension(1) ins(%logits : tensor<2x3xf64>) outs(%e : tensor<2x3xf64>) -> tensor<2x3xf64>
  %s = tensor.empty() : tensor<f64>
  %s0 = linalg.fill ins(%zero : f64) outs(%s : tensor<f64>) -> tensor<f64>
  %loss = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> ()>], iterator_types = ["reduction"]} ins(%labels : tensor<2xindex>) outs(%s0 : tensor<f64>) {
  ^bb0(%label: index, %out: f64):
    %i = linalg.index 0 : index
    %three = arith.constant 3 : index
    %k = arith.remui %label, %three : index
    %q = tensor.extract %p[%i, %k] : tensor<2x3xf64>
    %l = math.log %q : f64
    %a = arith.subf %out, %l : f64
    linalg.yield %a : f64
  } -> tensor<f64>
  %r = tensor.extract %loss[] : tensor<f64>
  return %r : f64
}
// -----
func.func @conv_pool(%x: tensor<1x6x6x1xf64>, %k: tensor<3x3x1x2xf64>, %bias: tensor<2xf64>) -> tensor<1x2x2x2xf64> {
  %zero = arith.constant 0.0 : f64
  %low = arith.constant -1.0e9 : f64
  %e = tensor.empty() : tensor<1x4x4x2xf64>
  %b = linalg.broadcast ins(%bias : tensor<2xf64>) outs(%e : tensor<1x4x4x2xf64>) dimensions = [0, 1, 2]
  %c = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : tensor<2xi64>, strides = dense<1> : tensor<2xi64>} ins(%x, %k : tensor<1x6x6x1xf64>, tensor<3x3x1x2xf64>) outs(%b : tensor<1x4x4x2xf64>) -> tensor<1x4x4x2xf64>
  %t = linalg.map { math.tanh } ins(%c : tensor<1x4x4x2xf64>) outs(%e : tensor<1x4x4x2xf64>)
  %w = tensor.empty() : tensor<2x2xf64>
  %o = tensor.empty() : tensor<1x2x2x2xf64>
  %f = linalg.fill ins(%low : f64) outs(%o : tensor<1x2x2x2xf64>) -> tensor<1x2x2x2xf64>
  %p = linalg.pooling_nhwc_max {dilations = dense<1> : tensor<2xi64>, strides = dense<2> : tensor<2xi64>} ins(%t, %w : tensor<1x4x4x2xf64>, tensor<2x2xf64>) outs(%f : tensor<1x2x2x2xf64>) -> tensor<1x2x2x2xf64>
  return %p : tensor<1x2x2x2xf64>
}
// -----
#q = affine_map<(b, i, j, d) -> (b, i, d)>
#k = affine_map<(b, i, j, d) -> (b, j, d)>
#s = affine_map<(b, i, j, d) -> (b, i, j)>
func.func @attention(%Q: tensor<2x3x4xf64>, %K: tensor<2x3x4xf64>, %V: tensor<2x3x4xf64>) -> tensor<2x3x4xf64> {
  %zero = arith.constant 0.0 : f64
  %scale = arith.constant 0.5 : f64
  %e = tensor.empty() : tensor<2x3x3xf64>
  %z = linalg.fill ins(%zero : f64) outs(%e : tensor<2x3x3xf64>) -> tensor<2x3x3xf64>
  %scores = linalg.generic {indexing_maps = [#q, #k, #s], iterator_types = ["parallel", "parallel", "parallel", "reduction"]} ins(%Q, %K : tensor<2x3x4xf64>, tensor<2x3x4xf64>) outs(%z : tensor<2x3x3xf64>) {
  ^bb0(%a: f64, %b: f64, %out: f64):
    %m = arith.mulf %a, %b : f64
    %n = arith.mulf %m, %scale : f64
    %r = arith.addf %out, %n : f64
    linalg.yield %r : f64
  } -> tensor<2x3x3xf64>
  %p = linalg.softmax dimension(2) ins(%scores : tensor<2x3x3xf64>) outs(%e : tensor<2x3x3xf64>) -> tensor<2x3x3xf64>
  %o = tensor.empty() : tensor<2x3x4xf64>
  %zo = linalg.fill ins(%zero : f64) outs(%o : tensor<2x3x4xf64>) -> tensor<2x3x4xf64>
  %y = linalg.batch_matmul ins(%p, %V : tensor<2x3x3xf64>, tensor<2x3x4xf64>) outs(%zo : tensor<2x3x4xf64>) -> tensor<2x3x4xf64>
  return %y : tensor<2x3x4xf64>
}
// -----
func.func @rnn(%x: tensor<4x2xf64>, %w: tensor<2x3xf64>, %u: tensor<3x3xf64>, %h0: tensor<1x3xf64>) -> (tensor<1x3xf64>, tensor<4x3xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f64
  %all = tensor.empty() : tensor<4x3xf64>
  %r:2 = scf.for %t = %c0 to %c4 step %c1 iter_args(%h = %h0, %o = %all) -> (tensor<1x3xf64>, tensor<4x3xf64>) {
    %xt = tensor.extract_slice %x[%t, 0] [1, 2] [1, 1] : tensor<4x2xf64> to tensor<1x2xf64>
    %e = tensor.empty() : tensor<1x3xf64>
    %z = linalg.fill ins(%zero : f64) outs(%e : tensor<1x3xf64>) -> tensor<1x3xf64>
    %a = linalg.matmul ins(%xt, %w : tensor<1x2xf64>, tensor<2x3xf64>) outs(%z : tensor<1x3xf64>) -> tensor<1x3xf64>
    %b = linalg.matmul ins(%h, %u : tensor<1x3xf64>, tensor<3x3xf64>) outs(%a : tensor<1x3xf64>) -> tensor<1x3xf64>
    %n = math.tanh %b : tensor<1x3xf64>
    %oo = tensor.insert_slice %n into %o[%t, 0] [1, 3] [1, 1] : tensor<1x3xf64> into tensor<4x3xf64>
    scf.yield %n, %oo : tensor<1x3xf64>, tensor<4x3xf64>
  }
  return %r#0, %r#1 : tensor<1x3xf64>, tensor<4x3xf64>
}
// -----
func.func @dynamic_batch(%x: tensor<?x3xf64>, %w: tensor<3x2xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f64
  %n = tensor.dim %x, %c0 : tensor<?x3xf64>
  %e = tensor.empty(%n) : tensor<?x2xf64>
  %z = linalg.fill ins(%zero : f64) outs(%e : tensor<?x2xf64>) -> tensor<?x2xf64>
  %m = linalg.matmul ins(%x, %w : tensor<?x3xf64>, tensor<3x2xf64>) outs(%z : tensor<?x2xf64>) -> tensor<?x2xf64>
  %g = math.erf %m : tensor<?x2xf64>
  %p = arith.mulf %g, %m : tensor<?x2xf64>
  %s = tensor.empty() : tensor<f64>
  %s0 = linalg.fill ins(%zero : f64) outs(%s : tensor<f64>) -> tensor<f64>
  %r = linalg.reduce { arith.addf } ins(%p : tensor<?x2xf64>) outs(%s0 : tensor<f64>) dimensions = [0, 1]
  %v = tensor.extract %r[] : tensor<f64>
  return %v : f64
}
// -----
func.func @weights_in_the_module(%x: tensor<1x2xf64>) -> tensor<1x3xf64> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25]]> : tensor<2x3xf64>
  %b = arith.constant dense<0.1> : tensor<1x3xf64>
  %m = linalg.matmul ins(%x, %w : tensor<1x2xf64>, tensor<2x3xf64>) outs(%b : tensor<1x3xf64>) -> tensor<1x3xf64>
  %t = math.tanh %m : tensor<1x3xf64>
  return %t : tensor<1x3xf64>
}

// Three directions: the shadow of the local buffer has them as its last axis, read and written as vectors, and a vector
// of three is carried around the loop as one of two and one of one.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-differentiate,autodiff-tape,autodiff-clean)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @f

func.func @f(%x: memref<4xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f64
  %b = memref.alloc() : memref<4xf64>
  scf.for %i = %c0 to %c4 step %c1 {
    %v = memref.load %x[%i] : memref<4xf64>
    %s = math.sin %v : f64
    memref.store %s, %b[%i] : memref<4xf64>
  }
  %sum = scf.for %i = %c0 to %c4 step %c1 iter_args(%a = %zero) -> (f64) {
    %v = memref.load %b[%i] : memref<4xf64>
    %w = arith.mulf %v, %v : f64
    %t = arith.addf %a, %w : f64
    scf.yield %t : f64
  }
  return %sum : f64
}

func.func private @df(memref<4xf64>, memref<4xf64>, memref<4xf64>, memref<4xf64>) -> vector<3xf64> attributes {
  autodiff.forward = @f, autodiff.activity = ["duplicated"], autodiff.returns = ["duplicated"], autodiff.public, autodiff.width = 3 : i64
}

// CHECK-LABEL: func.func public @df
// CHECK: memref.alloc() : memref<4x3xf64>
// CHECK: vector.store %{{.*}} : memref<4x3xf64>, vector<2xf64>
// CHECK: scf.for {{.*}} -> (vector<2xf64>, vector<1xf64>)
// CHECK: vector.load %{{.*}} : memref<4x3xf64>, vector<2xf64>
// CHECK: vector.load %{{.*}} : memref<4x3xf64>, vector<1xf64>

// A buffer that is only written, and a loop that carries a value for nobody, go.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-dead-code)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @f

func.func @f(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = memref.alloc(%n) : memref<?xf64>
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%s = %x, %t = %x) -> (f64, f64) {
    memref.store %t, %m[%i] : memref<?xf64>
    %u = math.exp %t : f64
    %v = arith.mulf %s, %x : f64
    scf.yield %v, %u : f64, f64
  }
  return %r#0 : f64
}

// CHECK-LABEL: func.func @f
// CHECK-NOT: memref.alloc
// CHECK: scf.for {{.*}} iter_args(%{{[a-z0-9]+}} = %{{[a-z0-9]+}}) -> (f64)
// CHECK-NOT: math.exp
// CHECK: arith.mulf

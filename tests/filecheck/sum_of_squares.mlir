// A sum over points of a smooth function: nothing is taped, and without the primal no forward loop is left.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-plan,autodiff-tape,autodiff-clean)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @sum

func.func @sum(%a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %zero) -> (f64) {
    %v = memref.load %a[%i] : memref<?xf64>
    %e = math.exp %v : f64
    %q = arith.mulf %e, %v : f64
    %u = arith.addf %t, %q : f64
    scf.yield %u : f64
  }
  return %r : f64
}

func.func private @gradient(memref<?xf64>, memref<?xf64>, f64) attributes {
  autodiff.reverse = @sum, autodiff.activity = ["duplicated"], autodiff.returns = ["active"], autodiff.public
}

// CHECK-LABEL: func.func public @gradient
// CHECK-SAME: autodiff.plan = []
// CHECK-NOT: memref.alloc
// CHECK: scf.for
// CHECK-NOT: iter_args
// CHECK: math.exp
// CHECK: memref.store
// CHECK-NOT: scf.for
// CHECK: return

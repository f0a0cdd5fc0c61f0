// A sequential loop: the carried value that the adjoint reads is taped, in one buffer that is made before the loop.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-plan,autodiff-tape,autodiff-clean)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @steps

func.func @steps(%x: f64, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %x) -> (f64) {
    %s = math.sin %t : f64
    %u = arith.mulf %s, %x : f64
    scf.yield %u : f64
  }
  return %r : f64
}

func.func private @gradient(f64, index, f64) -> f64 attributes {
  autodiff.reverse = @steps, autodiff.activity = ["active", "const"], autodiff.returns = ["active"], autodiff.public
}

// CHECK-LABEL: func.func public @gradient
// CHECK-SAME: one buffer, sized before the loops
// CHECK: memref.alloc(
// CHECK: scf.for
// CHECK-NOT: memref.alloc
// CHECK: memref.store
// CHECK: scf.for
// CHECK: memref.load
// CHECK: math.cos
// CHECK: return

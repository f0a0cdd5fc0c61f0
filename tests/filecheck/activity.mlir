// What depends on the active argument and matters for the result is marked; what is computed from Const data is not.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-activity{annotate})" | filecheck %s
// RUN: dsl-opt %s --check-gradients @f --const 1

func.func @f(%x: f64, %w: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %k = memref.load %w[%c0] : memref<?xf64>
  %g = math.exp %k : f64
  %y = math.sin %x : f64
  %z = arith.mulf %y, %g : f64
  return %z : f64
}

func.func private @df(f64, memref<?xf64>, f64) -> f64 attributes {
  autodiff.reverse = @f, autodiff.activity = ["active", "const"], autodiff.returns = ["active"]
}

// CHECK-LABEL: func.func private @df.activity
// CHECK: memref.load
// CHECK-NOT: autodiff.active
// CHECK-SAME: : memref
// CHECK: math.exp %{{.*}} : f64
// CHECK: math.sin %{{.*}} {autodiff.active
// CHECK: arith.mulf %{{.*}} {autodiff.active

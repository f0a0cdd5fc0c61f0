// Our passes and upstream's in one pipeline, upstream's also nested.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(func.func(canonicalize,cse),autodiff-differentiate,cse,autodiff-tape,func.func(canonicalize),autodiff-clean,symbol-dce)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @f

func.func private @f(%x: f64, %y: f64) -> f64 {
  %p = arith.mulf %x, %y : f64
  %q = arith.mulf %x, %y : f64
  %r = arith.addf %p, %q : f64
  return %r : f64
}
func.func private @df(f64, f64, f64, f64) -> f64 attributes {
  autodiff.forward = @f, autodiff.activity = ["duplicated", "duplicated"], autodiff.returns = ["duplicated"],
  autodiff.public
}

// CHECK-NOT: @f(
// CHECK-LABEL: func.func public @df
// CHECK-SAME: (%[[X:.*]]: f64, %[[DX:.*]]: f64, %[[Y:.*]]: f64, %[[DY:.*]]: f64) -> f64
// CHECK-DAG: arith.mulf %[[Y]], %[[DX]]
// CHECK-DAG: arith.mulf %[[X]], %[[DY]]
// CHECK: return

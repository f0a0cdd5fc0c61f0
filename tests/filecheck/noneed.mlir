// What `y` holds afterwards does not matter: its stores and the forward loop go, though the loop asks for its length.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-plan,autodiff-tape,autodiff-clean)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @squares

func.func @squares(%y: memref<?xf64>, %x: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %y, %c0 : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    %v = memref.load %x[%i] : memref<?xf64>
    %q = arith.mulf %v, %v : f64
    memref.store %q, %y[%i] : memref<?xf64>
  }
  return
}

func.func private @gradient(memref<?xf64>, memref<?xf64>, memref<?xf64>, memref<?xf64>) attributes {
  autodiff.reverse = @squares, autodiff.activity = ["duplicated_noneed", "duplicated"], autodiff.returns = [],
  autodiff.public
}

func.func private @tangent(memref<?xf64>, memref<?xf64>, memref<?xf64>, memref<?xf64>) attributes {
  autodiff.forward = @squares, autodiff.activity = ["duplicated_noneed", "duplicated"], autodiff.returns = [],
  autodiff.public
}

// CHECK-LABEL: func.func public @gradient
// CHECK-SAME: %arg0: memref
// CHECK: scf.for
// CHECK-NOT: memref.store {{.*}}, %arg0[
// CHECK-NOT: scf.for
// CHECK: return

// CHECK-LABEL: func.func public @tangent
// CHECK-NOT: memref.store {{.*}}, %arg0[
// CHECK: memref.store {{.*}}, %arg1[
// CHECK: return

// The normal form: loops from 0 by 1, branches without blocks, no atomics, no stack memory.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-structure)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @f

func.func @f(%a: memref<?xf64>, %s: memref<1xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.parallel (%i) = (%c1) to (%n) step (%c3) {
    %v = memref.load %a[%i] : memref<?xf64>
    %old = memref.atomic_rmw addf %v, %s[%c0] : (f64, memref<1xf64>) -> f64
    scf.reduce
  }
  return
}

// CHECK-LABEL: func.func @f
// CHECK-NOT: scf.parallel
// CHECK: arith.ceildivsi
// CHECK: arith.maxsi
// CHECK: gpu.launch blocks
// CHECK: scf.for %{{.*}} = %c0{{.*}} step %c1
// CHECK: memref.atomic_rmw addf

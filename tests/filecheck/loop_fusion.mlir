// The loop that fills %k is one iteration ahead of the one that reads it: they become one, and %k is not needed.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-clean)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @f

func.func @f(%x: memref<?xf64>, %y: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : memref<?xf64>
  %less = arith.subi %n, %c1 : index
  %k = memref.alloc(%n) : memref<?xf64>
  scf.for %i = %c0 to %n step %c1 {
    %v = memref.load %x[%i] : memref<?xf64>
    %s = math.sin %v : f64
    memref.store %s, %k[%i] : memref<?xf64>
  }
  scf.for %i = %c0 to %less step %c1 {
    %next = arith.addi %i, %c1 : index
    %s = memref.load %k[%next] : memref<?xf64>
    %v = memref.load %y[%i] : memref<?xf64>
    %p = arith.mulf %s, %v : f64
    memref.store %p, %y[%i] : memref<?xf64>
  }
  return
}

// CHECK-LABEL: func.func @f
// CHECK-NOT: memref.alloc
// CHECK: scf.for
// CHECK: math.sin
// CHECK-NOT: scf.for
// CHECK: memref.store %{{.*}}, %arg1
// CHECK-NOT: scf.for
// CHECK: return

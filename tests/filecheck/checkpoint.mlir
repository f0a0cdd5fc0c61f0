// A checkpointed loop: snapshots of its state on the way forward; in reverse the last one is restored, iterations are
// run again from there, with snapshots in what room there is, and then one iteration is reversed.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-pipeline)" | filecheck %s
// RUN: dsl-opt %s --pass-pipeline="builtin.module(canonicalize,cse,autodiff-prepare)" | filecheck %s --check-prefix=MARK
// RUN: dsl-opt %s --check-gradients @steps
// RUN: dsl-opt %s --check-gradients @steps --size 17
// RUN: dsl-opt %s --check-gradients @affine

func.func @steps(%x: f64, %A: memref<?xf64>, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %x) -> (f64) {
    %k = arith.remui %i, %c2 : index
    %a = memref.load %A[%k] : memref<?xf64>
    %s = math.sin %t : f64
    %u = arith.mulf %s, %a : f64
    memref.store %u, %A[%k] : memref<?xf64>
    scf.yield %u : f64
  } {autodiff.checkpoint = 3 : i64}
  return %r : f64
}

// The attribute is a mark in the body, which upstream's passes keep.
// MARK-LABEL: func.func @steps
// MARK: scf.for
// MARK-NEXT: "autodiff.checkpoint"

func.func @affine(%x: f64, %A: memref<4xf64>) -> f64 {
  %r = affine.for %i = 0 to 10 iter_args(%t = %x) -> (f64) {
    %a = affine.load %A[%i mod 4] : memref<4xf64>
    %s = math.sin %t : f64
    %u = arith.mulf %s, %a : f64
    affine.store %u, %A[%i mod 4] : memref<4xf64>
    affine.yield %u : f64
  } {autodiff.checkpoint}
  return %r : f64
}

func.func private @gradient(f64, memref<?xf64>, memref<?xf64>, index, f64) -> f64 attributes {
  autodiff.reverse = @steps, autodiff.activity = ["active", "duplicated", "const"], autodiff.returns = ["active"],
  autodiff.public
}

// CHECK-LABEL: func.func public @gradient
// Room for three snapshots, or one for each iteration if there are fewer: places, the number, the array.
// CHECK: %[[FEW:.*]] = arith.minsi %{{.*}}, %c3
// CHECK: %[[SLOTS:.*]] = arith.maxsi %[[FEW]], %c1
// CHECK: memref.alloc(%[[SLOTS]]) {{.*}}memref<?xindex>
// CHECK: memref.alloc(%[[SLOTS]]) {{.*}}memref<?xf64>
// CHECK: memref.alloc(%[[SLOTS]], %{{.*}}) {{.*}}memref<?x?xf64>
// Forward, with a snapshot where one is due, and then the next due place by the binomial numbers.
// CHECK: scf.for
// CHECK: scf.if
// CHECK: scf.while
// CHECK: arith.divui
// CHECK: math.sin
// In reverse: the last snapshot, runs from there, a snapshot if there is room.
// CHECK: scf.for
// CHECK: scf.while
// CHECK: scf.for
// CHECK: math.sin
// CHECK: scf.if
// The iteration itself.
// CHECK: math.sin
// CHECK: math.cos
// CHECK: return

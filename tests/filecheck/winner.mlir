// The loop that finds the least square carries which it was; the reverse looks at that one alone, and tapes nothing.
// RUN: dsl-opt %s --pass-pipeline="builtin.module(autodiff-pipeline)" | filecheck %s
// RUN: dsl-opt %s --check-gradients @f

func.func @f(%x: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %far = arith.constant 0x7FF0000000000000 : f64
  %n = memref.dim %x, %c0 : memref<?xf64>
  %best = scf.for %i = %c0 to %n step %c1 iter_args(%b = %far) -> (f64) {
    %v = memref.load %x[%i] : memref<?xf64>
    %s = math.exp %v : f64
    %less = arith.cmpf olt, %s, %b : f64
    %r = arith.select %less, %s, %b : f64
    scf.yield %r : f64
  }
  return %best : f64
}

func.func private @df(memref<?xf64>, memref<?xf64>, f64) attributes {
  autodiff.reverse = @f, autodiff.activity = ["duplicated"], autodiff.returns = ["active"], autodiff.public
}

// CHECK-LABEL: func.func public @df
// CHECK-NOT: memref.alloc
// CHECK: %[[FOUND:.*]]:2 = scf.for {{.*}} -> (f64, index)
// CHECK: %[[ANY:.*]] = arith.cmpi sge, %[[FOUND]]#1
// CHECK: scf.if %[[ANY]]
// CHECK: memref.store %{{.*}}, %{{.*}}[%[[FOUND]]#1]
// CHECK-NOT: scf.for
// CHECK: return

// Structured control flow. Each part is a module of its own; its public function is checked.
func.func @downwards_bounds(%x: f64) -> f64 {
  %lo = arith.constant -7 : index
  %hi = arith.constant 5 : index
  %step = arith.constant 4 : index
  %r = scf.for %i = %lo to %hi step %step iter_args(%a = %x) -> (f64) {
    %k = arith.index_cast %i : index to i64
    %f = arith.sitofp %k : i64 to f64
    %m = arith.mulf %a, %x : f64
    %t = arith.addf %m, %f : f64
    scf.yield %t : f64
  }
  return %r : f64
}
// -----
func.func @no_trips(%x: f64) -> f64 {
  %lo = arith.constant 5 : index
  %hi = arith.constant -5 : index
  %step = arith.constant 1 : index
  %r = scf.for %i = %lo to %hi step %step iter_args(%a = %x) -> (f64) {
    %m = arith.mulf %a, %a : f64
    scf.yield %m : f64
  }
  %s = arith.mulf %r, %x : f64
  return %s : f64
}
// -----
// bounds not known before the call; 10 is not a multiple of the step
func.func @uneven_step_of_arguments(%x: f64, %n: index) -> f64 {
  %lo = arith.constant -2 : index
  %c3 = arith.constant 3 : index
  %ten = arith.constant 10 : index
  %step = arith.minsi %n, %c3 : index
  %r = scf.for %i = %lo to %ten step %step iter_args(%a = %x) -> (f64) {
    %s = math.sin %a : f64
    %m = arith.mulf %s, %x : f64
    scf.yield %m : f64
  }
  return %r : f64
}
// -----
func.func @i32_induction(%x: f64, %n: i32) -> f64 {
  %c0 = arith.constant -1 : i32
  %c2 = arith.constant 2 : i32
  %r = scf.for %i = %c0 to %n step %c2 iter_args(%a = %x) -> (f64) : i32 {
    %f = arith.sitofp %i : i32 to f64
    %t = arith.addf %a, %f : f64
    %m = arith.mulf %t, %x : f64
    scf.yield %m : f64
  }
  return %r : f64
}
// -----
// from -100 to 100: the span does not fit 8 bits
func.func @i8_induction(%x: f64) -> f64 {
  %lo = arith.constant -100 : i8
  %hi = arith.constant 100 : i8
  %step = arith.constant 50 : i8
  %r = scf.for %i = %lo to %hi step %step iter_args(%a = %x) -> (f64) : i8 {
    %s = math.cos %a : f64
    %m = arith.addf %s, %x : f64
    scf.yield %m : f64
  }
  return %r : f64
}
// -----
func.func @unsigned_bounds(%x: f64) -> f64 {
  %lo = arith.constant 100 : i8
  %hi = arith.constant -56 : i8
  %step = arith.constant 25 : i8
  %r = scf.for unsigned %i = %lo to %hi step %step iter_args(%a = %x) -> (f64) : i8 {
    %s = math.cos %a : f64
    %m = arith.addf %s, %x : f64
    scf.yield %m : f64
  }
  return %r : f64
}
// -----
func.func @triangle(%a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %zero) -> (f64) {
    %x = memref.load %a[%i] : memref<?xf64>
    %u = scf.for %j = %i to %n step %c1 iter_args(%s = %t) -> (f64) {
      %y = memref.load %a[%j] : memref<?xf64>
      %p = arith.mulf %x, %y : f64
      %q = arith.mulf %s, %p : f64
      %w = arith.addf %q, %y : f64
      scf.yield %w : f64
    }
    scf.yield %u : f64
  }
  return %r : f64
}
// -----
func.func @two_carried(%x: f64, %y: f64) -> (f64, f64) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %r:2 = scf.for %i = %c0 to %c4 step %c1 iter_args(%a = %x, %b = %y) -> (f64, f64) {
    %p = arith.mulf %a, %b : f64
    %s = math.sin %p : f64
    scf.yield %b, %s : f64, f64
  }
  return %r#0, %r#1 : f64, f64
}
// -----
func.func @if_else(%x: f64, %y: f64) -> f64 {
  %c = arith.cmpf ogt, %x, %y : f64
  %r = scf.if %c -> f64 {
    %m = arith.mulf %x, %y : f64
    scf.yield %m : f64
  } else {
    %d = arith.divf %x, %y : f64
    scf.yield %d : f64
  }
  return %r : f64
}
// -----
func.func @while_with_two(%x: f64) -> f64 {
  %one = arith.constant 1.0 : f64
  %lim = arith.constant 50.0 : f64
  %r:2 = scf.while (%y = %x, %z = %one) : (f64, f64) -> (f64, f64) {
    %go = arith.cmpf olt, %y, %lim : f64
    %w = arith.mulf %z, %x : f64
    scf.condition(%go) %y, %w : f64, f64
  } do {
  ^bb0(%y: f64, %z: f64):
    %n = arith.addf %y, %z : f64
    %m = arith.addf %n, %one : f64
    scf.yield %m, %z : f64, f64
  }
  %s = arith.mulf %r#0, %r#1 : f64
  return %s : f64
}
// -----
func.func @parallel_two_axes(%a: memref<?x?xf64>, %b: memref<?x?xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?x?xf64>
  %m = memref.dim %a, %c1 : memref<?x?xf64>
  scf.parallel (%i, %j) = (%c0, %c0) to (%n, %m) step (%c1, %c1) {
    %v = memref.load %a[%i, %j] : memref<?x?xf64>
    %w = memref.load %b[%i, %j] : memref<?x?xf64>
    %p = arith.mulf %v, %w : f64
    memref.store %p, %b[%i, %j] : memref<?x?xf64>
    scf.reduce
  }
  return
}
// -----
func.func @parallel_product_and_maximum(%a: memref<?xf64>) -> (f64, f64) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %one = arith.constant 1.0 : f64
  %low = arith.constant -1.0e9 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %r:2 = scf.parallel (%i) = (%c0) to (%n) step (%c2) init (%one, %low) -> (f64, f64) {
    %v = memref.load %a[%i] : memref<?xf64>
    scf.reduce(%v, %v : f64, f64) {
    ^bb0(%l: f64, %s: f64):
      %t = arith.mulf %l, %s : f64
      scf.reduce.return %t : f64
    }, {
    ^bb0(%l: f64, %s: f64):
      %t = arith.maximumf %l, %s : f64
      scf.reduce.return %t : f64
    }
  }
  return %r#0, %r#1 : f64, f64
}
// -----
func.func @forall_on_memory(%a: memref<?xf64>, %b: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.forall (%i) in (%n) {
    %v = memref.load %a[%i] : memref<?xf64>
    %s = math.exp %v : f64
    memref.store %s, %b[%i] : memref<?xf64>
  }
  return
}
// -----
func.func @index_switch(%x: f64, %a: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %r = scf.for %i = %c0 to %n step %c1 iter_args(%t = %zero) -> (f64) {
    %v = memref.load %a[%i] : memref<?xf64>
    %k = scf.index_switch %i -> f64
    case 0 {
      %p = arith.mulf %v, %x : f64
      scf.yield %p : f64
    }
    case 2 {
      %p = math.sin %v : f64
      scf.yield %p : f64
    }
    default {
      %p = arith.divf %x, %v : f64
      scf.yield %p : f64
    }
    %u = arith.addf %t, %k : f64
    scf.yield %u : f64
  }
  return %r : f64
}
// -----
func.func @execute_region(%x: f64, %n: index) -> f64 {
  %c3 = arith.constant 3 : index
  %c = arith.cmpi sgt, %n, %c3 : index
  %r = scf.execute_region -> f64 {
    cf.cond_br %c, ^big, ^small
  ^big:
    %s = math.sin %x : f64
    cf.br ^end(%s : f64)
  ^small:
    %t = math.cos %x : f64
    cf.br ^end(%t : f64)
  ^end(%v: f64):
    scf.yield %v : f64
  }
  %q = arith.mulf %r, %r : f64
  return %q : f64
}
// -----
func.func @memref_carried(%a: memref<4xf64>, %b: memref<4xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %r:2 = scf.for %k = %c0 to %c3 step %c1 iter_args(%s = %a, %t = %b) -> (memref<4xf64>, memref<4xf64>) {
    scf.for %i = %c0 to %c4 step %c1 {
      %v = memref.load %s[%i] : memref<4xf64>
      %w = memref.load %t[%i] : memref<4xf64>
      %p = arith.mulf %v, %w : f64
      %q = math.sin %p : f64
      memref.store %q, %t[%i] : memref<4xf64>
    }
    scf.yield %t, %s : memref<4xf64>, memref<4xf64>
  }
  return
}
// -----
// An iteration that is run again chooses between a view of the argument and memory of its own.
func.func @chosen_view(%a: memref<6xf64>, %b: memref<6xf64>, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f64
  %s = scf.for %t = %c0 to %n step %c1 iter_args(%acc = %zero) -> f64 {
    %odd = arith.remui %t, %c2 : index
    %is = arith.cmpi eq, %odd, %c0 : index
    %v = scf.if %is -> memref<4xf64, strided<[1], offset: ?>> {
      %w = memref.subview %a[1] [4] [1] : memref<6xf64> to memref<4xf64, strided<[1], offset: 1>>
      %x = memref.cast %w : memref<4xf64, strided<[1], offset: 1>> to memref<4xf64, strided<[1], offset: ?>>
      scf.yield %x : memref<4xf64, strided<[1], offset: ?>>
    } else {
      %w = memref.alloc() : memref<4xf64>
      scf.for %i = %c0 to %c4 step %c1 {
        %p = memref.load %b[%i] : memref<6xf64>
        %q = arith.mulf %p, %p : f64
        memref.store %q, %w[%i] : memref<4xf64>
      }
      %x = memref.cast %w : memref<4xf64> to memref<4xf64, strided<[1], offset: ?>>
      scf.yield %x : memref<4xf64, strided<[1], offset: ?>>
    }
    scf.for %i = %c0 to %c4 step %c1 {
      %p = memref.load %v[%i] : memref<4xf64, strided<[1], offset: ?>>
      %q = memref.load %b[%i] : memref<6xf64>
      %r = arith.addf %p, %q : f64
      memref.store %r, %b[%i] : memref<6xf64>
    }
    %e = memref.load %b[%c1] : memref<6xf64>
    %f = arith.addf %acc, %e : f64
    scf.yield %f : f64
  }
  return %s : f64
}

// As C and Fortran compilers write it: branches between blocks, index casts, allocas, affine nests.
func.func @gemver(%n: i32, %alpha: f64, %A: memref<?x4xf64>, %u: memref<?xf64>, %v: memref<?xf64>, %y: memref<?xf64>, %x: memref<?xf64>) {
  %0 = arith.index_cast %n : i32 to index
  affine.for %i = 0 to %0 {
    affine.for %j = 0 to 4 {
      %1 = affine.load %A[%i, %j] : memref<?x4xf64>
      %2 = affine.load %u[%i] : memref<?xf64>
      %3 = affine.load %v[%j] : memref<?xf64>
      %4 = arith.mulf %2, %3 : f64
      %5 = arith.addf %1, %4 : f64
      affine.store %5, %A[%i, %j] : memref<?x4xf64>
    }
  }
  affine.for %i = 0 to %0 {
    affine.for %j = 0 to 4 {
      %1 = affine.load %x[%i] : memref<?xf64>
      %2 = affine.load %A[%i, %j] : memref<?x4xf64>
      %3 = arith.mulf %alpha, %2 : f64
      %4 = affine.load %y[%j] : memref<?xf64>
      %5 = arith.mulf %3, %4 : f64
      %6 = arith.addf %1, %5 : f64
      affine.store %6, %x[%i] : memref<?xf64>
    }
  }
  return
}
// -----
func.func @cholesky(%A: memref<4x4xf64>) {
  %c0 = arith.constant 0 : index
  affine.for %d = 0 to 4 {
    %big = arith.constant 8.0 : f64
    %v = affine.load %A[%d, %d] : memref<4x4xf64>
    %w = arith.addf %v, %big : f64
    affine.store %w, %A[%d, %d] : memref<4x4xf64>
  }
  affine.for %i = 0 to 4 {
    affine.for %j = 0 to affine_map<(d0) -> (d0)>(%i) {
      affine.for %k = 0 to affine_map<(d0) -> (d0)>(%j) {
        %1 = affine.load %A[%i, %j] : memref<4x4xf64>
        %2 = affine.load %A[%i, %k] : memref<4x4xf64>
        %3 = affine.load %A[%j, %k] : memref<4x4xf64>
        %4 = arith.mulf %2, %3 : f64
        %5 = arith.subf %1, %4 : f64
        affine.store %5, %A[%i, %j] : memref<4x4xf64>
      }
      %1 = affine.load %A[%i, %j] : memref<4x4xf64>
      %2 = affine.load %A[%j, %j] : memref<4x4xf64>
      %3 = arith.divf %1, %2 : f64
      affine.store %3, %A[%i, %j] : memref<4x4xf64>
    }
    affine.for %k = 0 to affine_map<(d0) -> (d0)>(%i) {
      %1 = affine.load %A[%i, %i] : memref<4x4xf64>
      %2 = affine.load %A[%i, %k] : memref<4x4xf64>
      %4 = arith.mulf %2, %2 : f64
      %5 = arith.subf %1, %4 : f64
      affine.store %5, %A[%i, %i] : memref<4x4xf64>
    }
    %1 = affine.load %A[%i, %i] : memref<4x4xf64>
    %2 = math.sqrt %1 : f64
    affine.store %2, %A[%i, %i] : memref<4x4xf64>
  }
  return
}
// -----
func.func @newton_in_blocks(%x: f64, %max: i32) -> (f64, i32) {
  %0 = memref.alloca() : memref<f64>
  %k = memref.alloca() : memref<i32>
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %half = arith.constant 0.5 : f64
  %tol = arith.constant 1.0e-12 : f64
  memref.store %x, %0[] : memref<f64>
  memref.store %c0, %k[] : memref<i32>
  cf.br ^head
^head:
  %g = memref.load %0[] : memref<f64>
  %sq = arith.mulf %g, %g : f64
  %err = arith.subf %sq, %x : f64
  %abs = math.absf %err : f64
  %far = arith.cmpf ogt, %abs, %tol : f64
  %n = memref.load %k[] : memref<i32>
  %left = arith.cmpi slt, %n, %max : i32
  %go = arith.andi %far, %left : i1
  cf.cond_br %go, ^body, ^done
^body:
  %q = arith.divf %x, %g : f64
  %s = arith.addf %g, %q : f64
  %h = arith.mulf %s, %half : f64
  memref.store %h, %0[] : memref<f64>
  %n1 = arith.addi %n, %c1 : i32
  memref.store %n1, %k[] : memref<i32>
  cf.br ^head
^done:
  return %g, %n : f64, i32
}
// -----
func.func @nested_blocks(%a: memref<?xf64>, %n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %one = arith.constant 1.0 : f64
  cf.br ^outer(%c0, %zero : index, f64)
^outer(%i: index, %acc: f64):
  %more = arith.cmpi slt, %i, %n : index
  cf.cond_br %more, ^inner(%c0, %acc : index, f64), ^exit(%acc : f64)
^inner(%j: index, %t: f64):
  %in = arith.cmpi sle, %j, %i : index
  cf.cond_br %in, ^work, ^next
^work:
  %v = memref.load %a[%j] : memref<?xf64>
  %big = arith.cmpf ogt, %v, %one : f64
  cf.cond_br %big, ^then, ^else
^then:
  %m = arith.mulf %t, %v : f64
  %m1 = arith.addf %m, %v : f64
  cf.br ^join(%m1 : f64)
^else:
  %e = math.exp %v : f64
  %e1 = arith.addf %t, %e : f64
  cf.br ^join(%e1 : f64)
^join(%r: f64):
  %j1 = arith.addi %j, %c1 : index
  cf.br ^inner(%j1, %r : index, f64)
^next:
  %i1 = arith.addi %i, %c1 : index
  cf.br ^outer(%i1, %t : index, f64)
^exit(%out: f64):
  return %out : f64
}
// -----
func.func @early_return(%a: memref<?xf64>, %limit: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  cf.br ^loop(%c0, %zero : index, f64)
^loop(%i: index, %s: f64):
  %more = arith.cmpi slt, %i, %n : index
  cf.cond_br %more, ^body, ^end
^body:
  %v = memref.load %a[%i] : memref<?xf64>
  %w = arith.mulf %v, %v : f64
  %s1 = arith.addf %s, %w : f64
  %over = arith.cmpf ogt, %s1, %limit : f64
  cf.cond_br %over, ^out, ^again
^again:
  %i1 = arith.addi %i, %c1 : index
  cf.br ^loop(%i1, %s1 : index, f64)
^out:
  %l = math.log %s1 : f64
  return %l : f64
^end:
  return %s : f64
}
// -----
#set = affine_set<(d0, d1)[s0] : (d0 - 1 >= 0, s0 - d0 - 2 >= 0, d1 - 1 >= 0, -d1 + 2 >= 0)>
func.func @stencil(%a: memref<?x4xf64>, %b: memref<?x4xf64>, %t: index) {
  %c0 = arith.constant 0 : index
  %n = memref.dim %a, %c0 : memref<?x4xf64>
  %w = arith.constant 0.25 : f64
  affine.for %k = 0 to %t {
    affine.for %i = 0 to %n {
      affine.for %j = 0 to 4 {
        affine.if #set(%i, %j)[%n] {
          %1 = affine.load %a[%i - 1, %j] : memref<?x4xf64>
          %2 = affine.load %a[%i + 1, %j] : memref<?x4xf64>
          %3 = affine.load %a[%i, %j - 1] : memref<?x4xf64>
          %4 = affine.load %a[%i, %j + 1] : memref<?x4xf64>
          %5 = arith.addf %1, %2 : f64
          %6 = arith.mulf %3, %4 : f64
          %7 = arith.addf %5, %6 : f64
          %8 = arith.mulf %7, %w : f64
          affine.store %8, %b[%i, %j] : memref<?x4xf64>
        }
      }
    }
    affine.for %i = 1 to affine_map<(d0) -> (d0 - 1)>(%n) {
      affine.for %j = 1 to 3 {
        %1 = affine.load %b[%i, %j] : memref<?x4xf64>
        affine.store %1, %a[%i, %j] : memref<?x4xf64>
      }
    }
  }
  return
}
// -----
func.func @tiled(%a: memref<7x5xf64>, %b: memref<5xf64>) {
  affine.for %i = 0 to 7 step 3 {
    affine.for %j = 0 to 5 step 2 {
      affine.for %ii = affine_map<(d0) -> (d0)>(%i) to min affine_map<(d0) -> (d0 + 3, 7)>(%i) {
        affine.for %jj = affine_map<(d0) -> (d0)>(%j) to min affine_map<(d0) -> (d0 + 2, 5)>(%j) {
          %1 = affine.load %a[%ii, %jj] : memref<7x5xf64>
          %2 = affine.load %b[%jj] : memref<5xf64>
          %3 = arith.mulf %1, %2 : f64
          affine.store %3, %b[%jj] : memref<5xf64>
        }
      }
    }
  }
  return
}
// -----
func.func private @pair(%x: f64, %y: f64) -> (f64, f64) {
  %s = arith.addf %x, %y : f64
  %p = arith.mulf %x, %y : f64
  return %s, %p : f64, f64
}
func.func private @window(%a: memref<?xf64>, %i: index) -> memref<2xf64, strided<[1], offset: ?>> {
  %s = memref.subview %a[%i] [2] [1] : memref<?xf64> to memref<2xf64, strided<[1], offset: ?>>
  return %s : memref<2xf64, strided<[1], offset: ?>>
}
func.func @windows(%a: memref<?xf64>, %b: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %m = arith.subi %n, %c1 : index
  %r:2 = scf.for %i = %c0 to %m step %c1 iter_args(%s = %zero, %t = %zero) -> (f64, f64) {
    %w = func.call @window(%a, %i) : (memref<?xf64>, index) -> memref<2xf64, strided<[1], offset: ?>>
    %x = memref.load %w[%c0] : memref<2xf64, strided<[1], offset: ?>>
    %y = memref.load %w[%c1] : memref<2xf64, strided<[1], offset: ?>>
    %q:2 = func.call @pair(%x, %y) : (f64, f64) -> (f64, f64)
    %u:2 = func.call @pair(%q#1, %s) : (f64, f64) -> (f64, f64)
    memref.store %q#0, %w[%c1] : memref<2xf64, strided<[1], offset: ?>>
    memref.store %u#1, %b[%i] : memref<?xf64>
    scf.yield %u#0, %q#0 : f64, f64
  }
  %y = arith.mulf %r#0, %r#1 : f64
  return %y : f64
}
// -----
func.func @while_of_many(%x: f64, %y: f64, %n: index) -> (f64, f64, index) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %four = arith.constant 4.0 : f64
  %half = arith.constant 0.4 : f64
  %r:3 = scf.while (%a = %x, %b = %y, %k = %c0) : (f64, f64, index) -> (f64, f64, index) {
    %aa = arith.mulf %a, %a : f64
    %bb = arith.mulf %b, %b : f64
    %norm = arith.addf %aa, %bb : f64
    %small = arith.cmpf olt, %norm, %four : f64
    %left = arith.cmpi slt, %k, %n : index
    %go = arith.andi %small, %left : i1
    %d = arith.subf %aa, %bb : f64
    scf.condition(%go) %d, %norm, %k : f64, f64, index
  } do {
  ^bb0(%d: f64, %norm: f64, %k: index):
    %p = arith.addf %d, %half : f64
    %q = arith.mulf %norm, %half : f64
    %k1 = arith.addi %k, %c1 : index
    scf.yield %p, %q, %k1 : f64, f64, index
  }
  return %r#0, %r#1, %r#2 : f64, f64, index
}
// -----
func.func @two_buffers(%a: memref<?xf64>, %steps: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : memref<?xf64>
  %p = memref.alloc(%n) : memref<?xf64>
  %q = memref.alloc(%n) : memref<?xf64>
  memref.copy %a, %p : memref<?xf64> to memref<?xf64>
  memref.copy %a, %q : memref<?xf64> to memref<?xf64>
  %m = arith.subi %n, %c1 : index
  %r:2 = scf.for %t = %c0 to %steps step %c1 iter_args(%x = %p, %y = %q) -> (memref<?xf64>, memref<?xf64>) {
    scf.for %i = %c1 to %m step %c1 {
      %i0 = arith.subi %i, %c1 : index
      %u = memref.load %x[%i0] : memref<?xf64>
      %v = memref.load %x[%i] : memref<?xf64>
      %w = arith.mulf %u, %v : f64
      memref.store %w, %y[%i] : memref<?xf64>
    }
    scf.yield %y, %x : memref<?xf64>, memref<?xf64>
  }
  %s = memref.load %r#0[%c1] : memref<?xf64>
  memref.dealloc %p : memref<?xf64>
  memref.dealloc %q : memref<?xf64>
  return %s : f64
}
// -----
func.func @switch_in_blocks(%x: f64, %k: i32) -> f64 {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %c9 = arith.constant 9 : i32
  cf.br ^loop(%x, %c0 : f64, i32)
^loop(%v: f64, %i: i32):
  %done = arith.cmpi sge, %i, %c9 : i32
  cf.cond_br %done, ^out(%v : f64), ^dispatch
^dispatch:
  %c3 = arith.constant 3 : i32
  %sel = arith.remsi %i, %c3 : i32
  cf.switch %sel : i32, [
    default: ^other,
    0: ^zero,
    1: ^one
  ]
^zero:
  %a = math.sin %v : f64
  cf.br ^next(%a : f64)
^one:
  %b = arith.mulf %v, %x : f64
  cf.br ^next(%b : f64)
^other:
  %c = arith.addf %v, %x : f64
  %last = arith.cmpi eq, %i, %k : i32
  cf.cond_br %last, ^out(%c : f64), ^next(%c : f64)
^next(%w: f64):
  %i1 = arith.addi %i, %c1 : i32
  cf.br ^loop(%w, %i1 : f64, i32)
^out(%r: f64):
  return %r : f64
}

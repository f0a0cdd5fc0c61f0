// The derivatives of dense linear algebra. `$T` is the element type. What the functions do is said in library/__init__.py.
//
// Every rule is made of the same functions, so that it can be differentiated again. The matrix of a solve is an argument
// beside its factors: derivatives refer to it, and work by the factors that there are.
//
// Formulas: M. Giles, An extended collection of matrix derivative results for forward and reverse mode (2008);
// I. Murray, Differentiation of the Cholesky decomposition (2016). A tangent of x is dx; its cotangent is dx, too.

!m = memref<?x?x$T, strided<[?, ?], offset: ?>>

// --- c += sign · a b.   Tangents: dc += sign · (da b + a db).   Cotangents: da += sign · dc bᵀ, db += sign · aᵀ dc, and dc
// stays: it is that of the old c as well (Giles 2.2.2).

func.func private @dsl.blas.gemm.$T(!m, !m {llvm.readonly}, !m {llvm.readonly}, i64) attributes {
  autodiff.forward_rule = [@dsl.blas.gemm.$T.forward.c, @dsl.blas.gemm.$T.forward.a, @dsl.blas.gemm.$T.forward.b,
                           @dsl.blas.gemm.$T.forward.ab],
  autodiff.reverse_rule = [@dsl.blas.gemm.$T.reverse.c, @dsl.blas.gemm.$T.reverse.a, @dsl.blas.gemm.$T.reverse.b,
                           @dsl.blas.gemm.$T.reverse.ab],
  autodiff.reads = array<i64: 0, 1, 2>, autodiff.writes = array<i64: 0>}

func.func private @dsl.blas.gemm.$T.forward.c(%c: !m, %dc: !m, %a: !m, %b: !m, %sign: i64)
    attributes {autodiff.activity = ["duplicated", "const", "const", "const"]} {
  func.call @dsl.blas.gemm.$T(%c, %a, %b, %sign) : (!m, !m, !m, i64) -> ()
  return
}

func.func private @dsl.blas.gemm.$T.forward.a(%c: !m, %dc: !m, %a: !m, %da: !m, %b: !m, %sign: i64)
    attributes {autodiff.activity = ["duplicated", "duplicated", "const", "const"]} {
  func.call @dsl.blas.gemm.$T(%c, %a, %b, %sign) : (!m, !m, !m, i64) -> ()
  func.call @dsl.blas.gemm.$T(%dc, %da, %b, %sign) : (!m, !m, !m, i64) -> ()
  return
}

func.func private @dsl.blas.gemm.$T.forward.b(%c: !m, %dc: !m, %a: !m, %b: !m, %db: !m, %sign: i64)
    attributes {autodiff.activity = ["duplicated", "const", "duplicated", "const"]} {
  func.call @dsl.blas.gemm.$T(%c, %a, %b, %sign) : (!m, !m, !m, i64) -> ()
  func.call @dsl.blas.gemm.$T(%dc, %a, %db, %sign) : (!m, !m, !m, i64) -> ()
  return
}

func.func private @dsl.blas.gemm.$T.forward.ab(%c: !m, %dc: !m, %a: !m, %da: !m, %b: !m, %db: !m, %sign: i64) {
  func.call @dsl.blas.gemm.$T(%c, %a, %b, %sign) : (!m, !m, !m, i64) -> ()
  func.call @dsl.blas.gemm.$T(%dc, %da, %b, %sign) : (!m, !m, !m, i64) -> ()
  func.call @dsl.blas.gemm.$T(%dc, %a, %db, %sign) : (!m, !m, !m, i64) -> ()
  return
}

func.func private @dsl.blas.gemm.$T.reverse.c(%c: !m, %dc: !m, %a: !m, %b: !m, %sign: i64)
    attributes {autodiff.activity = ["duplicated", "const", "const", "const"]} {
  return
}

func.func private @dsl.blas.gemm.$T.reverse.a(%c: !m, %dc: !m, %a: !m, %da: !m, %b: !m, %sign: i64)
    attributes {autodiff.activity = ["duplicated", "duplicated", "const", "const"]} {
  %bt = memref.transpose %b (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%da, %dc, %bt, %sign) : (!m, !m, !m, i64) -> ()
  return
}

func.func private @dsl.blas.gemm.$T.reverse.b(%c: !m, %dc: !m, %a: !m, %b: !m, %db: !m, %sign: i64)
    attributes {autodiff.activity = ["duplicated", "const", "duplicated", "const"]} {
  %at = memref.transpose %a (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%db, %at, %dc, %sign) : (!m, !m, !m, i64) -> ()
  return
}

func.func private @dsl.blas.gemm.$T.reverse.ab(%c: !m, %dc: !m, %a: !m, %da: !m, %b: !m, %db: !m, %sign: i64) {
  %bt = memref.transpose %b (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%da, %dc, %bt, %sign) : (!m, !m, !m, i64) -> ()
  %at = memref.transpose %a (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%db, %at, %dc, %sign) : (!m, !m, !m, i64) -> ()
  return
}

// --- x := a⁻¹ x of a triangle of a.   dx := a⁻¹ (dx - da x), of da the same triangle.   dx := a⁻ᵀ dx,
// da -= the triangle of dx xᵀ (Giles 2.3.1 for a triangle).

func.func private @dsl.blas.trsm.$T(!m, !m {llvm.readonly}, i1, i1) attributes {
  autodiff.forward_rule = [@dsl.blas.trsm.$T.forward.x, @dsl.blas.trsm.$T.forward.xa],
  autodiff.reverse_rule = [@dsl.blas.trsm.$T.reverse.x, @dsl.blas.trsm.$T.reverse.xa],
  autodiff.reads = array<i64: 0, 1>, autodiff.writes = array<i64: 0>}

func.func private @dsl.blas.trsm.$T.forward.x(%x: !m, %dx: !m, %a: !m, %lower: i1, %unit: i1)
    attributes {autodiff.activity = ["duplicated", "const", "const", "const"]} {
  func.call @dsl.blas.trsm.$T(%x, %a, %lower, %unit) : (!m, !m, i1, i1) -> ()
  func.call @dsl.blas.trsm.$T(%dx, %a, %lower, %unit) : (!m, !m, i1, i1) -> ()
  return
}

func.func private @dsl.blas.trsm.$T.forward.xa(%x: !m, %dx: !m, %a: !m, %da: !m, %lower: i1, %unit: i1) {
  func.call @dsl.blas.trsm.$T(%x, %a, %lower, %unit) : (!m, !m, i1, i1) -> ()
  %minus = arith.constant -1 : i64
  %part = func.call @dsl.copy.$T(%da) : (!m) -> !m
  func.call @dsl.clear_triangle.$T(%part, %lower, %unit) : (!m, i1, i1) -> ()
  func.call @dsl.blas.gemm.$T(%dx, %part, %x, %minus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.blas.trsm.$T(%dx, %a, %lower, %unit) : (!m, !m, i1, i1) -> ()
  return
}

func.func private @dsl.blas.trsm.$T.reverse.x(%x: !m, %dx: !m, %a: !m, %lower: i1, %unit: i1)
    attributes {autodiff.activity = ["duplicated", "const", "const", "const"]} {
  %at = memref.transpose %a (i, j) -> (j, i) : !m to !m
  %true = arith.constant true
  %upper = arith.xori %lower, %true : i1
  func.call @dsl.blas.trsm.$T(%dx, %at, %upper, %unit) : (!m, !m, i1, i1) -> ()
  return
}

func.func private @dsl.blas.trsm.$T.reverse.xa(%x: !m, %dx: !m, %a: !m, %da: !m, %lower: i1, %unit: i1) {
  %at = memref.transpose %a (i, j) -> (j, i) : !m to !m
  %true = arith.constant true
  %upper = arith.xori %lower, %true : i1
  func.call @dsl.blas.trsm.$T(%dx, %at, %upper, %unit) : (!m, !m, i1, i1) -> ()
  %minus = arith.constant -1 : i64
  %xt = memref.transpose %x (i, j) -> (j, i) : !m to !m
  %whole = func.call @dsl.zeros_like.$T(%da) : (!m) -> !m
  func.call @dsl.blas.gemm.$T(%whole, %dx, %xt, %minus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.clear_triangle.$T(%whole, %lower, %unit) : (!m, i1, i1) -> ()
  %one = arith.constant 1.0 : $T
  func.call @dsl.add_scaled.$T(%da, %whole, %one) : (!m, !m, $T) -> ()
  return
}

// --- The factors of a. They are no function to be differentiated: what works by them has a as an argument as well.

func.func private @dsl.lapack.lu.$T(!m, memref<?xi32>, !m {llvm.readonly}) -> i64 attributes {
  autodiff.inactive, autodiff.reads = array<i64: 2>, autodiff.writes = array<i64: 0, 1>}

// --- x := a⁻¹ x, or a⁻ᵀ x.   dx := a⁻¹ (dx - da x).   dx := a⁻ᵀ dx, da -= dx xᵀ (Giles 2.2.3, 2.3.1). Transposed: the same
// of aᵀ.

func.func private @dsl.lapack.lu_solve.$T(!m, !m {llvm.readonly}, memref<?xi32> {llvm.readonly}, !m {llvm.readonly}, i1)
  attributes {
  autodiff.forward_rule = [@dsl.lapack.lu_solve.$T.forward.x, @dsl.lapack.lu_solve.$T.forward.xa],
  autodiff.reverse_rule = [@dsl.lapack.lu_solve.$T.reverse.x, @dsl.lapack.lu_solve.$T.reverse.xa],
  autodiff.reads = array<i64: 0, 1, 2, 3>, autodiff.writes = array<i64: 0>}

func.func private @dsl.lapack.lu_solve.$T.forward.x(%x: !m, %dx: !m, %lu: !m, %pivots: memref<?xi32>, %a: !m,
    %transposed: i1) attributes {autodiff.activity = ["duplicated", "const", "const", "const", "const"]} {
  func.call @dsl.lapack.lu_solve.$T(%x, %lu, %pivots, %a, %transposed) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  func.call @dsl.lapack.lu_solve.$T(%dx, %lu, %pivots, %a, %transposed) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  return
}

func.func private @dsl.lapack.lu_solve.$T.forward.xa(%x: !m, %dx: !m, %lu: !m, %pivots: memref<?xi32>, %a: !m,
    %da: !m, %transposed: i1) attributes {autodiff.activity = ["duplicated", "const", "const", "duplicated", "const"]} {
  func.call @dsl.lapack.lu_solve.$T(%x, %lu, %pivots, %a, %transposed) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  %minus = arith.constant -1 : i64
  scf.if %transposed {
    %dat = memref.transpose %da (i, j) -> (j, i) : !m to !m
    func.call @dsl.blas.gemm.$T(%dx, %dat, %x, %minus) : (!m, !m, !m, i64) -> ()
  } else {
    func.call @dsl.blas.gemm.$T(%dx, %da, %x, %minus) : (!m, !m, !m, i64) -> ()
  }
  func.call @dsl.lapack.lu_solve.$T(%dx, %lu, %pivots, %a, %transposed) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  return
}

func.func private @dsl.lapack.lu_solve.$T.reverse.x(%x: !m, %dx: !m, %lu: !m, %pivots: memref<?xi32>, %a: !m,
    %transposed: i1) attributes {autodiff.activity = ["duplicated", "const", "const", "const", "const"]} {
  %true = arith.constant true
  %other = arith.xori %transposed, %true : i1
  func.call @dsl.lapack.lu_solve.$T(%dx, %lu, %pivots, %a, %other) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  return
}

func.func private @dsl.lapack.lu_solve.$T.reverse.xa(%x: !m, %dx: !m, %lu: !m, %pivots: memref<?xi32>, %a: !m,
    %da: !m, %transposed: i1) attributes {autodiff.activity = ["duplicated", "const", "const", "duplicated", "const"]} {
  %true = arith.constant true
  %other = arith.xori %transposed, %true : i1
  func.call @dsl.lapack.lu_solve.$T(%dx, %lu, %pivots, %a, %other) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  %minus = arith.constant -1 : i64
  scf.if %transposed {
    %dxt = memref.transpose %dx (i, j) -> (j, i) : !m to !m
    func.call @dsl.blas.gemm.$T(%da, %x, %dxt, %minus) : (!m, !m, !m, i64) -> ()
  } else {
    %xt = memref.transpose %x (i, j) -> (j, i) : !m to !m
    func.call @dsl.blas.gemm.$T(%da, %dx, %xt, %minus) : (!m, !m, !m, i64) -> ()
  }
  return
}

// --- det a.   d det = det · trace(a⁻¹ da).   da += seed · det · a⁻ᵀ (Giles 2.2.4). At a singular matrix these are not numbers.

func.func private @dsl.lapack.lu_det.$T(!m {llvm.readonly}, memref<?xi32> {llvm.readonly}, !m {llvm.readonly}) -> $T
  attributes {
  autodiff.forward_rule = @dsl.lapack.lu_det.$T.forward, autodiff.reverse_rule = @dsl.lapack.lu_det.$T.reverse,
  autodiff.reads = array<i64: 0, 1, 2>, autodiff.writes = array<i64>}

func.func private @dsl.lapack.lu_det.$T.forward(%lu: !m, %pivots: memref<?xi32>, %a: !m, %da: !m) -> ($T, $T)
    attributes {autodiff.activity = ["const", "const", "duplicated"]} {
  %det = func.call @dsl.lapack.lu_det.$T(%lu, %pivots, %a) : (!m, memref<?xi32>, !m) -> $T
  %trace = func.call @dsl.trace_of_solution.$T(%lu, %pivots, %a, %da) : (!m, memref<?xi32>, !m, !m) -> $T
  %tangent = arith.mulf %det, %trace : $T
  return %det, %tangent : $T, $T
}

func.func private @dsl.lapack.lu_det.$T.reverse(%lu: !m, %pivots: memref<?xi32>, %a: !m, %da: !m, %seed: $T)
    attributes {autodiff.activity = ["const", "const", "duplicated"]} {
  %det = func.call @dsl.lapack.lu_det.$T(%lu, %pivots, %a) : (!m, memref<?xi32>, !m) -> $T
  %factor = arith.mulf %seed, %det : $T
  func.call @dsl.add_inverse.$T(%da, %lu, %pivots, %a, %factor) : (!m, !m, memref<?xi32>, !m, $T) -> ()
  return
}

// --- The sign of det a, which does not move, and log |det a|.   d log = trace(a⁻¹ da).   da += seed · a⁻ᵀ (Giles 2.2.4).

func.func private @dsl.lapack.lu_logdet.$T(!m {llvm.readonly}, memref<?xi32> {llvm.readonly}, !m {llvm.readonly})
  -> ($T, $T) attributes {
  autodiff.forward_rule = @dsl.lapack.lu_logdet.$T.forward, autodiff.reverse_rule = @dsl.lapack.lu_logdet.$T.reverse,
  autodiff.reads = array<i64: 0, 1, 2>, autodiff.writes = array<i64>}

func.func private @dsl.lapack.lu_logdet.$T.forward(%lu: !m, %pivots: memref<?xi32>, %a: !m, %da: !m)
    -> ($T, $T, $T, $T) attributes {autodiff.activity = ["const", "const", "duplicated"]} {
  %zero = arith.constant 0.0 : $T
  %sign, %log = func.call @dsl.lapack.lu_logdet.$T(%lu, %pivots, %a) : (!m, memref<?xi32>, !m) -> ($T, $T)
  %trace = func.call @dsl.trace_of_solution.$T(%lu, %pivots, %a, %da) : (!m, memref<?xi32>, !m, !m) -> $T
  return %sign, %log, %zero, %trace : $T, $T, $T, $T
}

func.func private @dsl.lapack.lu_logdet.$T.reverse(%lu: !m, %pivots: memref<?xi32>, %a: !m, %da: !m, %sign: $T,
    %seed: $T) attributes {autodiff.activity = ["const", "const", "duplicated"]} {
  func.call @dsl.add_inverse.$T(%da, %lu, %pivots, %a, %seed) : (!m, !m, memref<?xi32>, !m, $T) -> ()
  return
}

// --- l lᵀ = a, of a's lower triangle. With Φ for "the lower triangle, its diagonal halved":
// dl = l Φ(l⁻¹ da l⁻ᵀ), da symmetric as its lower triangle says.   s = l⁻ᵀ Φ(lᵀ dl) l⁻¹, da += the lower triangle of s + sᵀ,
// of which the diagonal is that of s; dl := 0 (Murray 2016, 3.1 and 3.2).

func.func private @dsl.lapack.cholesky.$T(!m, !m {llvm.readonly}) -> i64 attributes {
  autodiff.forward_rule = @dsl.lapack.cholesky.$T.forward, autodiff.reverse_rule = @dsl.lapack.cholesky.$T.reverse,
  autodiff.reads = array<i64: 1>, autodiff.writes = array<i64: 0>}

func.func private @dsl.lapack.cholesky.$T.forward(%l: !m, %dl: !m, %a: !m, %da: !m) -> i64 {
  %false = arith.constant false
  %true = arith.constant true
  %plus = arith.constant 1 : i64
  %info = func.call @dsl.lapack.cholesky.$T(%l, %a) : (!m, !m) -> i64
  %s = func.call @dsl.symmetric.$T(%da) : (!m) -> !m
  func.call @dsl.blas.trsm.$T(%s, %l, %true, %false) : (!m, !m, i1, i1) -> ()
  %st = memref.transpose %s (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.trsm.$T(%st, %l, %true, %false) : (!m, !m, i1, i1) -> ()
  func.call @dsl.halved_triangle.$T(%s) : (!m) -> ()
  func.call @dsl.clear.$T(%dl) : (!m) -> ()
  func.call @dsl.blas.gemm.$T(%dl, %l, %s, %plus) : (!m, !m, !m, i64) -> ()
  return %info : i64
}

func.func private @dsl.lapack.cholesky.$T.reverse(%l: !m, %dl: !m, %a: !m, %da: !m) {
  %false = arith.constant false
  %true = arith.constant true
  %plus = arith.constant 1 : i64
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %lower = func.call @dsl.copy.$T(%dl) : (!m) -> !m
  func.call @dsl.clear_triangle.$T(%lower, %true, %false) : (!m, i1, i1) -> ()
  %s = func.call @dsl.zeros_like.$T(%dl) : (!m) -> !m
  %lt = memref.transpose %l (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%s, %lt, %lower, %plus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.halved_triangle.$T(%s) : (!m) -> ()
  func.call @dsl.blas.trsm.$T(%s, %lt, %false, %false) : (!m, !m, i1, i1) -> ()
  %st = memref.transpose %s (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.trsm.$T(%st, %lt, %false, %false) : (!m, !m, i1, i1) -> ()
  %n = memref.dim %da, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %i step %c1 {
      %x = memref.load %s[%i, %j] : !m
      %y = memref.load %s[%j, %i] : !m
      %xy = arith.addf %x, %y : $T
      %old = memref.load %da[%i, %j] : !m
      %new = arith.addf %old, %xy : $T
      memref.store %new, %da[%i, %j] : !m
    }
    %x = memref.load %s[%i, %i] : !m
    %old = memref.load %da[%i, %i] : !m
    %new = arith.addf %old, %x : $T
    memref.store %new, %da[%i, %i] : !m
  }
  func.call @dsl.clear.$T(%dl) : (!m) -> ()
  return
}

// --- what the rules are made of

func.func private @dsl.zeros_like.$T(%a: !m) -> !m {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %a, %c1 : !m
  %new = memref.alloc(%rows, %columns) : memref<?x?x$T>
  %result = memref.cast %new : memref<?x?x$T> to !m
  func.call @dsl.clear.$T(%result) : (!m) -> ()
  return %result : !m
}

func.func private @dsl.clear.$T(%a: !m) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : $T
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %a, %c1 : !m
  scf.for %i = %c0 to %rows step %c1 {
    scf.for %j = %c0 to %columns step %c1 {
      memref.store %zero, %a[%i, %j] : !m
    }
  }
  return
}

func.func private @dsl.copy.$T(%a: !m) -> !m {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %a, %c1 : !m
  %new = memref.alloc(%rows, %columns) : memref<?x?x$T>
  %result = memref.cast %new : memref<?x?x$T> to !m
  scf.for %i = %c0 to %rows step %c1 {
    scf.for %j = %c0 to %columns step %c1 {
      %x = memref.load %a[%i, %j] : !m
      memref.store %x, %result[%i, %j] : !m
    }
  }
  return %result : !m
}

// The symmetric matrix that has this lower triangle.
func.func private @dsl.symmetric.$T(%a: !m) -> !m {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %a, %c0 : !m
  %new = memref.alloc(%n, %n) : memref<?x?x$T>
  %result = memref.cast %new : memref<?x?x$T> to !m
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %n step %c1 {
      %row = arith.maxsi %i, %j : index
      %column = arith.minsi %i, %j : index
      %x = memref.load %a[%row, %column] : !m
      memref.store %x, %result[%i, %j] : !m
    }
  }
  return %result : !m
}

// Zeros outside of the triangle, and on its diagonal if that counts as ones.
func.func private @dsl.clear_triangle.$T(%a: !m, %lower: i1, %unit: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %true = arith.constant true
  %zero = arith.constant 0.0 : $T
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %a, %c1 : !m
  %with_diagonal = arith.xori %unit, %true : i1
  scf.for %i = %c0 to %rows step %c1 {
    scf.for %j = %c0 to %columns step %c1 {
      %below = arith.cmpi slt, %j, %i : index
      %on = arith.cmpi eq, %i, %j : index
      %side = arith.cmpi eq, %below, %lower : i1
      %kept = arith.select %on, %with_diagonal, %side : i1
      %x = memref.load %a[%i, %j] : !m
      %y = arith.select %kept, %x, %zero : $T
      memref.store %y, %a[%i, %j] : !m
    }
  }
  return
}

// Φ, in place.
func.func private @dsl.halved_triangle.$T(%a: !m) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %true = arith.constant true
  %false = arith.constant false
  %half = arith.constant 0.5 : $T
  func.call @dsl.clear_triangle.$T(%a, %true, %false) : (!m, i1, i1) -> ()
  %n = memref.dim %a, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    %x = memref.load %a[%i, %i] : !m
    %y = arith.mulf %x, %half : $T
    memref.store %y, %a[%i, %i] : !m
  }
  return
}

// to += factor · a
func.func private @dsl.add_scaled.$T(%to: !m, %a: !m, %factor: $T) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %a, %c1 : !m
  scf.for %i = %c0 to %rows step %c1 {
    scf.for %j = %c0 to %columns step %c1 {
      %x = memref.load %a[%i, %j] : !m
      %y = arith.mulf %factor, %x : $T
      %old = memref.load %to[%i, %j] : !m
      %new = arith.addf %old, %y : $T
      memref.store %new, %to[%i, %j] : !m
    }
  }
  return
}

// to += factor · a⁻ᵀ
func.func private @dsl.add_inverse.$T(%to: !m, %lu: !m, %pivots: memref<?xi32>, %a: !m, %factor: $T) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %true = arith.constant true
  %one = arith.constant 1.0 : $T
  %inverse = func.call @dsl.zeros_like.$T(%to) : (!m) -> !m
  %n = memref.dim %to, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    memref.store %one, %inverse[%i, %i] : !m
  }
  func.call @dsl.lapack.lu_solve.$T(%inverse, %lu, %pivots, %a, %true) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  func.call @dsl.add_scaled.$T(%to, %inverse, %factor) : (!m, !m, $T) -> ()
  return
}

// trace(a⁻¹ da)
func.func private @dsl.trace_of_solution.$T(%lu: !m, %pivots: memref<?xi32>, %a: !m, %da: !m) -> $T {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %false = arith.constant false
  %zero = arith.constant 0.0 : $T
  %x = func.call @dsl.copy.$T(%da) : (!m) -> !m
  func.call @dsl.lapack.lu_solve.$T(%x, %lu, %pivots, %a, %false) : (!m, !m, memref<?xi32>, !m, i1) -> ()
  %n = memref.dim %x, %c0 : !m
  %trace = scf.for %i = %c0 to %n step %c1 iter_args(%sum = %zero) -> ($T) {
    %d = memref.load %x[%i, %i] : !m
    %next = arith.addf %sum, %d : $T
    scf.yield %next : $T
  }
  return %trace : $T
}

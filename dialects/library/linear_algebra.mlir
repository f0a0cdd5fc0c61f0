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
  %lower = func.call @dsl.copy.$T(%dl) : (!m) -> !m
  func.call @dsl.clear_triangle.$T(%lower, %true, %false) : (!m, i1, i1) -> ()
  %s = func.call @dsl.zeros_like.$T(%dl) : (!m) -> !m
  %lt = memref.transpose %l (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%s, %lt, %lower, %plus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.halved_triangle.$T(%s) : (!m) -> ()
  func.call @dsl.blas.trsm.$T(%s, %lt, %false, %false) : (!m, !m, i1, i1) -> ()
  %st = memref.transpose %s (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.trsm.$T(%st, %lt, %false, %false) : (!m, !m, i1, i1) -> ()
  func.call @dsl.add_folded.$T(%da, %s) : (!m, !m) -> ()
  func.call @dsl.clear.$T(%dl) : (!m) -> ()
  return
}

// --- a v = v diag w of a symmetric a, of which the lower triangle is read. With p = vᵀ da v and F(p)ᵢⱼ = pᵢⱼ / (wⱼ - wᵢ),
// nothing on the diagonal: dw = diag p, dv = v F(p).   da += the lower triangle of m + mᵀ, of which the diagonal is that of
// m = v (diag dw + F(vᵀ dv)) vᵀ; dw, dv := 0 (Giles 3.1). Of equal values the vectors have no derivative.

func.func private @dsl.lapack.eigh.$T(!m, !m, !m {llvm.readonly}) -> i64 attributes {
  autodiff.forward_rule = @dsl.lapack.eigh.$T.forward, autodiff.reverse_rule = @dsl.lapack.eigh.$T.reverse,
  autodiff.reads = array<i64: 2>, autodiff.writes = array<i64: 0, 1>}

func.func private @dsl.lapack.eigh.$T.forward(%w: !m, %dw: !m, %v: !m, %dv: !m, %a: !m, %da: !m) -> i64 {
  %plus = arith.constant 1 : i64
  %info = func.call @dsl.lapack.eigh.$T(%w, %v, %a) : (!m, !m, !m) -> i64
  %s = func.call @dsl.symmetric.$T(%da) : (!m) -> !m
  %vt = memref.transpose %v (i, j) -> (j, i) : !m to !m
  %sv = func.call @dsl.product.$T(%s, %v) : (!m, !m) -> !m
  %p = func.call @dsl.product.$T(%vt, %sv) : (!m, !m) -> !m
  func.call @dsl.take_diagonal.$T(%dw, %p) : (!m, !m) -> ()
  func.call @dsl.over_differences.$T(%p, %w) : (!m, !m) -> ()
  func.call @dsl.clear.$T(%dv) : (!m) -> ()
  func.call @dsl.blas.gemm.$T(%dv, %v, %p, %plus) : (!m, !m, !m, i64) -> ()
  return %info : i64
}

func.func private @dsl.lapack.eigh.$T.reverse(%w: !m, %dw: !m, %v: !m, %dv: !m, %a: !m, %da: !m) {
  %vt = memref.transpose %v (i, j) -> (j, i) : !m to !m
  %p = func.call @dsl.product.$T(%vt, %dv) : (!m, !m) -> !m
  func.call @dsl.over_differences.$T(%p, %w) : (!m, !m) -> ()
  func.call @dsl.add_diagonal.$T(%p, %dw) : (!m, !m) -> ()
  %vp = func.call @dsl.product.$T(%v, %p) : (!m, !m) -> !m
  %m = func.call @dsl.product.$T(%vp, %vt) : (!m, !m) -> !m
  func.call @dsl.add_folded.$T(%da, %m) : (!m, !m) -> ()
  func.call @dsl.clear.$T(%dw) : (!m) -> ()
  func.call @dsl.clear.$T(%dv) : (!m) -> ()
  return
}

// --- q r = a, with as many columns in q as in a, which has no more of them than rows. With x = da r⁻¹, p = qᵀ x and
// Ω = (p below the diagonal) - its transpose: dq = x + q (Ω - p), dr = (p - Ω) r.   With m = r drᵀ - dqᵀ q and L(m) = m
// where it is lower, mirrored: da += (dq + q L(m)) r⁻ᵀ; dq, dr := 0 (S. Walter, Structured higher-order algorithmic
// differentiation in the forward and reverse mode with application in optimum experimental design, 2012, 2.3).

func.func private @dsl.lapack.qr.$T(!m, !m, !m {llvm.readonly}) -> i64 attributes {
  autodiff.forward_rule = @dsl.lapack.qr.$T.forward, autodiff.reverse_rule = @dsl.lapack.qr.$T.reverse,
  autodiff.reads = array<i64: 2>, autodiff.writes = array<i64: 0, 1>}

func.func private @dsl.lapack.qr.$T.forward(%q: !m, %dq: !m, %r: !m, %dr: !m, %a: !m, %da: !m) -> i64 {
  %plus = arith.constant 1 : i64
  %minus = arith.constant -1 : i64
  %true = arith.constant true
  %false = arith.constant false
  %c1 = arith.constant 1.0 : $T
  %m1 = arith.constant -1.0 : $T
  %info = func.call @dsl.lapack.qr.$T(%q, %r, %a) : (!m, !m, !m) -> i64
  %x = func.call @dsl.copy.$T(%da) : (!m) -> !m
  %xt = memref.transpose %x (i, j) -> (j, i) : !m to !m
  %rt = memref.transpose %r (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.trsm.$T(%xt, %rt, %true, %false) : (!m, !m, i1, i1) -> ()
  %qt = memref.transpose %q (i, j) -> (j, i) : !m to !m
  %p = func.call @dsl.product.$T(%qt, %x) : (!m, !m) -> !m
  %below = func.call @dsl.copy.$T(%p) : (!m) -> !m
  func.call @dsl.clear_triangle.$T(%below, %true, %true) : (!m, i1, i1) -> ()
  %above = memref.transpose %below (i, j) -> (j, i) : !m to !m
  func.call @dsl.add_scaled.$T(%p, %below, %m1) : (!m, !m, $T) -> ()
  func.call @dsl.add_scaled.$T(%p, %above, %c1) : (!m, !m, $T) -> ()
  func.call @dsl.clear.$T(%dr) : (!m) -> ()
  func.call @dsl.blas.gemm.$T(%dr, %p, %r, %plus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.clear.$T(%dq) : (!m) -> ()
  func.call @dsl.add_scaled.$T(%dq, %x, %c1) : (!m, !m, $T) -> ()
  func.call @dsl.blas.gemm.$T(%dq, %q, %p, %minus) : (!m, !m, !m, i64) -> ()
  return %info : i64
}

func.func private @dsl.lapack.qr.$T.reverse(%q: !m, %dq: !m, %r: !m, %dr: !m, %a: !m, %da: !m) {
  %plus = arith.constant 1 : i64
  %minus = arith.constant -1 : i64
  %false = arith.constant false
  %c1 = arith.constant 1.0 : $T
  %upper = func.call @dsl.copy.$T(%dr) : (!m) -> !m
  func.call @dsl.clear_triangle.$T(%upper, %false, %false) : (!m, i1, i1) -> ()
  %uppert = memref.transpose %upper (i, j) -> (j, i) : !m to !m
  %m = func.call @dsl.product.$T(%r, %uppert) : (!m, !m) -> !m
  %dqt = memref.transpose %dq (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%m, %dqt, %q, %minus) : (!m, !m, !m, i64) -> ()
  %mirrored = func.call @dsl.symmetric.$T(%m) : (!m) -> !m
  %x = func.call @dsl.copy.$T(%dq) : (!m) -> !m
  func.call @dsl.blas.gemm.$T(%x, %q, %mirrored, %plus) : (!m, !m, !m, i64) -> ()
  %xt = memref.transpose %x (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.trsm.$T(%xt, %r, %false, %false) : (!m, !m, i1, i1) -> ()
  func.call @dsl.add_scaled.$T(%da, %x, %c1) : (!m, !m, $T) -> ()
  func.call @dsl.clear.$T(%dq) : (!m) -> ()
  func.call @dsl.clear.$T(%dr) : (!m) -> ()
  return
}

// --- u diag s vᵀ = a, as many columns in u and v as a has rows or columns, whichever are fewer. With p = uᵀ da v and
// G(x)ᵢⱼ = xᵢⱼ / (sⱼ² - sᵢ²), nothing on the diagonal: ds = diag p, du = u G(p s + s pᵀ) + (da v - u p) s⁻¹,
// dv = v G(s p + pᵀ s) + (daᵀ u - v pᵀ) s⁻¹.   With y = uᵀ du and z = vᵀ dv: da += u (diag ds + G(y - yᵀ) s + s G(z - zᵀ)) vᵀ
// + (du - u y) s⁻¹ vᵀ + u s⁻¹ (dv - v z)ᵀ; du, ds, dv := 0 (J. Townsend, Differentiating the singular value decomposition,
// 2016). Of equal values, and of a value of zero, the vectors have no derivative.

func.func private @dsl.lapack.svd.$T(!m, !m, !m, !m {llvm.readonly}) -> i64 attributes {
  autodiff.forward_rule = @dsl.lapack.svd.$T.forward, autodiff.reverse_rule = @dsl.lapack.svd.$T.reverse,
  autodiff.reads = array<i64: 3>, autodiff.writes = array<i64: 0, 1, 2>}

func.func private @dsl.lapack.svd.$T.forward(%u: !m, %du: !m, %s: !m, %ds: !m, %v: !m, %dv: !m, %a: !m, %da: !m) -> i64 {
  %info = func.call @dsl.lapack.svd.$T(%u, %s, %v, %a) : (!m, !m, !m, !m) -> i64
  %ut = memref.transpose %u (i, j) -> (j, i) : !m to !m
  %dat = memref.transpose %da (i, j) -> (j, i) : !m to !m
  %dav = func.call @dsl.product.$T(%da, %v) : (!m, !m) -> !m
  %datu = func.call @dsl.product.$T(%dat, %u) : (!m, !m) -> !m
  %p = func.call @dsl.product.$T(%ut, %dav) : (!m, !m) -> !m
  %pt = memref.transpose %p (i, j) -> (j, i) : !m to !m
  func.call @dsl.take_diagonal.$T(%ds, %p) : (!m, !m) -> ()
  func.call @dsl.rotated.$T(%du, %u, %p, %dav, %s) : (!m, !m, !m, !m, !m) -> ()
  func.call @dsl.rotated.$T(%dv, %v, %pt, %datu, %s) : (!m, !m, !m, !m, !m) -> ()
  return %info : i64
}

func.func private @dsl.lapack.svd.$T.reverse(%u: !m, %du: !m, %s: !m, %ds: !m, %v: !m, %dv: !m, %a: !m, %da: !m) {
  %plus = arith.constant 1 : i64
  %vt = memref.transpose %v (i, j) -> (j, i) : !m to !m
  %y = func.call @dsl.turned.$T(%u, %du, %s) : (!m, !m, !m) -> !m
  %z = func.call @dsl.turned.$T(%v, %dv, %s) : (!m, !m, !m) -> !m
  %zt = memref.transpose %z (i, j) -> (j, i) : !m to !m
  // s G(z - zᵀ) is the transpose of G(z - zᵀ) s, as G of what is skew is symmetric.
  %one = arith.constant 1.0 : $T
  func.call @dsl.add_scaled.$T(%y, %zt, %one) : (!m, !m, $T) -> ()
  func.call @dsl.add_diagonal.$T(%y, %ds) : (!m, !m) -> ()
  %uy = func.call @dsl.product.$T(%u, %y) : (!m, !m) -> !m
  %ru = func.call @dsl.remainder.$T(%u, %du, %s) : (!m, !m, !m) -> !m
  func.call @dsl.add_scaled.$T(%uy, %ru, %one) : (!m, !m, $T) -> ()
  func.call @dsl.blas.gemm.$T(%da, %uy, %vt, %plus) : (!m, !m, !m, i64) -> ()
  %rv = func.call @dsl.remainder.$T(%v, %dv, %s) : (!m, !m, !m) -> !m
  %rvt = memref.transpose %rv (i, j) -> (j, i) : !m to !m
  func.call @dsl.blas.gemm.$T(%da, %u, %rvt, %plus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.clear.$T(%du) : (!m) -> ()
  func.call @dsl.clear.$T(%ds) : (!m) -> ()
  func.call @dsl.clear.$T(%dv) : (!m) -> ()
  return
}

// du := u G(p s + s pᵀ) + (x - u p) s⁻¹
func.func private @dsl.rotated.$T(%du: !m, %u: !m, %p: !m, %x: !m, %s: !m) {
  %plus = arith.constant 1 : i64
  %minus = arith.constant -1 : i64
  %one = arith.constant 1.0 : $T
  %false = arith.constant false
  %true = arith.constant true
  %g = func.call @dsl.copy.$T(%p) : (!m) -> !m
  func.call @dsl.scale_columns.$T(%g, %s, %false) : (!m, !m, i1) -> ()
  %other = func.call @dsl.copy.$T(%g) : (!m) -> !m
  %gt = memref.transpose %other (i, j) -> (j, i) : !m to !m
  func.call @dsl.add_scaled.$T(%g, %gt, %one) : (!m, !m, $T) -> ()
  %squares = func.call @dsl.squared.$T(%s) : (!m) -> !m
  func.call @dsl.over_differences.$T(%g, %squares) : (!m, !m) -> ()
  %rest = func.call @dsl.copy.$T(%x) : (!m) -> !m
  func.call @dsl.blas.gemm.$T(%rest, %u, %p, %minus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.scale_columns.$T(%rest, %s, %true) : (!m, !m, i1) -> ()
  func.call @dsl.clear.$T(%du) : (!m) -> ()
  func.call @dsl.add_scaled.$T(%du, %rest, %one) : (!m, !m, $T) -> ()
  func.call @dsl.blas.gemm.$T(%du, %u, %g, %plus) : (!m, !m, !m, i64) -> ()
  return
}

// G(y - yᵀ) s, of y = uᵀ du
func.func private @dsl.turned.$T(%u: !m, %du: !m, %s: !m) -> !m {
  %minus = arith.constant -1.0 : $T
  %false = arith.constant false
  %ut = memref.transpose %u (i, j) -> (j, i) : !m to !m
  %y = func.call @dsl.product.$T(%ut, %du) : (!m, !m) -> !m
  %other = func.call @dsl.copy.$T(%y) : (!m) -> !m
  %yt = memref.transpose %other (i, j) -> (j, i) : !m to !m
  func.call @dsl.add_scaled.$T(%y, %yt, %minus) : (!m, !m, $T) -> ()
  %squares = func.call @dsl.squared.$T(%s) : (!m) -> !m
  func.call @dsl.over_differences.$T(%y, %squares) : (!m, !m) -> ()
  func.call @dsl.scale_columns.$T(%y, %s, %false) : (!m, !m, i1) -> ()
  return %y : !m
}

// (du - u uᵀ du) s⁻¹
func.func private @dsl.remainder.$T(%u: !m, %du: !m, %s: !m) -> !m {
  %minus = arith.constant -1 : i64
  %true = arith.constant true
  %ut = memref.transpose %u (i, j) -> (j, i) : !m to !m
  %y = func.call @dsl.product.$T(%ut, %du) : (!m, !m) -> !m
  %rest = func.call @dsl.copy.$T(%du) : (!m) -> !m
  func.call @dsl.blas.gemm.$T(%rest, %u, %y, %minus) : (!m, !m, !m, i64) -> ()
  func.call @dsl.scale_columns.$T(%rest, %s, %true) : (!m, !m, i1) -> ()
  return %rest : !m
}

// --- what the rules are made of

// a b
func.func private @dsl.product.$T(%a: !m, %b: !m) -> !m {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %plus = arith.constant 1 : i64
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %b, %c1 : !m
  %new = memref.alloc(%rows, %columns) : memref<?x?x$T>
  %result = memref.cast %new : memref<?x?x$T> to !m
  func.call @dsl.clear.$T(%result) : (!m) -> ()
  func.call @dsl.blas.gemm.$T(%result, %a, %b, %plus) : (!m, !m, !m, i64) -> ()
  return %result : !m
}

// The squares of a column.
func.func private @dsl.squared.$T(%w: !m) -> !m {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %w, %c0 : !m
  %result = func.call @dsl.copy.$T(%w) : (!m) -> !m
  scf.for %i = %c0 to %n step %c1 {
    %x = memref.load %result[%i, %c0] : !m
    %y = arith.mulf %x, %x : $T
    memref.store %y, %result[%i, %c0] : !m
  }
  return %result : !m
}

// The columns of a times the numbers in the column s, or divided by them. Zero over zero is zero: nothing depends on it.
func.func private @dsl.scale_columns.$T(%a: !m, %s: !m, %inverse: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : $T
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %a, %c1 : !m
  scf.for %i = %c0 to %rows step %c1 {
    scf.for %j = %c0 to %columns step %c1 {
      %x = memref.load %a[%i, %j] : !m
      %f = memref.load %s[%j, %c0] : !m
      %y = scf.if %inverse -> ($T) {
        %nothing = func.call @dsl.both_zero.$T(%x, %f) : ($T, $T) -> i1
        %q = scf.if %nothing -> ($T) {
          scf.yield %zero : $T
        } else {
          %d = arith.divf %x, %f : $T
          scf.yield %d : $T
        }
        scf.yield %q : $T
      } else {
        %m = arith.mulf %x, %f : $T
        scf.yield %m : $T
      }
      memref.store %y, %a[%i, %j] : !m
    }
  }
  return
}

func.func private @dsl.both_zero.$T(%x: $T, %y: $T) -> i1 {
  %zero = arith.constant 0.0 : $T
  %first = arith.cmpf oeq, %x, %zero : $T
  %second = arith.cmpf oeq, %y, %zero : $T
  %both = arith.andi %first, %second : i1
  return %both : i1
}

// pᵢⱼ := pᵢⱼ / (wⱼ - wᵢ), of the column w; zeros on the diagonal. Zero over zero is zero: nothing depends on it.
func.func private @dsl.over_differences.$T(%p: !m, %w: !m) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : $T
  %n = memref.dim %p, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    %wi = memref.load %w[%i, %c0] : !m
    scf.for %j = %c0 to %n step %c1 {
      %x = memref.load %p[%i, %j] : !m
      %wj = memref.load %w[%j, %c0] : !m
      %apart = arith.subf %wj, %wi : $T
      %on = arith.cmpi eq, %i, %j : index
      %nothing = func.call @dsl.both_zero.$T(%x, %apart) : ($T, $T) -> i1
      %none = arith.ori %on, %nothing : i1
      %y = scf.if %none -> ($T) {
        scf.yield %zero : $T
      } else {
        %q = arith.divf %x, %apart : $T
        scf.yield %q : $T
      }
      memref.store %y, %p[%i, %j] : !m
    }
  }
  return
}

// The column w := the diagonal of p.
func.func private @dsl.take_diagonal.$T(%w: !m, %p: !m) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %p, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    %x = memref.load %p[%i, %i] : !m
    memref.store %x, %w[%i, %c0] : !m
  }
  return
}

// The diagonal of p += the column w.
func.func private @dsl.add_diagonal.$T(%p: !m, %w: !m) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %p, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    %x = memref.load %w[%i, %c0] : !m
    %old = memref.load %p[%i, %i] : !m
    %new = arith.addf %old, %x : $T
    memref.store %new, %p[%i, %i] : !m
  }
  return
}

// to += the lower triangle of a + aᵀ, on the diagonal of a.
func.func private @dsl.add_folded.$T(%to: !m, %a: !m) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %to, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %i step %c1 {
      %x = memref.load %a[%i, %j] : !m
      %y = memref.load %a[%j, %i] : !m
      %xy = arith.addf %x, %y : $T
      %old = memref.load %to[%i, %j] : !m
      %new = arith.addf %old, %xy : $T
      memref.store %new, %to[%i, %j] : !m
    }
    %x = memref.load %a[%i, %i] : !m
    %old = memref.load %to[%i, %i] : !m
    %new = arith.addf %old, %x : $T
    memref.store %new, %to[%i, %i] : !m
  }
  return
}

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

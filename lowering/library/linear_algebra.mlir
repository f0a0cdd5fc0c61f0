// Dense linear algebra on memrefs of any strides, by the BLAS and LAPACK that SciPy brings. `$T` stands for the element
// type, `$t` for the letter that Fortran's names have for it. Each public function is described in linear_algebra.py.
//
// Fortran stores columns: what it reads in a row-major memref is the transposed matrix. Sizes are 32-bit integers
// there, so a matrix with more rows or columns goes through the loops.

!m = memref<?x?x$T, strided<[?, ?], offset: ?>>

func.func private @scipy.linalg.cython_blas.$tgemm(memref<i8>, memref<i8>, memref<i32>, memref<i32>, memref<i32>,
  memref<$T>, !m, memref<i32>, !m, memref<i32>, memref<$T>, !m, memref<i32>) attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_blas.$ttrsm(memref<i8>, memref<i8>, memref<i8>, memref<i8>, memref<i32>,
  memref<i32>, memref<$T>, !m, memref<i32>, !m, memref<i32>) attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_lapack.$tgetrf(memref<i32>, memref<i32>, !m, memref<i32>, memref<?xi32>,
  memref<i32>) attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_lapack.$tgetrs(memref<i8>, memref<i32>, memref<i32>, !m, memref<i32>,
  memref<?xi32>, !m, memref<i32>, memref<i32>) attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_lapack.$tpotrf(memref<i8>, memref<i32>, !m, memref<i32>, memref<i32>)
  attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_lapack.$tsyevd(memref<i8>, memref<i8>, memref<i32>, !m, memref<i32>, !m,
  memref<?x$T>, memref<i32>, memref<?xi32>, memref<i32>, memref<i32>) attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_lapack.$tgesdd(memref<i8>, memref<i32>, memref<i32>, !m, memref<i32>, !m, !m,
  memref<i32>, !m, memref<i32>, memref<?x$T>, memref<i32>, memref<?xi32>, memref<i32>) attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_lapack.$tgeqrf(memref<i32>, memref<i32>, !m, memref<i32>, memref<?x$T>,
  memref<?x$T>, memref<i32>, memref<i32>) attributes {llvm.bareptr}
func.func private @scipy.linalg.cython_lapack.$torgqr(memref<i32>, memref<i32>, memref<i32>, !m, memref<i32>,
  memref<?x$T>, memref<?x$T>, memref<i32>, memref<i32>) attributes {llvm.bareptr}

// --- how a matrix lies in memory

// 1 where the rows are contiguous, 2 where the columns are, 0 where neither are; and the stride between them. One row
// or column lies in either way.
func.func private @dsl.layout.$T(%a: !m) -> (i8, i32) {
  %c0 = arith.constant 0 : i8
  %c1 = arith.constant 1 : i8
  %c2 = arith.constant 2 : i8
  %one = arith.constant 1 : index
  %most = arith.constant 2147483647 : index
  %base, %offset, %sizes:2, %strides:2 = memref.extract_strided_metadata %a : !m
    -> memref<$T>, index, index, index, index, index
  %unit1 = arith.cmpi eq, %strides#1, %one : index
  %narrow = arith.cmpi ule, %sizes#1, %one : index
  %inner1 = arith.ori %unit1, %narrow : i1
  %wide0 = arith.cmpi sge, %strides#0, %sizes#1 : index
  %single0 = arith.cmpi ule, %sizes#0, %one : index
  %outer0 = arith.ori %wide0, %single0 : i1
  %rows = arith.andi %inner1, %outer0 : i1
  %unit0 = arith.cmpi eq, %strides#0, %one : index
  %inner0 = arith.ori %unit0, %single0 : i1
  %wide1 = arith.cmpi sge, %strides#1, %sizes#0 : index
  %outer1 = arith.ori %wide1, %narrow : i1
  %columns = arith.andi %inner0, %outer1 : i1
  %lead0 = arith.maxsi %strides#0, %sizes#1 : index
  %lead1 = arith.maxsi %strides#1, %sizes#0 : index
  %stride = arith.select %rows, %lead0, %lead1 : index
  %atleast = arith.maxsi %stride, %one : index
  %fits = arith.cmpi sle, %atleast, %most : index
  %other = arith.select %columns, %c2, %c0 : i8
  %found = arith.select %rows, %c1, %other : i8
  %layout = arith.select %fits, %found, %c0 : i8
  %lead = arith.index_cast %atleast : index to i32
  return %layout, %lead : i8, i32
}

func.func private @dsl.compact.$T(%a: !m) -> !m {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %rows = memref.dim %a, %c0 : !m
  %columns = memref.dim %a, %c1 : !m
  %copy = memref.alloc(%rows, %columns) : memref<?x?x$T>
  memref.copy %a, %copy : !m to memref<?x?x$T>
  %result = memref.cast %copy : memref<?x?x$T> to !m
  return %result : !m
}

// --- products

func.func private @dsl.blas.gemm.$T(%c: !m, %a: !m, %b: !m, %sign: i64) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %threshold = arith.constant $gemm : index
  %most = arith.constant 2147483647 : index
  %m = memref.dim %a, %c0 : !m
  %k = memref.dim %a, %c1 : !m
  %n = memref.dim %b, %c1 : !m
  %mk = arith.muli %m, %k : index
  %work = arith.muli %mk, %n : index
  %large = arith.cmpi sge, %work, %threshold : index
  %mn = arith.maxsi %m, %n : index
  %mnk = arith.maxsi %mn, %k : index
  %fits = arith.cmpi sle, %mnk, %most : index
  %layout, %lead = func.call @dsl.layout.$T(%c) : (!m) -> (i8, i32)
  %none = arith.constant 0 : i8
  %dense = arith.cmpi ne, %layout, %none : i8
  %ok = arith.andi %fits, %dense : i1
  %blas = arith.andi %large, %ok : i1
  scf.if %blas {
    %one = arith.constant 1 : i8
    %rowwise = arith.cmpi eq, %layout, %one : i8
    scf.if %rowwise {
      func.call @dsl.gemm.$T(%c, %lead, %a, %b, %sign) : (!m, i32, !m, !m, i64) -> ()
    } else {
      %ct = memref.transpose %c (i, j) -> (j, i) : !m to !m
      %at = memref.transpose %a (i, j) -> (j, i) : !m to !m
      %bt = memref.transpose %b (i, j) -> (j, i) : !m to !m
      func.call @dsl.gemm.$T(%ct, %lead, %bt, %at, %sign) : (!m, i32, !m, !m, i64) -> ()
    }
  } else {
    %s = arith.sitofp %sign : i64 to $T
    scf.for %i = %c0 to %m step %c1 {
      scf.for %l = %c0 to %k step %c1 {
        %x = memref.load %a[%i, %l] : !m
        %sx = arith.mulf %s, %x : $T
        scf.for %j = %c0 to %n step %c1 {
          %y = memref.load %b[%l, %j] : !m
          %old = memref.load %c[%i, %j] : !m
          %p = arith.mulf %sx, %y : $T
          %new = arith.addf %old, %p : $T
          memref.store %new, %c[%i, %j] : !m
        }
      }
    }
  }
  return
}

// The product into a matrix with contiguous rows: as Fortran reads them, C^T += B^T A^T.
func.func private @dsl.gemm.$T(%c: !m, %ldc: i32, %a: !m, %b: !m, %sign: i64) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %m = memref.dim %a, %c0 : !m
  %k = memref.dim %a, %c1 : !m
  %n = memref.dim %b, %c1 : !m
  %a1, %lda, %ta = func.call @dsl.operand.$T(%a) : (!m) -> (!m, i32, i8)
  %b1, %ldb, %tb = func.call @dsl.operand.$T(%b) : (!m) -> (!m, i32, i8)
  %ta_ = memref.alloca() : memref<i8>
  memref.store %ta, %ta_[] : memref<i8>
  %tb_ = memref.alloca() : memref<i8>
  memref.store %tb, %tb_[] : memref<i8>
  %m_ = memref.alloca() : memref<i32>
  %mi = arith.index_cast %m : index to i32
  memref.store %mi, %m_[] : memref<i32>
  %n_ = memref.alloca() : memref<i32>
  %ni = arith.index_cast %n : index to i32
  memref.store %ni, %n_[] : memref<i32>
  %k_ = memref.alloca() : memref<i32>
  %ki = arith.index_cast %k : index to i32
  memref.store %ki, %k_[] : memref<i32>
  %lda_ = memref.alloca() : memref<i32>
  memref.store %lda, %lda_[] : memref<i32>
  %ldb_ = memref.alloca() : memref<i32>
  memref.store %ldb, %ldb_[] : memref<i32>
  %ldc_ = memref.alloca() : memref<i32>
  memref.store %ldc, %ldc_[] : memref<i32>
  %alpha_ = memref.alloca() : memref<$T>
  %alpha = arith.sitofp %sign : i64 to $T
  memref.store %alpha, %alpha_[] : memref<$T>
  %beta_ = memref.alloca() : memref<$T>
  %beta = arith.constant 1.0 : $T
  memref.store %beta, %beta_[] : memref<$T>
  func.call @scipy.linalg.cython_blas.$tgemm(%tb_, %ta_, %n_, %m_, %k_, %alpha_, %b1, %ldb_, %a1, %lda_, %beta_, %c,
    %ldc_) : (memref<i8>, memref<i8>, memref<i32>, memref<i32>, memref<i32>, memref<$T>, !m, memref<i32>, !m,
    memref<i32>, memref<$T>, !m, memref<i32>) -> ()
  return
}

// A matrix as an operand of Fortran's products: dense, with its stride and 'N' (its rows lie together) or 'T'.
func.func private @dsl.operand.$T(%a: !m) -> (!m, i32, i8) {
  %none = arith.constant 0 : i8
  %one = arith.constant 1 : i8
  %as_is = arith.constant 78 : i8
  %transposed = arith.constant 84 : i8
  %layout, %lead = func.call @dsl.layout.$T(%a) : (!m) -> (i8, i32)
  %scattered = arith.cmpi eq, %layout, %none : i8
  %dense, %stride, %flag = scf.if %scattered -> (!m, i32, i8) {
    %copy = func.call @dsl.compact.$T(%a) : (!m) -> !m
    %again, %width = func.call @dsl.layout.$T(%copy) : (!m) -> (i8, i32)
    scf.yield %copy, %width, %as_is : !m, i32, i8
  } else {
    %rowwise = arith.cmpi eq, %layout, %one : i8
    %letter = arith.select %rowwise, %as_is, %transposed : i8
    scf.yield %a, %lead, %letter : !m, i32, i8
  }
  return %dense, %stride, %flag : !m, i32, i8
}

// --- triangular systems

func.func private @dsl.blas.trsm.$T(%x: !m, %a: !m, %lower: i1, %unit: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1 : i8
  %n = memref.dim %x, %c0 : !m
  %k = memref.dim %x, %c1 : !m
  %a1, %lda, %ta = func.call @dsl.operand.$T(%a) : (!m) -> (!m, i32, i8)
  %layout, %ldx = func.call @dsl.layout.$T(%x) : (!m) -> (i8, i32)
  %direct = arith.cmpi eq, %layout, %one : i8
  %work = scf.if %direct -> (!m) {
    scf.yield %x : !m
  } else {
    %copy = func.call @dsl.compact.$T(%x) : (!m) -> !m
    scf.yield %copy : !m
  }
  %layout1, %ldw = func.call @dsl.layout.$T(%work) : (!m) -> (i8, i32)
  // X^T op(A^T) = B^T: from the right. What has contiguous rows is A^T for Fortran, its lower triangle the upper one.
  %as_is = arith.constant 78 : i8
  %rowwise = arith.cmpi eq, %ta, %as_is : i8
  %fortran_lower = arith.xori %lower, %rowwise : i1
  %upper_letter = arith.constant 85 : i8
  %lower_letter = arith.constant 76 : i8
  %uplo = arith.select %fortran_lower, %lower_letter, %upper_letter : i8
  %unit_letter = arith.constant 85 : i8
  %diag = arith.select %unit, %unit_letter, %as_is : i8
  %right = arith.constant 82 : i8
  %side_ = memref.alloca() : memref<i8>
  memref.store %right, %side_[] : memref<i8>
  %uplo_ = memref.alloca() : memref<i8>
  memref.store %uplo, %uplo_[] : memref<i8>
  %ta_ = memref.alloca() : memref<i8>
  memref.store %ta, %ta_[] : memref<i8>
  %diag_ = memref.alloca() : memref<i8>
  memref.store %diag, %diag_[] : memref<i8>
  %n_ = memref.alloca() : memref<i32>
  %ni = arith.index_cast %n : index to i32
  memref.store %ni, %n_[] : memref<i32>
  %k_ = memref.alloca() : memref<i32>
  %ki = arith.index_cast %k : index to i32
  memref.store %ki, %k_[] : memref<i32>
  %lda_ = memref.alloca() : memref<i32>
  memref.store %lda, %lda_[] : memref<i32>
  %ldx_ = memref.alloca() : memref<i32>
  memref.store %ldw, %ldx_[] : memref<i32>
  %alpha_ = memref.alloca() : memref<$T>
  %alpha = arith.constant 1.0 : $T
  memref.store %alpha, %alpha_[] : memref<$T>
  func.call @scipy.linalg.cython_blas.$ttrsm(%side_, %uplo_, %ta_, %diag_, %k_, %n_, %alpha_, %a1, %lda_, %work, %ldx_)
    : (memref<i8>, memref<i8>, memref<i8>, memref<i8>, memref<i32>, memref<i32>, memref<$T>, !m, memref<i32>, !m,
       memref<i32>) -> ()
  scf.if %direct {
  } else {
    memref.copy %work, %x : !m to !m
  }
  return
}

// --- factorisations

// LAPACK factorises A^T, which is what it reads: A^T = P L U.
func.func private @dsl.lapack.lu.$T(%lu: !m, %pivots: memref<?xi32>, %a: !m) -> i64 {
  memref.copy %a, %lu : !m to !m
  %c0 = arith.constant 0 : index
  %n = memref.dim %lu, %c0 : !m
  %n_ = memref.alloca() : memref<i32>
  %ni = arith.index_cast %n : index to i32
  memref.store %ni, %n_[] : memref<i32>
  %layout, %lead = func.call @dsl.layout.$T(%lu) : (!m) -> (i8, i32)
  %lead_ = memref.alloca() : memref<i32>
  memref.store %lead, %lead_[] : memref<i32>
  %info_ = memref.alloca() : memref<i32>
  %zero = arith.constant 0 : i32
  memref.store %zero, %info_[] : memref<i32>
  func.call @scipy.linalg.cython_lapack.$tgetrf(%n_, %n_, %lu, %lead_, %pivots, %info_)
    : (memref<i32>, memref<i32>, !m, memref<i32>, memref<?xi32>, memref<i32>) -> ()
  %info = memref.load %info_[] : memref<i32>
  %result = arith.extsi %info : i32 to i64
  return %result : i64
}

func.func private @dsl.lapack.lu_solve.$T(%x: !m, %lu: !m, %pivots: memref<?xi32>, %a: !m, %transposed: i1) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : !m
  %k = memref.dim %x, %c1 : !m
  // LAPACK wants contiguous columns: contiguous rows of the transposed matrix.
  %xt = memref.transpose %x (i, j) -> (j, i) : !m to !m
  %layout, %lead = func.call @dsl.layout.$T(%xt) : (!m) -> (i8, i32)
  %one = arith.constant 1 : i8
  %direct = arith.cmpi eq, %layout, %one : i8
  %work = scf.if %direct -> (!m) {
    scf.yield %xt : !m
  } else {
    %copy = func.call @dsl.compact.$T(%xt) : (!m) -> !m
    scf.yield %copy : !m
  }
  %layout1, %ldx = func.call @dsl.layout.$T(%work) : (!m) -> (i8, i32)
  %layout2, %lda = func.call @dsl.layout.$T(%lu) : (!m) -> (i8, i32)
  %as_is = arith.constant 78 : i8
  %other = arith.constant 84 : i8
  %letter = arith.select %transposed, %as_is, %other : i8
  %trans_ = memref.alloca() : memref<i8>
  memref.store %letter, %trans_[] : memref<i8>
  %n_ = memref.alloca() : memref<i32>
  %ni = arith.index_cast %n : index to i32
  memref.store %ni, %n_[] : memref<i32>
  %k_ = memref.alloca() : memref<i32>
  %ki = arith.index_cast %k : index to i32
  memref.store %ki, %k_[] : memref<i32>
  %lda_ = memref.alloca() : memref<i32>
  memref.store %lda, %lda_[] : memref<i32>
  %ldx_ = memref.alloca() : memref<i32>
  memref.store %ldx, %ldx_[] : memref<i32>
  %info_ = memref.alloca() : memref<i32>
  func.call @scipy.linalg.cython_lapack.$tgetrs(%trans_, %n_, %k_, %lu, %lda_, %pivots, %work, %ldx_, %info_)
    : (memref<i8>, memref<i32>, memref<i32>, !m, memref<i32>, memref<?xi32>, !m, memref<i32>, memref<i32>) -> ()
  scf.if %direct {
  } else {
    memref.copy %work, %xt : !m to !m
  }
  return
}

// -1 or 1: by how many rows were exchanged.
func.func private @dsl.parity.$T(%pivots: memref<?xi32>, %n: index) -> $T {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1 : i32
  %plus = arith.constant 1.0 : $T
  %sign = scf.for %i = %c0 to %n step %c1 iter_args(%s = %plus) -> ($T) {
    %pivot = memref.load %pivots[%i] : memref<?xi32>
    %row = arith.index_cast %i : index to i32
    %own = arith.addi %row, %one : i32
    %stays = arith.cmpi eq, %pivot, %own : i32
    %negated = arith.negf %s : $T
    %next = arith.select %stays, %s, %negated : $T
    scf.yield %next : $T
  }
  return %sign : $T
}

func.func private @dsl.lapack.lu_det.$T(%lu: !m, %pivots: memref<?xi32>, %a: !m) -> $T {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %lu, %c0 : !m
  %sign = func.call @dsl.parity.$T(%pivots, %n) : (memref<?xi32>, index) -> $T
  %det = scf.for %i = %c0 to %n step %c1 iter_args(%p = %sign) -> ($T) {
    %u = memref.load %lu[%i, %i] : !m
    %next = arith.mulf %p, %u : $T
    scf.yield %next : $T
  }
  return %det : $T
}

// Of a singular matrix: 0 and minus infinity.
func.func private @dsl.lapack.lu_logdet.$T(%lu: !m, %pivots: memref<?xi32>, %a: !m) -> ($T, $T) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zero = arith.constant 0.0 : $T
  %n = memref.dim %lu, %c0 : !m
  %parity = func.call @dsl.parity.$T(%pivots, %n) : (memref<?xi32>, index) -> $T
  %sign, %log = scf.for %i = %c0 to %n step %c1 iter_args(%s = %parity, %l = %zero) -> ($T, $T) {
    %u = memref.load %lu[%i, %i] : !m
    %size = math.absf %u : $T
    %term = math.log %size : $T
    %sum = arith.addf %l, %term : $T
    %negative = arith.cmpf olt, %u, %zero : $T
    %negated = arith.negf %s : $T
    %turned = arith.select %negative, %negated, %s : $T
    %none = arith.cmpf oeq, %u, %zero : $T
    %next = arith.select %none, %zero, %turned : $T
    scf.yield %next, %sum : $T, $T
  }
  return %sign, %log : $T, $T
}

func.func private @dsl.lapack.cholesky.$T(%l: !m, %a: !m) -> i64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %l, %c0 : !m
  %zero = arith.constant 0.0 : $T
  scf.for %i = %c0 to %n step %c1 {
    %next = arith.addi %i, %c1 : index
    scf.for %j = %c0 to %next step %c1 {
      %x = memref.load %a[%i, %j] : !m
      memref.store %x, %l[%i, %j] : !m
    }
    scf.for %j = %next to %n step %c1 {
      memref.store %zero, %l[%i, %j] : !m
    }
  }
  %upper = arith.constant 85 : i8
  %uplo_ = memref.alloca() : memref<i8>
  memref.store %upper, %uplo_[] : memref<i8>
  %n_ = memref.alloca() : memref<i32>
  %ni = arith.index_cast %n : index to i32
  memref.store %ni, %n_[] : memref<i32>
  %layout, %lead = func.call @dsl.layout.$T(%l) : (!m) -> (i8, i32)
  %lead_ = memref.alloca() : memref<i32>
  memref.store %lead, %lead_[] : memref<i32>
  %info_ = memref.alloca() : memref<i32>
  %none = arith.constant 0 : i32
  memref.store %none, %info_[] : memref<i32>
  func.call @scipy.linalg.cython_lapack.$tpotrf(%uplo_, %n_, %l, %lead_, %info_)
    : (memref<i8>, memref<i32>, !m, memref<i32>, memref<i32>) -> ()
  %info = memref.load %info_[] : memref<i32>
  %result = arith.extsi %info : i32 to i64
  return %result : i64
}

// A number where Fortran takes one from.
func.func private @dsl.number.$T(%x: index) -> memref<i32> {
  %cell = memref.alloc() : memref<i32>
  %i = arith.index_cast %x : index to i32
  memref.store %i, %cell[] : memref<i32>
  return %cell : memref<i32>
}

// The vectors come as columns as Fortran has them, which are rows here.
func.func private @dsl.lapack.eigh.$T(%w: !m, %v: !m, %a: !m) -> i64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c5 = arith.constant 5 : index
  %c6 = arith.constant 6 : index
  %n = memref.dim %a, %c0 : !m
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %n step %c1 {
      %row = arith.maxsi %i, %j : index
      %column = arith.minsi %i, %j : index
      %x = memref.load %a[%row, %column] : !m
      memref.store %x, %v[%i, %j] : !m
    }
  }
  %vectors = arith.constant 86 : i8
  %upper = arith.constant 85 : i8
  %job_ = memref.alloca() : memref<i8>
  memref.store %vectors, %job_[] : memref<i8>
  %uplo_ = memref.alloca() : memref<i8>
  memref.store %upper, %uplo_[] : memref<i8>
  %layout, %lead = func.call @dsl.layout.$T(%v) : (!m) -> (i8, i32)
  %lead_ = memref.alloca() : memref<i32>
  memref.store %lead, %lead_[] : memref<i32>
  %nn = arith.muli %n, %n : index
  %nn2 = arith.muli %nn, %c2 : index
  %n6 = arith.muli %n, %c6 : index
  %most = arith.addi %nn2, %n6 : index
  %lwork = arith.addi %most, %c1 : index
  %n5 = arith.muli %n, %c5 : index
  %liwork = arith.addi %n5, %c3 : index
  %work = memref.alloc(%lwork) : memref<?x$T>
  %iwork = memref.alloc(%liwork) : memref<?xi32>
  %n_ = func.call @dsl.number.$T(%n) : (index) -> memref<i32>
  %lwork_ = func.call @dsl.number.$T(%lwork) : (index) -> memref<i32>
  %liwork_ = func.call @dsl.number.$T(%liwork) : (index) -> memref<i32>
  %info_ = func.call @dsl.number.$T(%c0) : (index) -> memref<i32>
  func.call @scipy.linalg.cython_lapack.$tsyevd(%job_, %uplo_, %n_, %v, %lead_, %w, %work, %lwork_, %iwork, %liwork_,
    %info_) : (memref<i8>, memref<i8>, memref<i32>, !m, memref<i32>, !m, memref<?x$T>, memref<i32>, memref<?xi32>,
    memref<i32>, memref<i32>) -> ()
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %i step %c1 {
      %x = memref.load %v[%i, %j] : !m
      %y = memref.load %v[%j, %i] : !m
      memref.store %y, %v[%i, %j] : !m
      memref.store %x, %v[%j, %i] : !m
    }
  }
  %info = memref.load %info_[] : memref<i32>
  %result = arith.extsi %info : i32 to i64
  return %result : i64
}

// LAPACK takes apart the matrix with contiguous columns, of which the rows here are the transpose's.
func.func private @dsl.lapack.qr.$T(%q: !m, %r: !m, %a: !m) -> i64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c64 = arith.constant 64 : index
  %zero = arith.constant 0.0 : $T
  %m = memref.dim %a, %c0 : !m
  %n = memref.dim %a, %c1 : !m
  %at = memref.transpose %a (i, j) -> (j, i) : !m to !m
  %factors = func.call @dsl.compact.$T(%at) : (!m) -> !m
  %layout, %lead = func.call @dsl.layout.$T(%factors) : (!m) -> (i8, i32)
  %lead_ = memref.alloca() : memref<i32>
  memref.store %lead, %lead_[] : memref<i32>
  %tau = memref.alloc(%n) : memref<?x$T>
  %n1 = arith.maxsi %n, %c1 : index
  %lwork = arith.muli %n1, %c64 : index
  %work = memref.alloc(%lwork) : memref<?x$T>
  %m_ = func.call @dsl.number.$T(%m) : (index) -> memref<i32>
  %n_ = func.call @dsl.number.$T(%n) : (index) -> memref<i32>
  %lwork_ = func.call @dsl.number.$T(%lwork) : (index) -> memref<i32>
  %info_ = func.call @dsl.number.$T(%c0) : (index) -> memref<i32>
  func.call @scipy.linalg.cython_lapack.$tgeqrf(%m_, %n_, %factors, %lead_, %tau, %work, %lwork_, %info_)
    : (memref<i32>, memref<i32>, !m, memref<i32>, memref<?x$T>, memref<?x$T>, memref<i32>, memref<i32>) -> ()
  scf.for %i = %c0 to %n step %c1 {
    scf.for %j = %c0 to %n step %c1 {
      %kept = arith.cmpi sge, %j, %i : index
      %x = memref.load %factors[%j, %i] : !m
      %y = arith.select %kept, %x, %zero : $T
      memref.store %y, %r[%i, %j] : !m
    }
  }
  func.call @scipy.linalg.cython_lapack.$torgqr(%m_, %n_, %n_, %factors, %lead_, %tau, %work, %lwork_, %info_)
    : (memref<i32>, memref<i32>, memref<i32>, !m, memref<i32>, memref<?x$T>, memref<?x$T>, memref<i32>, memref<i32>)
    -> ()
  scf.for %i = %c0 to %m step %c1 {
    scf.for %j = %c0 to %n step %c1 {
      %x = memref.load %factors[%j, %i] : !m
      memref.store %x, %q[%i, %j] : !m
    }
  }
  %info = memref.load %info_[] : memref<i32>
  %result = arith.extsi %info : i32 to i64
  return %result : i64
}

func.func private @dsl.lapack.svd.$T(%u: !m, %s: !m, %v: !m, %a: !m) -> i64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %m = memref.dim %a, %c0 : !m
  %n = memref.dim %a, %c1 : !m
  %k = memref.dim %s, %c0 : !m
  %at = memref.transpose %a (i, j) -> (j, i) : !m to !m
  %read = func.call @dsl.compact.$T(%at) : (!m) -> !m
  %ut0 = memref.alloc(%k, %m) : memref<?x?x$T>
  %ut = memref.cast %ut0 : memref<?x?x$T> to !m
  %layout, %lead = func.call @dsl.layout.$T(%read) : (!m) -> (i8, i32)
  %lead_ = memref.alloca() : memref<i32>
  memref.store %lead, %lead_[] : memref<i32>
  %layout1, %leadu = func.call @dsl.layout.$T(%ut) : (!m) -> (i8, i32)
  %leadu_ = memref.alloca() : memref<i32>
  memref.store %leadu, %leadu_[] : memref<i32>
  %layout2, %leadv = func.call @dsl.layout.$T(%v) : (!m) -> (i8, i32)
  %leadv_ = memref.alloca() : memref<i32>
  memref.store %leadv, %leadv_[] : memref<i32>
  %small = arith.constant 83 : i8
  %job_ = memref.alloca() : memref<i8>
  memref.store %small, %job_[] : memref<i8>
  // 4 k² + 7 k and more, and what the larger side takes.
  %kk = arith.muli %k, %k : index
  %kk8 = arith.muli %kk, %c8 : index
  %mn = arith.maxsi %m, %n : index
  %mk = arith.addi %mn, %k : index
  %mk8 = arith.muli %mk, %c8 : index
  %wide = arith.muli %mk8, %c8 : index
  %all = arith.addi %kk8, %wide : index
  %lwork = arith.addi %all, %c8 : index
  %work = memref.alloc(%lwork) : memref<?x$T>
  %k8 = arith.muli %k, %c8 : index
  %liwork = arith.addi %k8, %c1 : index
  %iwork = memref.alloc(%liwork) : memref<?xi32>
  %m_ = func.call @dsl.number.$T(%m) : (index) -> memref<i32>
  %n_ = func.call @dsl.number.$T(%n) : (index) -> memref<i32>
  %lwork_ = func.call @dsl.number.$T(%lwork) : (index) -> memref<i32>
  %info_ = func.call @dsl.number.$T(%c0) : (index) -> memref<i32>
  // vᵀ in Fortran's order is v in ours.
  func.call @scipy.linalg.cython_lapack.$tgesdd(%job_, %m_, %n_, %read, %lead_, %s, %ut, %leadu_, %v, %leadv_, %work,
    %lwork_, %iwork, %info_) : (memref<i8>, memref<i32>, memref<i32>, !m, memref<i32>, !m, !m, memref<i32>, !m,
    memref<i32>, memref<?x$T>, memref<i32>, memref<?xi32>, memref<i32>) -> ()
  scf.for %i = %c0 to %m step %c1 {
    scf.for %j = %c0 to %k step %c1 {
      %x = memref.load %ut[%j, %i] : !m
      memref.store %x, %u[%i, %j] : !m
    }
  }
  %info = memref.load %info_[] : memref<i32>
  %result = arith.extsi %info : i32 to i64
  return %result : i64
}

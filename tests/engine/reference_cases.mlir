// Functions whose derivatives are known: see the numbers in test_reference_cases.py.

// x to the tenth, one factor a trip
func.func @tenth_power(%base: f64) -> f64 {
  %from = arith.constant 0 : index
  %to = arith.constant 10 : index
  %by = arith.constant 1 : index
  %unit = arith.constant 1.0 : f64
  %power = scf.for %k = %from to %to step %by iter_args(%sofar = %unit) -> (f64) {
    %next = arith.mulf %base, %sofar : f64
    scf.yield %next : f64
  }
  return %power : f64
}

// cubed and cubed again: the inner loop starts from, and multiplies by, what the outer one carries
func.func @cube_of_cube(%base: f64) -> f64 {
  %from = arith.constant 0 : index
  %twice = arith.constant 2 : index
  %by = arith.constant 1 : index
  %whole = scf.for %k = %from to %twice step %by iter_args(%outer = %base) -> (f64) {
    %cube = scf.for %l = %from to %twice step %by iter_args(%inner = %outer) -> (f64) {
      %next = arith.mulf %outer, %inner : f64
      scf.yield %next : f64
    }
    scf.yield %cube : f64
  }
  return %whole : f64
}

// four trips, for 0, 3, 6 and 9: the step does not divide the span
func.func @every_third(%x: f64) -> f64 {
  %from = arith.constant 0 : index
  %to = arith.constant 10 : index
  %by = arith.constant 3 : index
  %last = scf.for %k = %from to %to step %by iter_args(%state = %x) -> (f64) {
    %int = arith.index_cast %k : index to i64
    %shift = arith.sitofp %int : i64 to f64
    %angle = arith.addf %shift, %state : f64
    %sine = math.sin %angle : f64
    %next = arith.mulf %x, %sine : f64
    scf.yield %next : f64
  }
  return %last : f64
}

// Newton's iteration for a square root: how often it runs depends on the number
func.func @root_by_newton(%x: f64) -> f64 {
  %two = arith.constant 2.0 : f64
  %enough = arith.constant 1.0e-13 : f64
  %root = scf.while (%guess = %x) : (f64) -> f64 {
    %square = arith.mulf %guess, %guess : f64
    %off = arith.subf %square, %x : f64
    %size = math.absf %off : f64
    %more = arith.cmpf ogt, %size, %enough : f64
    scf.condition(%more) %guess : f64
  } do {
  ^bb0(%guess: f64):
    %other = arith.divf %x, %guess : f64
    %sum = arith.addf %other, %guess : f64
    %mean = arith.divf %sum, %two : f64
    scf.yield %mean : f64
  }
  return %root : f64
}

// blocks and branches: at most five factors; as soon as the product exceeds 3, its logarithm
func.func @left_early(%x: f64, %y: f64) -> f64 {
  %none = arith.constant 0 : index
  %one = arith.constant 1 : index
  %five = arith.constant 5 : index
  %bound = arith.constant 3.0 : f64
  cf.br ^check(%none, %x : index, f64)
^check(%k: index, %product: f64):
  %more = arith.cmpi ult, %k, %five : index
  cf.cond_br %more, ^again, ^done(%product : f64)
^again:
  %next = arith.mulf %y, %product : f64
  %over = arith.cmpf olt, %bound, %next : f64
  %l = arith.addi %one, %k : index
  cf.cond_br %over, ^leave, ^check(%l, %next : index, f64)
^leave:
  %log = math.log %next : f64
  cf.br ^done(%log : f64)
^done(%result: f64):
  return %result : f64
}

// v * sin(v), five times over, each written where v was read
func.func @in_its_place(%v: memref<?xf64>) -> f64 {
  %none = arith.constant 0 : index
  %one = arith.constant 1 : index
  %five = arith.constant 5 : index
  %nil = arith.constant 0.0 : f64
  %size = memref.dim %v, %none : memref<?xf64>
  scf.for %round = %none to %five step %one {
    scf.for %k = %none to %size step %one {
      %here = memref.load %v[%k] : memref<?xf64>
      %sine = math.sin %here : f64
      %next = arith.mulf %here, %sine : f64
      memref.store %next, %v[%k] : memref<?xf64>
    }
  }
  %sum = scf.for %k = %none to %size step %one iter_args(%sofar = %nil) -> (f64) {
    %here = memref.load %v[%k] : memref<?xf64>
    %next = arith.addf %here, %sofar : f64
    scf.yield %next : f64
  }
  return %sum : f64
}

// each element is changed by its left neighbour as just changed, through a view that begins one further
func.func @left_neighbour(%v: memref<?xf64>) -> f64 {
  %none = arith.constant 0 : index
  %one = arith.constant 1 : index
  %two = arith.constant 2.0 : f64
  %nil = arith.constant 0.0 : f64
  %size = memref.dim %v, %none : memref<?xf64>
  %rest = arith.subi %size, %one : index
  %right = memref.subview %v[1] [%rest] [1] : memref<?xf64> to memref<?xf64, strided<[1], offset: 1>>
  scf.for %k = %none to %rest step %one {
    %a = memref.load %v[%k] : memref<?xf64>
    %b = memref.load %right[%k] : memref<?xf64, strided<[1], offset: 1>>
    %product = arith.mulf %b, %a : f64
    %half = arith.divf %product, %two : f64
    %next = arith.addf %b, %half : f64
    memref.store %next, %right[%k] : memref<?xf64, strided<[1], offset: 1>>
  }
  %sum = scf.for %k = %none to %size step %one iter_args(%sofar = %nil) -> (f64) {
    %here = memref.load %v[%k] : memref<?xf64>
    %square = arith.mulf %here, %here : f64
    %next = arith.addf %square, %sofar : f64
    scf.yield %next : f64
  }
  return %sum : f64
}

// exp(x^2)^2, handed from call to call through one cell of memory
func.func private @put_square(%cell: memref<f64>, %x: f64) {
  %square = arith.mulf %x, %x : f64
  memref.store %square, %cell[] : memref<f64>
  return
}
func.func @by_way_of_memory(%x: f64) -> f64 {
  %cell = memref.alloca() : memref<f64>
  func.call @put_square(%cell, %x) : (memref<f64>, f64) -> ()
  %first = memref.load %cell[] : memref<f64>
  %power = math.exp %first : f64
  func.call @put_square(%cell, %power) : (memref<f64>, f64) -> ()
  %second = memref.load %cell[] : memref<f64>
  return %second : f64
}

// |A x|^2 for A = [[0, 1, 2], [3, 4, 5]], by linalg on memrefs
func.func @length_of_product(%x: memref<3xf64>) -> f64 {
  %none = arith.constant 0 : index
  %one = arith.constant 1 : index
  %rows = arith.constant 2 : index
  %columns = arith.constant 3 : index
  %nil = arith.constant 0.0 : f64
  %A = memref.alloc() : memref<2x3xf64>
  scf.for %i = %none to %rows step %one {
    %start = arith.muli %columns, %i : index
    scf.for %j = %none to %columns step %one {
      %k = arith.addi %start, %j : index
      %int = arith.index_cast %k : index to i64
      %entry = arith.sitofp %int : i64 to f64
      memref.store %entry, %A[%i, %j] : memref<2x3xf64>
    }
  }
  %y = memref.alloc() : memref<2xf64>
  linalg.fill ins(%nil : f64) outs(%y : memref<2xf64>)
  linalg.matvec ins(%A, %x : memref<2x3xf64>, memref<3xf64>) outs(%y : memref<2xf64>)
  %sum = scf.for %i = %none to %rows step %one iter_args(%sofar = %nil) -> (f64) {
    %here = memref.load %y[%i] : memref<2xf64>
    %square = arith.mulf %here, %here : f64
    %next = arith.addf %square, %sofar : f64
    scf.yield %next : f64
  }
  memref.dealloc %y : memref<2xf64>
  memref.dealloc %A : memref<2x3xf64>
  return %sum : f64
}

// the sum of tanh(left * right) over the inner points, in affine loops with a buffer between them
func.func @inner_points(%v: memref<?xf64>) -> f64 {
  %none = arith.constant 0 : index
  %nil = arith.constant 0.0 : f64
  %size = memref.dim %v, %none : memref<?xf64>
  %products = memref.alloc(%size) : memref<?xf64>
  affine.for %k = 1 to affine_map<(n) -> (n - 1)>(%size) {
    %left = affine.load %v[%k - 1] : memref<?xf64>
    %right = affine.load %v[%k + 1] : memref<?xf64>
    %product = arith.mulf %right, %left : f64
    affine.store %product, %products[%k] : memref<?xf64>
  }
  %sum = affine.for %k = 1 to affine_map<(n) -> (n - 1)>(%size) iter_args(%sofar = %nil) -> (f64) {
    %product = affine.load %products[%k] : memref<?xf64>
    %bounded = math.tanh %product : f64
    %next = arith.addf %bounded, %sofar : f64
    affine.yield %next : f64
  }
  memref.dealloc %products : memref<?xf64>
  return %sum : f64
}

// the sum of v * exp(v), in parallel
func.func @sum_in_parallel(%v: memref<?xf64>) -> f64 {
  %none = arith.constant 0 : index
  %one = arith.constant 1 : index
  %nil = arith.constant 0.0 : f64
  %size = memref.dim %v, %none : memref<?xf64>
  %sum = scf.parallel (%k) = (%none) to (%size) step (%one) init (%nil) -> f64 {
    %here = memref.load %v[%k] : memref<?xf64>
    %power = math.exp %here : f64
    %term = arith.mulf %here, %power : f64
    scf.reduce(%term : f64) {
    ^bb0(%a: f64, %b: f64):
      %both = arith.addf %a, %b : f64
      scf.reduce.return %both : f64
    }
  }
  return %sum : f64
}

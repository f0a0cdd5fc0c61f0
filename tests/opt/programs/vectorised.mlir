// As vectorisers write it: tiles, masks at the edges, horizontal sums, fma chains.
func.func @dot_with_tail(%a: memref<?xf32>, %b: memref<?xf32>) -> f32 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f32
  %zv = arith.constant dense<0.0> : vector<4xf32>
  %n = memref.dim %a, %c0 : memref<?xf32>
  %rem = arith.remui %n, %c4 : index
  %main = arith.subi %n, %rem : index
  %acc = scf.for %i = %c0 to %main step %c4 iter_args(%s = %zv) -> (vector<4xf32>) {
    %x = vector.load %a[%i] : memref<?xf32>, vector<4xf32>
    %y = vector.load %b[%i] : memref<?xf32>, vector<4xf32>
    %f = vector.fma %x, %y, %s : vector<4xf32>
    scf.yield %f : vector<4xf32>
  }
  %h = vector.reduction <add>, %acc : vector<4xf32> into f32
  %t = scf.for %i = %main to %n step %c1 iter_args(%s = %h) -> (f32) {
    %x = memref.load %a[%i] : memref<?xf32>
    %y = memref.load %b[%i] : memref<?xf32>
    %m = arith.mulf %x, %y : f32
    %u = arith.addf %s, %m : f32
    scf.yield %u : f32
  }
  return %t : f32
}
// -----
func.func @masked_tail(%a: memref<?xf64>, %b: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.for %i = %c0 to %n step %c4 {
    %left = arith.subi %n, %i : index
    %mask = vector.create_mask %left : vector<4xi1>
    %x = vector.transfer_read %a[%i], %zero, %mask {in_bounds = [true]} : memref<?xf64>, vector<4xf64>
    %e = math.exp %x : vector<4xf64>
    %s = arith.mulf %e, %x : vector<4xf64>
    vector.transfer_write %s, %b[%i], %mask {in_bounds = [true]} : vector<4xf64>, memref<?xf64>
  }
  return
}
// -----
func.func @out_of_bounds(%a: memref<?xf64>, %b: memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %c2 = arith.constant 2 : index
  %pad = arith.constant 0.25 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  scf.for %i = %c0 to %n step %c2 {
    %x = vector.transfer_read %a[%i], %pad : memref<?xf64>, vector<2xf64>
    %s = arith.mulf %x, %x : vector<2xf64>
    vector.transfer_write %s, %b[%i] : vector<2xf64>, memref<?xf64>
  }
  return
}
// -----
func.func @register_tile(%A: memref<4x3xf64>, %B: memref<3x4xf64>, %C: memref<4x4xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f64
  scf.for %i = %c0 to %c4 step %c2 {
    scf.for %j = %c0 to %c4 step %c2 {
      %tile = vector.transfer_read %C[%i, %j], %zero {in_bounds = [true, true]} : memref<4x4xf64>, vector<2x2xf64>
      %r = scf.for %k = %c0 to %c3 step %c1 iter_args(%acc = %tile) -> (vector<2x2xf64>) {
        %a = vector.transfer_read %A[%i, %k], %zero {in_bounds = [true, true]} : memref<4x3xf64>, vector<2x1xf64>
        %b = vector.transfer_read %B[%k, %j], %zero {in_bounds = [true, true]} : memref<3x4xf64>, vector<1x2xf64>
        %x = vector.shape_cast %a : vector<2x1xf64> to vector<2xf64>
        %y = vector.shape_cast %b : vector<1x2xf64> to vector<2xf64>
        %o = vector.outerproduct %x, %y, %acc {kind = #vector.kind<add>} : vector<2xf64>, vector<2xf64>
        scf.yield %o : vector<2x2xf64>
      }
      vector.transfer_write %r, %C[%i, %j] {in_bounds = [true, true]} : vector<2x2xf64>, memref<4x4xf64>
    }
  }
  return
}
// -----
func.func @row_softmax(%a: memref<3x4xf64>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %zero = arith.constant 0.0 : f64
  scf.for %i = %c0 to %c3 step %c1 {
    %row = vector.transfer_read %a[%i, %c0], %zero {in_bounds = [true]} : memref<3x4xf64>, vector<4xf64>
    %m = vector.reduction <maximumf>, %row : vector<4xf64> into f64
    %mb = vector.broadcast %m : f64 to vector<4xf64>
    %d = arith.subf %row, %mb : vector<4xf64>
    %e = math.exp %d : vector<4xf64>
    %s = vector.reduction <add>, %e : vector<4xf64> into f64
    %sb = vector.broadcast %s : f64 to vector<4xf64>
    %p = arith.divf %e, %sb : vector<4xf64>
    vector.transfer_write %p, %a[%i, %c0] {in_bounds = [true]} : vector<4xf64>, memref<3x4xf64>
  }
  return
}
// -----
func.func @select_of_vectors(%a: memref<?xf64>, %t: f64) -> f64 {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f64
  %v = vector.transfer_read %a[%c0], %zero : memref<?xf64>, vector<4xf64>
  %tb = vector.broadcast %t : f64 to vector<4xf64>
  %c = arith.cmpf ogt, %v, %tb : vector<4xf64>
  %x = arith.mulf %v, %tb : vector<4xf64>
  %y = math.sqrt %v : vector<4xf64>
  %s = arith.select %c, %x, %y : vector<4xi1>, vector<4xf64>
  %n = arith.extui %c : vector<4xi1> to vector<4xi32>
  %k = vector.reduction <add>, %n : vector<4xi32> into i32
  %f = arith.sitofp %k : i32 to f64
  %r = vector.reduction <mul>, %s : vector<4xf64> into f64
  %o = arith.mulf %r, %f : f64
  return %o : f64
}
// -----
func.func @parallel_tiles(%a: memref<8xf64>, %s: memref<1xf64>) {
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %c4 = arith.constant 4 : index
  scf.parallel (%i) = (%c0) to (%c8) step (%c4) {
    %v = vector.load %a[%i] : memref<8xf64>, vector<4xf64>
    %e = arith.mulf %v, %v : vector<4xf64>
    vector.store %e, %a[%i] : memref<8xf64>, vector<4xf64>
    %r = vector.reduction <add>, %e : vector<4xf64> into f64
    %o = memref.atomic_rmw addf %r, %s[%c0] : (f64, memref<1xf64>) -> f64
    scf.reduce
  }
  return
}
// -----
func.func @reduced_two_ways(%a: memref<?xf64>) -> (f64, f64) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1.0 : f64
  %n = memref.dim %a, %c0 : memref<?xf64>
  %r:2 = scf.parallel (%i) = (%c0) to (%n) step (%c1) init (%one, %one) -> (f64, f64) {
    %v = memref.load %a[%i] : memref<?xf64>
    %w = math.sin %v : f64
    scf.reduce(%v, %w : f64, f64) {
    ^bb0(%x: f64, %y: f64):
      %p = arith.mulf %x, %y : f64
      %q = arith.addf %x, %y : f64
      %h = arith.addf %p, %q : f64
      scf.reduce.return %h : f64
    }, {
    ^bb0(%x: f64, %y: f64):
      %xx = arith.mulf %x, %x : f64
      %yy = arith.mulf %y, %y : f64
      %s = arith.addf %xx, %yy : f64
      %h = math.sqrt %s : f64
      scf.reduce.return %h : f64
    }
  }
  return %r#0, %r#1 : f64, f64
}

// Integers: nothing flows through them, whatever they are computed by.
func.func @all_of_arith(%x: f64, %n: i32, %m: i32) -> f64 {
  %c3 = arith.constant 3 : i32
  %c7 = arith.constant 7 : i32
  %1, %carry = arith.addui_extended %n, %c7 : i32, i1
  %2 = arith.andi %1, %c7 : i32
  %3 = arith.ceildivui %2, %c3 : i32
  %4 = arith.divsi %3, %c3 : i32
  %5 = arith.divui %n, %c3 : i32
  %6 = arith.ori %4, %5 : i32
  %7 = arith.remui %m, %c3 : i32
  %8 = arith.maxui %6, %7 : i32
  %9 = arith.minui %8, %c7 : i32
  %low, %high = arith.mulsi_extended %9, %c7 : i32
  %low2, %high2 = arith.mului_extended %low, %c7 : i32
  %10 = arith.shli %low2, %c3 : i32
  %11 = arith.shrsi %10, %c3 : i32
  %12 = arith.shrui %11, %c3 : i32
  %13 = arith.subi %12, %high2 : i32
  %14 = arith.xori %13, %high : i32
  %15 = arith.trunci %14 : i32 to i16
  %16 = arith.extsi %15 : i16 to i64
  %17 = arith.extui %15 : i16 to i64
  %18 = arith.addi %16, %17 : i64
  %19 = arith.index_castui %5 : i32 to index
  %20 = arith.index_cast %19 : index to i64
  %21 = arith.addi %18, %20 : i64
  %22 = arith.sitofp %21 : i64 to f64
  %23 = arith.fptoui %x : f64 to i32
  %24 = arith.uitofp %23 : i32 to f64
  %25 = arith.addf %22, %24 : f64
  %26 = arith.uitofp %carry : i1 to f64
  %27 = arith.addf %25, %26 : f64
  %28 = arith.mulf %27, %x : f64
  return %28 : f64
}
// -----
func.func @all_of_index(%x: f64, %n: index) -> f64 {
  %two = index.constant 2
  %yes = index.bool.constant true
  %1 = index.add %n, %two
  %2 = index.and %1, %two
  %3 = index.castu %2 : index to i32
  %4 = index.casts %3 : i32 to index
  %5 = index.ceildivs %1, %two
  %6 = index.ceildivu %5, %two
  %7 = index.divs %1, %two
  %8 = index.divu %1, %two
  %9 = index.floordivs %1, %two
  %10 = index.maxs %6, %7
  %11 = index.maxu %8, %9
  %12 = index.mins %10, %11
  %13 = index.minu %12, %n
  %14 = index.mul %13, %two
  %15 = index.or %14, %two
  %16 = index.rems %15, %two
  %17 = index.remu %15, %two
  %18 = index.shl %15, %two
  %19 = index.shrs %18, %two
  %20 = index.shru %19, %two
  %21 = index.sizeof
  %22 = index.sub %20, %17
  %23 = index.xor %22, %21
  %24 = index.cmp ult(%16, %23)
  %25 = arith.index_cast %4 : index to i64
  %26 = arith.sitofp %25 : i64 to f64
  %27 = arith.mulf %26, %x : f64
  %28 = arith.andi %24, %yes : i1
  %29 = math.sin %x : f64
  %30 = arith.select %28, %29, %27 : f64
  %31 = arith.index_cast %20 : index to i64
  %32 = arith.sitofp %31 : i64 to f64
  %33 = arith.mulf %30, %32 : f64
  return %33 : f64
}
// -----
func.func @all_of_math(%x: f64, %n: i32) -> f64 {
  %c3 = arith.constant 3 : i32
  %1 = math.absi %n : i32
  %2 = math.ctlz %1 : i32
  %3 = math.ctpop %2 : i32
  %4 = math.cttz %3 : i32
  %5 = math.ipowi %4, %c3 : i32
  %6 = math.isfinite %x : f64
  %7 = math.isinf %x : f64
  %8 = math.isnan %x : f64
  %9 = math.isnormal %x : f64
  %10 = arith.andi %6, %9 : i1
  %11 = arith.ori %7, %8 : i1
  %12 = arith.xori %10, %11 : i1
  %13 = arith.sitofp %5 : i32 to f64
  %14 = arith.mulf %13, %x : f64
  %15 = math.exp %x : f64
  %16 = arith.select %12, %15, %14 : f64
  %17 = arith.addf %16, %14 : f64
  return %17 : f64
}
// -----
func.func @bits_off_the_path(%x: f64, %n: i64) -> f64 {
  %b = arith.bitcast %x : f64 to i64
  %e = arith.constant 52 : i64
  %k = arith.shrui %b, %e : i64
  %bias = arith.constant 1023 : i64
  %odd = arith.cmpi ugt, %k, %bias : i64
  %f = arith.bitcast %n : i64 to f64
  %z = arith.constant 0.0 : f64
  %g = arith.mulf %f, %z : f64
  %s = math.sin %x : f64
  %r = arith.select %odd, %s, %x : f64
  %y = arith.mulf %r, %x : f64
  %w = arith.addf %y, %g : f64
  return %w : f64
}

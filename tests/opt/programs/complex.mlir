// Every operation on complex numbers.
// range: 0.4 1.1
func.func @functions(%z: complex<f64>) -> complex<f64> {
  %1 = complex.cos %z : complex<f64>
  %2 = complex.sin %1 : complex<f64>
  %3 = complex.expm1 %2 : complex<f64>
  %4 = complex.log1p %3 : complex<f64>
  %5 = complex.log %4 : complex<f64>
  %6 = complex.neg %5 : complex<f64>
  %7 = complex.tan %6 : complex<f64>
  %8 = complex.tanh %7 : complex<f64>
  %9 = complex.exp %8 : complex<f64>
  %10 = complex.sign %9 : complex<f64>
  %11 = complex.add %10, %9 : complex<f64>
  return %11 : complex<f64>
}
// -----
// range: 0.4 1.1
func.func @powers(%z: complex<f64>, %w: complex<f64>, %n: i32) -> complex<f64> {
  %k = complex.constant [0.5, 1.0] : complex<f64>
  %1 = complex.pow %z, %w : complex<f64>
  %2 = complex.sqrt %1 : complex<f64>
  %3 = complex.rsqrt %2 : complex<f64>
  %4 = complex.mul %3, %k : complex<f64>
  %5 = complex.div %4, %w : complex<f64>
  %6 = complex.sub %5, %z : complex<f64>
  %7 = complex.powi %6, %n : complex<f64>, i32
  %8 = complex.conj %7 : complex<f64>
  return %8 : complex<f64>
}
// -----
// range: 0.4 1.1
func.func @parts(%z: complex<f64>, %w: complex<f64>) -> (f64, f64, f64) {
  %1 = complex.angle %z : complex<f64>
  %2 = complex.atan2 %z, %w : complex<f64>
  %3 = complex.abs %2 : complex<f64>
  %4 = complex.re %z : complex<f64>
  %5 = complex.im %w : complex<f64>
  %6 = complex.create %4, %5 : complex<f64>
  %7 = complex.eq %6, %z : complex<f64>
  %8 = complex.neq %6, %z : complex<f64>
  %9 = arith.select %7, %1, %3 : f64
  %10 = arith.select %8, %4, %5 : f64
  %11 = complex.abs %6 : complex<f64>
  return %9, %10, %11 : f64, f64, f64
}

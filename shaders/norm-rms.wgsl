// RMSNorm folded into the product behind it: W (g * x / rms(x)) = W (g * x) / rms(x), so the norm is one factor made of
// the sums of squares that the producer of x left with every block.
//! param HIDDEN u32
//! param EPSILON f32
fn norm_factor(squares: f32) -> f32 {
  return inverseSqrt(squares / f32(HIDDEN) + EPSILON);
}

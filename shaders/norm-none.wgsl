// The input of this product was not normalised.
fn norm_factor(squares: f32) -> f32 {
  return 1.0;
}

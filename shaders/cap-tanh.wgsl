// Bends values towards +-CAP: CAP * tanh(value / CAP), as Gemma 2 does with attention's scores and with logits.
//! param CAP f32
fn soft_cap(value: f32) -> f32 {
  // tanh(x) = 1 - 2 / (e^2x + 1); with the exponent kept from overflowing
  return CAP - 2.0 * CAP / (exp(min(value * (2.0 / CAP), 80.0)) + 1.0);
}

// weight = scale * code + minimum. The minimum is added once a block.
struct Scale {
  scale: f32,
  minimum: f32,
}

// As in scaled-centre.wgsl.
fn add_scaled(s: Scale, dot: f32, d: f32, total: f32, sum: f32) -> f32 {
  return fma(s.minimum, total, fma(s.scale, dot * d, sum));
}

fn weight_of(s: Scale, code: f32) -> f32 {
  return fma(s.scale, code, s.minimum);
}

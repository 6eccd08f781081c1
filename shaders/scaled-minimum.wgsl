// weight = scale * code + minimum. The minimum is added once a block.
struct Scale {
  scale: f32,
  minimum: f32,
}

// As in scaled-centre.wgsl.
fn offset_of(total: f32) -> f32 {
  return total;
}

// As in scaled-centre.wgsl.
fn add_scaled(s: Scale, dot: f32, d: f32, offset: f32, sum: f32) -> f32 {
  return fma(s.minimum, offset, fma(s.scale, dot * d, sum));
}

fn weight_of(s: Scale, code: f32) -> f32 {
  return fma(s.scale, code, s.minimum);
}

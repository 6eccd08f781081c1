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

// As in scaled-centre.wgsl; here the sum of the inputs.
alias Offset = f32;

fn offset_in_tile(total_codes: i32, d: f32) -> Offset {
  return d * f32(total_codes);
}

fn start_of(offsets: vec4<Offset>) -> vec4<i32> {
  return vec4<i32>();
}

fn add_four_columns(s: Scale, products: vec4<f32>, offsets: vec4<Offset>, sums: vec4<f32>) -> vec4<f32> {
  return fma(vec4<f32>(s.minimum), offsets, fma(vec4<f32>(s.scale), products, sums));
}

fn weight_of(s: Scale, code: f32) -> f32 {
  return fma(s.scale, code, s.minimum);
}

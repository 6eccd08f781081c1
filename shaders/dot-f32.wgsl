// Quantised weights times f32 activations.
//! include act-f32 codes-$CODES scales-$SCALES

fn dot16(codes: vec4<u32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, sums: vec4<f32>) -> vec4<f32> {
  var s = fma(four_codes(codes.x), a, sums);
  s = fma(four_codes(codes.y), b, s);
  s = fma(four_codes(codes.z), c, s);
  return fma(four_codes(codes.w), d, s);
}

fn sum_of_four(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// As in dot-i8.wgsl.
fn add_block(w: Codes, s: Scales, row: u32, x: X, sum: f32) -> f32 {
  let low = dot16(w.low, x.v0, x.v1, x.v2, x.v3, vec4<f32>());
  if (HALVES) {
    let low_total = sum_of_four((x.v0 + x.v1) + (x.v2 + x.v3));
    let half = add_scaled(scale_of(s, row, 0u), sum_of_four(low), 1.0, offset_of(low_total), sum);
    let high = dot16(w.high, x.v4, x.v5, x.v6, x.v7, vec4<f32>());
    return add_scaled(scale_of(s, row, 1u), sum_of_four(high), 1.0, offset_of(x.sum - low_total), half);
  }
  let both = dot16(w.high, x.v4, x.v5, x.v6, x.v7, low);
  return add_scaled(scale_of(s, row, 0u), sum_of_four(both), 1.0, offset_of(x.sum), sum);
}

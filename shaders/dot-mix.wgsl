// Quantised weights times f16 activations, summed in f32.
//! include act-f16 codes-$CODES scales-$SCALES

fn word_dot(word: u32, x: vec2<u32>, sums: vec4<f32>) -> vec4<f32> {
  let even = vec2<f32>(bitcast<vec2<f16>>(x.x));
  let odd = vec2<f32>(bitcast<vec2<f16>>(x.y));
  return fma(four_codes(word), vec4<f32>(even.x, odd.x, even.y, odd.y), sums);
}

fn dot16(codes: vec4<u32>, a: vec4<u32>, b: vec4<u32>, sums: vec4<f32>) -> vec4<f32> {
  return word_dot(codes.w, b.zw, word_dot(codes.z, b.xy, word_dot(codes.y, a.zw, word_dot(codes.x, a.xy, sums))));
}

fn sum_of_four(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// As in dot-i8.wgsl.
fn add_block(w: Codes, s: Scales, row: u32, x: X, sum: f32) -> f32 {
  let low = dot16(w.low, x.low01, x.low23, vec4<f32>());
  if (HALVES) {
    let ones = vec4<u32>(0x01010101u);
    let low_total = sum_of_four(dot16(ones, x.low01, x.low23, vec4<f32>()));
    let half = add_scaled(scale_of(s, row, 0u), sum_of_four(low), 1.0, offset_of(low_total), sum);
    let high = dot16(w.high, x.high01, x.high23, vec4<f32>());
    return add_scaled(scale_of(s, row, 1u), sum_of_four(high), 1.0, offset_of(x.sum - low_total), half);
  }
  let both = dot16(w.high, x.high01, x.high23, low);
  return add_scaled(scale_of(s, row, 0u), sum_of_four(both), 1.0, offset_of(x.sum), sum);
}

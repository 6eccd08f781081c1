// The product of a block of quantised weights with one of int8 inputs, an X, in whole numbers as far as a scale goes.
//! requires packed_4x8_integer_dot_product
//! include codes-$CODES scales-$SCALES

fn dot16(a: vec4<u32>, b: vec4<u32>, sum: i32) -> i32 {
  var s = sum + dot4I8Packed(a.x, b.x);
  s += dot4I8Packed(a.y, b.y);
  s += dot4I8Packed(a.z, b.z);
  return s + dot4I8Packed(a.w, b.w);
}

// Adds to `sum` the product of a block of row `row` of a row quad with a block of inputs.
fn add_block(w: Codes, s: Scales, row: u32, x: X, sum: f32) -> f32 {
  let low = dot16(w.low, x.low, 0);
  if (HALVES) {
    let low_total = x.d * f32(dot16(vec4<u32>(0x01010101u), x.low, 0));
    let half = add_scaled(scale_of(s, row, 0u), f32(low), x.d, offset_of(low_total), sum);
    return add_scaled(scale_of(s, row, 1u), f32(dot16(w.high, x.high, 0)), x.d, offset_of(x.sum - low_total), half);
  }
  return add_scaled(scale_of(s, row, 0u), f32(dot16(w.high, x.high, low)), x.d, offset_of(x.sum), sum);
}

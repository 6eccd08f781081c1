// 4-bit weights times int8 activations, in whole numbers inside a block.
//! requires packed_4x8_integer_dot_product
//! include act-i8 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block]

struct W {
  low: vec4<u32>,
  high: vec4<u32>,
}

fn load_w(row: u32, block: u32) -> W {
  let q = codes[row * BLOCKS + block];
  return W(q & vec4<u32>(0x0f0f0f0fu), (q >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu));
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sum = dot4I8Packed(w.low.x, x.low.x);
  sum += dot4I8Packed(w.low.y, x.low.y);
  sum += dot4I8Packed(w.low.z, x.low.z);
  sum += dot4I8Packed(w.low.w, x.low.w);
  sum += dot4I8Packed(w.high.x, x.high.x);
  sum += dot4I8Packed(w.high.y, x.high.y);
  sum += dot4I8Packed(w.high.z, x.high.z);
  sum += dot4I8Packed(w.high.w, x.high.w);
  // codes are weight + 8: the zero point comes off once a block
  return fma(f32(sum), x.d, -8.0 * x.sum);
}

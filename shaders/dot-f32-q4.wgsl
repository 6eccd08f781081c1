// 4-bit weights times f32 activations.
//! include act-f32 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block]

alias W = vec4<u32>;

fn load_w(row: u32, block: u32) -> W {
  return codes[row * BLOCKS + block];
}

fn low_codes(word: u32) -> vec4<f32> {
  return vec4<f32>(unpack4xU8(word & 0x0f0f0f0fu));
}

fn high_codes(word: u32) -> vec4<f32> {
  return vec4<f32>(unpack4xU8((word >> 4u) & 0x0f0f0f0fu));
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sums = low_codes(w.x) * x.v0;
  sums = fma(low_codes(w.y), x.v1, sums);
  sums = fma(low_codes(w.z), x.v2, sums);
  sums = fma(low_codes(w.w), x.v3, sums);
  sums = fma(high_codes(w.x), x.v4, sums);
  sums = fma(high_codes(w.y), x.v5, sums);
  sums = fma(high_codes(w.z), x.v6, sums);
  sums = fma(high_codes(w.w), x.v7, sums);
  // codes are weight + 8: the zero point comes off once a block
  return (sums.x + sums.y) + (sums.z + sums.w) - 8.0 * x.sum;
}

// 4-bit weights times f32 activations.
//! include act-f32 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block]

alias W = vec4<u32>;

fn load_w(row: u32, block: u32) -> W {
  return codes[row * BLOCKS + block];
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sums = vec4<f32>();
  for (var i = 0u; i < 4u; i++) {
    sums = fma(vec4<f32>(unpack4xU8(w[i] & 0x0f0f0f0fu)), x.values[i], sums);
    sums = fma(vec4<f32>(unpack4xU8((w[i] >> 4u) & 0x0f0f0f0fu)), x.values[i + 4u], sums);
  }
  // codes are weight + 8: the zero point comes off once a block
  return (sums.x + sums.y) + (sums.z + sums.w) - 8.0 * x.sum;
}

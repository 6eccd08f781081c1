// 8-bit weights times f32 activations.
//! include act-f32 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][2]

struct W {
  low: vec4<u32>,
  high: vec4<u32>,
}

fn load_w(row: u32, block: u32) -> W {
  let at = 2u * (row * BLOCKS + block);
  return W(codes[at], codes[at + 1u]);
}

fn four_codes(word: u32) -> vec4<f32> {
  return vec4<f32>(unpack4xI8(word));
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sums = four_codes(w.low.x) * x.v0;
  sums = fma(four_codes(w.low.y), x.v1, sums);
  sums = fma(four_codes(w.low.z), x.v2, sums);
  sums = fma(four_codes(w.low.w), x.v3, sums);
  sums = fma(four_codes(w.high.x), x.v4, sums);
  sums = fma(four_codes(w.high.y), x.v5, sums);
  sums = fma(four_codes(w.high.z), x.v6, sums);
  sums = fma(four_codes(w.high.w), x.v7, sums);
  return (sums.x + sums.y) + (sums.z + sums.w);
}

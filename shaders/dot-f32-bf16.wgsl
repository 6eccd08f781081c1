// bf16 weights times f32 activations: bf16 is the upper half of an f32.
//! include act-f32 scales-none
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][4]

struct W {
  a: vec4<u32>, // weights 0..7
  b: vec4<u32>,
  c: vec4<u32>,
  d: vec4<u32>, // weights 24..31
}

fn load_w(row: u32, block: u32) -> W {
  let at = 4u * (row * BLOCKS + block);
  return W(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]);
}

fn four_weights(pair: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}

fn dot_block(w: W, x: X) -> f32 {
  var sums = four_weights(w.a.xy) * x.v0;
  sums = fma(four_weights(w.a.zw), x.v1, sums);
  sums = fma(four_weights(w.b.xy), x.v2, sums);
  sums = fma(four_weights(w.b.zw), x.v3, sums);
  sums = fma(four_weights(w.c.xy), x.v4, sums);
  sums = fma(four_weights(w.c.zw), x.v5, sums);
  sums = fma(four_weights(w.d.xy), x.v6, sums);
  sums = fma(four_weights(w.d.zw), x.v7, sums);
  return (sums.x + sums.y) + (sums.z + sums.w);
}

// 16-bit float weights times f32 activations; four_weights of the including file widens them.
//! include act-f32 scales-none codes-plain
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][4]

struct Codes {
  a: vec4<u32>, // weights 0..7
  b: vec4<u32>,
  c: vec4<u32>,
  d: vec4<u32>, // weights 24..31
}

fn load_codes(row: u32, block: u32) -> Codes {
  let at = 4u * (row * BLOCKS + block);
  return Codes(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]);
}

// As in dot-i8.wgsl.
fn add_block(w: Codes, s: Scales, row: u32, x: X, sum: f32) -> f32 {
  var sums = four_weights(w.a.xy) * x.v0;
  sums = fma(four_weights(w.a.zw), x.v1, sums);
  sums = fma(four_weights(w.b.xy), x.v2, sums);
  sums = fma(four_weights(w.b.zw), x.v3, sums);
  sums = fma(four_weights(w.c.xy), x.v4, sums);
  sums = fma(four_weights(w.c.zw), x.v5, sums);
  sums = fma(four_weights(w.d.xy), x.v6, sums);
  sums = fma(four_weights(w.d.zw), x.v7, sums);
  return sum + ((sums.x + sums.y) + (sums.z + sums.w));
}

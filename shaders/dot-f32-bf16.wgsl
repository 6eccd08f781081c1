// bf16 weights times f32 activations: bf16 is the upper half of an f32.
//! include act-f32 scales-none
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][4]

alias W = array<vec4<u32>, 4>;

fn load_w(row: u32, block: u32) -> W {
  let at = 4u * (row * BLOCKS + block);
  return W(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]);
}

fn dot_block(w: W, x: X) -> f32 {
  var sums = vec4<f32>();
  for (var i = 0u; i < 8u; i++) {
    let pair = vec2<u32>(w[i / 2u][2u * (i % 2u)], w[i / 2u][2u * (i % 2u) + 1u]);
    let bits = vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u);
    sums = fma(bitcast<vec4<f32>>(bits), x.values[i], sums);
  }
  return (sums.x + sums.y) + (sums.z + sums.w);
}

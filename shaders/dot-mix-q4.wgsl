// 4-bit weights times f16 activations, summed in f32. A nibble or-ed into the bits of f16 1024.0 is the number
// 1024 + nibble, so no conversion is needed; 1024 and the zero point 8 come off once a block.
//! include act-f16 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block]

alias W = vec4<u32>;

fn load_w(row: u32, block: u32) -> W {
  return codes[row * BLOCKS + block];
}

fn pair_dot(nibbles: u32, x: u32, sum: f32) -> f32 {
  let w = bitcast<vec2<f16>>((nibbles & 0x000f000fu) | 0x64006400u);
  let v = bitcast<vec2<f16>>(x);
  return fma(f32(w.y), f32(v.y), fma(f32(w.x), f32(v.x), sum));
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sums = vec2<f32>();
  for (var i = 0u; i < 4u; i++) {
    let q = w[i];
    let low = vec2<u32>(x.low[i / 2u][2u * (i % 2u)], x.low[i / 2u][2u * (i % 2u) + 1u]);
    let high = vec2<u32>(x.high[i / 2u][2u * (i % 2u)], x.high[i / 2u][2u * (i % 2u) + 1u]);
    sums.x = pair_dot(q, low.x, sums.x);
    sums.y = pair_dot(q >> 4u, high.x, sums.y);
    sums.x = pair_dot(q >> 8u, low.y, sums.x);
    sums.y = pair_dot(q >> 12u, high.y, sums.y);
  }
  return (sums.x + sums.y) - 1032.0 * x.sum;
}

// 4-bit weights times f16 activations, summed in f32. A nibble or-ed into the bits of f16 1024.0 is the number
// 1024 + nibble, so no conversion is needed; 1024 and the zero point 8 come off once a block.
//! include act-f16 scales-quad codes-plain
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block]

const CENTRE = 1032.0;
alias Codes = vec4<u32>;

fn load_codes(row: u32, block: u32) -> Codes {
  return codes[row * BLOCKS + block];
}

fn pair_dot(nibbles: u32, x: u32, sum: f32) -> f32 {
  let w = bitcast<vec2<f16>>((nibbles & 0x000f000fu) | 0x64006400u);
  let v = bitcast<vec2<f16>>(x);
  return fma(f32(w.y), f32(v.y), fma(f32(w.x), f32(v.x), sum));
}

// The eight weights of one word: even and odd bytes of the low nibbles, then of the high ones.
fn word_dot(word: u32, low: vec2<u32>, high: vec2<u32>, sum: f32) -> f32 {
  let lows = pair_dot(word >> 8u, low.y, pair_dot(word, low.x, sum));
  return pair_dot(word >> 12u, high.y, pair_dot(word >> 4u, high.x, lows));
}

// As in dot-i8.wgsl.
fn add_block(w: Codes, s: Scales, row: u32, x: X, sum: f32) -> f32 {
  let even = word_dot(w.z, x.low23.xy, x.high23.xy, word_dot(w.x, x.low01.xy, x.high01.xy, 0.0));
  let odd = word_dot(w.w, x.low23.zw, x.high23.zw, word_dot(w.y, x.low01.zw, x.high01.zw, 0.0));
  return add_scaled(scale_of(s, row, 0u), even + odd, 1.0, offset_of(x.sum), sum);
}

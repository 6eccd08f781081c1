// 8-bit weights times f16 activations, summed in f32.
//! include act-f16 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][2]

struct W {
  low: vec4<u32>,
  high: vec4<u32>,
}

fn load_w(row: u32, block: u32) -> W {
  let at = 2u * (row * BLOCKS + block);
  return W(codes[at], codes[at + 1u]);
}

fn word_dot(word: u32, x: vec2<u32>, sum: vec4<f32>) -> vec4<f32> {
  let even = vec2<f32>(bitcast<vec2<f16>>(x.x));
  let odd = vec2<f32>(bitcast<vec2<f16>>(x.y));
  return fma(vec4<f32>(unpack4xI8(word)), vec4<f32>(even.x, odd.x, even.y, odd.y), sum);
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sums = word_dot(w.low.x, x.low01.xy, vec4<f32>());
  sums = word_dot(w.low.y, x.low01.zw, sums);
  sums = word_dot(w.low.z, x.low23.xy, sums);
  sums = word_dot(w.low.w, x.low23.zw, sums);
  sums = word_dot(w.high.x, x.high01.xy, sums);
  sums = word_dot(w.high.y, x.high01.zw, sums);
  sums = word_dot(w.high.z, x.high23.xy, sums);
  sums = word_dot(w.high.w, x.high23.zw, sums);
  return (sums.x + sums.y) + (sums.z + sums.w);
}

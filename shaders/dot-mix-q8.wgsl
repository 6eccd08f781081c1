// 8-bit weights times f16 activations, summed in f32.
//! include act-f16 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][2]

alias W = array<vec4<u32>, 2>;

fn load_w(row: u32, block: u32) -> W {
  let at = 2u * (row * BLOCKS + block);
  return W(codes[at], codes[at + 1u]);
}

fn quad_dot(word: u32, even: u32, odd: u32, sum: f32) -> f32 {
  let w = vec4<f32>(unpack4xI8(word));
  let a = vec2<f32>(bitcast<vec2<f16>>(even));
  let b = vec2<f32>(bitcast<vec2<f16>>(odd));
  return sum + dot(w, vec4<f32>(a.x, b.x, a.y, b.y));
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sums = vec2<f32>();
  for (var i = 0u; i < 4u; i++) {
    let at = 2u * (i % 2u);
    sums.x = quad_dot(w[0][i], x.low[i / 2u][at], x.low[i / 2u][at + 1u], sums.x);
    sums.y = quad_dot(w[1][i], x.high[i / 2u][at], x.high[i / 2u][at + 1u], sums.y);
  }
  return sums.x + sums.y;
}

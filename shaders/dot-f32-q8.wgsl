// 8-bit weights times f32 activations.
//! include act-f32 scales-quad
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][2]

alias W = array<vec4<u32>, 2>;

fn load_w(row: u32, block: u32) -> W {
  let at = 2u * (row * BLOCKS + block);
  return W(codes[at], codes[at + 1u]);
}

// Without the row's scale.
fn dot_block(w: W, x: X) -> f32 {
  var sums = vec4<f32>();
  for (var i = 0u; i < 8u; i++) {
    sums = fma(vec4<f32>(unpack4xI8(w[i / 4u][i % 4u])), x.values[i], sums);
  }
  return (sums.x + sums.y) + (sums.z + sums.w);
}

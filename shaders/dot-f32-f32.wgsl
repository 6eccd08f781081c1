// f32 weights times f32 activations.
//! include act-f32 scales-none
@group(0) @binding(1) var<storage, read> codes: array<vec4<f32>>; // [row][block][8]

alias W = array<vec4<f32>, 8>;

fn load_w(row: u32, block: u32) -> W {
  let at = 8u * (row * BLOCKS + block);
  var w = W();
  for (var i = 0u; i < 8u; i++) {
    w[i] = codes[at + i];
  }
  return w;
}

fn dot_block(w: W, x: X) -> f32 {
  var sums = vec4<f32>();
  for (var i = 0u; i < 8u; i++) {
    sums = fma(w[i], x.values[i], sums);
  }
  return (sums.x + sums.y) + (sums.z + sums.w);
}

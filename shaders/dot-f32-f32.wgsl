// f32 weights times f32 activations.
//! include act-f32 scales-none codes-plain
@group(0) @binding(1) var<storage, read> codes: array<vec4<f32>>; // [row][block][8]

struct Codes {
  v0: vec4<f32>,
  v1: vec4<f32>,
  v2: vec4<f32>,
  v3: vec4<f32>,
  v4: vec4<f32>,
  v5: vec4<f32>,
  v6: vec4<f32>,
  v7: vec4<f32>,
}

fn load_codes(row: u32, block: u32) -> Codes {
  let at = 8u * (row * BLOCKS + block);
  return Codes(
    codes[at],
    codes[at + 1u],
    codes[at + 2u],
    codes[at + 3u],
    codes[at + 4u],
    codes[at + 5u],
    codes[at + 6u],
    codes[at + 7u],
  );
}

// As in dot-i8.wgsl.
fn add_block(w: Codes, s: Scales, row: u32, x: X, sum: f32) -> f32 {
  var sums = w.v0 * x.v0;
  sums = fma(w.v1, x.v1, sums);
  sums = fma(w.v2, x.v2, sums);
  sums = fma(w.v3, x.v3, sums);
  sums = fma(w.v4, x.v4, sums);
  sums = fma(w.v5, x.v5, sums);
  sums = fma(w.v6, x.v6, sums);
  sums = fma(w.v7, x.v7, sums);
  return sum + ((sums.x + sums.y) + (sums.z + sums.w));
}

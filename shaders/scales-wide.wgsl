// An f32 scale a block.
//! include scales scaled-centre
@group(0) @binding(2) var<storage, read> scales: array<vec4<f32>>; // [row / 4][block]

const HALVES = false;
alias Scales = vec4<f32>;

fn load_scales(quad: u32, block: u32) -> Scales {
  return scales[quad * BLOCKS + block];
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return s[row];
}

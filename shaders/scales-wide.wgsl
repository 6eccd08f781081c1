// An f32 scale a block.
//! include scales scaled-centre
@group(0) @binding(2) var<storage, read> scales: array<vec4<f32>>; // [row / 4][block]

const HALVES = false;
alias Scales = vec4<f32>;

alias RawScales = vec4<f32>;

fn fetch_scales(quad: u32, block: u32) -> RawScales {
  return scales[quad * BLOCKS + block];
}

fn scales_of(raw: RawScales) -> Scales {
  return raw;
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return s[row];
}

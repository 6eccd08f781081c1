// One f16 a block. Those of one block in four neighbouring rows lie together: one 8-byte load serves four rows.
//! include scales scaled-centre
@group(0) @binding(2) var<storage, read> scales: array<vec2<u32>>; // [row / 4][block], f16 pairs

const HALVES = false;
alias Scales = vec4<f32>;

alias RawScales = vec2<u32>;

fn fetch_scales(quad: u32, block: u32) -> RawScales {
  return scales[quad * BLOCKS + block];
}

fn scales_of(words: RawScales) -> Scales {
  return four_halves(words);
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return s[row];
}

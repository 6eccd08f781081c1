// An f16 scale and an f16 minimum a block.
//! include scales scaled-minimum
@group(0) @binding(2) var<storage, read> scales: array<vec4<u32>>; // [row / 4][block], f16 pairs: four scales, four minima

const HALVES = false;

struct Scales {
  scale: vec4<f32>,
  minimum: vec4<f32>,
}

alias RawScales = vec4<u32>;

fn fetch_scales(quad: u32, block: u32) -> RawScales {
  return scales[quad * BLOCKS + block];
}

fn scales_of(words: RawScales) -> Scales {
  return Scales(four_halves(words.xy), four_halves(words.zw));
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return Scale(s.scale[row], s.minimum[row]);
}

// GROUP_BLOCKS blocks have an f16 scale and the code of weight zero.
//! include scales scaled-minimum
//! param GROUP_BLOCKS u32 1 2 4
@group(0) @binding(2) var<storage, read> scales: array<vec4<u32>>; // [row / 4][block / GROUP_BLOCKS], f16 pairs: four scales, four zeros

const HALVES = false;
const GROUPS = (BLOCKS + GROUP_BLOCKS - 1u) / GROUP_BLOCKS;

struct Scales {
  scale: vec4<f32>,
  minimum: vec4<f32>,
}

alias RawScales = vec4<u32>;

fn fetch_scales(quad: u32, block: u32) -> RawScales {
  return scales[quad * GROUPS + block / GROUP_BLOCKS];
}

fn scales_of(words: RawScales) -> Scales {
  let scale = four_halves(words.xy);
  return Scales(scale, -scale * four_halves(words.zw));
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return Scale(s.scale[row], s.minimum[row]);
}

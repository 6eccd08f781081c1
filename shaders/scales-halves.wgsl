// Eight blocks have an f16 for their scales; the weights 0..15 and 16..31 of each multiply it by whole numbers of their own.
//! include scales scaled-centre
@group(0) @binding(2) var<storage, read> scales: array<vec2<u32>>; // [row / 4][block / 8][9]: 8 of {four int8 for 0..15, four for 16..31}, f16s

const HALVES = true;
const SUPERS = (BLOCKS + 7u) / 8u;

struct Scales {
  low: vec4<f32>,
  high: vec4<f32>,
}

struct RawScales {
  own: vec2<u32>,
  shared_scale: vec2<u32>,
}

fn fetch_scales(quad: u32, block: u32) -> RawScales {
  let at = 9u * (quad * SUPERS + block / 8u);
  return RawScales(scales[at + block % 8u], scales[at + 8u]);
}

fn scales_of(raw: RawScales) -> Scales {
  let own = raw.own;
  let shared_scale = four_halves(raw.shared_scale);
  return Scales(shared_scale * vec4<f32>(unpack4xI8(own.x)), shared_scale * vec4<f32>(unpack4xI8(own.y)));
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return select(s.low[row], s.high[row], half == 1u);
}

// Eight blocks have an f16 for their scales and one for their minima; a block multiplies each by a small whole number.
//! include scales scaled-minimum
@group(0) @binding(2) var<storage, read> scales: array<vec2<u32>>; // [row / 4][block / 8][10]: 8 of {four u8 scales, four u8 minima}, f16s of scales, of minima

const HALVES = false;
const SUPERS = (BLOCKS + 7u) / 8u;

struct Scales {
  scale: vec4<f32>,
  minimum: vec4<f32>,
}

struct RawScales {
  own: vec2<u32>,
  scale: vec2<u32>,
  minimum: vec2<u32>,
}

fn fetch_scales(quad: u32, block: u32) -> RawScales {
  let at = 10u * (quad * SUPERS + block / 8u);
  return RawScales(scales[at + block % 8u], scales[at + 8u], scales[at + 9u]);
}

fn scales_of(raw: RawScales) -> Scales {
  return Scales(
    four_halves(raw.scale) * vec4<f32>(unpack4xU8(raw.own.x)),
    four_halves(raw.minimum) * vec4<f32>(unpack4xU8(raw.own.y)),
  );
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return Scale(s.scale[row], s.minimum[row]);
}

// Eight blocks have an f16 for their scales and one for their minima; the weights 0..15 and 16..31 of each multiply them by
// whole numbers of their own, four bits each.
//! include scales scaled-minimum
@group(0) @binding(2) var<storage, read> scales: array<vec2<u32>>; // [row / 4][block / 8][10]: 8 of {four bytes for 0..15, four for 16..31}, f16s of scales, of minima

const HALVES = true;
const SUPERS = (BLOCKS + 7u) / 8u;

struct Scales {
  low: vec4<f32>,
  high: vec4<f32>,
  low_minimum: vec4<f32>,
  high_minimum: vec4<f32>,
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
  let own = raw.own;
  let scale = four_halves(raw.scale);
  let minimum = four_halves(raw.minimum);
  return Scales(
    scale * vec4<f32>(unpack4xU8(own.x & 0x0f0f0f0fu)),
    scale * vec4<f32>(unpack4xU8(own.y & 0x0f0f0f0fu)),
    minimum * vec4<f32>(unpack4xU8((own.x >> 4u) & 0x0f0f0f0fu)),
    minimum * vec4<f32>(unpack4xU8((own.y >> 4u) & 0x0f0f0f0fu)),
  );
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  if (half == 1u) {
    return Scale(s.high[row], s.high_minimum[row]);
  }
  return Scale(s.low[row], s.low_minimum[row]);
}

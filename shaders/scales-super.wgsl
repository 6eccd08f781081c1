// Eight blocks have an f16 for their scales and one for their minima; a block multiplies each by a small whole number.
//! include scales scaled-minimum
@group(0) @binding(2) var<storage, read> scales: array<vec2<u32>>; // [row / 4][block / 8][10]: 8 of {four u8 scales, four u8 minima}, f16s of scales, of minima

const HALVES = false;
const SUPERS = (BLOCKS + 7u) / 8u;

struct Scales {
  scale: vec4<f32>,
  minimum: vec4<f32>,
}

fn load_scales(quad: u32, block: u32) -> Scales {
  let at = 10u * (quad * SUPERS + block / 8u);
  let own = scales[at + block % 8u];
  return Scales(
    four_halves(scales[at + 8u]) * vec4<f32>(unpack4xU8(own.x)),
    four_halves(scales[at + 9u]) * vec4<f32>(unpack4xU8(own.y)),
  );
}

fn scale_of(s: Scales, row: u32, half: u32) -> Scale {
  return Scale(s.scale[row], s.minimum[row]);
}

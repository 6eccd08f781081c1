// The scales of one block in four neighbouring rows lie together: one 8-byte load serves four rows.
@group(0) @binding(2) var<storage, read> scales: array<vec2<u32>>; // [row / 4][block], f16 pairs

fn quad_scales(quad: u32, block: u32) -> vec4<f32> {
  let words = scales[quad * BLOCKS + block];
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

// 2-bit codes: bits 2k and 2k + 1 of byte b of word w for the weight 16w + 4k + b.
//! include codes-unsigned
@group(0) @binding(1) var<storage, read> codes: array<vec2<u32>>; // [row][block]

const CENTRE = 2.0;

fn load_codes(row: u32, block: u32) -> Codes {
  let q = codes[row * BLOCKS + block];
  let shifts = vec4<u32>(0u, 2u, 4u, 6u);
  return Codes((vec4<u32>(q.x) >> shifts) & vec4<u32>(0x03030303u), (vec4<u32>(q.y) >> shifts) & vec4<u32>(0x03030303u));
}

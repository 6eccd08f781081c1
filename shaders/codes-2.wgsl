// 2-bit codes: bits 2k and 2k + 1 of byte b of word w for the weight 16w + 4k + b.
//! include codes-unsigned
@group(0) @binding(1) var<storage, read> codes: array<vec2<u32>>; // [row][block]

const CENTRE = 2.0;

alias RawCodes = vec2<u32>;

fn fetch_codes(row: u32, block: u32) -> RawCodes {
  return codes[row * BLOCKS + block];
}

fn codes_of(q: RawCodes, block: u32) -> Codes {
  let shifts = vec4<u32>(0u, 2u, 4u, 6u);
  return Codes((vec4<u32>(q.x) >> shifts) & vec4<u32>(0x03030303u), (vec4<u32>(q.y) >> shifts) & vec4<u32>(0x03030303u));
}

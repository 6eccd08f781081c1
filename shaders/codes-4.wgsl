// 4-bit codes: two to a byte, of weights i and i + 16.
//! include codes-unsigned
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block]

const CENTRE = 8.0;

alias RawCodes = vec4<u32>;

fn fetch_codes(row: u32, block: u32) -> RawCodes {
  return codes[row * BLOCKS + block];
}

fn codes_of(q: RawCodes, block: u32) -> Codes {
  return Codes(q & vec4<u32>(0x0f0f0f0fu), (q >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu));
}

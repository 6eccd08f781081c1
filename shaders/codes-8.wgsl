// 8-bit codes.
//! include codes-signed codes-plain
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][2]

const CENTRE = 0.0;

alias RawCodes = Codes;

fn fetch_codes(row: u32, block: u32) -> RawCodes {
  let at = 2u * (row * BLOCKS + block);
  return Codes(codes[at], codes[at + 1u]);
}

fn codes_of(raw: RawCodes, block: u32) -> Codes {
  return raw;
}

// 3-bit codes. Two blocks lie together: their lower two bits as in codes-2.wgsl, then a word for each with the third ones,
// bit k of byte b for the weight 4k + b.
//! include codes-unsigned
@group(0) @binding(1) var<storage, read> codes: array<vec2<u32>>; // [row][block / 2][3]

const CENTRE = 4.0;
const UNITS = (BLOCKS + 1u) / 2u;

struct RawCodes {
  lower: vec2<u32>,
  third: u32,
}

fn fetch_codes(row: u32, block: u32) -> RawCodes {
  let at = 3u * (row * UNITS + block / 2u);
  return RawCodes(codes[at + block % 2u], codes[at + 2u][block % 2u]);
}

fn codes_of(raw: RawCodes, block: u32) -> Codes {
  let q = raw.lower;
  let third = raw.third;
  let shifts = vec4<u32>(0u, 2u, 4u, 6u);
  let low = (vec4<u32>(third << 2u, third << 1u, third, third >> 1u)) & vec4<u32>(0x04040404u);
  let high = (vec4<u32>(third) >> vec4<u32>(2u, 3u, 4u, 5u)) & vec4<u32>(0x04040404u);
  return Codes(
    ((vec4<u32>(q.x) >> shifts) & vec4<u32>(0x03030303u)) | low,
    ((vec4<u32>(q.y) >> shifts) & vec4<u32>(0x03030303u)) | high,
  );
}

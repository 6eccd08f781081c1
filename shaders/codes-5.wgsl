// 5-bit codes. Four blocks lie together: their lower four bits as in codes-4.wgsl, then a word for each with the fifth ones,
// bit k of byte b for the weight 4k + b.
//! include codes-unsigned
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block / 4][5]

const CENTRE = 16.0;
const UNITS = (BLOCKS + 3u) / 4u;

struct RawCodes {
  lower: vec4<u32>,
  fifth: u32,
}

fn fetch_codes(row: u32, block: u32) -> RawCodes {
  let at = 5u * (row * UNITS + block / 4u);
  return RawCodes(codes[at + block % 4u], codes[at + 4u][block % 4u]);
}

fn codes_of(raw: RawCodes, block: u32) -> Codes {
  let q = raw.lower;
  let fifth = raw.fifth;
  let low = (vec4<u32>(fifth) << vec4<u32>(4u, 3u, 2u, 1u)) & vec4<u32>(0x10101010u);
  let high = (vec4<u32>(fifth) >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(0x10101010u);
  return Codes((q & vec4<u32>(0x0f0f0f0fu)) | low, ((q >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu)) | high);
}

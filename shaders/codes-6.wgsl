// 6-bit codes. Two blocks lie together: their lower four bits as in codes-4.wgsl, then two words for each with the upper two,
// bits 2k and 2k + 1 of byte b of word w for the weight 16w + 4k + b.
//! include codes-unsigned
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block / 2][3]

const CENTRE = 32.0;
const UNITS = (BLOCKS + 1u) / 2u;

fn upper_bits(word: u32) -> vec4<u32> {
  return vec4<u32>(word << 4u, word << 2u, word, word >> 2u) & vec4<u32>(0x30303030u);
}

struct RawCodes {
  lower: vec4<u32>,
  upper: vec4<u32>, // of both blocks
}

fn fetch_codes(row: u32, block: u32) -> RawCodes {
  let at = 3u * (row * UNITS + block / 2u);
  return RawCodes(codes[at + block % 2u], codes[at + 2u]);
}

fn codes_of(raw: RawCodes, block: u32) -> Codes {
  let q = raw.lower;
  let upper = select(raw.upper.xy, raw.upper.zw, block % 2u == 1u);
  return Codes(
    (q & vec4<u32>(0x0f0f0f0fu)) | upper_bits(upper.x),
    ((q >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu)) | upper_bits(upper.y),
  );
}

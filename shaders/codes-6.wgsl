// 6-bit codes. Two blocks lie together: their lower four bits as in codes-4.wgsl, then two words for each with the upper two,
// bits 2k and 2k + 1 of byte b of word w for the weight 16w + 4k + b.
//! include codes-unsigned
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block / 2][3]

const CENTRE = 32.0;
const UNITS = (BLOCKS + 1u) / 2u;

fn upper_bits(word: u32) -> vec4<u32> {
  return vec4<u32>(word << 4u, word << 2u, word, word >> 2u) & vec4<u32>(0x30303030u);
}

fn load_codes(row: u32, block: u32) -> Codes {
  let at = 3u * (row * UNITS + block / 2u);
  let q = codes[at + block % 2u];
  let both = codes[at + 2u];
  let upper = select(both.xy, both.zw, block % 2u == 1u);
  return Codes(
    (q & vec4<u32>(0x0f0f0f0fu)) | upper_bits(upper.x),
    ((q >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu)) | upper_bits(upper.y),
  );
}

// One weight of a bf16 matrix.
//! include codes-plain
@group(0) @binding(1) var<storage, read> codes: array<u32>; // [row][block][16], two bf16 a word
fn weight(row: u32, block: u32, i: u32) -> f32 {
  let word = codes[(row * BLOCKS + block) * 16u + i / 2u];
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, i % 2u == 1u));
}

// One weight of an f16 matrix.
//! include codes-plain
@group(0) @binding(1) var<storage, read> codes: array<u32>; // [row][block][16], two f16 a word
fn weight(row: u32, block: u32, i: u32) -> f32 {
  return unpack2x16float(codes[(row * BLOCKS + block) * 16u + i / 2u])[i % 2u];
}

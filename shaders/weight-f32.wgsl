// One weight of an f32 matrix.
//! include codes-plain
@group(0) @binding(1) var<storage, read> codes: array<f32>; // [row][block][32]
fn weight(row: u32, block: u32, i: u32) -> f32 {
  return codes[(row * BLOCKS + block) * 32u + i];
}

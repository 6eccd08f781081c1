// One weight of an 8-bit matrix.
@group(0) @binding(1) var<storage, read> codes: array<u32>;  // [row][block][8], four int8 a word
@group(0) @binding(2) var<storage, read> scales: array<u32>; // [row / 4][block][2], two f16 a word
fn weight(row: u32, block: u32, i: u32) -> f32 {
  let word = codes[(row * BLOCKS + block) * 8u + i / 4u];
  let pair = unpack2x16float(scales[(row / 4u * BLOCKS + block) * 2u + row % 4u / 2u]);
  return f32(unpack4xI8(word)[i % 4u]) * pair[row % 2u];
}

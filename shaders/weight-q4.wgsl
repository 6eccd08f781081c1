// One weight of a 4-bit matrix.
@group(0) @binding(1) var<storage, read> codes: array<u32>;  // [row][block][4], nibbles as in quant/layout.ts
@group(0) @binding(2) var<storage, read> scales: array<u32>; // [row / 4][block][2], two f16 a word
fn weight(row: u32, block: u32, i: u32) -> f32 {
  let word = codes[(row * BLOCKS + block) * 4u + i % 16u / 4u];
  let code = (word >> (8u * (i % 4u) + 4u * (i / 16u))) & 15u;
  let pair = unpack2x16float(scales[(row / 4u * BLOCKS + block) * 2u + row % 4u / 2u]);
  return (f32(code) - 8.0) * pair[row % 2u];
}

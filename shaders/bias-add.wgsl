@group(0) @binding(9) var<storage, read> biases: array<f32>; // [row]
fn bias(row: u32) -> f32 {
  return biases[row];
}

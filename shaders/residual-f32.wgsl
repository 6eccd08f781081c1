// The residual stream where one workgroup at a time has a block of it.
@group(0) @binding(5) var<storage, read_write> residual: array<f32>; // [column][padded to 32]

fn residual_at(i: u32) -> f32 {
  return residual[i];
}

fn keep_residual(i: u32, value: f32) {
  residual[i] = value;
}

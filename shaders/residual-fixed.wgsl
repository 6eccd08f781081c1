// The residual stream where steps are merged, so that many workgroups add to it: the upper and the lower parts of 32 numbers by turns.
//! include fixed
@group(0) @binding(5) var<storage, read_write> residual: array<i32>; // [column][block][high, low][32]

fn residual_at(i: u32) -> f32 {
  let at = i / 32u * 64u + i % 32u;
  return value_of(vec4<i32>(residual[at]), vec4<i32>(residual[at + 32u])).x;
}

fn keep_residual(i: u32, value: f32) {
  let at = i / 32u * 64u + i % 32u;
  let high = high_part(value);
  residual[at] = i32(high);
  residual[at + 32u] = i32(low_part(value, high));
}

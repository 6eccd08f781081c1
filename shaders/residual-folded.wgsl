// The residual stream in fixed point, with what feed-forward.wgsl has added beside it: who asks for it gets both, and who writes it
// leaves nothing beside it.
//! include fixed
@group(0) @binding(5) var<storage, read_write> residual: array<i32>; // [block][high, low][32]
@group(0) @binding(15) var<storage, read_write> added: array<i32>;

fn residual_at(i: u32) -> f32 {
  let at = i / 32u * 64u + i % 32u;
  return value_of(vec4<i32>(residual[at] + added[at]), vec4<i32>(residual[at + 32u] + added[at + 32u])).x;
}

fn keep_residual(i: u32, value: f32) {
  let at = i / 32u * 64u + i % 32u;
  let high = high_part(value);
  residual[at] = i32(high);
  residual[at + 32u] = i32(low_part(value, high));
  added[at] = 0i;
  added[at + 32u] = 0i;
}

// The gain of the norm that comes next.
@group(0) @binding(6) var<storage, read> gains: array<f32>; // [hidden, padded to 32]

fn gain_of(i: u32) -> f32 {
  return gains[i];
}

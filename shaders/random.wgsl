// Uniform numbers in (0, 1) from a counter: the same seed, position and index give the same number on every device.
// The mixer is the 32-bit output permutation of PCG (O'Neill 2014) over an LCG step.
fn mix(value: u32) -> u32 {
  let state = value * 747796405u + 2891336453u;
  let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
  return (word >> 22u) ^ word;
}

fn uniform_at(seed: u32, position: u32, index: u32) -> f32 {
  return (f32(mix(index ^ mix(position ^ mix(seed))) >> 8u) + 0.5) * (1.0 / 16777216.0);
}

// Layers without positions (SmolLM 3).
fn turn_of(position: u32, dim: u32) -> vec2<f32> {
  return vec2<f32>(1.0, 0.0);
}

fn rotate(turn: vec2<f32>, dim: u32, value: f32, partner: f32) -> f32 {
  return value;
}

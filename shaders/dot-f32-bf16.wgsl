// bf16 weights times f32 activations: bf16 is the upper half of an f32.
//! include dot-f32-half
fn four_weights(pair: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(pair.x << 16u, pair.x & 0xffff0000u, pair.y << 16u, pair.y & 0xffff0000u));
}

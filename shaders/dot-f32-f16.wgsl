// f16 weights times f32 activations. Needs no f16 arithmetic of the device.
//! include dot-f32-half
fn four_weights(pair: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}

// Float weights carry no scales.
fn quad_scales(quad: u32, block: u32) -> vec4<f32> {
  return vec4<f32>(1.0);
}

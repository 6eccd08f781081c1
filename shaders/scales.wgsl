// What every scales-*.wgsl answers: how a row's codes become weights. HALVES says whether the weights 0..15 and 16..31 of a
// block have scales of their own; code - CENTRE is what the scale multiplies where there are no minima.
fn load_scales(quad: u32, block: u32) -> Scales {
  return scales_of(fetch_scales(quad, block)); // apart, as codes.wgsl explains
}

fn four_halves(pairs: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}

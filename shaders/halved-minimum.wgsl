// weight = scale * code + minimum in f16.
fn halved(s: Scale, codes: vec2<f16>) -> vec2<f16> {
  return fma(vec2<f16>(f16(s.scale)), codes, vec2<f16>(f16(s.minimum)));
}

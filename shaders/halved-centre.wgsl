// weight = scale * (code - CENTRE) in f16: the difference is exact.
fn halved(s: Scale, codes: vec2<f16>) -> vec2<f16> {
  return vec2<f16>(f16(s)) * (codes - vec2<f16>(f16(CENTRE)));
}

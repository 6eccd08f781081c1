// weight = scale * (code - CENTRE). The centre comes off once a block.
alias Scale = f32;

// Adds to `sum` the product of weights, as far as `s` goes for, with inputs: `dot` of the codes of both, `d` the scale of the
// input codes, `total` the sum of these inputs.
fn add_scaled(s: Scale, dot: f32, d: f32, total: f32, sum: f32) -> f32 {
  return fma(s, fma(dot, d, -CENTRE * total), sum);
}

fn weight_of(s: Scale, code: f32) -> f32 {
  return s * (code - CENTRE);
}

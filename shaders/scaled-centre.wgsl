// weight = scale * (code - CENTRE). The centre comes off once a block.
alias Scale = f32;

// What add_scaled wants to know of inputs whose sum is `total`.
fn offset_of(total: f32) -> f32 {
  return -CENTRE * total;
}

// Adds to `sum` the product of weights, as far as `s` goes for, with inputs: `dot` of the codes of both, `d` the scale of the
// input codes, `offset` by offset_of.
fn add_scaled(s: Scale, dot: f32, d: f32, offset: f32, sum: f32) -> f32 {
  return fma(s, fma(dot, d, offset), sum);
}

fn weight_of(s: Scale, code: f32) -> f32 {
  return s * (code - CENTRE);
}

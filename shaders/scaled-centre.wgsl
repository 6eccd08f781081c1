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

// Of four columns in a tile: what their dots start with, so that the centre is off at once.
alias Offset = i32;

fn offset_in_tile(total_codes: i32, d: f32) -> Offset {
  return -i32(CENTRE) * total_codes;
}

fn start_of(offsets: vec4<Offset>) -> vec4<i32> {
  return offsets;
}

// Adds to the sums of four columns; `products` are d times dots.
fn add_four_columns(s: Scale, products: vec4<f32>, offsets: vec4<Offset>, sums: vec4<f32>) -> vec4<f32> {
  return fma(vec4<f32>(s), products, sums);
}

fn weight_of(s: Scale, code: f32) -> f32 {
  return s * (code - CENTRE);
}

// One weight of a quantised matrix.
//! include codes-$CODES scales-$SCALES
fn weight(row: u32, block: u32, i: u32) -> f32 {
  let w = load_codes(row, block);
  let word = select(w.low, w.high, i >= 16u)[i / 4u % 4u];
  return weight_of(scale_of(load_scales(row / 4u, block), row % 4u, i / 16u), four_codes(word)[i % 4u]);
}

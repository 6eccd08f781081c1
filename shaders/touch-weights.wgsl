// Asks for a subgroup's first weights before it makes its inputs, which takes a while: kept in registers they would be in the way, but
// in the cache they are close. Two rows of a quad, and its scales.
fn touch(row: u32, block: u32) -> u32 {
  let scale = weight_of(scale_of(load_scales(row / 4u, block), 0u, 0u), 1.0);
  return bitcast<u32>(scale) ^ load_codes(row, block).low.x ^ load_codes(row + 1u, block).low.x;
}

// Drivers must not see that nothing comes of it: what is written here is written again before anybody reads it.
fn leave(touched: u32) {
  if (touched == 0x9e3779b9u) {
    y_rows[0] = 0.0;
  }
}

// A row of MLC's q4f32: codes around 7, f32 scales.
//! include raw raw-rows
fn take(row: u32, block: u32) -> Taken {
  var taken = Taken();
  take_row_codes(&taken, row + 16u * block, 0x01010101u);
  taken.d = word_at(row + 16u * slice.blocks + 4u * block);
  return taken;
}

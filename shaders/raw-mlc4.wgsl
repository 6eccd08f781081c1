// A row of MLC's q4f16: codes around 7, f16 scales.
//! include raw raw-rows
fn take(row: u32, block: u32) -> Taken {
  var taken = Taken();
  take_row_codes(&taken, row + 16u * block, 0x01010101u);
  taken.d = half_at(row + 16u * slice.blocks + 2u * block);
  return taken;
}

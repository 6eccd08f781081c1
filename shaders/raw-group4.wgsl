// A row of GPTQ or AWQ: codes, f16 scales and f16 zeros of groups of SCALE_BLOCKS blocks.
//! include raw raw-rows
fn take(row: u32, block: u32) -> Taken {
  var taken = Taken();
  take_row_codes(&taken, row + 16u * block, 0u);
  let scale_at = row + 16u * slice.blocks + 2u * (block / SCALE_BLOCKS);
  taken.d = half_at(scale_at);
  taken.m = half_at(scale_at + 2u * (slice.blocks / SCALE_BLOCKS));
  return taken;
}

// Where a position's keys or values begin, in elements.
//! include kv-row
//! param HEAD_STRIDE u32

// Index of the first element of a row; `which` is 0 for keys, 1 for values.
fn kv_place(slot: u32, which: u32, head: u32, position: u32) -> u32 {
  return kv_row(slot, which, head, position) * HEAD_STRIDE;
}

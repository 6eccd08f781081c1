// Which columns a workgroup of a matrix-vector product takes, and their epilogues.
//! include state-read rows norm-$NORM epilogue-$EPILOGUE
//! param FIRST_ROW u32
//! param LAST bool

// LAST: only the column whose logits are wanted, written as column 0.
fn first_column(group: u32) -> u32 {
  return select(group * COLS, state.last, LAST);
}

// Called by the whole workgroup once y_rows and y_squares are complete.
fn finish(group: u32, first: u32, thread: u32) {
  let count = select(min(COLS, state.columns - first), 1u, LAST);
  for (var c = 0u; c < count; c++) {
    epilogue(group + FIRST_ROW / TILE, select(first + c, 0u, LAST), c, thread, norm_factor(y_squares[c]));
    if (COLS > 1u) {
      workgroupBarrier();
    }
  }
}

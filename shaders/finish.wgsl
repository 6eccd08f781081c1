// Which columns a workgroup of a matrix-vector product takes, and their epilogues.
//! include state-read rows norm-$NORM epilogue-$EPILOGUE
//! param FIRST_ROW u32
//! param LAST bool

// LAST: only the column whose logits are wanted, written as column 0.
fn first_column(group: u32) -> u32 {
  return select(group * COLS, state.last, LAST);
}

struct Early {
  columns: array<vec2<f32>, COLS>,
}

// Loads that the epilogues will want.
fn begin(group: u32, first: u32, thread: u32) -> Early {
  var loaded = Early();
  for (var c = 0u; c < COLS; c++) {
    if (LAST || first + c < state.columns) {
      loaded.columns[c] = early(group + FIRST_ROW / TILE, select(first + c, 0u, LAST), thread);
    }
  }
  return loaded;
}

// Called by the whole workgroup once y_rows and y_squares are complete.
fn finish(group: u32, first: u32, thread: u32, loaded: Early) {
  let count = select(min(COLS, state.columns - first), 1u, LAST);
  for (var c = 0u; c < count; c++) {
    epilogue(group + FIRST_ROW / TILE, select(first + c, 0u, LAST), c, thread, norm_factor(y_squares[c]), loaded.columns[c]);
    if (COLS > 1u) {
      workgroupBarrier();
    }
  }
}

// Which columns a workgroup of a matrix-vector product takes, and their epilogues.
//! include state-read rows norm-$NORM epilogue-$EPILOGUE
//! param FIRST_ROW u32
//! param OUTPUTS bool

// Results that this pass is to make: one for every column, or with OUTPUTS one for every output.
fn wanted_results() -> u32 {
  return select(state.columns, state.outputs, OUTPUTS);
}

// The input column of a result.
fn input_of(result: u32) -> u32 {
  if (OUTPUTS) {
    return state.places[min(result, state.outputs - 1u)].output;
  }
  return result;
}

struct Early {
  columns: array<vec2<f32>, COLS>,
}

// Loads that the epilogues will want.
fn begin(group: u32, first: u32, thread: u32) -> Early {
  var loaded = Early();
  for (var c = 0u; c < COLS; c++) {
    if (first + c < wanted_results()) {
      loaded.columns[c] = early(group + FIRST_ROW / TILE, first + c, thread);
    }
  }
  return loaded;
}

// Called by the whole workgroup once y_rows and y_squares are complete.
fn finish(group: u32, first: u32, thread: u32, loaded: Early) {
  let count = min(COLS, wanted_results() - first);
  for (var c = 0u; c < count; c++) {
    epilogue(group + FIRST_ROW / TILE, first + c, c, thread, norm_factor(y_squares[c]), loaded.columns[c]);
    if (COLS > 1u) {
      workgroupBarrier();
    }
  }
}

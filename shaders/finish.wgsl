// The epilogues of the columns that a workgroup of a matrix-vector product has: a team takes one column after another.
//! include results rows blocks norm-$NORM epilogue-$EPILOGUE
//! param FIRST_ROW u32

const ROUNDS = (COLS + BLOCKS_AT_ONCE - 1u) / BLOCKS_AT_ONCE;
var<workgroup> y_squares: array<f32, COLS>; // sum of squares of each input column before its gain

struct Early {
  rounds: array<vec2<f32>, ROUNDS>,
}

// Loads that the epilogues will want.
fn begin(group: u32, first: u32, thread: u32) -> Early {
  var loaded = Early();
  for (var round = 0u; round < ROUNDS; round++) {
    let column = first + min(round * BLOCKS_AT_ONCE + thread / 32u, COLS - 1u);
    if (column < wanted_results()) {
      loaded.rounds[round] = early(group + FIRST_ROW / TILE, column, thread % 32u);
    }
  }
  return loaded;
}

// Called by the whole workgroup once y_rows and y_squares are complete.
fn finish(group: u32, first: u32, thread: u32, loaded: Early) {
  let count = min(COLS, wanted_results() - first);
  for (var round = 0u; round < ROUNDS; round++) {
    if (round > 0u) {
      workgroupBarrier(); // the round before has stored
    }
    let nth = round * BLOCKS_AT_ONCE + thread / 32u;
    let live = nth < count && thread / 32u < BLOCKS_AT_ONCE;
    let c = min(nth, COLS - 1u);
    epilogue(group + FIRST_ROW / TILE, first + c, c * TILE, thread, live, norm_factor(y_squares[c]), loaded.rounds[round]);
  }
}

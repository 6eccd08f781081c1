// y = W x for a tile of weight rows by columns. Blocks of both go through workgroup memory one after another, so that a tile
// reads each once; a thread keeps the sums of EACH_ROWS rows, ROW_LANES apart, for EACH_COLUMNS columns, COLUMN_LANES apart.
//! include results blocks tile-$TILES norm-$NORM epilogue-$EPILOGUE
//! param BLOCKS u32
//! param ROWS u32
//! param FIRST_ROW u32
//! param COLS u32 32 64
const THREADS = 128u;
const COLUMN_LANES = COLS / EACH_COLUMNS;
const ROW_LANES = THREADS / COLUMN_LANES;
const TILE_ROWS = ROW_LANES * EACH_ROWS;
const ROW_TILES = TILE_ROWS / TILE;
const STEP_COLUMNS = 16u;                          // of a step of the epilogue
const STEP_EACH = STEP_COLUMNS / COLUMN_LANES;     // of a thread
const TILE_EACH = TILE / ROW_LANES;                // rows of a thread in TILE rows
const Y_COLUMNS = ROW_TILES * STEP_COLUMNS;        // y_rows: [TILE rows][column][row]
var<workgroup> y_squares: array<f32, COLS>; // sum of squares of each input column before its gain

alias Sums = array<vec4<f32>, EACH_ROWS * EACH_COLUMNS / 4u>; // [row][column]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first_row = group.x * TILE_ROWS;
  let first = group.y * COLS;
  let r = thread % ROW_LANES;
  let c = thread / ROW_LANES;
  prepare_codes(thread);
  var sums = Sums();
  var squares = 0.0;
  for (var block = 0u; block < BLOCKS; block++) {
    squares += stage(thread, first_row, first, block);
    workgroupBarrier();
    add_tile(r, c, &sums);
    workgroupBarrier();
  }
  if (thread < COLS) {
    y_squares[thread] = squares;
  }

  // STEP_COLUMNS after another go through workgroup memory; which these are is decided by branches that all threads take alike
  for (var step = 0u; step < COLS / STEP_COLUMNS; step++) {
    workgroupBarrier(); // the step before has stored
    for (var j = 0u; j < EACH_COLUMNS; j++) {
      if (j / STEP_EACH == step) {
        let column = c + COLUMN_LANES * (j % STEP_EACH);
        for (var i = 0u; i < EACH_ROWS; i++) {
          let at = (i / TILE_EACH * STEP_COLUMNS + column) * TILE + i % TILE_EACH * ROW_LANES + r;
          y_rows[at] = sums[i * (EACH_COLUMNS / 4u) + j / 4u][j % 4u];
        }
      }
    }
    workgroupBarrier();
    let here = first + step * STEP_COLUMNS;
    let count = min(max(wanted_results(), here) - here, STEP_COLUMNS);
    for (var t = 0u; t < ROW_TILES; t++) {
      let row_block = (FIRST_ROW + first_row) / TILE + t;
      for (var base = 0u; base < count; base += BLOCKS_AT_ONCE) {
        let nth = base + thread / 32u;
        let column = min(here + nth, wanted_results() - 1u);
        let live = nth < count && first_row + t * TILE < ROWS;
        let factor = norm_factor(y_squares[step * STEP_COLUMNS + nth]);
        let at = (t * STEP_COLUMNS + nth) * TILE;
        epilogue(row_block, column, at, thread, live, factor, early(row_block, column, thread % 32u));
        workgroupBarrier();
      }
    }
  }
}

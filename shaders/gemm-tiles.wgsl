// y = W x for a tile of weight rows by columns. Blocks of both go through workgroup memory one after another, so that a tile
// reads each once; a thread keeps the sums of EACH_ROWS rows, 16 apart, for EACH_COLUMNS columns, 8 apart.
//! include results blocks tile-$TILES norm-$NORM epilogue-$EPILOGUE
//! param BLOCKS u32
//! param ROWS u32
//! param FIRST_ROW u32
//! param COLS u32 32 48 64
const THREADS = 128u;
const TILE_ROWS = 16u * EACH_ROWS;
const EACH_COLUMNS = COLS / 8u;
const Y_COLUMNS = 16u;
const Y_EACH = TILE / 16u; // rows of a thread in one step of the epilogue
var<workgroup> y_squares: array<f32, COLS>; // sum of squares of each input column before its gain

alias Sums = array<f32, EACH_ROWS * EACH_COLUMNS>; // [row][column]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first_row = group.x * TILE_ROWS;
  let first = group.y * COLS;
  let r = thread % 16u;
  let c = thread / 16u;
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

  // one copy of the epilogue: whose sums it gets is decided by branches that all threads take alike
  for (var step = 0u; step < TILE_ROWS / TILE * (COLS / Y_COLUMNS); step++) {
    let t = step / (COLS / Y_COLUMNS);
    let s = step % (COLS / Y_COLUMNS);
    workgroupBarrier(); // the step before has stored
    for (var i = 0u; i < EACH_ROWS; i++) {
      for (var j = 0u; j < EACH_COLUMNS; j++) {
        if (i / Y_EACH == t && j / 2u == s) {
          y_rows[(c + 8u * (j % 2u)) * TILE + r + 16u * (i % Y_EACH)] = sums[i * EACH_COLUMNS + j];
        }
      }
    }
    workgroupBarrier();
    let here = first + s * Y_COLUMNS;
    let row_block = (FIRST_ROW + first_row) / TILE + t;
    let count = min(max(wanted_results(), here) - here, Y_COLUMNS);
    for (var base = 0u; base < count; base += BLOCKS_AT_ONCE) {
      let nth = base + thread / 32u;
      let column = min(here + nth, wanted_results() - 1u);
      let live = nth < count && first_row + t * TILE < ROWS;
      let factor = norm_factor(y_squares[s * Y_COLUMNS + nth]);
      epilogue(row_block, column, nth * TILE, thread, live, factor, early(row_block, column, thread % 32u));
      workgroupBarrier();
    }
  }
}

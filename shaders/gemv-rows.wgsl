// y = W x for up to COLS columns at once, one thread a row: no subgroups, one barrier. For devices without subgroups and
// for CPU drivers, where barriers are dear.
//! include state-read dot-$DOT finish
//! param BLOCKS u32
//! param COLS u32 1 2 4 8
const THREADS = TILE;
const Y_COLUMNS = COLS;

@compute @workgroup_size(TILE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * TILE + lane;
  let first = group.y * COLS;
  prepare_codes(lane);
  prepare_inputs(input_of(first), lane);
  let loaded = begin(group.x, first, lane);
  var sums = array<f32, COLS>();
  var squares = array<f32, COLS>();
  let end = opaque_count(BLOCKS);
  for (var block = 0u; block < end; block++) {
    let s = load_scales(row / 4u, block);
    let w = load_codes(row, block);
    for (var c = 0u; c < COLS; c++) {
      let x = load_x(input_of(first + c), block);
      sums[c] = add_block(w, s, row % 4u, x, sums[c]);
      squares[c] += x.squares;
    }
  }
  for (var c = 0u; c < COLS; c++) {
    y_rows[c * TILE + lane] = sums[c];
    y_squares[c] = squares[c]; // the same in all threads
  }
  workgroupBarrier();
  finish(group.x, first, lane, loaded);
}

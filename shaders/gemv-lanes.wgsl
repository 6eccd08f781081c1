// y = W x for up to COLS columns at once. The lanes of a subgroup share a row's blocks, so that a load instruction reads
// SG * 16 neighbouring bytes; each subgroup keeps its activations in registers for ROWS rows. K_SPLIT subgroups may share
// the same rows, for products with too few rows to fill the GPU.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! include state-read dot-$DOT rows-$ROWS_AT_ONCE finish size-$SIZE
//! param BLOCKS u32
//! param COLS u32 1 2 4 8
//! param SG u32 4 8 16 32 64
//! param THREADS u32
//! param K_SPLIT u32 1 2 4 8

const ROWS = TILE * K_SPLIT * SG / THREADS;
const TURNS = ROWS / EACH; // EACH rows are loaded at once
const Y_COLUMNS = COLS;
var<workgroup> partial_rows: array<f32, TILE * COLS * K_SPLIT>; // [K_SPLIT][column][row]
var<workgroup> partial_squares: array<f32, COLS * K_SPLIT>;     // [K_SPLIT][column]

fn run(group: vec3<u32>, thread: u32, lane: u32) {
  let subgroup = thread / SG;
  let part = subgroup % K_SPLIT;
  let first_row = subgroup / K_SPLIT * ROWS; // within the tile
  let first = group.y * COLS;
  let base = group.x * TILE + first_row;
  prepare_codes(thread);
  prepare_inputs(input_of(first), thread);
  let loaded = begin(group.x, first, thread);
  var sums = array<Sums, TURNS * COLS>(); // [turn][column]
  var squares = array<f32, COLS>();
  for (var block = part * SG + lane; block < BLOCKS; block += SG * K_SPLIT) {
    var xs = array<X, COLS>();
    for (var c = 0u; c < COLS; c++) {
      xs[c] = load_x(input_of(first + c), block);
      squares[c] += xs[c].squares;
    }
    for (var turn = 0u; turn < TURNS; turn++) {
      let row = base + EACH * turn;
      let s = load_scales(quad_of(base, turn), block);
      let w = load_rows(row, block);
      for (var c = 0u; c < COLS; c++) {
        sums[turn * COLS + c] = add_rows(w, s, row % 4u, xs[c], sums[turn * COLS + c]);
      }
    }
  }
  for (var c = 0u; c < COLS; c++) {
    for (var turn = 0u; turn < TURNS; turn++) {
      let total = subgroupAdd(sums[turn * COLS + c]);
      if (lane < EACH) {
        partial_rows[(part * COLS + c) * TILE + first_row + EACH * turn + lane] = total[lane];
      }
    }
    let total_squares = subgroupAdd(squares[c]);
    if (lane == 0u && first_row == 0u) {
      partial_squares[part * COLS + c] = total_squares;
    }
  }
  workgroupBarrier();
  for (var i = thread; i < TILE * COLS; i += THREADS) {
    var sum = 0.0;
    for (var k = 0u; k < K_SPLIT; k++) {
      sum += partial_rows[k * COLS * TILE + i];
    }
    y_rows[i] = sum;
  }
  if (thread < COLS) {
    var sum = 0.0;
    for (var k = 0u; k < K_SPLIT; k++) {
      sum += partial_squares[k * COLS + thread];
    }
    y_squares[thread] = sum;
  }
  workgroupBarrier();
  finish(group.x, first, thread, loaded);
}

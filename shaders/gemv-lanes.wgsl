// y = W x for up to COLS columns at once. The lanes of a subgroup share a row's blocks, so that a load instruction reads
// SG * 16 neighbouring bytes; each subgroup keeps its activations in registers for ROWS rows. K_SPLIT subgroups may share
// the same rows, for products with too few rows to fill the GPU.
//! enable subgroups
//! diagnostic off subgroup_uniformity
//! include state-read dot-$DOT finish size-$SIZE touch-$TOUCH=none
//! param BLOCKS u32
//! param COLS u32 1 2 4 8
//! param SG u32 4 8 16 32 64
//! param THREADS u32
//! param K_SPLIT u32 1 2 4 8
// Workgroups of the same rows are neighbours, so that the weights that one has brought are in the cache for the others.
//! param COLUMNS_FIRST bool =false

const ROWS = TILE * K_SPLIT * SG / THREADS; // whole quads of scales, or half of one
const QUADS = (ROWS + 3u) / 4u;
const HALF = ROWS == 2u;
const Y_COLUMNS = COLS;
var<workgroup> partial_rows: array<f32, TILE * COLS * K_SPLIT>; // [K_SPLIT][column][row]
var<workgroup> partial_squares: array<f32, COLS * K_SPLIT>;     // [K_SPLIT][column]

fn run(group: vec3<u32>, thread: u32, lane: u32) {
  let subgroup = thread / SG;
  let part = subgroup % K_SPLIT;
  let first_row = subgroup / K_SPLIT * ROWS; // within the tile
  let tile = select(group.x, group.y, COLUMNS_FIRST);
  let first = select(group.y, group.x, COLUMNS_FIRST) * COLS;
  let base = tile * TILE + first_row;
  prepare_codes(thread);
  let touched = touch(base, min(part * SG + lane, BLOCKS - 1u));
  prepare_inputs(input_of(first), thread);
  leave(touched);
  let loaded = begin(tile, first, thread);
  var sums = array<vec4<f32>, QUADS * COLS>(); // [quad][column]
  var squares = array<f32, COLS>();
  for (var block = part * SG + lane; block < BLOCKS; block += SG * K_SPLIT) {
    var xs = array<X, COLS>();
    for (var c = 0u; c < COLS; c++) {
      xs[c] = load_x(input_of(first + c), block);
      squares[c] += xs[c].squares;
    }
    if (HALF) {
      let s = load_scales(base / 4u, block);
      let w0 = load_codes(base, block);
      let w1 = load_codes(base + 1u, block);
      for (var c = 0u; c < COLS; c++) {
        sums[c].x = add_block(w0, s, base % 4u, xs[c], sums[c].x);
        sums[c].y = add_block(w1, s, base % 4u + 1u, xs[c], sums[c].y);
      }
      continue;
    }
    for (var quad = 0u; quad < QUADS; quad++) {
      let s = load_scales(base / 4u + quad, block);
      let w0 = load_codes(base + 4u * quad, block);
      let w1 = load_codes(base + 4u * quad + 1u, block);
      let w2 = load_codes(base + 4u * quad + 2u, block);
      let w3 = load_codes(base + 4u * quad + 3u, block);
      for (var c = 0u; c < COLS; c++) {
        let sum = sums[quad * COLS + c];
        sums[quad * COLS + c] = vec4<f32>(
          add_block(w0, s, 0u, xs[c], sum.x),
          add_block(w1, s, 1u, xs[c], sum.y),
          add_block(w2, s, 2u, xs[c], sum.z),
          add_block(w3, s, 3u, xs[c], sum.w),
        );
      }
    }
  }
  for (var c = 0u; c < COLS; c++) {
    for (var quad = 0u; quad < QUADS; quad++) {
      let total = subgroupAdd(sums[quad * COLS + c]);
      if (lane < min(4u, ROWS)) {
        partial_rows[(part * COLS + c) * TILE + first_row + 4u * quad + lane] = total[lane];
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
  finish(tile, first, thread, loaded);
}

// y = W x on the matrix units: f16 products, f32 sums. A workgroup makes 64 rows for 16 * COLUMN_TILES columns of each of its
// subgroups. Weights become f16 in workgroup memory, two blocks of 32 along K at once, while the codes of the next two are on
// their way; inputs come straight from memory, where their producer left them as tiles (tile-place.wgsl).
//! enable f16
//! enable subgroups
//! enable chromium_experimental_subgroup_matrix
//! diagnostic off chromium.subgroup_matrix_uniformity
//! diagnostic off subgroup_uniformity
//! include results blocks tile-place halves-$HALVES_OF columns-$COLUMNS epilogue-$EPILOGUE size-$SIZE
//! param BLOCKS u32
//! param ROWS u32
//! param FIRST_ROW u32
//! param SG u32 32
//! param THREADS u32 64 128 256
//! param SHARED bool

const TEAM_COLUMNS = 16u * COLUMN_TILES;              // of a subgroup
const COLS = TEAM_COLUMNS * THREADS / 32u;            // of the workgroup
const STEPS = (BLOCKS + 1u) / 2u;
const STRIDE = 72u;                                   // halves from row to row: 64 weights, and 8 against bank conflicts
const PIECES = 128u / THREADS + select(0u, 1u, 128u % THREADS > 0u); // blocks that a thread brings each time
const Y_COLUMNS = 16u * THREADS / 32u;
var<workgroup> w_halves: array<f16, 64u * STRIDE>; // [row][value along K], each 32 in the order of act-f16.wgsl

// 16 weights of 64 rows.
struct Weights {
  a: subgroup_matrix_right<f16, 16, 16>,
  b: subgroup_matrix_right<f16, 16, 16>,
  c: subgroup_matrix_right<f16, 16, 16>,
  d: subgroup_matrix_right<f16, 16, 16>,
}

// 64 rows of 16 columns.
struct Sums {
  a: subgroup_matrix_result<f32, 16, 16>,
  b: subgroup_matrix_result<f32, 16, 16>,
  c: subgroup_matrix_result<f32, 16, 16>,
  d: subgroup_matrix_result<f32, 16, 16>,
}

fn load_weights(k: u32) -> Weights {
  return Weights(
    subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&w_halves, k * 16u, STRIDE),
    subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&w_halves, 16u * STRIDE + k * 16u, STRIDE),
    subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&w_halves, 32u * STRIDE + k * 16u, STRIDE),
    subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&w_halves, 48u * STRIDE + k * 16u, STRIDE),
  );
}

fn multiply(x: subgroup_matrix_left<f16, 16, 16>, w: Weights, sums: Sums) -> Sums {
  return Sums(
    subgroupMatrixMultiplyAccumulate(x, w.a, sums.a),
    subgroupMatrixMultiplyAccumulate(x, w.b, sums.b),
    subgroupMatrixMultiplyAccumulate(x, w.c, sums.c),
    subgroupMatrixMultiplyAccumulate(x, w.d, sums.d),
  );
}

// Row and block that this thread brings as its `piece`th in a step. Beyond the row's end it is the last one, which meets
// inputs of zero.
fn piece_of(thread: u32, piece: u32, first_row: u32, step: u32) -> vec2<u32> {
  let place = thread + piece * THREADS;
  return vec2<u32>(min(first_row + place % 64u, ROWS - 1u), min(2u * step + place / 64u % 2u, BLOCKS - 1u));
}

fn put_four(at: u32, values: vec4<f16>) {
  w_halves[at] = values.x;
  w_halves[at + 1u] = values.y;
  w_halves[at + 2u] = values.z;
  w_halves[at + 3u] = values.w;
}

fn put_piece(thread: u32, piece: u32, w: Ready) {
  let place = thread + piece * THREADS;
  if (place < 128u) {
    let at = place % 64u * STRIDE + place / 64u * 32u;
    for (var i = 0u; i < 8u; i++) {
      put_four(at + 4u * i, four_halves_of(w, i));
    }
  }
}

fn run(group: vec3<u32>, thread: u32, lane: u32) {
  let team = subgroupBroadcastFirst(thread / 32u);
  let first_row = group.x * 64u;
  let first = group.y * COLS + team * TEAM_COLUMNS; // this subgroup's columns
  let tile = first / 16u;
  prepare_codes(thread);
  var results = Results();
  var raws = array<Raw, PIECES>();
  for (var piece = 0u; piece < PIECES; piece++) {
    let place = piece_of(thread, piece, first_row, 0u);
    raws[piece] = fetch_raw(place.x, place.y);
  }
  var even = load_inputs(tile, 0u);
  for (var step = 0u; step < STEPS; step++) {
    workgroupBarrier(); // the step before has been multiplied
    for (var piece = 0u; piece < PIECES; piece++) {
      let place = piece_of(thread, piece, first_row, step);
      put_piece(thread, piece, ready(raws[piece], place.x, place.y));
    }
    workgroupBarrier();
    for (var piece = 0u; piece < PIECES; piece++) {
      let place = piece_of(thread, piece, first_row, min(step + 1u, STEPS - 1u));
      raws[piece] = fetch_raw(place.x, place.y);
    }
    let odd = load_inputs(tile, 4u * step + 1u);
    results = add_products(even, load_weights(0u), results);
    even = load_inputs(tile, 4u * step + 2u);
    results = add_products(odd, load_weights(1u), results);
    let last = load_inputs(tile, 4u * step + 3u);
    results = add_products(even, load_weights(2u), results);
    even = load_inputs(tile, min(4u * step + 4u, 4u * STEPS - 1u));
    results = add_products(last, load_weights(3u), results);
  }
  store_results(results, team, first_row, first, thread);
}

fn store_tile(sums: Sums, nth: u32, team: u32, first_row: u32, first: u32, thread: u32) {
  let base = team * 16u * TILE;
  for (var half = 0u; half < 64u / TILE; half++) {
    workgroupBarrier(); // what was there has been stored
    if (TILE == 64u || half == 0u) {
      subgroupMatrixStore<row_major>(&y_rows, base, sums.a, TILE);
      subgroupMatrixStore<row_major>(&y_rows, base + 16u, sums.b, TILE);
    }
    if (TILE == 64u) {
      subgroupMatrixStore<row_major>(&y_rows, base + 32u, sums.c, TILE);
      subgroupMatrixStore<row_major>(&y_rows, base + 48u, sums.d, TILE);
    } else if (half == 1u) {
      subgroupMatrixStore<row_major>(&y_rows, base, sums.c, TILE);
      subgroupMatrixStore<row_major>(&y_rows, base + 16u, sums.d, TILE);
    }
    workgroupBarrier();
    let row_block = (FIRST_ROW + first_row) / TILE + half;
    for (var i = 0u; i < 16u; i++) {
      let result = first + 16u * nth + i;
      let column = min(result, wanted_results() - 1u);
      let live = result < wanted_results() && first_row + half * TILE < ROWS;
      epilogue(row_block, column, base + i * TILE, thread, live, 1.0, early(row_block, column, thread % 32u));
      if (SHARED) { // the epilogue uses workgroup memory of its own
        workgroupBarrier();
      }
    }
  }
}

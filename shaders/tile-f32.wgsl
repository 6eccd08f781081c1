// Tiles of weights of any format and f32 activations, in f32. Each of the workgroup's 128 threads brings four weights of four
// rows and four values of four columns.
//! include results weight-$WEIGHT
const EACH_ROWS = 4u;
const EACH_COLUMNS = COLS / 8u;
const X_EACH = COLS / 32u; // vec4s of a thread's columns
var<workgroup> w_values: array<array<array<f32, 4>, 16>, 32>;         // [weight 0..31][row % 16][row / 16]: a thread multiplies four rows
var<workgroup> tile_values: array<array<vec4<f32>, 8>, 32u * X_EACH>; // [value 0..31][X_EACH][column % 8]
@group(0) @binding(3) var<storage, read> x_codes: array<vec4<f32>>; // [column][block][8]
@group(0) @binding(4) var<storage, read> x_meta: array<vec4<f32>>;  // [column][block]: 1, sum of values, sum of squares before the gain

// Index of a column's block.
fn place_of(column: u32, block: u32) -> u32 {
  return input_of(min(column, wanted_results() - 1u)) * BLOCKS + block;
}

// Brings one block along K into workgroup memory; answers the sum of squares in this thread's column.
fn stage(thread: u32, first_row: u32, first: u32, block: u32) -> f32 {
  let four = thread / 16u;
  let row = first_row + thread % 16u;
  for (var n = 0u; n < min(4u, state.capacity * 4u); n++) { // not unrolled: registers
    for (var i = 0u; i < 4u; i++) {
      w_values[4u * four + i][thread % 16u][n] = weight(min(row + 16u * n, ROWS - 1u), block, 4u * four + i);
    }
  }
  let h = thread / 8u % 2u;
  if (h < X_EACH) {
    let column = first + 32u * h + thread % 8u;
    let a = x_codes[place_of(column, block) * 8u + four];
    let b = x_codes[place_of(column + 8u, block) * 8u + four];
    let c = x_codes[place_of(column + 16u, block) * 8u + four];
    let d = x_codes[place_of(column + 24u, block) * 8u + four];
    for (var i = 0u; i < 4u; i++) {
      tile_values[(4u * four + i) * X_EACH + h][thread % 8u] = vec4<f32>(a[i], b[i], c[i], d[i]);
    }
  }
  if (thread >= COLS) {
    return 0.0;
  }
  return x_meta[place_of(first + thread, block)].z;
}

fn add_tile(r: u32, c: u32, sums: ptr<function, Sums>) {
  for (var k = 0u; k < opaque_count(32u); k++) {
    let w = w_values[k][r];
    for (var h = 0u; h < X_EACH; h++) {
      let x = tile_values[k * X_EACH + h][c];
      for (var i = 0u; i < 4u; i++) {
        (*sums)[i * X_EACH + h] = fma(vec4<f32>(w[i]), x, (*sums)[i * X_EACH + h]);
      }
    }
  }
}

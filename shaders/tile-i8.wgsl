// Tiles of quantised weights and int8 activations, in whole numbers as far as a scale goes. Each of the workgroup's 128
// threads brings a row's block, and the first COLS ones a column's too.
//! requires packed_4x8_integer_dot_product
//! include results act-i8 codes-$CODES scales-$SCALES
const EACH_ROWS = 8u;
const HALF_COUNT = select(1u, 2u, HALVES);
// the first index is constant where it matters, so that addresses differ by constants in spite of Dawn's bounds checks
var<workgroup> w_codes: array<array<vec4<u32>, 16>, 16>;              // [weights 0..15, 16..31][row / 16][row % 16]
var<workgroup> w_scales: array<array<Scale, 16>, 8u * HALF_COUNT>;    // [half][row / 16][row % 16]
var<workgroup> tile_codes: array<array<vec4<u32>, 8>, 2u * EACH_COLUMNS>; // [values 0..15, 16..31][column / 8][column % 8]
var<workgroup> tile_notes: array<array<vec2<f32>, 8>, EACH_COLUMNS>;  // d, offset of the whole block or of its upper half
var<workgroup> tile_low: array<array<f32, 8>, EACH_COLUMNS>;          // offset of the lower half, where halves have scales of their own

// Brings one block along K into workgroup memory; answers the sum of squares in this thread's column.
fn stage(thread: u32, first_row: u32, first: u32, block: u32) -> f32 {
  let row = min(first_row + thread, ROWS - 1u);
  let codes = load_codes(row, block);
  let scales = load_scales(row / 4u, block);
  w_codes[thread / 16u][thread % 16u] = codes.low;
  w_codes[8u + thread / 16u][thread % 16u] = codes.high;
  w_scales[thread / 16u][thread % 16u] = scale_of(scales, row % 4u, 0u);
  if (HALVES) {
    w_scales[8u * (HALF_COUNT - 1u) + thread / 16u][thread % 16u] = scale_of(scales, row % 4u, 1u);
  }
  if (thread >= COLS) {
    return 0.0;
  }
  let x = load_x(input_of(min(first + thread, wanted_results() - 1u)), block);
  tile_codes[thread / 8u][thread % 8u] = x.low;
  tile_codes[EACH_COLUMNS + thread / 8u][thread % 8u] = x.high;
  let low_total = select(0.0, x.d * f32(dot16(vec4<u32>(0x01010101u), x.low, 0)), HALVES);
  tile_notes[thread / 8u][thread % 8u] = vec2<f32>(x.d, offset_of(x.sum - low_total));
  if (HALVES) {
    tile_low[thread / 8u][thread % 8u] = offset_of(low_total);
  }
  return x.squares;
}

fn dot16(a: vec4<u32>, b: vec4<u32>, sum: i32) -> i32 {
  var s = sum + dot4I8Packed(a.x, b.x);
  s += dot4I8Packed(a.y, b.y);
  s += dot4I8Packed(a.z, b.z);
  return s + dot4I8Packed(a.w, b.w);
}

struct Columns {
  low: array<vec4<u32>, EACH_COLUMNS>,
  high: array<vec4<u32>, EACH_COLUMNS>,
  notes: array<vec2<f32>, EACH_COLUMNS>,
}

fn add_row(i: u32, r: u32, c: u32, x: Columns, sums: ptr<function, Sums>) {
  let low = w_codes[i][r];
  let high = w_codes[8u + i][r];
  let scale = w_scales[i][r];
  for (var j = 0u; j < EACH_COLUMNS; j++) {
    let at = i * EACH_COLUMNS + j;
    let half = dot16(low, x.low[j], 0);
    if (HALVES) {
      let sum = add_scaled(scale, f32(half), x.notes[j].x, tile_low[j][c], (*sums)[at]);
      let high_scale = w_scales[8u * (HALF_COUNT - 1u) + i][r];
      (*sums)[at] = add_scaled(high_scale, f32(dot16(high, x.high[j], 0)), x.notes[j].x, x.notes[j].y, sum);
    } else {
      (*sums)[at] = add_scaled(scale, f32(dot16(high, x.high[j], half)), x.notes[j].x, x.notes[j].y, (*sums)[at]);
    }
  }
}

fn add_tile(r: u32, c: u32, sums: ptr<function, Sums>) {
  var x = Columns();
  for (var j = 0u; j < EACH_COLUMNS; j++) {
    x.low[j] = tile_codes[j][c];
    x.high[j] = tile_codes[EACH_COLUMNS + j][c];
    x.notes[j] = tile_notes[j][c];
  }
  // line by line: drivers do not unroll a loop this large, and then keep the sums in memory
  add_row(0u, r, c, x, sums);
  add_row(1u, r, c, x, sums);
  add_row(2u, r, c, x, sums);
  add_row(3u, r, c, x, sums);
  add_row(4u, r, c, x, sums);
  add_row(5u, r, c, x, sums);
  add_row(6u, r, c, x, sums);
  add_row(7u, r, c, x, sums);
}

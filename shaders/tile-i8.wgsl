// Tiles of quantised weights and int8 activations, in whole numbers as far as a scale goes. Each of the workgroup's 128
// threads brings a row's block, and the first COLS ones a column's too. A thread holds its four columns in registers while
// its rows go by: the fewer of the two, so that registers are left for more subgroups.
//! requires packed_4x8_integer_dot_product
//! include results act-i8 codes-$CODES scales-$SCALES
//! param FUSED bool
const EACH_COLUMNS = 4u;
const EACH_ROWS = COLS / 4u;
const HALF_COUNT = select(1u, 2u, HALVES);
// the first index is constant where it matters, so that addresses differ by constants in spite of Dawn's bounds checks
var<workgroup> w_codes: array<array<vec4<u32>, ROW_LANES>, 2u * EACH_ROWS>;                 // [weights 0..15, 16..31][row / ROW_LANES][row % ROW_LANES]
var<workgroup> w_scales: array<array<array<Scale, 4>, ROW_LANES>, EACH_ROWS / 4u * HALF_COUNT>; // [half][row / ROW_LANES / 4][row % ROW_LANES][row / ROW_LANES % 4]
var<workgroup> tile_codes: array<array<vec4<u32>, COLUMN_LANES>, 8>;                        // [values 0..15, 16..31][column / COLUMN_LANES][column % COLUMN_LANES]
var<workgroup> tile_scales: array<vec4<f32>, COLUMN_LANES>;                                 // d, [column % COLUMN_LANES][column / COLUMN_LANES]
var<workgroup> tile_offsets: array<array<vec4<Offset>, COLUMN_LANES>, HALF_COUNT>;          // [half], then as tile_scales

// Brings one block along K into workgroup memory; answers the sum of squares in this thread's column.
fn stage(thread: u32, first_row: u32, first: u32, block: u32) -> f32 {
  let row = min(first_row + thread, ROWS - 1u);
  let codes = load_codes(row, block);
  let scales = load_scales(row / 4u, block);
  let r = thread % ROW_LANES;
  let i = thread / ROW_LANES;
  w_codes[i][r] = codes.low;
  w_codes[EACH_ROWS + i][r] = codes.high;
  w_scales[i / 4u][r][i % 4u] = scale_of(scales, row % 4u, 0u);
  if (HALVES) {
    w_scales[EACH_ROWS / 4u * (HALF_COUNT - 1u) + i / 4u][r][i % 4u] = scale_of(scales, row % 4u, 1u);
  }
  if (thread >= COLS) {
    return 0.0;
  }
  let x = load_x(input_of(min(first + thread, wanted_results() - 1u)), block);
  let c = thread % COLUMN_LANES;
  let j = thread / COLUMN_LANES;
  tile_codes[j][c] = x.low;
  tile_codes[EACH_COLUMNS + j][c] = x.high;
  tile_scales[c][j] = kept(x.d);
  let low_total = dot16(vec4<u32>(0x01010101u), x.low, 0);
  let high_total = dot16(vec4<u32>(0x01010101u), x.high, 0);
  tile_offsets[0u][c][j] = offset_in_tile(select(low_total + high_total, low_total, HALVES), x.d);
  if (HALVES) {
    tile_offsets[HALF_COUNT - 1u][c][j] = offset_in_tile(high_total, x.d);
  }
  return x.squares;
}

fn dot16(a: vec4<u32>, b: vec4<u32>, sum: i32) -> i32 {
  var s = sum + dot4I8Packed(a.x, b.x);
  s += dot4I8Packed(a.y, b.y);
  s += dot4I8Packed(a.z, b.z);
  return s + dot4I8Packed(a.w, b.w);
}

// Dots start at the bits of the float WHOLE: counting these bits up by n counts the float up by n, so that a dot is a float
// without being converted. With FUSED, for GPUs whose fma rounds only once, which WGSL does not promise, taking WHOLE off
// again costs nothing either: d * (WHOLE + n) - d * WHOLE is d * n if d * WHOLE is exact, and that it is for a d that has two
// bits less than a float.
const WHOLE = 12582912.0; // 1.5 * 2^23: sums of 2^22 to both sides keep the exponent
const WHOLE_BITS = 0x4b400000i;

fn kept(d: f32) -> f32 {
  return select(d, bitcast<f32>((bitcast<u32>(d) + 2u) & 0xfffffffcu), FUSED);
}

// Four columns of a block.
struct Columns {
  low: array<vec4<u32>, 4>,
  high: array<vec4<u32>, 4>,
  d: vec4<f32>,
  less: vec4<f32>, // - d * WHOLE
}

// d times four dots.
fn products(x: Columns, dots: vec4<i32>) -> vec4<f32> {
  let floats = bitcast<vec4<f32>>(dots);
  if (FUSED) {
    return fma(floats, x.d, x.less);
  }
  return (floats - WHOLE) * x.d;
}

fn dots(w: vec4<u32>, columns: array<vec4<u32>, 4>, start: vec4<i32>) -> vec4<i32> {
  return vec4<i32>(
    dot16(w, columns[0], start.x),
    dot16(w, columns[1], start.y),
    dot16(w, columns[2], start.z),
    dot16(w, columns[3], start.w),
  );
}

fn add_row(i: u32, r: u32, c: u32, x: Columns, sums: ptr<function, Sums>) {
  if (i >= EACH_ROWS) {
    return;
  }
  let low = w_codes[i][r];
  let high = w_codes[EACH_ROWS + i][r];
  let scale = w_scales[i / 4u][r][i % 4u];
  let offset = tile_offsets[0u][c];
  let low_dots = dots(low, x.low, WHOLE_BITS + start_of(offset));
  if (HALVES) {
    let high_offset = tile_offsets[HALF_COUNT - 1u][c];
    let high_scale = w_scales[EACH_ROWS / 4u * (HALF_COUNT - 1u) + i / 4u][r][i % 4u];
    let sum = add_four_columns(scale, products(x, low_dots), offset, (*sums)[i]);
    let high_dots = dots(high, x.high, WHOLE_BITS + start_of(high_offset));
    (*sums)[i] = add_four_columns(high_scale, products(x, high_dots), high_offset, sum);
  } else {
    (*sums)[i] = add_four_columns(scale, products(x, dots(high, x.high, low_dots)), offset, (*sums)[i]);
  }
}

fn add_tile(r: u32, c: u32, sums: ptr<function, Sums>) {
  var x = Columns();
  for (var j = 0u; j < 4u; j++) {
    x.low[j] = tile_codes[j][c];
    x.high[j] = tile_codes[4u + j][c];
  }
  x.d = tile_scales[c];
  x.less = -WHOLE * x.d;
  // line by line: drivers do not unroll a loop this large, and then keep the sums in memory
  add_row(0u, r, c, x, sums);
  add_row(1u, r, c, x, sums);
  add_row(2u, r, c, x, sums);
  add_row(3u, r, c, x, sums);
  add_row(4u, r, c, x, sums);
  add_row(5u, r, c, x, sums);
  add_row(6u, r, c, x, sums);
  add_row(7u, r, c, x, sums);
  add_row(8u, r, c, x, sums);
  add_row(9u, r, c, x, sums);
  add_row(10u, r, c, x, sums);
  add_row(11u, r, c, x, sums);
  add_row(12u, r, c, x, sums);
  add_row(13u, r, c, x, sums);
  add_row(14u, r, c, x, sums);
  add_row(15u, r, c, x, sums);
}

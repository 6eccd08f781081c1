// Ends products whose output is normalised before anything else is done with it: leaves it and the sum of squares of every
// 32 rows, for post-norm.wgsl or head-norm.wgsl.
//! include state-read rows bias-$BIAS
//! param OUT_ROWS u32
@group(0) @binding(5) var<storage, read_write> out: array<f32>;     // [column][OUT_ROWS], a multiple of 32
@group(0) @binding(8) var<storage, read_write> squares: array<f32>; // [column][OUT_ROWS / 32]

// As in epilogue-gate.wgsl.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>();
}

// As in epilogue-gate.wgsl.
fn epilogue(row_block: u32, column: u32, at: u32, thread: u32, live: bool, factor: f32, loaded: vec2<f32>) {
  let lane = thread % 32u;
  let row = row_block * 32u + lane;
  if (live) {
    out[column * OUT_ROWS + row] = fma(y_rows[at + lane], factor, bias(row));
  }
  if (live && lane == 0u) {
    var sum = 0.0;
    for (var i = 0u; i < opaque_count(32u); i++) {
      let value = fma(y_rows[at + i], factor, bias(row + i));
      sum = fma(value, value, sum);
    }
    squares[column * (OUT_ROWS / 32u) + row_block] = sum;
  }
}

// Ends the q, k, v product of models that normalise each head first: head-norm.wgsl goes on from here.
//! include state-read rows bias-$BIAS
//! param OUT_ROWS u32
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [column][OUT_ROWS], a multiple of 32

// What finish.wgsl asks for before the product, so that it is there when the sums are.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>();
}

fn epilogue(row_block: u32, column: u32, nth: u32, lane: u32, factor: f32, loaded: vec2<f32>) {
  let row = row_block * 32u + lane;
  if (lane < 32u) {
    out[column * OUT_ROWS + row] = fma(y_rows[nth * TILE + lane], factor, bias(row));
  }
}

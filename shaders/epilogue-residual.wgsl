// Ends the output and the down projection: adds to the residual stream and leaves g * x in activation blocks, g being
// the gain of the norm that comes next.
//! include state-read rows store-$STORE
@group(0) @binding(5) var<storage, read_write> residual: array<f32>; // [column][Y_BLOCKS * 32]
@group(0) @binding(6) var<storage, read> gains: array<f32>;          // [Y_BLOCKS * 32]

// What finish.wgsl asks for before the product, so that it is there when the sums are.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  let row = row_block * 32u + lane % 32u;
  return vec2<f32>(residual[column * Y_BLOCKS * 32u + row], gains[row]);
}

fn epilogue(row_block: u32, column: u32, nth: u32, lane: u32, factor: f32, loaded: vec2<f32>) {
  let row = row_block * 32u + lane;
  var value = 0.0;
  if (lane < 32u) {
    value = loaded.x + y_rows[nth * TILE + lane];
    residual[column * Y_BLOCKS * 32u + row] = value;
  }
  store_block(column, row_block, lane, loaded.y * value, value * value, lane < 32u);
}

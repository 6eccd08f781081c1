// Ends the output and the down projection: adds to the residual stream and leaves g * x in activation blocks, g being
// the gain of the norm that comes next.
//! include state-read rows residual-$RESIDUAL=f32 store-$STORE
@group(0) @binding(6) var<storage, read> gains: array<f32>;          // [Y_BLOCKS * 32]

// As in epilogue-gate.wgsl.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  let row = row_block * 32u + lane;
  return vec2<f32>(residual_at(column * Y_BLOCKS * 32u + row), gains[row]);
}

// As in epilogue-gate.wgsl.
fn epilogue(row_block: u32, column: u32, at: u32, thread: u32, live: bool, factor: f32, loaded: vec2<f32>) {
  let row = row_block * 32u + thread % 32u;
  let value = loaded.x + y_rows[at + thread % 32u];
  if (live) {
    keep_residual(column * Y_BLOCKS * 32u + row, value);
  }
  store_block(column, row_block, thread, loaded.y * value, value * value, live);
}

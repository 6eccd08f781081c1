// Ends the fused gate and up product: h = activate(gate) * up. The matrix holds 32 gate rows and the same 32 up rows by turns,
// so one workgroup has both and writes one block of h.
//! include state-read rows activate-$ACTIVATION store-$STORE

// What finish.wgsl asks for before the product, so that it is there when the sums are.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>();
}

fn epilogue(row_block: u32, column: u32, nth: u32, lane: u32, factor: f32, loaded: vec2<f32>) {
  var value = 0.0;
  if (lane < 32u) {
    let gate = y_rows[nth * TILE + lane] * factor;
    let up = y_rows[nth * TILE + 32u + lane] * factor;
    value = activate(gate) * up;
  }
  store_block(column, row_block, lane, value, 0.0, lane < 32u);
}

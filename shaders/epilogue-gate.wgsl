// Ends the fused gate and up product: h = activate(gate) * up. The matrix holds 32 gate rows and the same 32 up rows by turns,
// so one workgroup has both and writes one block of h.
//! include state-read rows activate-$ACTIVATION store-$STORE

// What the epilogue will want from memory, asked for early.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>();
}

// Called by the whole workgroup; a team has the results from y_rows[at] on. Only teams with `live` store.
fn epilogue(row_block: u32, column: u32, at: u32, thread: u32, live: bool, factor: f32, loaded: vec2<f32>) {
  let gate = y_rows[at + thread % 32u] * factor;
  let up = y_rows[at + 32u + thread % 32u] * factor;
  store_block(column, row_block, thread, activate(gate) * up, 0.0, live);
}

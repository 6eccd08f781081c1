// Ends the up product of a layer whose gate has another format and a product of its own before this one, which
// epilogue-plain.wgsl ended: h = activate(gate) * up.
//! include state-read rows activate-$ACTIVATION store-$STORE
//! param GATE_ROWS u32
@group(0) @binding(5) var<storage, read> gate: array<f32>; // [column][GATE_ROWS], a multiple of 32

// As in epilogue-gate.wgsl. Rows of gate and up lie one behind the other: block 0 of h is the first behind the gate's.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>(gate[column * GATE_ROWS + row_block * 32u - GATE_ROWS + lane], 0.0);
}

// As in epilogue-gate.wgsl.
fn epilogue(row_block: u32, column: u32, at: u32, thread: u32, live: bool, factor: f32, loaded: vec2<f32>) {
  let value = activate(loaded.x) * y_rows[at + thread % 32u] * factor;
  store_block(column, row_block - GATE_ROWS / 32u, thread, value, 0.0, live);
}

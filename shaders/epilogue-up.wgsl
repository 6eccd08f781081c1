// Ends the up product of a layer whose gate has another format and a product of its own before this one, which
// epilogue-plain.wgsl ended: h = activate(gate) * up.
//! include state-read rows activate-$ACTIVATION store-$STORE
//! param GATE_ROWS u32
@group(0) @binding(5) var<storage, read> gate: array<f32>; // [column][GATE_ROWS], a multiple of 32

// What finish.wgsl asks for before the product, so that it is there when the sums are.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return vec2<f32>(gate[column * GATE_ROWS + row_block * 32u - GATE_ROWS + lane % 32u], 0.0);
}

// Rows of gate and up lie one behind the other: block 0 of h is the first behind the gate's.
fn epilogue(row_block: u32, column: u32, nth: u32, lane: u32, factor: f32, loaded: vec2<f32>) {
  var value = 0.0;
  if (lane < 32u) {
    value = activate(loaded.x) * y_rows[nth * TILE + lane] * factor;
  }
  store_block(column, row_block - GATE_ROWS / 32u, lane, value, 0.0, lane < 32u);
}

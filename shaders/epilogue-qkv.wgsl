// Ends the fused q, k, v product: bias, rotary embedding, q to its buffer, k and v straight into the cache.
// Rows are [q, padded to 32][k, padded to 32][v, padded to 32].
//! include state-read rows bias-$BIAS rope-$ROPE kv-write-$KV
//! param HEAD_DIM u32
//! param Q_ROWS u32
//! param KV_ROWS u32
@group(0) @binding(5) var<storage, read_write> q: array<f32>; // [column][Q_ROWS padded to 32]

const Q_PADDED = (Q_ROWS + 31u) / 32u * 32u;
const KV_PADDED = (KV_ROWS + 31u) / 32u * 32u;

// Row within q, k or v.
fn inner_row(row: u32) -> u32 {
  return row - select(select(Q_PADDED, Q_PADDED + KV_PADDED, row >= Q_PADDED + KV_PADDED), 0u, row < Q_PADDED);
}

// As in epilogue-gate.wgsl.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  return turn_of(position_of(column), inner_row(row_block * 32u + lane) % HEAD_DIM);
}

// As in epilogue-gate.wgsl.
fn epilogue(row_block: u32, column: u32, at: u32, thread: u32, live: bool, factor: f32, turn: vec2<f32>) {
  let lane = thread % 32u;
  let row = row_block * 32u + lane;
  let value = fma(y_rows[at + lane], factor, bias(row));
  let partner = fma(y_rows[at + (lane ^ 1u)], factor, bias(row ^ 1u));
  let inner = inner_row(row);
  let dim = inner % HEAD_DIM;
  if (!live) {
    return;
  }
  if (row < Q_PADDED) {
    q[column * Q_PADDED + row] = rotate(turn, dim, value, partner);
    return;
  }
  if (lane % 2u == 1u || inner >= KV_ROWS) { // the even lane of a pair writes both
    return;
  }
  let position = position_of(column);
  let slot = slot_of(column);
  if (row >= Q_PADDED + KV_PADDED) {
    store_kv(kv_place(slot, 1u, inner / HEAD_DIM, position), dim, value, partner);
  } else {
    store_kv(kv_place(slot, 0u, inner / HEAD_DIM, position), dim, rotate(turn, dim, value, partner), rotate(turn, dim + 1u, partner, value));
  }
}

// Ends the fused q, k, v product: bias, rotary embedding, q to its buffer, k and v straight into the cache.
// Rows are [q, padded to 32][k, padded to 32][v, padded to 32].
//! include state-read rows bias-$BIAS rope kv-write-$KV
//! param HEAD_DIM u32
//! param Q_ROWS u32
//! param KV_ROWS u32
@group(0) @binding(5) var<storage, read_write> q: array<f32>; // [column][Q_ROWS padded to 32]

fn epilogue(row_block: u32, column: u32, slot: u32, lane: u32, factor: f32) {
  let row = row_block * 32u + lane;
  if (lane < 32u) {
    y_rows[slot * TILE + lane] = fma(y_rows[slot * TILE + lane], factor, bias(row));
  }
  workgroupBarrier();
  if (lane >= 32u) {
    return;
  }
  const Q_PADDED = (Q_ROWS + 31u) / 32u * 32u;
  const KV_PADDED = (KV_ROWS + 31u) / 32u * 32u;
  let value = y_rows[slot * TILE + lane];
  let partner = y_rows[slot * TILE + (lane ^ 1u)];
  let position = state.position + column;
  if (row < Q_PADDED) {
    q[column * Q_PADDED + row] = rotate(position, row % HEAD_DIM, value, partner);
    return;
  }
  if (lane % 2u == 1u) { // the even lane of a pair writes both
    return;
  }
  let is_value = row >= Q_PADDED + KV_PADDED;
  let inner = row - Q_PADDED - select(0u, KV_PADDED, is_value);
  if (inner >= KV_ROWS) {
    return;
  }
  let dim = inner % HEAD_DIM;
  if (is_value) {
    store_kv(1u, inner / HEAD_DIM, position, dim, value, partner);
  } else {
    store_kv(0u, inner / HEAD_DIM, position, dim, rotate(position, dim, value, partner), rotate(position, dim + 1u, partner, value));
  }
}

// Ends the fused q, k, v product: bias, rotary embedding, q to its buffer, k and v straight into the cache.
// Rows are [q, padded to 32][k, padded to 32][v, padded to 32].
//! include state-read rows bias-$BIAS rope-$ROPE kv-write-$KV query-$QUERY
//! param HEAD_DIM u32
//! param Q_ROWS u32
//! param KV_ROWS u32
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
  let inner = inner_row(row);
  let dim = inner % HEAD_DIM;
  let is_value = row >= Q_PADDED + KV_PADDED;
  var value = fma(y_rows[at + lane], factor, bias(row));
  var neighbour = fma(y_rows[at + (lane ^ 1u)], factor, bias(row ^ 1u));
  if (!is_value) {
    let before = value;
    value = rotate(turn, dim, value, neighbour);
    neighbour = rotate(turn, dim + 1u, neighbour, before);
  }
  if (live && row < Q_PADDED) {
    store_query(column * Q_PADDED + row, value);
  }
  let place = kv_place(slot_of(column), select(0u, 1u, is_value), inner / HEAD_DIM, position_of(column));
  keep_kv(place, dim, thread, value, neighbour, live && row >= Q_PADDED && inner < KV_ROWS);
}

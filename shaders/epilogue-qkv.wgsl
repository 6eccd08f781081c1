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

// What finish.wgsl asks for before the product, so that it is there when the sums are.
fn early(row_block: u32, column: u32, lane: u32) -> vec2<f32> {
  let row = row_block * 32u + lane % 32u;
  return turn_of(position_of(column), inner_row(row) % HEAD_DIM);
}

fn epilogue(row_block: u32, column: u32, nth: u32, lane: u32, factor: f32, turn: vec2<f32>) {
  let row = row_block * 32u + lane;
  if (lane < 32u) {
    y_rows[nth * TILE + lane] = fma(y_rows[nth * TILE + lane], factor, bias(row));
  }
  workgroupBarrier();
  var value = 0.0;
  var neighbour = 0.0;
  let inner = inner_row(row);
  let dim = inner % HEAD_DIM;
  if (lane < 32u) {
    value = y_rows[nth * TILE + lane];
    neighbour = y_rows[nth * TILE + (lane ^ 1u)];
  }
  let is_value = row_block * 32u >= Q_PADDED + KV_PADDED;
  if (!is_value) {
    let before = value;
    value = rotate(turn, dim, value, neighbour);
    neighbour = rotate(turn, dim + 1u, neighbour, before);
  }
  if (row_block * 32u < Q_PADDED) {
    if (lane < 32u) {
      q[column * Q_PADDED + row] = value;
    }
    return;
  }
  let place = kv_place(slot_of(column), select(0u, 1u, is_value), inner / HEAD_DIM, position_of(column));
  keep_kv(place, dim, lane, value, neighbour, lane < 32u && inner < KV_ROWS);
}

// For models that normalise q and k: RMSNorm, then rotary embedding, then q to its buffer and k, v into the cache. A
// workgroup has one head of q, k or v of one column.
//! include state-read scope-$SCOPE rope-$ROPE kv-write-$KV query-$QUERY
//! param HEAD_DIM u32
//! param Q_ROWS u32
//! param KV_ROWS u32
//! param EPSILON f32
const THREADS = 32u;
const Q_PADDED = (Q_ROWS + 31u) / 32u * 32u;
const KV_PADDED = (KV_ROWS + 31u) / 32u * 32u;

@group(0) @binding(1) var<storage, read> raw: array<f32>;     // [column][q padded to 32][k padded to 32][v padded to 32]
var<workgroup> partial: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  const Q_HEADS = Q_ROWS / HEAD_DIM;
  let column = group.y;
  let is_query = group.x < Q_HEADS;
  let is_value = group.x >= Q_HEADS + KV_HEADS;
  let head = group.x - select(select(Q_HEADS, Q_HEADS + KV_HEADS, is_value), 0u, is_query);
  let start = column * (Q_PADDED + 2u * KV_PADDED) + head * HEAD_DIM
    + select(select(Q_PADDED, Q_PADDED + KV_PADDED, is_value), 0u, is_query);

  partial[thread] = some_squares(column, is_query, start, thread);
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < opaque_count(THREADS); i++) {
    sum += partial[i];
  }
  let factor = inverseSqrt(sum / normed_size(is_query) + EPSILON);

  let position = position_of(column);
  let slot = slot_of(column);
  let place = kv_place(slot, select(0u, 1u, is_value), head, position);
  for (var first = 0u; first < HEAD_DIM; first += THREADS) {
    let dim = first + thread;
    let live = dim < HEAD_DIM;
    var value = 0.0;
    var neighbour = 0.0;
    if (live) {
      value = raw[start + dim];
      neighbour = raw[start + (dim ^ 1u)];
    }
    if (!is_value) {
      let gain = gain_place(is_query, head, dim);
      let turn = turn_of(position, dim);
      let a = value * factor * gains[gain];
      let b = neighbour * factor * gains[gain_place(is_query, head, dim ^ 1u)];
      value = rotate(turn, dim, a, b);
      neighbour = rotate(turn, dim + 1u, b, a);
    }
    if (is_query) {
      if (live) {
        q[column * Q_PADDED + head * HEAD_DIM + dim] = value;
      }
    } else {
      workgroupBarrier(); // what the dimensions before left has been read
      keep_kv(place, dim, thread, value, neighbour, live);
    }
  }
}

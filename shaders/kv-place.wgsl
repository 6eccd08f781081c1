// Where a position's keys or values lie: the only code that knows the layout of the KV cache,
// [slot][k, v][kvHead][position][HEAD_STRIDE].
//! include state-read
//! param KV_HEADS u32
//! param HEAD_STRIDE u32

// Index of the first element of a row; `which` is 0 for keys, 1 for values.
fn kv_place(slot: u32, which: u32, head: u32, position: u32) -> u32 {
  return (((slot * 2u + which) * KV_HEADS + head) * state.capacity + position) * HEAD_STRIDE;
}

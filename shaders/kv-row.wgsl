// Which row of a layer's buffers a position's keys or values are: the only code that knows the order of the KV cache,
// [slot][k, v][kvHead][position].
//! include state-read
//! param KV_HEADS u32

// `which` is 0 for keys, 1 for values.
fn kv_row(slot: u32, which: u32, head: u32, position: u32) -> u32 {
  return ((slot * 2u + which) * KV_HEADS + head) * state.capacity + position;
}

// Where a position's row lies in a layer's KV cache: the one place to change for another arrangement of the cache.
//! include state-read
//! param KV_HEADS u32
//! param HEAD_STRIDE u32

// Index of the row's first element; `which` is 0 for keys, 1 for values.
fn kv_place(which: u32, head: u32, position: u32) -> u32 {
  return ((which * KV_HEADS + head) * state.capacity + position) * HEAD_STRIDE;
}

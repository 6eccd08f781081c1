// The heads that a workgroup of attention has, and their outputs gathered into whole blocks of 32.
//! include blocks store-$STORE
//! param HEAD_DIM u32
//! param GROUP u32
//! param KV_GROUP u32
//! param THREADS u32
const OUT_BLOCKS = (KV_GROUP * GROUP * HEAD_DIM + 31u) / 32u;
var<workgroup> result: array<f32, OUT_BLOCKS * 32u>; // [kv head of this workgroup][query head of it][HEAD_DIM]

fn clear_result(thread: u32) {
  for (var i = thread; i < OUT_BLOCKS * 32u; i += THREADS) {
    result[i] = 0.0;
  }
}

// Called by the whole workgroup once all results are in.
fn store_result(column: u32, group: u32, thread: u32) {
  for (var first = 0u; first < opaque_count(OUT_BLOCKS); first += BLOCKS_AT_ONCE) {
    workgroupBarrier();
    let nth = first + thread / 32u;
    let b = min(nth, OUT_BLOCKS - 1u);
    let block = group * OUT_BLOCKS + b;
    let live = block < Y_BLOCKS && nth < OUT_BLOCKS && thread / 32u < BLOCKS_AT_ONCE;
    store_block(column, block, thread, result[b * 32u + thread % 32u], 0.0, live);
  }
}

// A workgroup of attention has KV_GROUP kv heads and all query heads that share them.
//! param GROUP u32
//! param KV_GROUP u32
fn kv_head_of(group: u32, k: u32) -> u32 {
  return group * KV_GROUP + k;
}

fn query_head(group: u32, kv_head: u32, g: u32) -> u32 {
  return kv_head * GROUP + g;
}

// What the workgroup may ask for beside the first keys.
fn ask_ahead(group: u32, thread: u32) {
}

// Attention that sees all keys in one workgroup: its outputs go straight into activation blocks.
//! include heads grouped

fn part_of_keys(column: u32, first_seen: u32, split: u32) -> vec2<u32> {
  return vec2<u32>(first_seen, position_of(column) + 1u);
}

fn begin_output(group: u32, thread: u32) {
  clear_result(thread);
}

fn output(column: u32, split: u32, k: u32, kv_head: u32, g: u32, dim: u32, sum: f32, top: f32, whole: f32) {
  result[(k * GROUP + g) * HEAD_DIM + dim] = sum / whole;
}

fn end_output(column: u32, group: u32, thread: u32) {
  store_result(column, group, thread);
}

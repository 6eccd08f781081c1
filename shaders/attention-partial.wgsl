// Attention that sees a part of the keys: leaves its output and how much that counts for combine.wgsl.
//! include partials grouped
@group(0) @binding(7) var<storage, read_write> partials: array<f32>;     // see partials.wgsl
@group(0) @binding(8) var<storage, read_write> shares: array<vec2<f32>>;

// Keys [first, end) that this workgroup sees of those from `first_seen` on.
fn part_of_keys(column: u32, first_seen: u32, split: u32) -> vec2<u32> {
  let keys = keys_seen(column);
  let share = share_of(keys);
  return first_seen + min(vec2<u32>(split, split + 1u) * share, vec2<u32>(keys));
}

fn begin_output(group: u32, thread: u32) {
}

fn output(column: u32, split: u32, k: u32, kv_head: u32, g: u32, dim: u32, sum: f32, top: f32, whole: f32) {
  let part = part_index(column, kv_head * GROUP + g, split);
  partials[part * HEAD_STRIDE + dim] = select(0.0, sum / whole, whole > 0.0);
  if (dim == 0u) {
    shares[part] = vec2<f32>(top, whole);
  }
}

fn end_output(column: u32, group: u32, thread: u32) {
}

// Attention that sees a part of the keys: leaves its output and how much that counts for combine.wgsl.
//! include partials
//! param HEAD_DIM u32
//! param GROUP u32
//! param KV_GROUP u32
//! param THREADS u32
@group(0) @binding(7) var<storage, read_write> partials: array<f32>; // see partials.wgsl

fn begin_output(thread: u32) {
}

fn output(column: u32, split: u32, k: u32, kv_head: u32, g: u32, dim: u32, sum: f32, top: f32, whole: f32) {
  let at = partial_place(column, kv_head * GROUP + g, split);
  partials[at + dim] = select(0.0, sum / whole, whole > 0.0);
  if (dim == 0u) {
    partials[at + HEAD_STRIDE] = top;
    partials[at + HEAD_STRIDE + 1u] = whole;
  }
}

fn end_output(column: u32, group: u32, thread: u32) {
}

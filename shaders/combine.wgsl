// Joins the parts of a split attention into activation blocks.
//! include partials heads
//! param KV_HEADS u32
@group(0) @binding(3) var<storage, read> partials: array<f32>;     // see partials.wgsl
@group(0) @binding(4) var<storage, read> shares: array<vec2<f32>>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let column = group.y;
  let parts = parts_of(keys_seen(column));
  clear_result(thread);
  workgroupBarrier();
  for (var i = thread; i < KV_GROUP * GROUP * HEAD_DIM; i += THREADS) {
    let head = group.x * KV_GROUP * GROUP + i / HEAD_DIM;
    if (head >= KV_HEADS * GROUP) {
      continue;
    }
    // softmax over the parts on the way, as attention itself does it
    var top = -1.0e30;
    var whole = 0.0;
    var sum = 0.0;
    for (var s = 0u; s < parts; s++) {
      let at = part_index(column, head, s);
      let share = shares[at];
      let value = partials[at * HEAD_STRIDE + i % HEAD_DIM];
      let best = max(top, share.x);
      let keep = exp(top - best);
      let weight = share.y * exp(share.x - best);
      top = best;
      whole = fma(whole, keep, weight);
      sum = fma(sum, keep, weight * value);
    }
    result[i] = sum / whole;
  }
  store_result(column, group.x, thread);
}

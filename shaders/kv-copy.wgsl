// Copies the beginning of one sequence's keys and values to another slot: positions below places[0].position, to the slot of
// places[0] from that of places[1]. A workgroup has POSITIONS of them in one head of the keys or of the values.
//! include kv-place
//! param ELEMENT_BYTES u32 2 4
@group(0) @binding(6) var<storage, read_write> kv: array<vec4<u32>>; // see kv-place.wgsl

const POSITIONS = 64u; // as in engine/plan.ts
const THREADS = 64u;
const ROW_WORDS = HEAD_STRIDE * ELEMENT_BYTES / 16u; // a row in vec4s

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let which = group.x / KV_HEADS;
  let head = group.x % KV_HEADS;
  let end = position_of(0u);
  let first = group.y * POSITIONS;
  if (first >= end) {
    return;
  }
  let target_place = kv_place(slot_of(0u), which, head, first) * ELEMENT_BYTES / 16u;
  let source_place = kv_place(slot_of(1u), which, head, first) * ELEMENT_BYTES / 16u;
  let words = min(POSITIONS, end - first) * ROW_WORDS;
  for (var i = thread; i < words; i += THREADS) {
    kv[target_place + i] = kv[source_place + i];
  }
}

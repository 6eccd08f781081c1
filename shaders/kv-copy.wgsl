// Copies the beginning of one sequence's keys and values to another slot: positions below places[0].position, to the slot of
// places[0] from that of places[1]. A workgroup has POSITIONS of them in one head of the keys or of the values.
//! include kv-row
//! param ROW_BYTES u32
@group(0) @binding(6) var<storage, read_write> rows: array<vec4<u32>>; // see kv-row.wgsl; heads begin at whole vectors

const POSITIONS = 64u; // as in engine/plan.ts
const THREADS = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let which = group.x / KV_HEADS;
  let head = group.x % KV_HEADS;
  let end = position_of(0u);
  let first = group.y * POSITIONS;
  if (first >= end) {
    return;
  }
  let target_place = kv_row(slot_of(0u), which, head, first) * ROW_BYTES / 16u;
  let source_place = kv_row(slot_of(1u), which, head, first) * ROW_BYTES / 16u;
  // the last vector may reach into the next position, which is not in use
  let vectors = (min(POSITIONS, end - first) * ROW_BYTES + 15u) / 16u;
  for (var i = thread; i < vectors; i += THREADS) {
    rows[target_place + i] = rows[source_place + i];
  }
}

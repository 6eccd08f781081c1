// The workgroup's best (value, id) pair; equal values go to the lower id, as a scan from the start would.
var<workgroup> best_values: array<f32, THREADS>;
var<workgroup> best_ids: array<u32, THREADS>;

fn workgroup_argmax(thread: u32, value: f32, id: u32) -> u32 {
  best_values[thread] = value;
  best_ids[thread] = id;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      let other = best_values[thread + half];
      let other_id = best_ids[thread + half];
      if (other > best_values[thread] || (other == best_values[thread] && other_id < best_ids[thread])) {
        best_values[thread] = other;
        best_ids[thread] = other_id;
      }
    }
  }
  workgroupBarrier();
  return best_ids[0];
}

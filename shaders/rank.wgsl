// Lists the best logits of every output, a workgroup each.
//! include state-read sampler candidates top
const VOCAB_BLOCKS = (VOCAB + 31u) / 32u;
@group(0) @binding(7) var<storage, read_write> candidates: array<Candidates>; // [slot]
var<workgroup> sums: array<vec3<f32>, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let result = group.y;
  let slot = slot_of(state.places[result].output);
  let count = sort_top(result, thread);
  let best = sorted_values[0];
  // greedy sequences have a temperature of 0 and no use for these sums
  let inverse = 1.0 / max(samplers[slot].temperature, 1e-6);
  let first = result * VOCAB_BLOCKS * 32u;
  var sum = vec3<f32>();
  for (var id = thread; id < VOCAB; id += THREADS) {
    let x = logits[first + id] - best;
    let tempered = x * inverse;
    let weight = exp(tempered);
    // where it is 0, x may be anything
    sum += vec3<f32>(exp(x), weight, select(0.0, weight * tempered, weight > 0.0));
  }
  sums[thread] = sum;
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
  }
  for (var i = thread; i < count; i += THREADS) {
    candidates[slot].list[i] = Candidate(sorted_ids[i], sorted_values[i]);
  }
  workgroupBarrier();
  if (thread == 0u) {
    candidates[slot].count = count;
    candidates[slot].best = best;
    candidates[slot].sum = sums[0].x;
    candidates[slot].tempered_sum = sums[0].y;
    candidates[slot].moment = sums[0].z;
  }
}

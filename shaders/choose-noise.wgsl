// A token drawn from softmax(logits / temperature), of those that min-p leaves: the largest of logit / temperature + Gumbel
// noise (Gumbel-max trick).
//! include argmax random sampler
const CHOICE_CODE = 2u; // in a sampler
@group(0) @binding(5) var<storage, read> logits: array<f32>;      // [output][VOCAB padded to 32]
@group(0) @binding(6) var<storage, read> peaks: array<vec2<f32>>; // [output][block of 32 rows]: best logit, its id as bits

fn choose(result: u32, slot: u32, position: u32, thread: u32) -> u32 {
  let sampler = samplers[slot];
  let inverse = 1.0 / sampler.temperature;
  var peak = -3.4e38;
  for (var i = thread; i < VOCAB_BLOCKS; i += THREADS) {
    peak = max(peak, peaks[result * VOCAB_BLOCKS + i].x);
  }
  workgroup_argmax(thread, peak, thread);
  let least = select(-3.4e38, best_values[0] + log(sampler.min_p) * sampler.temperature, sampler.min_p > 0.0);
  workgroupBarrier();
  let first = result * VOCAB_BLOCKS * 32u;
  var best = -3.4e38;
  var best_id = 0u;
  for (var id = thread; id < VOCAB; id += THREADS) {
    let logit = logits[first + id];
    let noise = -log(-log(uniform_at(sampler.seed, position, id)));
    let value = fma(logit, inverse, noise);
    if (logit >= least && value > best) {
      best = value;
      best_id = id;
    }
  }
  return workgroup_argmax(thread, best, best_id);
}

// A token drawn from softmax(logits / temperature): the largest of logit / temperature + Gumbel noise (Gumbel-max trick).
//! include argmax random sampler
const CHOICE_CODE = 2u; // in a sampler
@group(0) @binding(5) var<storage, read> logits: array<f32>; // [output][VOCAB padded to 32]

fn choose(result: u32, slot: u32, position: u32, thread: u32) -> u32 {
  let sampler = samplers[slot];
  let inverse = 1.0 / sampler.temperature;
  let first = result * VOCAB_BLOCKS * 32u;
  var best = -3.4e38;
  var best_id = 0u;
  for (var id = thread; id < VOCAB; id += THREADS) {
    let noise = -log(-log(uniform_at(sampler.seed, position, id)));
    let value = fma(logits[first + id], inverse, noise);
    if (value > best) {
      best = value;
      best_id = id;
    }
  }
  return workgroup_argmax(thread, best, best_id);
}

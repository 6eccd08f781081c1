// A token drawn from softmax(logits / temperature): the largest of logit / temperature + Gumbel noise (Gumbel-max trick).
//! include argmax random
@group(0) @binding(5) var<storage, read> logits: array<f32>; // [VOCAB]

fn choose(thread: u32) -> u32 {
  let inverse = 1.0 / state.temperature;
  var best = -3.4e38;
  var best_id = 0u;
  for (var id = thread; id < VOCAB; id += THREADS) {
    let noise = -log(-log(uniform_at(state.seed, state.position + state.columns, id)));
    let value = fma(logits[id], inverse, noise);
    if (value > best) {
      best = value;
      best_id = id;
    }
  }
  return workgroup_argmax(thread, best, best_id);
}

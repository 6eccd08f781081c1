// The token with the largest logit, from the peaks that the output matrix left.
//! include argmax
const CHOICE_CODE = 1u; // in a sampler
@group(0) @binding(6) var<storage, read> peaks: array<vec2<f32>>; // [output][block of 32 rows]: best logit, its id as bits

fn choose(result: u32, slot: u32, position: u32, thread: u32) -> u32 {
  let first = result * VOCAB_BLOCKS;
  var best = vec2<f32>(-3.4e38, bitcast<f32>(0u));
  for (var i = thread; i < VOCAB_BLOCKS; i += THREADS) {
    if (peaks[first + i].x > best.x) {
      best = peaks[first + i];
    }
  }
  return workgroup_argmax(thread, best.x, bitcast<u32>(best.y));
}

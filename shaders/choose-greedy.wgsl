// The token with the largest logit, from the peaks that the output matrix left.
//! include argmax
@group(0) @binding(6) var<storage, read> peaks: array<vec2<f32>>; // [block of 32 rows]: best logit, its id as bits

fn choose(thread: u32) -> u32 {
  var best = vec2<f32>(-3.4e38, bitcast<f32>(0u));
  for (var i = thread; i < VOCAB_BLOCKS; i += THREADS) {
    if (peaks[i].x > best.x) {
      best = peaks[i];
    }
  }
  return workgroup_argmax(thread, best.x, bitcast<u32>(best.y));
}

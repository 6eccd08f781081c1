// Each head of q and k is normalised by itself (Qwen 3, Gemma 3).
@group(0) @binding(2) var<storage, read> gains: array<f32>; // [q, k][HEAD_DIM padded to 32]

// This thread's share of the squares whose mean divides the head that starts at `start`.
fn some_squares(column: u32, is_query: bool, start: u32, thread: u32) -> f32 {
  var sum = 0.0;
  for (var dim = thread; dim < HEAD_DIM; dim += THREADS) {
    sum += raw[start + dim] * raw[start + dim];
  }
  return sum;
}

fn normed_size(is_query: bool) -> f32 {
  return f32(HEAD_DIM);
}

fn gain_place(is_query: bool, head: u32, dim: u32) -> u32 {
  return select((HEAD_DIM + 31u) / 32u * 32u, 0u, is_query) + dim;
}

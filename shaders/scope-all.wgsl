// All heads of q, and all of k, are normalised together (OLMo 2): the product left the sum of squares of every 32 rows.
@group(0) @binding(2) var<storage, read> gains: array<f32>;   // [q padded to 32][k padded to 32]
@group(0) @binding(3) var<storage, read> squares: array<f32>; // [column][32 rows of raw]

// This thread's share of the squares whose mean divides q or k.
fn some_squares(column: u32, is_query: bool, start: u32, thread: u32) -> f32 {
  const Q_BLOCKS = Q_PADDED / 32u;
  const KV_BLOCKS = KV_PADDED / 32u;
  let first = column * (Q_BLOCKS + 2u * KV_BLOCKS) + select(Q_BLOCKS, 0u, is_query);
  let end = first + select(KV_BLOCKS, Q_BLOCKS, is_query);
  var sum = 0.0;
  for (var i = first + thread; i < end; i += THREADS) {
    sum += squares[i];
  }
  return sum;
}

fn normed_size(is_query: bool) -> f32 {
  return select(f32(KV_ROWS), f32(Q_ROWS), is_query);
}

fn gain_place(is_query: bool, head: u32, dim: u32) -> u32 {
  return select(Q_PADDED, 0u, is_query) + head * HEAD_DIM + dim;
}

// Rotary embedding on interleaved pairs (2i, 2i + 1); checkpoints with half-split pairs are permuted while loading.
//! param ROPE_DIM u32
@group(0) @binding(10) var<storage, read> rope: array<vec2<f32>>; // [position][ROPE_DIM / 2]: cos, sin

// `value` is element `dim` of a head, `partner` the other half of its pair.
fn rotate(position: u32, dim: u32, value: f32, partner: f32) -> f32 {
  if (dim >= ROPE_DIM) {
    return value;
  }
  let turn = rope[position * (ROPE_DIM / 2u) + dim / 2u];
  return value * turn.x + select(partner, -partner, dim % 2u == 0u) * turn.y;
}

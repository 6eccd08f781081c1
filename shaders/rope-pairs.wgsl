// Rotary embedding on interleaved pairs (2i, 2i + 1); checkpoints with half-split pairs are permuted while loading.
//! param ROPE_DIM u32
@group(0) @binding(10) var<storage, read> rope: array<vec2<f32>>; // [position][ROPE_DIM / 2]: cos, sin

// cos and sin for element `dim` of a head; no turn for those beyond ROPE_DIM.
fn turn_of(position: u32, dim: u32) -> vec2<f32> {
  let turn = rope[position * (ROPE_DIM / 2u) + min(dim, ROPE_DIM - 1u) / 2u];
  return select(vec2<f32>(1.0, 0.0), turn, dim < ROPE_DIM);
}

// `value` is element `dim` of a head, `partner` the other half of its pair.
fn rotate(turn: vec2<f32>, dim: u32, value: f32, partner: f32) -> f32 {
  return value * turn.x + select(partner, -partner, dim % 2u == 0u) * turn.y;
}

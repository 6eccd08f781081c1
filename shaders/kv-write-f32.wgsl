// KV cache in f32, for exact arithmetic.
//! include kv-place kv-pairs
@group(0) @binding(6) var<storage, read_write> kv: array<f32>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f32

// a and b are elements dim and dim + 1 of the row at `place`; dim is even.
fn store_kv(place: u32, dim: u32, a: f32, b: f32) {
  let at = place + dim;
  kv[at] = a;
  kv[at + 1u] = b;
}

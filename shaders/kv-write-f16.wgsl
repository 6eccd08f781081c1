// KV cache in f16 pairs.
//! include kv-place kv-pairs
@group(0) @binding(6) var<storage, read_write> kv: array<u32>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f16

// a and b are elements dim and dim + 1 of the row at `place`; dim is even.
fn store_kv(place: u32, dim: u32, a: f32, b: f32) {
  kv[(place + dim) / 2u] = pack2x16float(vec2<f32>(a, b));
}

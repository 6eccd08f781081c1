// KV cache in f16 pairs.
//! include kv-place
@group(0) @binding(6) var<storage, read_write> kv: array<u32>; // [k, v][kvHead][position][HEAD_STRIDE] f16

// `dim` is even; a and b are elements dim and dim + 1.
fn store_kv(which: u32, head: u32, position: u32, dim: u32, a: f32, b: f32) {
  kv[(kv_place(which, head, position) + dim) / 2u] = pack2x16float(vec2<f32>(a, b));
}

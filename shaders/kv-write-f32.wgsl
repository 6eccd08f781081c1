// KV cache in f32, for exact arithmetic.
//! include kv-place
@group(0) @binding(6) var<storage, read_write> kv: array<f32>; // [k, v][kvHead][position][HEAD_STRIDE] f32

// `dim` is even; a and b are elements dim and dim + 1.
fn store_kv(which: u32, head: u32, position: u32, dim: u32, a: f32, b: f32) {
  let at = kv_place(which, head, position) + dim;
  kv[at] = a;
  kv[at + 1u] = b;
}

// KV cache in f32, eight elements a load.
//! include kv-place
@group(0) @binding(6) var<storage, read> kv: array<vec4<f32>>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f32

struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
}

// Elements 8 * chunk .. 8 * chunk + 7 of a row that starts at `place`.
fn load_kv(place: u32, chunk: u32) -> Eight {
  let at = place / 4u + 2u * chunk;
  return Eight(kv[at], kv[at + 1u]);
}

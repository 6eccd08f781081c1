// KV cache in f16 pairs, eight elements a load.
//! include kv-place
@group(0) @binding(6) var<storage, read> kv: array<vec4<u32>>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f16

struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
}

// Elements 8 * chunk .. 8 * chunk + 7 of a row that starts at `place`.
fn load_kv(place: u32, chunk: u32) -> Eight {
  let words = kv[place / 8u + chunk];
  return Eight(
    vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)),
    vec4<f32>(unpack2x16float(words.z), unpack2x16float(words.w)),
  );
}

// The same as four pairs of f16.
fn load_halves(place: u32, chunk: u32) -> vec4<u32> {
  return kv[place / 8u + chunk];
}

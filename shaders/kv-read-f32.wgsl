// KV cache in f32, eight elements a load.
//! include kv-place
@group(0) @binding(6) var<storage, read> kv: array<vec4<f32>>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f32

struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
}

alias RawEight = Eight;

// Elements 8 * chunk .. 8 * chunk + 7 of a row that starts at `place`, as they lie there.
fn fetch_kv(place: u32, chunk: u32) -> RawEight {
  let at = place / 4u + 2u * chunk;
  return RawEight(kv[at], kv[at + 1u]);
}

fn eight_of(raw: RawEight) -> Eight {
  return raw;
}

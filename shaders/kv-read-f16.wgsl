// KV cache in f16 pairs, eight elements a load.
//! include kv-place
@group(0) @binding(6) var<storage, read> kv: array<vec4<u32>>; // [slot][k, v][kvHead][position][HEAD_STRIDE] f16

struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
}

alias RawEight = vec4<u32>;

// Elements 8 * chunk .. 8 * chunk + 7 of a row that starts at `place`, as they lie there.
fn fetch_kv(place: u32, chunk: u32) -> RawEight {
  return kv[place / 8u + chunk];
}

fn eight_of(raw: RawEight) -> Eight {
  return Eight(
    vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)),
    vec4<f32>(unpack2x16float(raw.z), unpack2x16float(raw.w)),
  );
}

// The same as four pairs of f16.
fn load_halves(place: u32, chunk: u32) -> vec4<u32> {
  return fetch_kv(place, chunk);
}

// Blocks of f16 weights.
//! enable f16
//! include codes-plain
@group(0) @binding(1) var<storage, read> codes: array<vec4<u32>>; // [row][block][4], two f16 a word

struct Raw {
  words: array<vec4<u32>, 4>,
}

alias Ready = Raw;

fn fetch_raw(row: u32, block: u32) -> Raw {
  let at = (row * BLOCKS + block) * 4u;
  return Raw(array(codes[at], codes[at + 1u], codes[at + 2u], codes[at + 3u]));
}

fn ready(raw: Raw, row: u32, block: u32) -> Ready {
  return raw;
}

// The `n`th four weights in the order of act-f16.wgsl, of 0..7.
fn four_halves_of(raw: Ready, n: u32) -> vec4<f16> {
  let four = raw.words[n / 2u];
  let a = bitcast<vec2<f16>>(select(four.x, four.z, n % 2u == 1u));
  let b = bitcast<vec2<f16>>(select(four.y, four.w, n % 2u == 1u));
  return vec4<f16>(a.x, b.x, a.y, b.y);
}
